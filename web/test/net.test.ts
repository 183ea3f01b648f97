import assert from "node:assert/strict";
import { test } from "node:test";
import { sessionOf } from "../src/net/api.ts";
import { Place } from "../src/net/place.ts";
import { textEveryMs } from "../src/net/parallel.ts";
import { pauseBefore } from "../src/net/pause.ts";
import { SseReader, type SseEvent } from "../src/net/sse.ts";
import { routeOf } from "../src/state/route.ts";

const stream = 'event: hello\nid: 0\ndata: {"a":1}\n\n: loading 42 %\n\ndata: one\ndata: two\n\nevent: ping\r\ndata: {}\r\n\r\n';
const whole: SseEvent[] = [
  { event: "hello", data: '{"a":1}', id: "0", comment: "" },
  { event: "", data: "", id: "", comment: "loading 42 %" },
  { event: "message", data: "one\ntwo", id: "", comment: "" },
  { event: "ping", data: "{}", id: "", comment: "" },
];

test("a stream gives the same events wherever its pieces end", () => {
  for (let size = 1; size <= stream.length; ++size) {
    const reader = new SseReader();
    const events: SseEvent[] = [];
    for (let at = 0; at < stream.length; at += size) events.push(...reader.take(stream.slice(at, at + size)));
    assert.deepEqual(events, whole, `pieces of ${size}`);
  }
});

test("one text flows; many come seldom enough that drawing them costs little, and at least twice a second", () => {
  assert.equal(textEveryMs(1), 120);
  for (let jobs = 1; jobs < 100; ++jobs) {
    assert.ok(textEveryMs(jobs + 1) >= textEveryMs(jobs));
    assert.ok(textEveryMs(jobs) <= 500);
  }
  assert.ok(textEveryMs(8) >= 350);
});

test("an event without end is refused", () => {
  const reader = new SseReader();
  assert.throws(() => {
    for (let i = 0; i < 40; ++i) reader.take("x".repeat(1 << 20));
  });
});

test("the page tries again soon in the first minute, and later at least every 19 s", () => {
  for (let tries = 1; tries < 200; ++tries)
    for (const random of [0, 0.5, 0.999]) {
      const soon = pauseBefore(tries, 1000, random);
      assert.ok(soon >= 375 && soon <= 2500, `${soon}`);
      assert.ok(pauseBefore(tries, 120_000, random) <= 19_000);
    }
  assert.ok(pauseBefore(50, 120_000, 0) > 10_000);
});

test("one whom the daemon does not know needs a key", () => {
  const info = { scopes: [], expires_in_seconds: null };
  assert.deepEqual(sessionOf({ ...info, tenant: null }, true), { state: "needed", why: "expired" });
  assert.deepEqual(sessionOf({ ...info, tenant: null }, false), { state: "needed", why: "none" });
});

test("a key that may not look shows nothing", () => {
  const of = (scopes: string[]) => sessionOf({ tenant: "local", scopes, expires_in_seconds: null }, false);
  assert.deepEqual(of(["infer"]), { state: "needed", why: "view" });
  assert.equal(of(["view"]).state, "open");
});

test("a connection goes on behind the last frame, if all before it has come to the same reader", () => {
  const place = new Place();
  assert.equal(place.since("a"), "");
  place.hello("17", false, "a");
  place.frame("0");
  place.frame("");
  assert.equal(place.since("a"), "", "a snapshot of which a part has come");
  place.frame("5");
  place.frame(""); // a ping
  assert.equal(place.since("a"), "&since=17-5");
  assert.equal(place.since("b"), "", "another reader");
  place.hello("17", true, "a");
  assert.equal(place.since("a"), "&since=17-5", "broken again before a frame");
  place.frame("9");
  assert.equal(place.since("a"), "&since=17-9");
  place.hello("17", false, "a");
  assert.equal(place.since("a"), "", "too late: a snapshot comes");
  place.frame("12");
  place.hello("18", true, "a");
  assert.equal(place.since("a"), "");
  place.frame("1");
  place.forget();
  assert.equal(place.since("a"), "");
});

test("a route is read from the address, and ?q= fills the field at most", () => {
  assert.deepEqual(routeOf("#/play/chat/a%2Fb?q=hello+you"), { view: "play", rest: ["chat", "a/b"], prompt: "hello you" });
  assert.equal(routeOf("").view, "");
  assert.equal(routeOf("#/nowhere").view, "");
  assert.equal(routeOf("#/play/%E0%A4%A").view, "play");
});
