// What a page of a browser tells the stream of events, and gives it.
import { ApiError, call, eventsOf, mayNotLook, session, token } from "./api.ts";
import type { Live, World } from "./live.ts";
import { browserShare } from "./share.ts";
import type { SseEvent } from "./sse.ts";

async function* stream(path: string, abort: AbortSignal): AsyncGenerator<SseEvent> {
  try {
    yield* eventsOf(await call("GET", path, undefined, abort));
  } catch (error) {
    if (error instanceof ApiError && error.status === 403 && !abort.aborted) mayNotLook();
    throw error;
  }
}

export const browserWorld: World = {
  hidden: () => document.hidden,
  locked: () => session.peek().state === "needed",
  reader: token,
  stream,
  share: (reader, ears) => browserShare(reader, ears).catch(() => null),
  later: (ms, act) => {
    const timer = window.setTimeout(act, ms);
    return () => clearTimeout(timer);
  },
  now: () => Date.now(),
  random: () => Math.random(),
};

// A page that is left may come back; until then another tab leads. One that the browser freezes is hidden before.
export function watchPage(live: Live): void {
  document.addEventListener("visibilitychange", () => live.shown());
  window.addEventListener("online", () => live.again());
  window.addEventListener("pagehide", () => live.stop());
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) live.shown();
  });
}
