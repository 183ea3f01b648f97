// What files of the models folder are, which the list of models does not say before they were declared: whether they
// write, and what memory they take. The daemon reads each once (a file that it has not seen before takes seconds), so
// they are asked for one after the other, and only where a view shows them.
import { signal } from "@preact/signals";
import { ApiError, send } from "../net/api.ts";
import type { Estimate } from "../net/wire.ts";

const kMost = 32;

export interface Kind {
  writes: boolean;
  need: number; // bytes with the daemon's usual sizes
}

export const kinds = signal<ReadonlyMap<string, Kind>>(new Map());
const asked = new Set<string>();
let asking: Promise<void> = Promise.resolve();

async function ask(name: string): Promise<void> {
  try {
    const e = await send<Estimate>("POST", "/choir/v1/estimate", { model: name });
    kinds.value = new Map(kinds.peek()).set(name, { writes: e.capabilities?.includes("chat") ?? true, need: e.need_bytes });
  } catch (error) {
    // A file that cannot be run is not offered; any other failure says nothing of the file.
    if (error instanceof ApiError && (error.status === 400 || error.status === 422)) kinds.value = new Map(kinds.peek()).set(name, { writes: false, need: 0 });
    else asked.delete(name);
  }
}

export function learn(names: readonly string[]): void {
  for (const name of names) {
    if (asked.has(name) || asked.size >= kMost) continue;
    asked.add(name);
    asking = asking.then(() => ask(name));
  }
}
