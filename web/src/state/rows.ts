// Filter, order and export of the table of requests. Pure.
import type { RequestRow } from "../net/wire.ts";
import { csvCell } from "../safe/visible.ts";

export type SortKey = "id" | "model" | "tenant" | "class" | "state" | "prompt" | "output" | "age";
export type Kind = "all" | "waiting" | "running" | "ended";
export interface Order {
  key: SortKey;
  down: boolean;
}

const kClasses = ["critical", "high", "normal", "low"];
const kRunning = new Set(["prefill", "decode", "ending"]);
export const runs = (row: RequestRow): boolean => kRunning.has(row.state);

const valueOf: Record<SortKey, (row: RequestRow) => number | string> = {
  id: (r) => r.id.padStart(20, "0"), // a number of 64 bits
  model: (r) => r.model,
  tenant: (r) => r.tenant,
  class: (r) => kClasses.indexOf(r.priority),
  state: (r) => r.state,
  prompt: (r) => r.prompt_tokens,
  output: (r) => r.output_tokens,
  age: (r) => -(r.submitted_ms ?? 0),
};

const byId = (a: RequestRow, b: RequestRow): number => a.id.length - b.id.length || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);

// What a filter looks at, by row: a row that did not change is the same object, and most do not change.
const texts = new WeakMap<RequestRow, string>();
function textOf(row: RequestRow): string {
  let text = texts.get(row);
  if (text === undefined) {
    text = [row.id, row.model, row.tenant, row.priority, row.state, row.why?.reason ?? "", row.why?.text ?? ""].join("\n").toLowerCase();
    texts.set(row, text);
  }
  return text;
}

export function matches(row: RequestRow, filter: string): boolean {
  const wanted = filter.trim().toLowerCase();
  return wanted === "" || textOf(row).includes(wanted);
}

// The rows in sight, and some before and after: [first, last) of `count`. They change by whole steps, so that most moves
// of a scroll change nothing.
export const kRowsAStep = 4;
export function rowsInSight(top: number, height: number, rowHeight: number, count: number, more: number): [number, number] {
  const step = Math.floor(Math.max(0, top) / (rowHeight * kRowsAStep)) * kRowsAStep;
  const first = Math.min(Math.max(0, step - more), count);
  return [first, Math.max(first, Math.min(count, step + kRowsAStep + Math.ceil(height / rowHeight) + more))];
}

export function rowsOf(all: Iterable<RequestRow>, kind: Kind, filter: string, order: Order): RequestRow[] {
  const rows = [...all].filter((row) => matches(row, filter) && (kind === "all" || kind === "ended" || (kind === "running") === runs(row)));
  const value = valueOf[order.key];
  const sign = order.down ? -1 : 1;
  return rows.sort((a, b) => {
    const x = value(a);
    const y = value(b);
    return x < y ? -sign : x > y ? sign : byId(a, b);
  });
}

const kColumns = ["id", "model", "tenant", "priority", "state", "prompt_tokens", "prompt_tokens_done", "output_tokens", "submitted_ms", "ahead", "expected_seconds"] as const;

export function csvOf(rows: readonly RequestRow[]): string {
  const lines = [[...kColumns, "reason", "text"].join(",")];
  for (const row of rows) lines.push([...kColumns.map((c) => csvCell(row[c] ?? "")), csvCell(row.why?.reason ?? ""), csvCell(row.why?.text ?? "")].join(","));
  return lines.join("\r\n") + "\r\n";
}
