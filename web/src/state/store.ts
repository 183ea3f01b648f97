// What all views look at.
import { computed, signal, type ReadonlySignal } from "@preact/signals";
import { ApiError, get, send, session } from "../net/api.ts";
import { isLive, link, Live, type Taker } from "../net/live.ts";
import { browserWorld, watchPage } from "../net/page.ts";
import type { CatalogueEntry, HistoryReply, ListedModel, ModelRow, PullRow, TurnsReply } from "../net/wire.ts";
import { forgetEnded } from "./ended.ts";
import { audienceOf, emptyView, reduce, type View } from "./frames.ts";
import { kinds } from "./kinds.ts";
import { inMemory, looksOf, type Look } from "./models.ts";
import { TurnLog } from "./turns.ts";

export const view = signal<View>(emptyView);
export const turns = new TurnLog();
export const turnsTick = signal(0); // counts frames of turns
export const turnsSecond = signal(0); // the same, at most once a second
export const now = signal(Date.now()); // of the daemon's clock, once a second while the page is in sight
let ahead = 0; // of the daemon's clock before ours, in milliseconds

const taker: Taker = {
  frame: (frame) => {
    const before = view.peek().hello;
    view.value = reduce(view.peek(), frame);
    // What we may do is what this daemon says now.
    const known = session.peek();
    if (frame.event === "hello") {
      ahead = frame.data.now_ms - Date.now();
      if (before && (before.epoch !== frame.data.epoch || audienceOf(before) !== audienceOf(frame.data))) forgetEnded();
      if (turns.begin(frame.data.epoch)) {
        history.value = null;
        turnsFilled = Infinity;
      }
      const { tenant, scopes } = frame.data;
      const info = known.state === "open" ? known.info : { expires_in_seconds: null };
      session.value = { state: "open", info: { ...info, tenant, scopes } };
    }
  },
  turns: (frame) => {
    turns.add(frame, performance.now());
    movedAt = Date.now();
    ++turnsTick.value;
  },
};
export const live = new Live(taker, browserWorld, link);
watchPage(live);

setInterval(() => {
  if (document.hidden) return;
  now.value = Date.now() + ahead;
  turnsSecond.value = turnsTick.peek();
}, 1000);

// Of a session that has ended nothing is kept in sight.
export function forget(): void {
  view.value = { ...emptyView, restarts: view.peek().restarts };
  forgetEnded();
}

export const models = computed<ModelRow[]>(() => [...view.value.models.values()].sort((a, b) => (a.name < b.name ? -1 : 1)));
export const running = computed(() => models.value.reduce((sum, m) => sum + m.running, 0));
export const waiting = computed(() => models.value.reduce((sum, m) => sum + m.waiting, 0));
// Of each frame's view what the page around the views shows, so that a frame that changes none of it draws none of it.
export const requestCount = computed(() => view.value.requests.size);
export const version = computed(() => view.value.hello?.version ?? "");
export const knowsState = computed(() => view.value.known.state);
export const restarts = computed(() => view.value.restarts);
export const draining = computed(() => view.value.node?.draining ?? false);

// The same list as before while it has the same names.
function steady(namesOf: () => string[]): ReadonlySignal<string[]> {
  let before: string[] = [];
  return computed(() => {
    const names = namesOf();
    if (names.length !== before.length || names.some((name, i) => name !== before[i])) before = names;
    return before;
  });
}

// ---- models on disk and in the catalogue --------------------------------------------------------

export const listed = signal<ListedModel[] | null>(null);
export const catalogue = signal<CatalogueEntry[] | null>(null);
export const pulls = signal<PullRow[]>([]);
const catalogueAsked = signal(false);

// All that there is to know of the models has come once.
export const modelsKnown = computed(() => knowsState.value && listed.value !== null && catalogueAsked.value);

