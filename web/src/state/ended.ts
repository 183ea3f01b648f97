// Requests that have ended in the last 15 minutes, as the daemon keeps them: read while somebody looks at them.
import { signal } from "@preact/signals";
import { get } from "../net/api.ts";
import { isLive } from "../net/live.ts";
import type { EndedRow } from "../net/wire.ts";

const kReadEveryMs = 2000;

export const ended = signal<EndedRow[] | null>(null); // null: not read yet

let forgotten = 0; // how often: what was asked for before says nothing to the one who looks now

async function read(abort: AbortSignal): Promise<void> {
  const before = forgotten;
  const reply = await get<{ requests: EndedRow[] }>("/choir/v1/requests/ended", abort);
  if (before === forgotten) ended.value = reply.requests;
}

// Until what it returns is called. What cannot be had stays as it was: the bar says that the daemon does not answer.
export function keepReadingEnded(): () => void {
  const abort = new AbortController();
  const look = (): void => {
    if (!document.hidden && isLive()) read(abort.signal).catch(() => undefined);
  };
  look();
  const timer = setInterval(look, kReadEveryMs);
  return () => {
    clearInterval(timer);
    abort.abort();
  };
}

export function forgetEnded(): void {
  ended.value = null;
  ++forgotten;
}
