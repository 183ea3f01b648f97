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
