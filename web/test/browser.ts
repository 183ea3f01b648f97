// A browser with tabs and a daemon, made for tests of the stream of events: its clock stands still until advance().
import { signal } from "@preact/signals";
import { Live, type Link } from "../src/net/live.ts";
import type { Ears, Said, Share } from "../src/net/share.ts";
import type { SseEvent } from "../src/net/sse.ts";
import { emptyView, reduce, type Frame, type View } from "../src/state/frames.ts";

const kPingMs = 10_000;
const kKept = 20; // frames that the daemon can go on behind
const settle = async (): Promise<void> => {
  for (let i = 0; i < 4; ++i) await new Promise((resolve) => setImmediate(resolve));
};
const sse = (event: string, data: unknown, id = ""): SseEvent => ({ event, data: JSON.stringify(data), id, comment: "" });
const row = (value: number): unknown => ({ name: "a", running: value });

interface Stream {
  tab: Tab;
  push(event: SseEvent): void;
  end(): void;
}

// Has one number that changes; it is told as a row.
export class FakeDaemon {
  epoch = 1;
  number = 1;
  value = 0;
  stopped = false; // takes connections and says nothing: set by stand()
  readonly streams = new Set<Stream>();
  readonly asked: string[] = []; // paths
  private waiting: [Stream, string][] = []; // connected while it stood
  private kept: { number: number; value: number }[] = [];

  stand(stopped: boolean): void {
    this.stopped = stopped;
    if (!stopped) for (const [stream, path] of this.waiting.splice(0)) this.greet(stream, path);
  }
  change(): void {
    if (this.stopped) return;
    this.kept.push({ number: ++this.number, value: ++this.value });
    this.kept.splice(0, this.kept.length - kKept);
    this.say(sse("delta", { topic: "state", set: [row(this.value)], gone: [] }, String(this.number)));
  }
  restart(): void {
    for (const stream of [...this.streams]) stream.end();
    this.stand(false);
    this.kept = [];
    ++this.epoch;
    this.number = 1;
    this.value += 1000;
  }
  say(event: SseEvent): void {
    if (!this.stopped) for (const stream of this.streams) stream.push(event);
  }
  greet(stream: Stream, path: string): void {
    if (this.stopped) return void this.waiting.push([stream, path]);
    const found = /since=(\d+)-(\d+)$/.exec(path);
    const since = found && Number(found[1]) === this.epoch ? Number(found[2]) : 0;
    const missed = this.kept.filter((one) => one.number > since);
    const resumed = since > 0 && (missed.length === 0 ? since === this.number : missed[0]?.number === since + 1);
    stream.push(sse("hello", { epoch: String(this.epoch), version: "1", tenant: stream.tab.token, scopes: ["view"], topics: [], resumed }, "0"));
    if (resumed) for (const one of missed) stream.push(sse("delta", { topic: "state", set: [row(one.value)], gone: [] }, String(one.number)));
    else stream.push(sse("snapshot", { topic: "state", rows: [row(this.value)] }, String(this.number)));
  }
}

export class Browser {
  time = 1_000_000;
  means: "both" | "none" | "refused" = "both"; // locks and channels
  readonly daemon = new FakeDaemon();
  readonly tabs: Tab[] = [];
  private timers: { at: number; act: () => void; tab: Tab | null }[] = [];
  private locks = new Map<string, FakeShare[]>(); // the first has it

  constructor(readonly random: () => number = () => 0.5) {
    const ping = (): void => {
      this.daemon.say(sse("ping", {}));
      this.later(null, kPingMs, ping);
    };
    this.later(null, kPingMs, ping);
  }

  async open(token = "t"): Promise<Tab> {
    const tab = new Tab(this, token);
    this.tabs.push(tab);
    tab.live.shown();
    await settle();
    return tab;
  }
  later(tab: Tab | null, ms: number, act: () => void): () => void {
    const timer = { at: this.time + ms, act, tab };
    this.timers.push(timer);
    return () => (this.timers = this.timers.filter((one) => one !== timer));
  }
  async advance(ms: number, each: () => void = () => undefined): Promise<void> {
    await settle();
    const end = this.time + ms;
    for (;;) {
      const due = this.timers.filter((one) => one.at <= end && !one.tab?.hangs).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.timers = this.timers.filter((one) => one !== due);
      this.time = Math.max(this.time, due.at);
      due.act();
      await settle();
      each();
    }
    this.time = end;
  }
  async change(): Promise<void> {
    this.daemon.change();
    await settle();
  }
  get streams(): Tab[] {
    return [...this.daemon.streams].map((stream) => stream.tab);
  }

