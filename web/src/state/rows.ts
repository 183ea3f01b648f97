// Filter, order and export of the table of requests. Pure.
import type { RequestRow } from "../net/wire.ts";
import { csvCell } from "../safe/visible.ts";
import { words } from "../words/en.ts";
import { hasEnded, speedOf, type Row } from "./life.ts";

export type SortKey = "id" | "model" | "tenant" | "class" | "state" | "prompt" | "reused" | "output" | "speed" | "age";
export type Kind = "all" | "waiting" | "running" | "ended";
export interface Order {
  key: SortKey;
  down: boolean;
}

const kClasses = ["critical", "high", "normal", "low"];
const kRunning = new Set(["prefill", "decode", "ending"]);
export const stateOf = (row: Row): string => (hasEnded(row) ? row.finish : row.state);
// What a request does before its first token: reads its prompt, or waits, with the reason and its place. Null: nobody knows.
export function beforeFirst(row: RequestRow | undefined, time: (seconds: number) => string): string | null {
  if (row?.state === "prefill") return words.play.reading(row.prompt_tokens_done, row.prompt_tokens);
  if (!row?.why) return null;
  const place = typeof row.ahead === "number" ? ` ${words.play.place(row.ahead, typeof row.expected_seconds === "number" ? time(row.expected_seconds) : "")}` : "";
  return `${row.why.text}${place}`;
}

export const runs = (row: Row): boolean => kRunning.has(stateOf(row));

const valueOf: Record<SortKey, (row: Row, now: number) => number | string> = {
  id: (r) => r.id.padStart(20, "0"), // a number of 64 bits
  model: (r) => r.model,
  tenant: (r) => r.tenant,
  class: (r) => kClasses.indexOf(r.priority),
  state: stateOf,
  prompt: (r) => r.prompt_tokens,
  reused: (r) => r.reused_tokens,
  output: (r) => r.output_tokens,
  speed: (r, now) => speedOf(r, (now - r.submitted_ms) / 1000) ?? 0,
  age: (r, now) => (hasEnded(r) ? r.total_seconds : (now - r.submitted_ms) / 1000),
};

const byId = (a: Row, b: Row): number => a.id.length - b.id.length || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);

// What a filter looks at, by row: a row that did not change is the same object, and most do not change.
const texts = new WeakMap<Row, string>();
function textOf(row: Row): string {
  let text = texts.get(row);
  if (text === undefined) {
    const why = hasEnded(row) ? row.error : row.why && `${row.why.reason}\n${row.why.text}`;
    text = [row.id, row.model, row.tenant, row.priority, stateOf(row), why ?? ""].join("\n").toLowerCase();
    texts.set(row, text);
  }
  return text;
}

export function matches(row: Row, filter: string): boolean {
  const wanted = filter.trim().toLowerCase();
  return wanted === "" || textOf(row).includes(wanted);
}

const kTold = new Set(["batch", "company", "other_request", "turn", "earlier_turn"]); // of the others the state says as much
// Why it waits, in a few words made of the reason's numbers; its sentence stands elsewhere. Null: only the sentence says it.
export function shortWhy(row: RequestRow): string | null {
  const { why } = row;
  if (!why) return null;
  const s = words.requests.short;
  const { in_use, max, need, free, percent, models } = why;
  const of = why["class"];
  if (typeof in_use === "number" && typeof max === "number") return s.sequences(in_use, max);
  if (typeof need === "number" && typeof free === "number") return s.cells(need, free);
  if (typeof percent === "number") return s.loading(percent);
  if (typeof of === "string") return s.class(of);
  if (Array.isArray(models)) return s.after(models.join(", "));
  return kTold.has(row.waits_for) ? (words.ensemble.reason[row.waits_for] ?? null) : null;
}

// The rows in sight, and some before and after: [first, last) of `count`. They change by whole steps, so that most moves
// of a scroll change nothing.
export const kRowsAStep = 4;
export function rowsInSight(top: number, height: number, rowHeight: number, count: number, more: number): [number, number] {
  const step = Math.floor(Math.max(0, top) / (rowHeight * kRowsAStep)) * kRowsAStep;
  const first = Math.min(Math.max(0, step - more), count);
  return [first, Math.max(first, Math.min(count, step + kRowsAStep + Math.ceil(height / rowHeight) + more))];
}

export function rowsOf(all: Iterable<Row>, kind: Kind, filter: string, order: Order, now: number): Row[] {
  const rows = [...all].filter((row) => matches(row, filter) && (kind === "all" || kind === "ended" || (kind === "running") === runs(row)));
  const value = valueOf[order.key];
  const sign = order.down ? -1 : 1;
  return rows.sort((a, b) => {
    const x = value(a, now);
    const y = value(b, now);
    return x < y ? -sign : x > y ? sign : byId(a, b);
  });
}

const kColumns = [
  "id", "model", "tenant", "priority", "state", "finish", "error", "prompt_tokens", "prompt_tokens_done", "reused_tokens", "output_tokens", "tokens_per_second",
  "held_seconds", "queue_seconds", "first_token_seconds", "parked_seconds", "total_seconds", "submitted_ms", "ended_ms", "ahead", "expected_seconds",
] as const;

// What a row does not have is empty.
export function csvOf(rows: readonly Row[]): string {
  const lines = [[...kColumns, "reason", "text"].join(",")];
  for (const row of rows) {
    const cells = row as Partial<Record<(typeof kColumns)[number], string | number | null>>;
    const why = hasEnded(row) ? undefined : row.why;
    lines.push([...kColumns.map((c) => csvCell(cells[c] ?? "")), csvCell(why?.reason ?? ""), csvCell(why?.text ?? "")].join(","));
  }
  return lines.join("\r\n") + "\r\n";
}
