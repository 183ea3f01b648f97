import assert from "node:assert/strict";
import { test } from "node:test";
import { Place } from "../src/net/place.ts";
import { Following, shareName } from "../src/net/share.ts";
import type { SseEvent } from "../src/net/sse.ts";

const hello = (resumed: boolean): SseEvent => ({ event: "hello", data: JSON.stringify({ epoch: "7", resumed }), id: "", comment: "" });
const delta = (id: number): SseEvent => ({ event: "delta", data: "{}", id: String(id), comment: "" });

// A tab as live.ts has it: what it has taken, and how far it is.
class Tab {
  readonly place = new Place();
  readonly taken: string[] = [];
  readonly following = new Following();
  take(event: SseEvent): void {
    this.taken.push(event.event === "hello" ? event.data : event.id);
    if (event.event === "hello") this.place.hello("7", (JSON.parse(event.data) as { resumed: boolean }).resumed, "me");
    this.place.frame(event.id);
  }
  get at(): string {
    return this.place.since("me");
  }
  hear(at: string, event: SseEvent): string {
    const step = this.following.step({ at, event }, this.at);
    if (step === "take") this.take(event);
    return step;
  }
}

// The leader takes each event, and says it to the others first.
function pass(leader: Tab, followers: Tab[], ...events: SseEvent[]): string[] {
  let steps: string[] = [];
  for (const event of events) {
    const at = leader.at;
    steps = followers.map((f) => f.hear(at, event));
    leader.take(event);
  }
  return steps;
}

test("one who comes takes nothing before the stream begins again, and all from then on", () => {
  const [leader, comes] = [new Tab(), new Tab()];
  pass(leader, [], hello(false), delta(1));
  assert.deepEqual(pass(leader, [comes], delta(2)), ["skip"]);
  assert.deepEqual(comes.taken, []);
  assert.ok(comes.following.waits);
  pass(leader, [comes], hello(false), delta(3), delta(5));
  assert.deepEqual(comes.taken, [hello(false).data, "3", "5"]);
  assert.equal(comes.at, leader.at);
});

test("one who comes while a first snapshot is on its way takes no half of it", () => {
  const [leader, comes] = [new Tab(), new Tab()];
  pass(leader, [], hello(false));
  assert.equal(leader.at, comes.at); // both are nowhere
  assert.deepEqual(pass(leader, [comes], { ...delta(0), id: "" }), ["skip"]);
});

test("one who has missed an event asks once, and waits until the stream begins again", () => {
  const [leader, misses, follows] = [new Tab(), new Tab(), new Tab()];
  pass(leader, [misses, follows], hello(false), delta(1));
  pass(leader, [follows], delta(2));
  assert.deepEqual(pass(leader, [misses, follows], delta(3)), ["ask", "take"]);
  assert.deepEqual(pass(leader, [misses, follows], delta(4)), ["skip", "take"]);
  assert.deepEqual(pass(leader, [misses, follows], hello(false)), ["take", "take"]);
  assert.deepEqual(pass(leader, [misses, follows], delta(6)), ["take", "take"]);
  assert.deepEqual(misses.taken.slice(2), [hello(false).data, "6"]);
});

test("who leads next goes on behind what all have got, and who has less asks", () => {
  const [first, second, third, late] = [new Tab(), new Tab(), new Tab(), new Tab()];
  pass(first, [second, third, late], hello(false), delta(1), delta(2));
  pass(first, [second, third], delta(3));
  assert.deepEqual(pass(second, [third, late], hello(true)), ["take", "ask"]);
  assert.deepEqual(pass(second, [third, late], delta(4)), ["take", "skip"]);
  assert.deepEqual(third.taken.slice(-2), [hello(true).data, "4"]);
});

test("one who has asked a leader that is gone asks the next one", () => {
  const [leader, comes] = [new Tab(), new Tab()];
  pass(leader, [], hello(false), delta(1));
  assert.deepEqual(pass(leader, [comes], delta(2)), ["skip"]);
  assert.deepEqual(pass(leader, [comes], hello(true)), ["ask"]);
});

test("tabs share where the browser has the means, those of one session, and its token is not told", async () => {
  assert.equal(await shareName("a"), null); // node has no locks
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { configurable: true, value: { locks: {} } });
  try {
    const name = await shareName("secret");
    assert.match(name ?? "", /^choir\.events\.[0-9a-f]{64}$/);
    assert.equal(name, await shareName("secret"));
    assert.notEqual(name, await shareName("another"));
  } finally {
    if (before) Object.defineProperty(globalThis, "navigator", before);
  }
});
