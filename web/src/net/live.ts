// The one stream of events that a page in sight holds. It is opened again whenever it ends or is silent for 25 s; what
// was known stays, and `link` says that it is not live.
import { batch, signal } from "@preact/signals";
import { ApiError, call, eventsOf, mayNotLook, session, token } from "./api.ts";
import { pauseBefore } from "./pause.ts";
import { Place } from "./place.ts";
import type { SseEvent } from "./sse.ts";
import type { Frame } from "../state/frames.ts";
import type { Hello, TurnsFrame } from "./wire.ts";

export type Link =
  | { state: "live" }
  | { state: "connecting" }
  | { state: "hidden" } // nobody looks: no stream
  | { state: "lost"; last: number | null }; // when the last frame came, of the browser's clock

export const link = signal<Link>({ state: "connecting" });
export const isLive = (): boolean => link.value.state === "live";

const kSilenceMs = 25_000;
export interface Taker {
  frame(frame: Frame): void;
  turns(frame: TurnsFrame): void;
}

export class Live {
  private abort: AbortController | null = null;
  private timer = 0;
  private watchdog = 0;
  private tries = 0;
  private lostAt = 0;
  private last: number | null = null;
  private readonly place = new Place();

  constructor(private readonly taker: Taker) {
    document.addEventListener("visibilitychange", () => this.shown());
    window.addEventListener("online", () => this.again());
    window.addEventListener("pagehide", () => this.stop());
    window.addEventListener("pageshow", (event) => {
      if (event.persisted) this.again();
    });
  }

  start(): void {
    this.shown();
  }

  // What was known is forgotten: the next connection tells all.
  anew(): void {
    this.place.forget();
    this.again();
  }

  // Now, without a pause: the session is another one, or the network is there again.
  again(): void {
    // Without a right there is nothing to try; the dialog of the key calls this again.
    if (document.hidden || session.peek().state === "needed") return;
    this.stop();
    void this.run();
  }

  private shown(): void {
    if (document.hidden) {
      this.stop();
      link.value = { state: "hidden" };
      return;
    }
    link.value = this.last === null ? { state: "connecting" } : { state: "lost", last: this.last };
    this.again();
  }

  private stop(): void {
    clearTimeout(this.timer);
    clearTimeout(this.watchdog);
    this.abort?.abort();
    this.abort = null;
  }

  private heard(): void {
    this.last = Date.now();
    this.tries = 0;
    this.lostAt = 0;
    if (link.peek().state !== "live") link.value = { state: "live" };
    clearTimeout(this.watchdog);
    this.watchdog = window.setTimeout(() => this.silent(), kSilenceMs);
  }

  // The connection stands, and nothing comes: the daemon is stopped, or the network is gone.
  private silent(): void {
    this.lostAt ||= Date.now();
    link.value = { state: "lost", last: this.last };
    this.again();
  }

  private async run(): Promise<void> {
    const abort = new AbortController();
    this.abort = abort;
    this.watchdog = window.setTimeout(() => this.silent(), kSilenceMs);
    try {
      const reader = token();
      const reply = await call("GET", `/choir/v1/events?topics=state,requests,turns${this.place.since(reader)}`, undefined, abort.signal);
      for await (const event of eventsOf(reply)) {
        if (abort.signal.aborted) return;
        batch(() => this.take(event, reader));
        if (event.event === "bye") break;
      }
    } catch (error) {
      // Lost, or refused; lost() goes on.
      if (error instanceof ApiError && error.status === 403 && !abort.signal.aborted) mayNotLook();
    }
    if (!abort.signal.aborted) this.lost();
  }

  private take({ event: name, data, id }: SseEvent, reader: string): void {
    this.heard();
    if (name === "hello") {
      const hello = JSON.parse(data) as Hello;
      this.place.hello(hello.epoch, hello.resumed ?? false, reader);
    }
    this.place.frame(id);
    if (name === "hello" || name === "snapshot" || name === "delta") {
      this.taker.frame({ event: name, data: JSON.parse(data) } as Frame);
    } else if (name === "turns") {
      this.taker.turns(JSON.parse(data) as TurnsFrame);
    }
  }

  private lost(): void {
    this.stop();
    this.lostAt ||= Date.now();
    link.value = { state: "lost", last: this.last };
    ++this.tries;
    if (session.peek().state === "needed") return;
    this.timer = window.setTimeout(() => void this.run(), pauseBefore(this.tries, Date.now() - this.lostAt, Math.random()));
  }
}
