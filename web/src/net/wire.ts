// What the daemon sends, as far as the page reads it (docs/api.md). A member that an older daemon lacks is optional.

export interface ModelRow {
  name: string;
  path: string;
  state: "unloaded" | "loading" | "loaded" | "suspended";
  load_progress?: number | null; // 0 to 1, while it is loading
  priority: string;
  shares: number;
  pinned: boolean;
  sequences_max: number;
  sequence_tokens_max: number;
  context_tokens: number;
  kv_type: string;
  running: number;
  waiting: number;
  cells: number;
  cached_cells: number;
  weight_bytes: number;
  kv_bytes: number;
  compute_bytes: number;
  prompt_tokens: number;
  output_tokens: number;
  reused_tokens: number;
  requests_done: number;
  requests_failed: number;
  preemptions: number;
  load_seconds: number;
  compute_seconds: number;
  threads: number;
  replicas?: number; // of a model that has more than one executor
  replica_of?: string; // the model whose requests it shares
}

export interface NodeRow {
  cores: number;
  lanes: number[];
  memory_bytes_max: number;
  memory_bytes_promised: number;
  requests_active: number;
  draining: boolean;
}

export interface Why {
  reason: string;
  text: string;
}

export interface RequestRow {
  id: string;
  model: string;
  tenant: string;
  priority: string;
  state: string;
  waits_for: string;
  prompt_tokens: number;
  prompt_tokens_done: number;
  output_tokens: number;
  submitted_ms?: number;
  why?: Why;
  ahead?: number; // while it waits; rounded
  expected_seconds?: number | null; // until it begins; null: nobody can tell
}

// begin_us, length_us, model, prompt rows, decode rows, class, turns merged into it, threads that computed
export type WireBlock = [number, number, string, number, number, string, number, number?];

export interface TurnsFrame {
  topic: "turns";
  now_us: number;
  lanes: { lane: number; threads: number; blocks: WireBlock[]; missing: number }[];
}

export interface TableFrame<Row> {
  topic: string;
  rows?: Row[]; // a snapshot has them
  set?: Row[]; // a delta has these three
  changed?: Partial<Row>[]; // the key of a row, and the members that are not as before
  gone?: string[];
  rest?: unknown;
}

export interface Hello {
  epoch: string;
  version: string;
  tenant: string;
  scopes: string[];
  topics: string[];
  resumed?: boolean; // it goes on behind the last frame of the connection before
}

export interface SessionInfo {
  token?: string;
  tenant: string | null; // null: a key is needed, and none was sent
  scopes: string[];
  expires_in_seconds: number | null;
}

export type Series = (number | null)[];

export interface HistoryReply {
  step_seconds: number;
  now_ms: number;
  totals: Record<string, Series>;
  models: Record<string, Record<string, Series>>;
}

export interface Estimate {
  model: string;
  sequences_max: number;
  sequence_tokens_max: number;
  context_tokens: number;
  kv_type: string;
  weight_bytes: number;
  kv_bytes: number;
  compute_bytes: number;
  need_bytes: number;
  missing_bytes: number;
  limit_bytes: number;
  promised_bytes: number;
  free_bytes: number;
  fits: boolean;
  would_leave: string[];
  capabilities?: string[];
}

export interface CatalogueEntry {
  name: string;
  description: string;
  license: string;
  bytes: number;
  local: boolean;
}

export interface PullRow {
  model: string;
  state: string; // waiting, running, done, failed, cancelled
  cancelling: boolean;
  step: string;
  bytes_done: number;
  bytes_total: number;
  path: string | null;
  error: { reason: string; message: string } | null;
}

export interface ListedModel {
  id: string;
  meta: { size?: number; n_params?: number; ftype?: string; n_ctx?: number; n_ctx_train?: number };
  status: { value: string };
  capabilities?: string[];
}

export interface JobUsage {
  prompt_tokens: number;
  output_tokens: number;
  reused_tokens: number;
  queue_seconds: number;
  first_token_seconds: number;
  total_seconds: number;
}

export interface ReportSession {
  session_id: number;
  model: string;
  prompt: string;
  text: string;
  tokens: number;
  seconds: number;
  tokens_per_second: number;
}

export type ParallelEvent =
  // `call`: with it one job can be stopped
  | { type: "begin"; call?: string | null; jobs: { job: number; model: string; prompt: string }[] }
  | { type: "text"; job: number; text: string; tokens: number }
  | { type: "end"; job: number; finish: string; error: { code: string; message: string } | null; usage: JobUsage }
  | { type: "report"; report: { sessions?: ReportSession[]; total_seconds?: number; total_tokens?: number } & Record<string, unknown>; text?: string }
  | { type: "error"; error: { message: string } };
