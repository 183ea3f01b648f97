// Requests that have ended in the last 15 minutes, as the daemon keeps them: read while somebody looks at them.
import { signal } from "@preact/signals";
import { get } from "../net/api.ts";
import { keepLooking } from "../net/looking.ts";
import type { EndedRow } from "../net/wire.ts";

const kReadEveryMs = 2000;

export const ended = signal<EndedRow[] | null>(null); // null: not read yet

let forgotten = 0; // how often: what was asked for before says nothing to the one who looks now

async function read(abort: AbortSignal): Promise<void> {
  const before = forgotten;
  const reply = await get<{ requests: EndedRow[] }>("/choir/v1/requests/ended", abort);
  if (before === forgotten) ended.value = reply.requests;
}

// Until what it returns is called.
export const keepReadingEnded = (): (() => void) => keepLooking(kReadEveryMs, read);

export function forgetEnded(): void {
  ended.value = null;
  ++forgotten;
}