// Models that can be asked, the surest first: those of the daemon's settings, those of the catalogue, then other files of
// the models folder, among which may be encoders until learn() has told.
export const writers = steady(() => {
  const all = new Map((listed.value ?? []).map((m) => [m.id, m]));
  const writes = (name: string): boolean => {
    const can = all.get(name)?.capabilities;
    return can ? can.includes("chat") : (kinds.value.get(name)?.writes ?? true);
  };
  const offered = (catalogue.value ?? []).filter((c) => c.local).map((c) => c.name);
  const served = models.value.map((m) => m.name);
  const rank = (name: string): number => (served.includes(name) ? 0 : 2) + (offered.includes(name) ? 0 : 1);
  return [...new Set([...served, ...all.keys()])].filter(writes).sort((a, b) => rank(a) - rank(b) || offered.indexOf(a) - offered.indexOf(b) || (a < b ? -1 : 1));
});
// Of those, the ones that a demo takes by itself.
export const sureWriters = steady(() => {
  const offered = (catalogue.value ?? []).map((c) => c.name);
  const sure = writers.value.filter((name) => view.value.models.has(name) || offered.includes(name) || kinds.value.get(name)?.writes);
  return sure.length > 0 ? sure : writers.value;
});

const names = computed(() => {
  const all = new Set<string>(models.value.map((m) => m.name));
  for (const m of listed.value ?? []) all.add(m.id);
  return [...all].sort().join("\n");
});
let lastLooks = new Map<string, Look>();
const looks = computed<Map<string, Look>>(() => (lastLooks = looksOf(names.value.split("\n").filter(Boolean), lastLooks)));
export function lookOf(model: string): Look {
  return looks.value.get(model) ?? looksOf([model]).get(model) ?? { colour: 0, letter: "?" };
}

export const isThere = (name: string): boolean => {
  const row = view.value.models.get(name);
  return row !== undefined && inMemory(row);
};

// What cannot be had stays as it was: the bar says that the daemon does not answer.
export async function findListed(): Promise<void> {
  await get<{ data: ListedModel[] }>("/v1/models").then((all) => (listed.value = all.data), () => undefined);
}
async function findOffers(): Promise<void> {
  await get<{ models: CatalogueEntry[] }>("/choir/v1/catalogue").then((all) => (catalogue.value = all.models), () => undefined);
  catalogueAsked.value = true;
}
export async function findModels(): Promise<void> {
  await Promise.all([findListed(), findOffers()]);
}
// A file that is put into the folder, or a fetch on the command line, is found. Until what it returns is called; a page
// that nobody sees asks nothing.
export function keepFinding(everyMs: number): () => void {
  const timer = setInterval(() => {
    if (!document.hidden && isLive()) void findModels();
  }, everyMs);
  return () => clearInterval(timer);
}

export const pulling = computed(() => pulls.value.some((p) => p.state === "running" || p.state === "waiting"));
let pullTimer = 0;

// Once a second while something is fetched. A page that nobody sees asks again when it is shown.
export async function watchPulls(): Promise<void> {
  clearTimeout(pullTimer);
  if (document.hidden) return;
  try {
    const before = pulling.peek();
    pulls.value = (await get<{ pulls: PullRow[] }>("/choir/v1/pulls")).pulls;
    for (const pull of pulls.peek())
      if (pull.state === "done" && wanted.delete(pull.model)) void load(pull.model);
    if (before && !pulling.peek()) await findModels();
  } catch {
    // The bar says that the daemon does not answer.
  }
  if (pulling.peek()) pullTimer = window.setTimeout(() => void watchPulls(), 1000);
}

// ---- what was begun here, whatever view is in sight when it ends --------------------------------

const wanted = new Set<string>(); // fetched to be loaded
export const loading = signal<ReadonlySet<string>>(new Set());
export const failures = signal<ReadonlyMap<string, string>>(new Map()); // by model: what its fetch or load has said

export function fail(model: string, error: unknown): void {
  failures.value = new Map(failures.peek()).set(model, error instanceof ApiError ? error.message : String(error));
}
function begin(model: string): void {
  const next = new Map(failures.peek());
  next.delete(model);
  failures.value = next;
}

export async function load(model: string): Promise<boolean> {
  begin(model);
  loading.value = new Set(loading.peek()).add(model);
  try {
    await send("POST", `/choir/v1/models/${encodeURIComponent(model)}/load`, {});
    await findModels();
    return true;
  } catch (error) {
    fail(model, error);
    return false;
  } finally {
    const next = new Set(loading.peek());
    next.delete(model);
    loading.value = next;
  }
}

// Fetches a model of the catalogue, and loads it then.
export function fetchAndLoad(model: string): void {
  begin(model);
  wanted.add(model);
  send("POST", "/choir/v1/pulls", { model }).then(watchPulls, (error: unknown) => {
    wanted.delete(model);
    fail(model, error);
  });
}

