// What a view asks the daemon for again and again while it is in sight.
import { isLive } from "./live.ts";

// Calls `look` now and every so often, while the page is seen and live, until what this returns is called. What cannot be
// had stays as it was: the bar says that the daemon does not answer.
export function keepLooking(everyMs: number, look: (abort: AbortSignal) => Promise<unknown>): () => void {
  const abort = new AbortController();
  const once = (): void => {
    if (!document.hidden && isLive()) look(abort.signal).catch(() => undefined);
  };
  once();
  const timer = setInterval(once, everyMs);
  return () => {
    clearInterval(timer);
    abort.abort();
  };
}
