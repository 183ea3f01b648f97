// One call of POST /choir/v1/parallel: several jobs on one stream.
import { ApiError, call, eventsOf } from "./api.ts";
import { words } from "../words/en.ts";
import { takePlace } from "./places.ts";
import type { ParallelEvent } from "./wire.ts";

// How often the texts of so many jobs come. Each time costs the models some of their cores, in the daemon, in the browser's
// processes and for the picture, and more the more texts are drawn; a single one shall flow. Ends come at once.
export const textEveryMs = (jobs: number): number => 120 + 35 * Math.min(Math.max(jobs - 1, 0), 8);

export interface ParallelTaker {
  queued(): void; // other tabs have all places; it is sent when one is free
  sent(): void;
  loading(percent: number): void; // the model that is behind the most
  event(event: ParallelEvent): void;
}

// Returns when the report has come. Throws ApiError when the daemon says no or the stream breaks.
export async function runParallel(body: Record<string, unknown>, jobs: number, taker: ParallelTaker, abort: AbortSignal): Promise<void> {
  const leave = await takePlace(abort, () => taker.queued());
  try {
    taker.sent();
    await taken(body, jobs, taker, abort);
  } finally {
    leave();
  }
}

async function taken(body: Record<string, unknown>, jobs: number, taker: ParallelTaker, abort: AbortSignal): Promise<void> {
  const reply = await call("POST", "/choir/v1/parallel", { ...body, stream: true, text_every_ms: textEveryMs(jobs) }, abort);
  for await (const event of eventsOf(reply)) {
    if (event.comment) {
      const percent = /^loading (\d+) %$/.exec(event.comment)?.[1];
      if (percent) taker.loading(Number(percent));
      continue;
    }
    const data = JSON.parse(event.data) as ParallelEvent;
    if (data.type === "error") throw new ApiError(0, data.error.message);
    taker.event(data);
    if (data.type === "report") return;
  }
  throw new ApiError(0, words.errors.broken);
}
