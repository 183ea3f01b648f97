// The parallel demo: what is asked for, and its sessions. It outlives the view.
import { batch, computed, effect, signal, type Signal } from "@preact/signals";
import { words } from "../words/en.ts";
import { commandOf, fitting, jobsOf, type DemoSettings, type Figures } from "./jobs.ts";
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
  together: Figures;
  body: { jobs: { model: string; prompt: string }[]; [setting: string]: unknown }; // what was asked for
}
export const report = signal<Report | null>(null);
// The same work, one request at a time.
export interface Alone {
  done: number; // of the jobs
  figures: Figures;
  error: string;
  abort: AbortController | null; // null: it has ended
}
export const alone = signal<Alone | null>(null);

const figuresOf = (told: unknown): Figures => {
  const { total_tokens: tokens = 0, total_seconds: seconds = 0 } = told as { total_tokens?: number; total_seconds?: number };
  return { tokens, seconds };
};

// What a demo takes by itself is in memory, or has room there.
export const demoModels = computed<string[]>(() => {
  if (chosen.value) return chosen.value.filter((name) => writers.value.includes(name));
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
  const body = { jobs, max_tokens: s.maxTokens, temperature: s.temperature, default_template: false };
  await follow(
    body,
    sessions.peek().map((x) => x.answer),
    abort,
    {
      report: ({ report: json, text }) => (report.value = { json: JSON.stringify(json, null, 2), text, command, together: figuresOf(json), body }),
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
  let now: Alone = { done: 0, figures: { tokens: 0, seconds: 0 }, error: "", abort };
  const say = (change: Partial<Alone>): void => {
    now = { ...now, ...change };
    if (report.peek() === r) alone.value = now;
  };
  say({});
  for (const job of r.body.jobs) {
    const answer = signal<Answer>({ ...freshAnswer });
    await follow({ ...r.body, jobs: [job] }, [answer], abort, {
      report: ({ report: told }) => {
        const { tokens, seconds } = figuresOf(told);
        say({ done: now.done + 1, figures: { tokens: now.figures.tokens + tokens, seconds: now.figures.seconds + seconds } });
      },
    });
    const { state, error } = answer.peek();
    if (state !== "failed" && state !== "stopped") continue;
    say({ error: error || words.play.stopped });
    break;
  }
  say({ abort: null });
  demoRuns.value = null;
}

// A model that was removed is not chosen any more.
effect(() => {
  const names = writers.value;
  if (chosen.peek() && names.length > 0 && chosen.peek()!.some((name) => !names.includes(name)))
    chosen.value = chosen.peek()!.filter((name) => names.includes(name));
});
