// What the daemon sends, as far as the page reads it: types of its schemas (docs/openapi.json), under the page's names.
import type { components } from "./openapi";

type Schemas = components["schemas"];

export type ModelRow = Schemas["EventModel"];
export type NodeModel = Schemas["NodeModel"];
export type CellsReply = Schemas["Cells"];
export type NodeRow = Schemas["Node"];
export type RequestRow = Schemas["EventRequest"];
export type EndedRow = Schemas["EndedRequests"]["requests"][number];
export type Why = NonNullable<RequestRow["why"]>;
export type Hello = Schemas["HelloEvent"];

export type TurnsFrame = Schemas["TurnsFrame"];
export type TurnsReply = Schemas["Turns"];
export type WireBlock = TurnsFrame["lanes"][number]["blocks"][number];

// The schemas StateFrame and RequestsFrame.
export interface TableFrame<Row> {
  topic: string;
  rows?: Row[]; // a snapshot has them
  set?: Row[]; // a delta has these three
  changed?: Partial<Row>[]; // the key of a row, and the members that are not as before
  gone?: string[];
  rest?: unknown;
}

// Of a new session it has the token, too.
export type SessionInfo = Schemas["Session"] & { token?: string };

export type HistoryReply = Schemas["History"];
export type Series = HistoryReply["totals"][string];
export type Estimate = Schemas["Estimate"];
export type CatalogueEntry = Schemas["Catalogue"]["models"][number];
export type PullRow = Schemas["Pull"];
export type ListedModel = Schemas["Model"];

export type ParallelEvent = Schemas["ParallelEvent"];
type ParallelEnd = Extract<ParallelEvent, { type: "end" }>;
export type JobUsage = ParallelEnd["usage"];
export type ReportEvent = Extract<ParallelEvent, { type: "report" }>;
export type ReportFigures = Pick<Schemas["Report"], "total_tokens" | "total_seconds" | "throughput">;
export type ReportSession = Schemas["Report"]["sessions"][number];
