// The one stream of events that the pages in sight of a session hold together (share.ts). It is opened again whenever it
// ends or is silent for 25 s; what was known stays, and `link` says that it is not live.
import { batch, signal, type Signal } from "@preact/signals";
import { pauseBefore } from "./pause.ts";
import { Place } from "./place.ts";
import { Following, type Ears, type Said, type Share } from "./share.ts";
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

export const kSilenceMs = 25_000;
export const kLeaderFirstMs = 5_000; // the leader finds out before those who follow
export const kAnswerMs = 5_000; // a leader that stands begins its stream again within this

export interface Taker {
  frame(frame: Frame): void;
  turns(frame: TurnsFrame): void;
}

// What a page has around it (page.ts).
export interface World {
  hidden(): boolean;
  locked(): boolean; // a key is needed: there is nothing to try
  reader(): string; // the token of the session
  stream(path: string, abort: AbortSignal): AsyncIterable<SseEvent>;
  share(reader: string, ears: Ears): Promise<Share | null>; // null: the stream is for this page alone
  later(ms: number, act: () => void): () => void; // gives what calls it off
  now(): number;
  random(): number; // in [0, 1)
}

const kTriesToLead = 3; // then another tab may have more luck
const kNothing = (): void => undefined;

export class Live {
  private abort: AbortController | null = null;
  private cancelTry = kNothing;
  private cancelWatch = kNothing;
  private tries = 0;
  private lostAt = 0;
  private last: number | null = null;
  private readonly place = new Place();
  private share: Share | null = null; // null: the stream is for this page alone
  private sharer = ""; // whose session it is
  private following: Following | null = null; // another tab leads
  private alone = false; // the one that led was silent; until the page is hidden
  private whole = false; // the stream was asked for all, and has not begun yet
  private begun = 0; // counts begin()

  constructor(
    private readonly taker: Taker,
    private readonly world: World,
    private readonly link: Signal<Link>,
  ) {}

  // The page came in sight, or is not any more.
  shown(): void {
    this.alone = false;
    if (this.world.hidden()) {
      this.stop();
      this.link.value = { state: "hidden" };
      return;
    }
    this.link.value = this.last === null ? { state: "connecting" } : { state: "lost", last: this.last };
    this.again();
  }

  // What was known is forgotten: the next connection tells all.
  anew(): void {
    this.place.forget();
    this.again();
  }

  // Now, without a pause: the session is another one, or the network is there again.
  again(): void {
    this.stop();
    // Without a right there is nothing to try; the dialog of the key calls this again.
    if (!this.world.hidden() && !this.world.locked()) void this.begin();
  }

  // Until again(). Another tab of the session may lead.
  stop(): void {
    ++this.begun;
    this.share?.leave();
    this.share = null;
    this.following = null;
    this.halt();
  }

  // Leads the tabs of this session, or follows the one that does.
  private async begin(): Promise<void> {
    const count = ++this.begun;
    const now = (): boolean => count === this.begun;
    this.sharer = this.world.reader();
    const share = this.alone ? null : await this.world.share(this.sharer, {
      leads: () => now() && this.lead(),
      heard: (said) => now() && (this.following ? this.follow(said) : this.answer(said)),
      fails: () => now() && this.goAlone(),
    });
    if (!now()) return share?.leave();
    if (share === null) return this.run();
    this.share = share;
    this.following = new Following();
    share.begin();
    share.say({ kind: "ask" });
    this.watch();
  }

  private lead(): void {
    this.following = null;
    void this.run();
  }

  private goAlone(): void {
    this.alone = true;
    this.again();
  }

  private answer(said: Said): void {
    // A stream that is about to tell all is what the other one wants.
    if (said.kind !== "ask" || this.whole) return;
    this.place.forget();
    if (this.abort === null) return; // the next try asks for all
    this.halt();
    void this.run();
  }

  private follow(said: Said): void {
    if (said.kind === "lost") {
      this.watch(kSilenceMs + kLeaderFirstMs); // it is there, and tries
      this.lostAt ||= this.world.now();
      this.link.value = { state: "lost", last: this.last };
    }
    if (said.kind !== "event" || this.following === null) return;
    if (said.event.event === "") {
      if (!this.following.waits) this.heard();
      return;
    }
    const step = this.following.step(said, this.place.since(this.sharer));
    if (step === "take") batch(() => this.take(said.event, this.sharer));
    if (step !== "ask") return;
    this.share?.say({ kind: "ask" });
    this.watch();
  }

  private halt(): void {
    this.whole = false;
    this.cancelTry();
    this.cancelWatch();
    this.cancelTry = this.cancelWatch = kNothing;
    this.abort?.abort();
    this.abort = null;
  }

  private heard(): void {
    this.last = this.world.now();
    this.tries = 0;
    this.lostAt = 0;
    if (this.link.peek().state !== "live") this.link.value = { state: "live" };
    this.watch();
  }

  // However often the stream begins anew, a page is live no longer than 30 s after what it has heard last.
  private watch(ms = this.following === null ? kSilenceMs : this.following.waits ? kAnswerMs : kSilenceMs + kLeaderFirstMs): void {
    const left = this.link.peek().state === "live" && this.last !== null ? this.last + kSilenceMs + kLeaderFirstMs - this.world.now() : ms;
    this.cancelWatch();
    this.cancelWatch = this.world.later(Math.max(0, Math.min(ms, left)), () => this.silent());
  }

  // The connection stands, and nothing comes: the daemon is stopped, or the network is gone. Or the tab that leads stands
  // still: then this one goes on by itself.
  private silent(): void {
    if (this.following) this.alone = true;
    else this.share?.say({ kind: "lost" });
    this.lostAt ||= this.world.now();
    if (!this.following?.waits || this.last !== null) this.link.value = { state: "lost", last: this.last };
    this.again();
  }

  private async run(): Promise<void> {
    const reader = this.world.reader();
    if (this.share && reader !== this.sharer) return this.again(); // what it may see now is not for those tabs
    const abort = new AbortController();
    this.abort = abort;
    this.watch();
    try {
      const since = this.place.since(reader);
      this.whole = since === "";
      for await (const event of this.world.stream(`/choir/v1/events?topics=state,requests,turns${since}`, abort.signal)) {
        if (abort.signal.aborted) return;
        this.share?.say({ kind: "event", at: this.place.since(reader), event });
        this.whole = false;
        batch(() => this.take(event, reader));
        if (event.event === "bye") break;
      }
    } catch {
      // Lost, or refused; lost() goes on.
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
    this.halt();
    this.share?.say({ kind: "lost" });
    this.lostAt ||= this.world.now();
    this.link.value = { state: "lost", last: this.last };
    ++this.tries;
    if (this.world.locked()) return this.stop(); // each tab asks for a key
    const next = (): void => (this.share && this.tries >= kTriesToLead ? this.again() : void this.run());
    this.cancelTry = this.world.later(pauseBefore(this.tries, this.world.now() - this.lostAt, this.world.random()), next);
  }
}
