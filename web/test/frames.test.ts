import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyView, reduce, type Frame, type View } from "../src/state/frames.ts";
import { numbers, seeds } from "./random.ts";

interface Row {
  id: string;
  name: string;
  output_tokens: number;
}

const row = (id: number, n: number): Row => ({ id: String(id), name: String(id), output_tokens: n });
const frame = (event: "snapshot" | "delta", data: object): Frame => ({ event, data }) as unknown as Frame;
const hello = (epoch: string, tenant = "local", scopes = ["view"]): Frame =>
  ({ event: "hello", data: { epoch, version: "1", tenant, scopes, topics: [] } }) as Frame;

function contents(view: View, topic: "state" | "requests"): string {
  const table = topic === "state" ? view.models : view.requests;
  return JSON.stringify([...table].sort(([a], [b]) => (a < b ? -1 : 1)));
}

for (const topic of ["state", "requests"] as const)
  test(`any run of deltas, drops and reconnections of ${topic} ends in what one snapshot tells`, () => {
    for (const seed of seeds(`frames of ${topic}`, 300)) {
      const next = numbers(seed);
      const truth = new Map<string, Row>();
      let view = emptyView;
      let missed = true; // a reader that missed a frame gets a snapshot before the next delta
      view = reduce(view, hello("1"));
      for (let step = 0; step < 40; ++step) {
        const set: Row[] = [];
        const gone: string[] = [];
        for (let i = next(4); i > 0; --i) {
          const id = next(12);
          if (next(3) > 0) {
            const made = row(id, next(1000));
            truth.set(made.id, made);
            set.push(made);
          } else if (truth.delete(String(id))) {
            gone.push(String(id));
          }
        }
        const fate = next(10);
        if (fate === 0) {
          missed = true; // dropped on the way, with all that follows until a snapshot
          continue;
        }
        if (fate === 1) {
          view = reduce(view, hello(String(1 + next(3))));
          missed = true;
        }
        if (missed) {
          // A delta that is under way when the connection was made again changes nothing.
          if (fate === 1) view = reduce(view, frame("delta", { topic, set: [row(99, 1)], gone: [] }));
          view = reduce(view, frame("snapshot", { topic, rows: [...truth.values()] }));
          missed = false;
        } else {
          const still = set.filter((r) => truth.get(r.id) === r);
          // Of a row that the reader has, what changed is enough.
          const table: ReadonlyMap<string, unknown> = topic === "state" ? view.models : view.requests;
          const parts = still.filter((r) => table.has(r.id) && next(2) > 0);
          const changed = parts.map((r) => ({ [topic === "state" ? "name" : "id"]: r.id, output_tokens: r.output_tokens }));
          view = reduce(view, frame("delta", { topic, set: still.filter((r) => !parts.includes(r)), changed, gone: gone.filter((id) => !truth.has(id)) }));
        }
      }
      if (missed) view = reduce(view, frame("snapshot", { topic, rows: [...truth.values()] }));
      const once = reduce(reduce(emptyView, hello("1")), frame("snapshot", { topic, rows: [...truth.values()] }));
      assert.equal(contents(view, topic), contents(once, topic), `seed ${seed}`);
    }
  });

test("rows that did not change stay the same objects", () => {
  let view = reduce(reduce(emptyView, hello("1")), frame("snapshot", { topic: "requests", rows: [row(1, 1), row(2, 1)] }));
  const kept = view.requests.get("2");
  view = reduce(view, frame("delta", { topic: "requests", set: [row(1, 5)], gone: [] }));
  assert.equal(view.requests.get("2"), kept);
  assert.equal(view.requests.get("1")?.output_tokens, 5);
});

test("a delta changes members of rows that are known, and makes another object of each", () => {
  const before = reduce(reduce(emptyView, hello("1")), frame("snapshot", { topic: "requests", rows: [row(1, 1), row(2, 1)] }));
  const view = reduce(before, frame("delta", { topic: "requests", set: [], changed: [{ id: "1", output_tokens: 5 }, { id: "9", output_tokens: 5 }], gone: [] }));
  assert.deepEqual([...view.requests.values()], [row(1, 5), row(2, 1)]);
  assert.notEqual(view.requests.get("1"), before.requests.get("1"));
  assert.equal(view.requests.get("2"), before.requests.get("2"));
});

test("a connection that goes on needs no snapshot", () => {
  const known = reduce(reduce(emptyView, hello("1")), frame("snapshot", { topic: "requests", rows: [row(1, 1)] }));
  const resumed = hello("1");
  (resumed.data as { resumed?: boolean }).resumed = true;
  const delta = frame("delta", { topic: "requests", set: [row(2, 1)], gone: ["1"] });
  const view = reduce(reduce(known, resumed), delta);
  assert.deepEqual([...view.requests.keys()], ["2"]);
  assert.deepEqual([...reduce(reduce(known, hello("1")), delta).requests.keys()], ["1"]);
});

test("the requests of a daemon that is gone stay until the next one's snapshot", () => {
  let view = reduce(reduce(emptyView, hello("1")), frame("snapshot", { topic: "requests", rows: [row(1, 1)] }));
  view = reduce(view, hello("2"));
  view = reduce(view, hello("2")); // the connection broke before the snapshot
  assert.deepEqual([...view.requests.keys()], ["1"]);
  view = reduce(view, frame("snapshot", { topic: "requests", rows: [row(7, 1)] }));
  assert.deepEqual([...view.requests.keys()], ["7"]);
});

test("what an admin saw of others is gone with the admin's session", () => {
  let view = reduce(reduce(emptyView, hello("1", "a", ["view", "admin"])), frame("snapshot", { topic: "requests", rows: [row(1, 1), row(2, 1)] }));
  view = reduce(view, hello("1", "a"));
  assert.equal(view.requests.size, 0, "before its snapshot has come");
  view = reduce(reduce(view, frame("snapshot", { topic: "requests", rows: [row(3, 1)] })), hello("1", "b"));
  assert.equal(view.requests.size, 0, "another tenant");
});

test("another epoch is a restart; the rows stay until the new daemon has told its own", () => {
  let view = reduce(reduce(emptyView, hello("1")), frame("snapshot", { topic: "requests", rows: [row(1, 1)] }));
  view = reduce(view, hello("2"));
  assert.equal(view.restarts, 1);
  assert.equal(view.requests.size, 1);
  view = reduce(view, frame("snapshot", { topic: "requests", rows: [] }));
  assert.equal(view.requests.size, 0);
  view = reduce(view, hello("2"));
  assert.equal(view.restarts, 1);
});
