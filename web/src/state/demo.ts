// The parallel demo: what is asked for, and its sessions. It outlives the view.
import { batch, computed, effect, signal, type Signal } from "@preact/signals";
import { words } from "../words/en.ts";
import { commandOf, jobsOf, type DemoSettings } from "./jobs.ts";
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
export const demoRuns = signal<AbortController | null>(null);
export const report = signal<{ json: string; text: string | null; command: string } | null>(null);

// Those that are in memory first: a demo must not push out what others use.
export const demoModels = computed<string[]>(() => {
  if (chosen.value) return chosen.value.filter((name) => writers.value.includes(name));
  const loaded = (name: string): boolean => view.value.models.get(name)?.state === "loaded";
  return [...sureWriters.value.filter(loaded), ...sureWriters.value.filter((name) => !loaded(name))].slice(0, kModelsMax).sort();
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
    sessions.value = jobs.map((job, id) => ({ id, ...job, answer: signal<Answer>({ ...freshAnswer }) }));
  });
  const command = commandOf(models, s, location.origin);
  await follow(
    // As the command line has it: a model without a chat template goes on with the prompt as it stands.
    { jobs, max_tokens: s.maxTokens, temperature: s.temperature, default_template: false },
    sessions.peek().map((x) => x.answer),
    abort,
    ({ report: json, text }) => (report.value = { json: JSON.stringify(json, null, 2), text, command }),
    onEnd,
  );
  demoRuns.value = null;
}

// A model that was removed is not chosen any more.
effect(() => {
  const names = writers.value;
  if (chosen.peek() && names.length > 0 && chosen.peek()!.some((name) => !names.includes(name)))
    chosen.value = chosen.peek()!.filter((name) => names.includes(name));
});
