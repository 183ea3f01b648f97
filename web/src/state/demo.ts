// The parallel demo: what is asked for, and its sessions. It outlives the view.
import { batch, computed, effect, signal, type Signal } from "@preact/signals";
import type { ReportFigures } from "../net/wire.ts";
import { words } from "../words/en.ts";
import { commandOf, fitting, jobsOf, type DemoSettings } from "./jobs.ts";
import { kinds } from "./kinds.ts";
import { sureWriters, view, writers } from "./store.ts";
import { follow, freshAnswer, type Answer } from "./talk.ts";

export const kModelsMax = 4;

export interface Session {
  id: number;
  model: string;
  prompt: string;
  answer: Signal<Answer>;
}

export const demoSettings = signal<DemoSettings>({ sessions: 4, maxTokens: 100, temperature: 0.7, prompts: words.demo.usual.slice(0, 3) });
export const chosen = signal<string[] | null>(null); // null: nobody has chosen yet
export const sessions = signal<Session[]>([]);
export const runsBoth = signal(false); // a second model has come: the demo waits for one key
export const demoRuns = signal<AbortController | null>(null);
export interface Report {
  json: string;
  text: string | null;
  command: string;
  together: ReportFigures;
  body: { jobs: { model: string; prompt: string }[]; [setting: string]: unknown }; // what was asked for
}
export const report = signal<Report | null>(null);
// The same work, one request at a time.
export interface Alone {
  queued: boolean; // other tabs have all connections
  done: number; // of the jobs
  figures: ReportFigures | null; // null: the report has not come
  speedup: number | null; // as the daemon has computed it
  error: string; // of the first job that has one
  abort: AbortController | null; // null: it has ended
}
export const alone = signal<Alone | null>(null);

// What a demo takes by itself is in memory, or has room there.
export const demoModels = computed<string[]>(() => {
  if (chosen.value) return chosen.value.filter((name) => writers.value.includes(name)); // by name, as the next ones
  const { models, node } = view.value;
  const free = node ? node.memory_bytes_max - node.memory_bytes_promised : 0;
  return fitting(sureWriters.value, (name) => models.get(name)?.state === "loaded", (name) => kinds.value.get(name)?.need ?? null, free, kModelsMax);
});

export async function runDemo(onEnd: (id: number, answer: Answer) => void): Promise<void> {
  const models = demoModels.peek();
  const s = demoSettings.peek();
  const jobs = jobsOf(models, s);
  if (jobs.length === 0) return;
  const abort = new AbortController();
  batch(() => {
    demoRuns.value = abort;
    report.value = null;
    alone.value = null;
    sessions.value = jobs.map((job, id) => ({ id, ...job, answer: signal<Answer>({ ...freshAnswer }) }));
  });
  const command = commandOf(models, s, location.origin);
  // As the command line has it: a model without a chat template goes on with the prompt as it stands.
  // With a salt of its own it finds nothing of before in the prefix cache, as the one that it may be compared with.
  const salt = crypto.getRandomValues(new Uint32Array(4)).join("-");
  const body = { jobs, max_tokens: s.maxTokens, temperature: s.temperature, default_template: false, cache_salt: salt };
  await follow(
    body,
    sessions.peek().map((x) => x.answer),
    abort,
    {
      report: ({ report: json, text }) => (report.value = { json: JSON.stringify(json, null, 2), text: text ?? null, command, together: json, body }),
      end: onEnd,
    },
  );
  demoRuns.value = null;
}

// The work of the report once more: each request begins when the one before has ended.
export async function runAlone(): Promise<void> {
  const r = report.peek();
  if (!r || demoRuns.peek()) return;
  const abort = new AbortController();
  demoRuns.value = abort;
  let now: Alone = { queued: false, done: 0, figures: null, speedup: null, error: "", abort };
  const say = (change: Partial<Alone>): void => {
    now = { ...now, ...change };
    if (report.peek() === r) alone.value = now;
  };
  say({});
  const answers = r.body.jobs.map(() => signal<Answer>({ ...freshAnswer }));
  const { total_tokens, total_seconds } = r.together;
  await follow({ ...r.body, order: "one_at_a_time", against: { total_tokens, total_seconds } }, answers, abort, {
    queued: (queued) => say({ queued }),
    end: () => say({ done: now.done + 1 }),
    report: ({ report: figures, comparison }) => say({ figures, speedup: comparison?.speedup ?? null }),
  });
  const broken = answers.map((answer) => answer.peek()).find(({ state }) => state === "failed" || state === "stopped");
  say({ abort: null, error: broken ? broken.error || words.play.stopped : "" });
  demoRuns.value = null;
}

// A model that was removed is not chosen any more.
effect(() => {
  const names = writers.value;
  if (chosen.peek() && names.length > 0 && chosen.peek()!.some((name) => !names.includes(name)))
    chosen.value = chosen.peek()!.filter((name) => names.includes(name));
});
