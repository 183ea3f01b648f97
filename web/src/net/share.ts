// The tabs of one session that are in sight share a stream of events: one of them leads, which is who holds a lock of the
// browser, reads the stream and passes each event on. When its tab is closed or hidden, the browser gives the lock to the
// next one.
import type { SseEvent } from "./sse.ts";

export type Said =
  | { kind: "event"; at: string; event: SseEvent } // `at`: how far the leader had got before it
  | { kind: "lost" } // the leader has no stream; it tries again
  | { kind: "ask" }; // one that has come, or has missed something, wants all of it

export interface Ears {
  leads(): void; // from now on, until leave()
  heard(said: Said): void; // of another tab
  fails(): void; // nobody will ever lead
}

export interface Share {
  begin(): void; // asks for the lock
  say(said: Said): void; // to all other tabs of the session
  leave(): void; // nothing is heard any more; the lock goes to another tab
}

// What a tab without a stream of its own makes of an event that the leader passes on: takes it, lets it go by until the
// stream begins again, or asks for that. Pure.
export class Following {
  private asked = true; // whoever comes asks

  // It knows nothing yet, or not all.
  get waits(): boolean {
    return this.asked;
  }

  // `at`: how far this tab has got.
  step(said: { at: string; event: SseEvent }, at: string): "take" | "skip" | "ask" {
    const begins = said.event.event === "hello";
    const whole = begins && !(JSON.parse(said.event.data) as { resumed?: boolean }).resumed;
    if (whole || (said.at === at && !this.asked)) {
      this.asked = false;
      return "take";
    }
    if (this.asked && !begins) return "skip";
    this.asked = true;
    return "ask"; // again where another stream begins: the one who was asked may be gone
  }
}

// null where the browser has no such means, or the page was not fetched safely: each tab has a stream of its own then.
// A name tells no other tab the session's token.
export async function shareName(token: string): Promise<string | null> {
  if (!globalThis.navigator?.locks || typeof BroadcastChannel === "undefined" || !globalThis.crypto?.subtle) return null;
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token)));
  return `choir.events.${[...sum].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

// Rejects where the browser has the means and does not allow them.
export async function browserShare(token: string, ears: Ears): Promise<Share | null> {
  const name = await shareName(token);
  return name === null ? null : new BrowserShare(name, ears);
}

class BrowserShare implements Share {
  private readonly channel: BroadcastChannel;
  private readonly abort = new AbortController();
  private release: () => void = () => undefined;

  constructor(
    private readonly name: string,
    private readonly ears: Ears,
  ) {
    this.channel = new BroadcastChannel(name);
    this.channel.onmessage = (message: MessageEvent<Said>) => ears.heard(message.data);
  }

  begin(): void {
    const held = new Promise<void>((resolve) => (this.release = resolve));
    navigator.locks.request(this.name, { signal: this.abort.signal }, () => {
      if (this.abort.signal.aborted) return undefined;
      this.ears.leads();
      return held;
    }).catch(() => {
      if (!this.abort.signal.aborted) this.ears.fails();
    });
  }

  say(said: Said): void {
    this.channel.postMessage(said);
  }

  leave(): void {
    this.abort.abort();
    this.release();
    this.channel.close();
  }
}