  stream(tab: Tab, path: string, abort: AbortSignal): AsyncIterable<SseEvent> {
    const daemon = this.daemon;
    daemon.asked.push(path);
    const events: SseEvent[] = [];
    let wake = (): void => undefined;
    let over = tab.offline;
    const stream: Stream = {
      tab,
      push: (event) => {
        events.push(event);
        wake();
      },
      end: () => {
        over = true;
        daemon.streams.delete(stream);
        wake();
      },
    };
    abort.addEventListener("abort", () => stream.end());
    tab.wake = () => wake();
    return (async function* () {
      if (over) throw new Error("no connection");
      daemon.streams.add(stream);
      daemon.greet(stream, path);
      for (;;) {
        while (events.length > 0 && !tab.hangs) yield events.shift() as SseEvent;
        if (over) throw new Error("the connection broke");
        await new Promise<void>((resolve) => (wake = resolve));
      }
    })();
  }

  wants(share: FakeShare): void {
    const all = this.locks.get(share.name) ?? [];
    this.locks.set(share.name, [...all, share]);
    if (all.length === 0) this.grant(share.name);
  }
  drop(share: FakeShare): void {
    const all = this.locks.get(share.name) ?? [];
    this.locks.set(share.name, all.filter((one) => one !== share));
    if (all[0] === share) this.grant(share.name);
  }
  private grant(name: string): void {
    const first = this.locks.get(name)?.[0];
    first?.tab.post(() => this.locks.get(name)?.[0] === first && first.ears.leads());
  }
}

class FakeShare implements Share {
  private left = false;
  constructor(
    readonly tab: Tab,
    readonly name: string,
    readonly ears: Ears,
  ) {
    tab.shares.add(this);
  }
  begin(): void {
    if (this.tab.browser.means === "refused") return this.tab.post(() => this.ears.fails());
    this.tab.browser.wants(this);
  }
  say(said: Said): void {
    if (this.tab.gone) return;
    for (const tab of this.tab.browser.tabs)
      for (const share of tab.shares)
        if (share !== this && share.name === this.name) tab.post(() => !share.left && share.ears.heard(structuredClone(said)));
  }
  leave(): void {
    this.left = true;
    this.tab.shares.delete(this);
    this.tab.browser.drop(this);
  }
}

export class Tab {
  readonly live: Live;
  readonly link = signal<Link>({ state: "connecting" });
  readonly shares = new Set<FakeShare>();
  view: View = emptyView;
  hidden = false;
  locked = false;
  offline = false;
  hangs = false; // its thread stands still
  gone = false;
  wake = (): void => undefined;
  private tasks: (() => void)[] = [];

  constructor(
    readonly browser: Browser,
    public token: string,
  ) {
    const taker = { frame: (frame: Frame) => (this.view = reduce(this.view, frame, browser.time)), turns: () => undefined };
    this.live = new Live(taker, {
      hidden: () => this.hidden,
      locked: () => this.locked,
      reader: () => this.token,
      stream: (path, abort) => browser.stream(this, path, abort),
      share: async (name, ears) => (browser.means === "none" ? null : new FakeShare(this, name, ears)),
      later: (ms, act) => browser.later(this, ms, act),
      now: () => browser.time,
      random: browser.random,
    }, this.link);
  }

  post(task: () => void): void {
    this.tasks.push(task);
    queueMicrotask(() => this.work());
  }
  private work(): void {
    while (!this.hangs && !this.gone && this.tasks.length > 0) this.tasks.shift()?.();
  }

  get state(): string {
    return this.link.value.state;
  }
  get value(): number | undefined {
    return this.view.models.get("a")?.running;
  }
  async hide(hidden: boolean): Promise<void> {
    this.hidden = hidden;
    this.post(() => this.live.shown());
    await settle();
  }
  async close(): Promise<void> {
    this.live.stop();
    await this.crash();
  }
  // The browser ends its connections and gives its lock away; the page does nothing.
  async crash(): Promise<void> {
    this.gone = this.hangs = true;
    this.browser.tabs.splice(this.browser.tabs.indexOf(this), 1);
    for (const stream of [...this.browser.daemon.streams]) if (stream.tab === this) this.browser.daemon.streams.delete(stream);
    for (const share of [...this.shares]) {
      this.shares.delete(share);
      this.browser.drop(share);
    }
    await settle();
  }
  async hang(hangs: boolean): Promise<void> {
    this.hangs = hangs;
    this.work();
    this.wake();
    await settle();
  }
  async setOffline(offline: boolean): Promise<void> {
    this.offline = offline;
    if (offline) for (const stream of [...this.browser.daemon.streams]) if (stream.tab === this) stream.end();
    await settle();
  }
}