// The daemon keeps more turns than its first frame tells; they are read when a longer time is to be seen.
export async function fillTurns(seconds: number): Promise<void> {
  const since = Math.max(0, Math.round(turns.now - seconds * 1e6));
  if (!turns.hasUnfilled(since) || turnsFilled <= since) return;
  turnsFilled = since;
  const reply = await get<TurnsReply>(`/choir/v1/turns?from_us=${since}`).catch(() => null);
  if (!reply) return;
  turns.fill(reply);
  turnsTick.value++;
}
let turnsFilled = Infinity; // since when they were asked for; of the daemon's time

// ---- history ------------------------------------------------------------------------------------

export const historySeconds = 300;
export interface History {
  last: number; // the second of the newest values
  asked: number; // of the browser's clock
  totals: Map<string, Map<number, number | null>>; // by name and second
  models: Map<string, number | null>; // the newest of each
  cores: ReadonlyMap<string, ModelCores>; // of the last kCoresKept seconds, by model
}
// Cores that computed for a model, and those that its shares gave it, by second.
export interface ModelCores {
  had: Map<number, number>;
  due: Map<number, number>;
}
const kCoresKept = 60;
export const history = signal<History | null>(null);

const kHistoryTickMs = 1000;
const kReadEveryMs = 1900; // asked once a second: every 2 s
const kReadIdleMs = 9900; // every 10 s: the curves only move on
const kSettlesMs = 4000; // until the second of the last turn is in the curves
let movedAt = 0; // when the last turns or requests were seen; of the browser's clock

// Whether it is time to read again: soon while something computes, until its end is in the curves.
function historyDue(): boolean {
  const time = Date.now();
  if (running.peek() + waiting.peek() > 0) movedAt = time;
  return time - (history.peek()?.asked ?? 0) >= (time - movedAt < kSettlesMs ? kReadEveryMs : kReadIdleMs);
}

function coresAfter(before: ReadonlyMap<string, ModelCores> | undefined, reply: HistoryReply, last: number): Map<string, ModelCores> {
  const after = new Map<string, ModelCores>();
  for (const [name, model] of Object.entries(reply.models)) {
    const known = before?.get(name);
    const kept = { had: new Map(known?.had), due: new Map(known?.due) };
    for (const [to, from] of [[kept.had, "cores"], [kept.due, "cores_due"]] as const) {
      const values = model[from] ?? [];
      values.forEach((value, i) => to.set(last - (values.length - 1 - i), value ?? 0));
      for (const second of to.keys()) if (second <= last - kCoresKept) to.delete(second);
    }
    after.set(name, kept);
  }
  return after;
}

// The last figure of each model comes along.
async function readHistory(abort?: AbortSignal): Promise<void> {
  const before = history.peek();
  const wanted = before === null ? historySeconds : Math.min(historySeconds, Math.ceil((Date.now() - before.asked) / 1000) + 5);
  const asked = Date.now();
  const reply = await get<HistoryReply>(`/choir/v1/history?seconds=${Math.max(5, wanted)}`, abort);
  const last = Math.floor(reply.now_ms / 1000);
  const totals = new Map<string, Map<number, number | null>>();
  for (const [name, values] of Object.entries(reply.totals)) {
    const all = new Map(before?.totals.get(name) ?? []);
    values.forEach((value, i) => all.set(last - (values.length - 1 - i) * reply.step_seconds, value));
    for (const second of all.keys()) if (second <= last - historySeconds) all.delete(second);
    totals.set(name, all);
  }
  const each = new Map<string, number | null>();
  for (const [name, model] of Object.entries(reply.models)) each.set(name, model["output_tokens_per_second"]?.at(-1) ?? null);
  history.value = { last, asked, totals, models: each, cores: coresAfter(before?.cores, reply, last) };
}

// While it is in sight and the daemon is there, until what it returns is called.
export function keepReadingHistory(): () => void {
  const abort = new AbortController();
  const read = (): void => {
    if (!document.hidden && link.peek().state === "live") readHistory(abort.signal).catch(() => undefined);
  };
  read();
  const timer = setInterval(() => historyDue() && read(), kHistoryTickMs);
  const stop = link.subscribe((l) => {
    if (l.state === "live") read();
  });
  return () => {
    abort.abort();
    clearInterval(timer);
    stop();
  };
}
