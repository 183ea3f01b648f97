// How a request has spent its time until now. Pure.
import type { EndedRow, RequestRow } from "../net/wire.ts";

export type Row = RequestRow | EndedRow;
export const hasEnded = (row: Row): row is EndedRow => "finish" in row;

export type Stage = "held" | "queue" | "prompt" | "writing" | "parked";
export const kStages: readonly Stage[] = ["held", "queue", "prompt", "writing", "parked"];
export type Life = Record<Stage, number>; // seconds

// `elapsed`: seconds since it was submitted, of one that has not ended. How long it was without its cells is known at the
// end only; while it is so, its state says it.
export function lifeOf(row: Row, elapsed: number): Life {
  const ended = hasEnded(row);
  const total = ended ? row.total_seconds : Math.max(elapsed, row.first_token_seconds ?? row.queue_seconds ?? 0);
  const begun = ended ? row.queue_seconds : (row.queue_seconds ?? total);
  const held = !ended && row.queue_seconds === undefined && row.waits_for === "load" ? begun : Math.min(row.held_seconds, begun);
  const first = ended ? row.first_token_seconds || total : (row.first_token_seconds ?? total);
  const parked = ended ? Math.min(row.parked_seconds, total - begun) : 0;
  const writing = Math.max(0, total - first);
  const fromWriting = Math.min(parked, writing);
  return {
    held,
    queue: begun - held,
    prompt: Math.max(0, first - begun - (parked - fromWriting)),
    writing: writing - fromWriting,
    parked,
  };
}

// Tokens a second since the first one; null where there are not two yet.
export function speedOf(row: Row, elapsed: number): number | null {
  if (hasEnded(row)) return row.tokens_per_second;
  const seconds = elapsed - (row.first_token_seconds ?? elapsed);
  return row.output_tokens > 1 && seconds > 0 ? (row.output_tokens - 1) / seconds : null;
}
