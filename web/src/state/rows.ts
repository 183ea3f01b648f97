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

export function matches(row: RequestRow, filter: string): boolean {
  const wanted = filter.trim().toLowerCase();
  if (wanted === "") return true;
  return [row.id, row.model, row.tenant, row.priority, row.state, row.why?.reason ?? "", row.why?.text ?? ""].some((text) => text.toLowerCase().includes(wanted));
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
