// What is sent for a chat and for the demo. Pure.
import { quoted } from "../format.ts";

export const kJobsMax = 256;

export interface DemoSettings {
  sessions: number; // of each model
  maxTokens: number;
  temperature: number;
  prompts: string[];
}

// Session i has model i and prompt i of the lists, which begin again after their ends; so has `choir parallel`.
export function jobsOf(models: readonly string[], s: DemoSettings): { model: string; prompt: string }[] {
  const prompts = s.prompts.map((p) => p.trim()).filter(Boolean);
  if (models.length === 0 || prompts.length === 0) return [];
  const count = Math.min(kJobsMax, models.length * s.sessions);
  return Array.from({ length: count }, (_, i) => ({ model: models[i % models.length] ?? "", prompt: prompts[i % prompts.length] ?? "" }));
}

// Which models a demo takes by itself: those that are in memory, then those whose need is still free, so that nothing
// that others use has to leave. At least one where there is any. `need`: null where it is not known.
export function fitting(names: readonly string[], isLoaded: (name: string) => boolean, need: (name: string) => number | null, free: number, most: number): string[] {
  const taken = names.filter(isLoaded).slice(0, most);
  let left = free;
  for (const name of names) {
    const bytes = need(name);
    if (taken.length >= most || isLoaded(name) || bytes === null || bytes > left) continue;
    left -= bytes;
    taken.push(name);
  }
  const [first] = names;
  return (taken.length > 0 || first === undefined ? taken : [first]).sort();
}

// The command that does the same with the same daemon.
export function commandOf(models: readonly string[], s: DemoSettings, host: string): string {
  const lines = [
    `choir parallel --host ${quoted(host)}`,
    ...models.map((name) => `--model ${quoted(name)}`),
    `--sessions ${s.sessions} --max-tokens ${s.maxTokens} --temperature ${s.temperature}`,
    ...s.prompts.map((p) => p.trim()).filter(Boolean).map((p) => `--prompt ${quoted(p)}`),
  ];
  return lines.join(" \\\n  ");
}

// What is left of what a column was told when one of its messages is sent anew; null: the column was not asked it.
export function before<T extends { turn: number }>(said: readonly T[], turn: number): T[] | null {
  const at = said.findIndex((one) => one.turn === turn);
  return at < 0 ? null : said.slice(0, at);
}

// What goes when it is: in how many columns, and how many later messages (one that columns were asked together is one).
export function replaced(all: readonly (readonly { turn: number }[])[], turn: number): { columns: number; later: number } {
  const asked = all.filter((said) => before(said, turn) !== null);
  const later = new Set(asked.flatMap((said) => said.slice((before(said, turn)?.length ?? 0) + 1).map((one) => one.turn)));
  return { columns: asked.length, later: later.size };
}

// The messages that a column sends: what was said and answered before, and the prompt. An answer that failed takes its
// prompt with it.
export function messagesOf(said: readonly { prompt: string; answer: { text: string; state: string } }[], prompt: string, system: string) {
  const messages: { role: string; content: string }[] = [];
  if (system.trim()) messages.push({ role: "system", content: system });
  for (const one of said) {
    if (one.answer.text === "") continue;
    messages.push({ role: "user", content: one.prompt }, { role: "assistant", content: one.answer.text });
  }
  messages.push({ role: "user", content: prompt });
  return messages;
}
