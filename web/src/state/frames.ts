// What the events of GET /choir/v1/events add up to. Pure: a frame and a view in, the next view out; rows that did not
// change stay the same objects, so a list draws only those that did.
import type { Hello, ModelRow, NodeRow, RequestRow, TableFrame } from "../net/wire.ts";

export type Table<Row> = ReadonlyMap<string, Row>;

export interface View {
  hello: Hello | null;
  models: Table<ModelRow>;
  node: NodeRow | null;
  requests: Table<RequestRow>;
  restarts: number; // how often another daemon answered than before
  known: { state: boolean; requests: boolean }; // a snapshot has come
}

export const emptyView: View = {
  hello: null,
  models: new Map(),
  node: null,
  requests: new Map(),
  restarts: 0,
  known: { state: false, requests: false },
};

export type Frame =
  | { event: "hello"; data: Hello }
  | { event: "snapshot"; data: TableFrame<never> }
  | { event: "delta"; data: TableFrame<never> };

function changed<Row>(table: Table<Row>, frame: TableFrame<Row>, key: keyof Row & string): Table<Row> {
  const keyOf = (row: Partial<Row>): string => String(row[key]);
  if (frame.rows) return new Map(frame.rows.map((row) => [keyOf(row), row]));
  const set = frame.set ?? [];
  const parts = (frame.changed ?? []).filter((part) => table.has(keyOf(part)));
  const gone = (frame.gone ?? []).filter((name) => table.has(name));
  if (set.length === 0 && parts.length === 0 && gone.length === 0) return table;
  const next = new Map(table);
  for (const name of gone) next.delete(name);
  for (const row of set) next.set(keyOf(row), row);
  for (const part of parts) next.set(keyOf(part), { ...(next.get(keyOf(part)) as Row), ...part });
  return next;
}

// Those who see all requests, and each tenant, have a table of their own.
export const audienceOf = (hello: Hello): string => (hello.scopes.includes("admin") ? "*" : `=${hello.tenant}`);

export function reduce(view: View, frame: Frame): View {
  if (frame.event === "hello") {
    const restarted = view.hello !== null && view.hello.epoch !== frame.data.epoch;
    const other = view.hello !== null && audienceOf(view.hello) !== audienceOf(frame.data);
    // The rows of another daemon stay until its snapshot comes. What another person may not see goes at once.
    return {
      ...view,
      hello: frame.data,
      restarts: view.restarts + (restarted ? 1 : 0),
      requests: other ? new Map() : view.requests,
      known: frame.data.resumed ? view.known : { state: false, requests: false },
    };
  }
  const data = frame.data as TableFrame<unknown>;
  const whole = frame.event === "snapshot";
  if (data.topic === "state") {
    if (!whole && !view.known.state) return view;
    const rest = data.rest as { node?: NodeRow } | null | undefined;
    return {
      ...view,
      models: changed(view.models, data as TableFrame<ModelRow>, "name"),
      node: rest?.node ?? view.node,
      known: { ...view.known, state: true },
    };
  }
  if (data.topic === "requests") {
    if (!whole && !view.known.requests) return view;
    const requests = changed(view.requests, data as TableFrame<RequestRow>, "id");
    return { ...view, requests, known: { ...view.known, requests: true } };
  }
  return view;
}
