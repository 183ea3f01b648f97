// How many cores computed for each model in each second of the last 15 minutes, as the daemon keeps it. Read while
// somebody looks at it.
import { signal } from "@preact/signals";
import { get } from "../net/api.ts";
import { keepLooking } from "../net/looking.ts";
import type { HistoryReply } from "../net/wire.ts";

export const kCoresSeconds = 900;
const kReadEveryMs = 5000;

type Curves = ReadonlyMap<string, readonly (number | null)[]>; // oldest first, by model
export interface Cores {
  seconds: number;
  models: Curves;
  due: Curves; // what their shares gave them
}
export const cores = signal<Cores | null>(null);

// Models that computed at all. Pure.
export function coresOf(reply: HistoryReply): Cores {
  const models = new Map<string, readonly (number | null)[]>();
  const due = new Map<string, readonly (number | null)[]>();
  for (const name of Object.keys(reply.models).sort()) {
    const values = reply.models[name]?.["cores"] ?? [];
    if (!values.some((value) => value !== null && value > 0)) continue;
    models.set(name, values);
    due.set(name, reply.models[name]?.["cores_due"] ?? []);
  }
  return { seconds: kCoresSeconds, models, due };
}

// Core seconds of each model, by name. Pure.
export function coreSecondsOf(of: Cores | null): { model: string; seconds: number; due: number }[] {
  const sum = (values: readonly (number | null)[]): number => values.reduce<number>((all, value) => all + (value ?? 0), 0);
  return [...(of?.models ?? [])].map(([model, values]) => ({ model, seconds: sum(values), due: sum(of?.due.get(model) ?? []) }));
}

async function read(abort: AbortSignal): Promise<void> {
  cores.value = coresOf(await get<HistoryReply>(`/choir/v1/history?seconds=${kCoresSeconds}`, abort));
}

// Until what it returns is called.
export const keepReadingCores = (): (() => void) => keepLooking(kReadEveryMs, read);
