import assert from "node:assert/strict";
import { test } from "node:test";
import { blockAt, fill, firstAfter, laneTop, seamsOf, ticksOf, tracksHeight } from "../src/draw/tracks.ts";
import { age, bytes, percent, quoted, seconds, short } from "../src/format.ts";
import type { EndedRow, HistoryReply, ModelRow, RequestRow, TurnsFrame, WireBlock } from "../src/net/wire.ts";
import { knownOf, pathsOf } from "../src/parts/spark.tsx";
import { before, commandOf, fitting, jobsOf, messagesOf, replaced } from "../src/state/jobs.ts";
import { Latest } from "../src/state/latest.ts";
import { columnsOf } from "../src/draw/cores.ts";
import { coreSecondsOf, coresOf } from "../src/state/cores.ts";
import { lifeOf, speedOf } from "../src/state/life.ts";
import { contrast, inMemory, kColours, loadPercent, looksOf, offersOf, roomOf, weightsWith } from "../src/state/models.ts";
import { csvOf, matches, rowsInSight, rowsOf, shortWhy } from "../src/state/rows.ts";
import { words } from "../src/words/en.ts";
import { kKeptUs, threadsIn, timesOf, TurnLog, unknownIn } from "../src/state/turns.ts";

test("each colour of a model has 3:1 against both grounds", () => {
  for (const colour of kColours)
    for (const ground of ["#ffffff", "#eef0f4", "#f5f6f8", "#0e1116", "#151920", "#1b1f27"])
      assert.ok(contrast(colour, ground) >= 3, `${colour} on ${ground}: ${contrast(colour, ground)}`);
});

test("a white letter on each colour of a model has 4.5:1", () => {
  for (const colour of kColours) assert.ok(contrast(colour, "#ffffff") >= 4.5, `${colour}: ${contrast(colour, "#ffffff")}`);
});

test("the colours of models are apart from each other, also for one who does not see green", () => {
  const rows = (matrix: number[][], v: number[]): number[] => matrix.map((row) => row.reduce((sum, x, i) => sum + x * (v[i] ?? 0), 0));
  // Oklab, and Machado's matrix of deuteranopia, both of linear RGB.
  const lab = (rgb: number[]): number[] =>
    rows([[0.2105, 0.7936, -0.0041], [1.978, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]],
      rows([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.63]], rgb).map((x) => Math.cbrt(Math.max(0, x))));
  const deutan = (rgb: number[]): number[] => rows([[0.367, 0.861, -0.228], [0.28, 0.673, 0.047], [-0.012, 0.043, 0.969]], rgb);
  const linear = (hex: string): number[] => [1, 3, 5].map((at) => {
    const c = parseInt(hex.slice(at, at + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  for (const [seen, least] of [[(x: number[]) => x, 0.12], [deutan, 0.045]] as const) {
    const places = kColours.map((c) => lab(seen(linear(c))));
    places.forEach((a, i) => places.slice(0, i).forEach((b, j) => {
      const apart = Math.hypot(...a.map((x, k) => x - (b[k] ?? 0)));
      assert.ok(apart >= least, `${kColours[i]} and ${kColours[j]}: ${apart}`);
    }));
  }
});

test("a model's colour and letter follow its name", () => {
  const a = looksOf(["smollm2-135m", "gemma3-270m"]);
  const b = looksOf(["gemma3-270m", "smollm2-135m"]);
  assert.deepEqual([...a].sort(), [...b].sort());
  assert.equal(a.get("smollm2-135m")?.letter, "S");
  const many = looksOf(Array.from({ length: 8 }, (_, i) => `model-${i}`));
  assert.equal(new Set([...many.values()].map((l) => l.letter)).size, 8);
  assert.equal(new Set([...many.values()].map((l) => l.colour)).size, 8);
});

test("a model looks the same though others come and go", () => {
  const first = looksOf(["smollm2-135m"]);
  const both = looksOf(["a-second-model", "smollm2-135m", "another-s"], first);
  assert.deepEqual(both.get("smollm2-135m"), first.get("smollm2-135m"));
  assert.equal(new Set([...both.values()].map((l) => l.letter)).size, 3);
  assert.deepEqual(looksOf(["another-s"], both).get("another-s"), both.get("another-s"));
});

test("a model that is loading is not in memory yet", () => {
  const states = ["unloaded", "loading", "loaded", "suspended"] as const;
  assert.deepEqual(states.filter((state) => inMemory({ state })), ["loaded", "suspended"]);
});

test("how much of a model is loaded is told while it loads", () => {
  const row = (state: "loading" | "loaded", load_progress: number | null) => ({ state, load_progress });
  assert.deepEqual([row("loading", 0.426), row("loading", 0.999), row("loading", null), row("loaded", null), undefined].map(loadPercent), [42, 99, null, null, null]);
});

test("of many offers those that fit come first, and few are shown", () => {
  const all = [{ bytes: 90 }, { bytes: 10 }, { bytes: 70 }, { bytes: 20 }, { bytes: 30 }];
  assert.deepEqual(offersOf(all, 50, 3), { first: [{ bytes: 10 }, { bytes: 20 }, { bytes: 30 }], more: [{ bytes: 70 }, { bytes: 90 }] });
  assert.deepEqual(offersOf(all, 0, 5).first, all);
  assert.deepEqual(offersOf(all.slice(0, 2), 50, 3), { first: [{ bytes: 10 }, { bytes: 90 }], more: [] });
});

test("the first page tells of kernels where there are any", () => {
  const told = (kernels?: string): string => words.start.machine(2, "7.9 GB", kernels);
  assert.equal(told("avx512"), "2 cores, avx512 kernels, 7.9 GB for models. Nothing leaves this machine.");
  for (const none of [undefined, "", "off (CHOIR_KERNELS)"]) assert.equal(told(none), "2 cores, 7.9 GB for models. Nothing leaves this machine.");
});

const block = (begin: number, length: number, model = "a"): WireBlock => [begin, length, model, 0, 4, "normal", 2, 2, 1];
const frame = (now: number, blocks: WireBlock[], missing = 0): TurnsFrame => ({ topic: "turns", now_us: now, from_us: 0, lanes: [{ lane: 0, threads: 2, blocks, missing }] });

test("blocks that are told twice are kept once, and old ones are forgotten", () => {
  const log = new TurnLog();
  log.add(frame(1000, [block(0, 400), block(500, 400)]), 0);
  log.add(frame(2000, [block(0, 400), block(500, 400), block(1000, 400)], 3), 10);
  assert.deepEqual(log.lanes[0]?.blocks.map((b) => b.begin), [0, 500, 1000]);
  assert.equal(log.missing(), 3);
  assert.equal(log.clock(110), 2000 + 100_000);
  log.add(frame(kKeptUs + 1200, []), 20);
  assert.deepEqual(log.lanes[0]?.blocks.map((b) => b.begin), [1000]);
});

test("turns that were missed are told of as long as their time is in sight", () => {
  const log = new TurnLog();
  log.add(frame(1000, [block(0, 400)], 3), 0);
  log.add(frame(2000, [], 4), 0);
  assert.equal(log.missing(), 7);
  log.add(frame(kKeptUs + 1500, []), 0);
  assert.equal(log.missing(), 4);
  log.add(frame(kKeptUs + 2500, []), 0);
  assert.equal(log.missing(), 0);
});

test("another daemon's turns replace those of the one before, whatever its clock says", () => {
  for (const later of [50, 5_000_000]) {
    const log = new TurnLog();
    assert.equal(log.begin("1"), false);
    log.add(frame(1000, [block(0, 400)]), 0);
    assert.equal(log.begin("1"), false);
    assert.equal(log.lanes.length, 1, "a reconnection");
    assert.equal(log.begin("2"), true);
    log.add(frame(later, [block(later - 40, 10)]), 30);
    assert.deepEqual(log.lanes[0]?.blocks.map((b) => b.begin), [later - 40]);
  }
});

test("what nobody was told of is not idle", () => {
  const log = new TurnLog();
  log.add({ ...frame(20_000, [block(12_000, 400)]), from_us: 10_000 }, 0);
  log.add({ ...frame(21_000, [block(20_500, 400)]), from_us: 20_000 }, 0);
  assert.deepEqual(log.lanes[0]?.gaps, [{ from: 0, to: 10_000 }]);
  log.add({ ...frame(40_000, [block(36_000, 400)]), from_us: 35_000 }, 0);
  log.add({ ...frame(50_000, [block(46_000, 400)], 5), from_us: 40_000 }, 0);
  assert.deepEqual(log.lanes[0]?.gaps, [{ from: 0, to: 10_000 }, { from: 21_000, to: 35_000 }, { from: 40_000, to: 46_000 }]);
  assert.equal(unknownIn({ gaps: log.lanes[0]?.gaps ?? [] }, 5_000, 30_000), 5_000 + 9_000);
  assert.equal(log.hasUnfilled(10_000), false);
  assert.equal(log.hasUnfilled(9_000), true);
  log.fill({ from_us: 4_000, lanes: [{ lane: 0, threads: 2, missing: 0, turns: [[4_500, 400, "b", 0, 1, "normal", 2, 0], [12_000, 400, "a", 0, 4, "normal", 2, 1]] }] });
  assert.deepEqual(log.lanes[0]?.blocks.map((b) => b.begin), [4_500, 12_000, 20_500, 36_000, 46_000]);
  assert.deepEqual(log.lanes[0]?.gaps[0], { from: 0, to: 4_000 });
  log.add({ ...frame(kKeptUs + 41_000, []), from_us: 50_000 }, 0);
  assert.deepEqual(log.lanes[0]?.gaps, [{ from: 40_000, to: 46_000 }]);
});

test("an estimate is of models that stay, leave, and are the same", () => {
  const row = (name: string, path: string, kv: number) => ({ name, path, state: "loaded", weight_bytes: 100, kv_bytes: kv, compute_bytes: 1 }) as ModelRow;
  const all = [row("a", "x", 20), row("b", "x", 30), row("c", "y", 40)];
  assert.deepEqual(all.map((m) => weightsWith(all, m)), ["a", "a", "c"]);
  const told = { fits: true, would_leave: [] as string[], promised_bytes: 293 };
  assert.deepEqual(roomOf(told, undefined, all), { fits: "now", others: 293, leaving: 0, own: 0 });
  assert.deepEqual(roomOf({ ...told, would_leave: ["b", "c"] }, undefined, all), { fits: "after", others: 121, leaving: 172, own: 0 });
  assert.deepEqual(roomOf({ ...told, fits: false }, all[2], all), { fits: "not", others: 152, leaving: 0, own: 141 });
});

test("a block has the threads that computed it, not those that its lane has now", () => {
  const log = new TurnLog();
  const lane = { lane: 0, threads: 1, missing: 0, blocks: [[0, 400, "a", 0, 4, "normal", 2, 4, 1] as WireBlock, block(500, 400)] };
  log.add({ topic: "turns", now_us: 1000, from_us: 0, lanes: [lane] }, 0);
  assert.deepEqual(log.lanes[0]?.blocks.map((b) => b.threads), [4, 2]);
  assert.equal(timesOf(log.lanes, 0, 1000)[0]?.us, 400 * 4 + 400 * 2);
});

test("the times of the models are those inside, times the threads", () => {
  const log = new TurnLog();
  log.add(frame(1000, [block(0, 400), block(500, 400, "b")]), 0);
  assert.deepEqual(timesOf(log.lanes, 200, 700).map((t) => [t.model, t.us]), [["a", 400], ["b", 400]]);
});

test("a lane that loses its threads keeps what it computed", () => {
  const log = new TurnLog();
  const told = (now: number, threads: number, blocks: WireBlock[]): TurnsFrame => ({ topic: "turns", now_us: now, from_us: 0, lanes: [{ lane: 0, threads, blocks, missing: 0 }] });
  log.add(told(1000, 2, [block(0, 400)]), 0);
  log.add(told(2000, 0, [block(1000, 400)]), 10);
  assert.equal(log.lanes[0]?.unused, true);
  assert.equal(timesOf(log.lanes, 0, 2000)[0]?.us, 1600);
  log.add(told(3000, 1, [block(2000, 400)]), 20);
  assert.equal(timesOf(log.lanes, 0, 3000)[0]?.us, 2400);
});

test("a lane has a seam where its threads become others, and is told by the threads that are in sight", () => {
  const log = new TurnLog();
  const of = (begin: number, threads: number): WireBlock => [begin, 100, "a", 0, 4, "normal", 2, threads, 1];
  log.add(frame(1000, [of(0, 2), of(200, 2), of(400, 1), of(600, 1), of(800, 4)]), 0);
  const lane = log.lanes[0]!;
  assert.deepEqual(seamsOf(lane.blocks, 0, 1000), [400, 800]);
  assert.deepEqual(seamsOf(lane.blocks, 350, 700), [400], "the block before is out of sight");
  assert.deepEqual(seamsOf(lane.blocks, 450, 700), [], "its begin is out of sight");
  assert.deepEqual(seamsOf(lane.blocks, 0, 1000, 401), [400], "one for those that are near each other");
  assert.deepEqual(seamsOf([], 0, 1000), []);
  assert.deepEqual([threadsIn(lane, 0, 1000), threadsIn(lane, 350, 700), threadsIn(lane, 750, 900), threadsIn(lane, 950, 1000)], [[1, 4], [1, 1], [4, 4], null]);
  assert.deepEqual([words.ensemble.hadCores(1, 1), words.ensemble.hadCores(1, 4)], ["1 core", "1 to 4 cores"]);
});

test("a block is found where it is drawn", () => {
  const log = new TurnLog();
  log.add(frame(1_000_000, [block(0, 200_000), block(500_000, 100_000, "b")]), 0);
  const p = { lanes: log.lanes, threads: [2], compact: false, from: 0, to: 1_000_000, width: 1000 };
  assert.equal(blockAt(p, 100, 10)?.model, "a");
  assert.equal(blockAt(p, 550, 10)?.model, "b");
  assert.equal(blockAt(p, 300, 10), null);
  assert.equal(blockAt(p, 100, laneTop([2], 1, false) + 40), null);
  assert.equal(firstAfter(log.lanes[0]?.blocks ?? [], 300_000), 1);
  const one = fill({ begin: 0, length: 1, model: "a", prompt: 0, decode: 1, priority: "", turns: 1, threads: 1, why: 0 });
  const many = fill({ begin: 0, length: 1, model: "a", prompt: 512, decode: 0, priority: "", turns: 1, threads: 1, why: 0 });
  assert.ok(one > 0.3 && one < 0.6 && many === 1);
  assert.ok(tracksHeight([1, 4], false) > tracksHeight([1, 1], false));
  assert.equal(ticksOf(10).length, 6);
});

test("the demo's sessions are those of choir parallel", () => {
  const s = { sessions: 2, maxTokens: 100, temperature: 0.7, prompts: ["x", " ", "it's"] };
  assert.deepEqual(jobsOf(["a", "b"], s), [
    { model: "a", prompt: "x" }, { model: "b", prompt: "it's" }, { model: "a", prompt: "x" }, { model: "b", prompt: "it's" },
  ]);
  assert.equal(jobsOf([], s).length, 0);
  assert.equal(
    commandOf(["a", "b"], s, "http://127.0.0.1:8411"),
    "choir parallel --host http://127.0.0.1:8411 \\\n  --model a \\\n  --model b \\\n  --sessions 2 --max-tokens 100 --temperature 0.7 \\\n  --prompt x \\\n  --prompt 'it'\\''s'",
  );
  assert.equal(quoted("$(rm -rf /)"), "'$(rm -rf /)'");
});

test("a demo takes by itself what is in memory and what has room there", () => {
  const need: Record<string, number | null> = { a: 10, b: 60, c: 30, d: null, e: 5 };
  const names = ["a", "b", "c", "d", "e"];
  const take = (loaded: string[], free: number, most = 4): string[] => fitting(names, (n) => loaded.includes(n), (n) => need[n] ?? null, free, most);
  assert.deepEqual(take([], 50), ["a", "c", "e"]);
  assert.deepEqual(take([], 75), ["a", "b", "e"]);
  assert.deepEqual(take(["b"], 0), ["b"]);
  assert.deepEqual(take(["b", "c"], 100, 2), ["b", "c"]);
  assert.deepEqual(take([], 0), ["a"], "one at least");
  assert.deepEqual(fitting([], () => false, () => 1, 9, 4), []);
});

test("a chat sends what was said, but no answer that failed", () => {
  const said = [
    { prompt: "one", answer: { text: "1", state: "ended" } },
    { prompt: "two", answer: { text: "", state: "failed" } },
  ];
  assert.deepEqual(messagesOf(said, "three", "be brief").map((m) => m.content), ["be brief", "one", "1", "three"]);
});

const request = (id: string, state: string, more: Partial<RequestRow> = {}): RequestRow => ({
  id, model: "a", tenant: "t", priority: "normal", state, waits_for: "turn", prompt_tokens: 1, prompt_tokens_done: 0, reused_tokens: 0, output_tokens: 0, held_seconds: 0, submitted_ms: Number(id), ...more,
});

test("requests are filtered and sorted", () => {
  const rows = [request("2", "decode"), request("10", "waiting", { priority: "high" }), request("1", "parked", { model: "b" })];
  const ids = (kind: "all" | "waiting" | "running", filter: string, key: "id" | "class" | "age", down = false): string[] =>
    rowsOf(rows, kind, filter, { key, down }, 100).map((r) => r.id);
  assert.deepEqual(ids("all", "", "id"), ["1", "2", "10"]);
  assert.deepEqual(ids("all", "", "age", true), ["1", "2", "10"]);
  assert.deepEqual(ids("waiting", "", "id", true), ["10", "1"]);
  assert.deepEqual(ids("running", "", "id"), ["2"]);
  assert.deepEqual(ids("all", "PARKED", "id"), ["1"]);
  assert.deepEqual(ids("all", "", "class"), ["10", "1", "2"]);
  assert.match(csvOf([request("1", "waiting", { ahead: 3, expected_seconds: 15 })]), /,"3","15","",""\r\n$/);
  assert.equal(csvOf([request("1", "waiting", { tenant: "=cmd" })]).split("\r\n").length, 3);
});

const endedRequest = (more: Partial<EndedRow>): EndedRow => ({
  id: "1", model: "a", tenant: "t", priority: "normal", finish: "stop", error: null, prompt_tokens: 9, reused_tokens: 0, recomputed_tokens: 0, output_tokens: 11,
  tokens_per_second: 5, held_seconds: 1, queue_seconds: 3, first_token_seconds: 4, parked_seconds: 0, total_seconds: 6, submitted_ms: 1000, ended_ms: 7000, ...more,
});

test("a row says why it waits in a few words of the reason's numbers", () => {
  const short = (reason: string, more: object = {}, waits_for = "slot"): string | null =>
    shortWhy(request("1", "waiting", { waits_for, why: { reason, text: "A sentence.", ...more } } as Partial<RequestRow>));
  assert.deepEqual(
    [short("sequences", { in_use: 4, max: 4 }), short("sequences", { in_use: 1, max: 1 }), short("cells", { need: 2048, free: 1 }), short("loading", { percent: 42 }), short("class", { class: "high", model: "a" }), short("share", { models: ["a", "b"] })],
    ["4 of 4 sequences", "1 of 1 sequence", "needs 2,048 cells, 1 free", "42 % are there", "class high first", "takes turns with a, b"],
  );
  assert.deepEqual([short("queue", {}, "turn"), short("queue", {}, "batch"), short("suspended", {}, "resume")], ["Its turn", "Joins a batch", null]);
  assert.equal(shortWhy(request("1", "decode")), null);
});

test("the time of a request that has ended is spent in stages that add up to it", () => {
  assert.deepEqual(lifeOf(endedRequest({}), 99), { held: 1, queue: 2, prompt: 1, writing: 2, parked: 0 });
  assert.deepEqual(lifeOf(endedRequest({ parked_seconds: 1.5 }), 99), { held: 1, queue: 2, prompt: 1, writing: 0.5, parked: 1.5 });
  assert.deepEqual(lifeOf(endedRequest({ parked_seconds: 2.5 }), 99), { held: 1, queue: 2, prompt: 0.5, writing: 0, parked: 2.5 }, "it was parked while its prompt was read, too");
  assert.deepEqual(lifeOf(endedRequest({ first_token_seconds: 0 }), 99), { held: 1, queue: 2, prompt: 3, writing: 0, parked: 0 }, "no token came");
  assert.deepEqual(lifeOf(endedRequest({ held_seconds: 0, queue_seconds: 6, first_token_seconds: 0 }), 99), { held: 0, queue: 6, prompt: 0, writing: 0, parked: 0 }, "it never began");
});

test("the time of a request that goes on is spent in the stages that it has come to", () => {
  assert.deepEqual(lifeOf(request("1", "loading", { waits_for: "load" }), 5), { held: 5, queue: 0, prompt: 0, writing: 0, parked: 0 });
  assert.deepEqual(lifeOf(request("1", "waiting", { held_seconds: 2 }), 5), { held: 2, queue: 3, prompt: 0, writing: 0, parked: 0 });
  assert.deepEqual(lifeOf(request("1", "prefill", { held_seconds: 2, queue_seconds: 3 }), 5), { held: 2, queue: 1, prompt: 2, writing: 0, parked: 0 });
  assert.deepEqual(lifeOf(request("1", "decode", { queue_seconds: 1, first_token_seconds: 2 }), 5), { held: 0, queue: 1, prompt: 1, writing: 3, parked: 0 });
  assert.equal(lifeOf(request("1", "decode", { queue_seconds: 1, first_token_seconds: 2 }), 1.5).writing, 0, "a clock that is behind makes no time negative");
});

test("the cores of a model are columns of a picture, each the mean of its seconds", () => {
  const reply = { step_seconds: 1, now_ms: 0, totals: {}, models: { b: { cores: [...Array(898).fill(null), 1, 2], cores_due: [1.5] }, a: { cores: [...Array(899).fill(0), 1] }, idle: { cores: Array(900).fill(0) } } } as unknown as HistoryReply;
  const cores = coresOf(reply);
  assert.deepEqual([...cores.models.keys()], ["a", "b"], "by name, and only those that computed");
  assert.deepEqual(coreSecondsOf(cores), [{ model: "a", seconds: 1, due: 0 }, { model: "b", seconds: 3, due: 1.5 }]);
  const columns = columnsOf(cores, 4, 450);
  assert.equal(columns.length, 450);
  assert.deepEqual(columns[448], []);
  assert.deepEqual(columns[449], [{ model: "a", from: 0, to: 0.125 }, { model: "b", from: 0.125, to: 0.5 }]);
  assert.deepEqual(columnsOf(cores, 1, 900)[899]?.at(-1), { model: "b", from: 1, to: 1 }, "never above the top");
});

test("a speed is that of the tokens behind the first one", () => {
  assert.equal(speedOf(request("1", "decode", { output_tokens: 11, first_token_seconds: 2 }), 4), 5);
  assert.equal(speedOf(request("1", "decode", { output_tokens: 1, first_token_seconds: 2 }), 4), null);
  assert.equal(speedOf(request("1", "prefill"), 4), null);
  assert.equal(speedOf(endedRequest({}), 99), 5, "of one that has ended the daemon says it");
});

test("requests that have ended are filtered, sorted and exported, too", () => {
  const rows = [endedRequest({ id: "1", total_seconds: 2 }), endedRequest({ id: "2", finish: "failed", error: "engine_failed", total_seconds: 3 })];
  assert.deepEqual(rowsOf(rows, "ended", "engine", { key: "id", down: false }, 0).map((r) => r.id), ["2"]);
  assert.deepEqual(rowsOf(rows, "ended", "", { key: "age", down: true }, 0).map((r) => r.id), ["2", "1"]);
  const [head, , second] = csvOf(rows).split("\r\n");
  assert.equal(second?.split(",")[head?.split(",").indexOf("error") ?? -1], '"engine_failed"');
});

test("a place in the queue is a number and a time", () => {
  const text = (ahead: number, inSeconds: number | null): string => words.requests.place(ahead, inSeconds, age);
  assert.deepEqual([text(0, null), text(0, 1), text(3, 90), text(20, null)], ["next", "next, about 1 s", "3 ahead, about 1 min 30 s", "20 ahead"]);
});

test("figures are short", () => {
  assert.deepEqual([short(0.123), short(7), short(7.25), short(412.4), short(null)], ["0.12", "7", "7.3", "412", "\u2014"]);
  assert.deepEqual([bytes(512), bytes(1536), bytes(98_362_432), bytes(999_600_000)], ["512 B", "1.5 kB", "98 MB", "1.0 GB"]);
  assert.deepEqual([seconds(0.042), seconds(3.21), seconds(75)], ["42 ms", "3.2 s", "1 min 15 s"]);
  assert.equal(percent(1, 3), 33);
});

test("a curve has gaps where there is no figure", () => {
  const { line, area } = pathsOf([1, 2, null, 3], 3);
  assert.equal(line.match(/M/g)?.length, 2);
  assert.equal(area.match(/Z/g)?.length, 2);
});

test("a curve begins with the first second that is known", () => {
  assert.deepEqual(knownOf([null, null, 0, null, 3]), [0, null, 3]);
  assert.deepEqual(knownOf([null, null]), []);
});

test("of what is asked while an answer is on its way only the last is asked", async () => {
  const asked: number[] = [];
  let answer: () => void = () => undefined;
  const latest = new Latest<number>((question) => {
    asked.push(question);
    return new Promise((resolve, reject) => (answer = question === 1 ? reject : resolve));
  });
  for (const question of [1, 2, 3]) latest.put(question);
  assert.deepEqual(asked, [1]); // at once
  answer();
  await new Promise(setImmediate);
  assert.deepEqual(asked, [1, 3]); // a failure stops nothing
  answer();
  await new Promise(setImmediate);
  latest.put(4);
  assert.deepEqual(asked, [1, 3, 4]);
  latest.put(5);
  latest.end();
  answer();
  await new Promise(setImmediate);
  assert.deepEqual(asked, [1, 3, 4]);
});

test("the rows in sight change by steps, and cover what is shown", () => {
  const height = 400;
  let before = "";
  let changes = 0;
  for (let top = 0; top <= 1000 * 40 - height; top += 25) {
    const [first, last] = rowsInSight(top, height, 40, 1000, 8);
    assert.ok(first * 40 <= top && last * 40 >= top + height, `${top}: ${first} to ${last}`);
    if (before !== `${first} ${last}`) ++changes;
    before = `${first} ${last}`;
  }
  assert.ok(changes < 1000 / 4 + 1, String(changes));
  assert.deepEqual(rowsInSight(0, height, 40, 3, 8), [0, 3]);
  assert.deepEqual(rowsInSight(90_000, height, 40, 10, 8), [10, 10]);
});

test("a row that changed is found by what it says now", () => {
  const row = request("1", "waiting", { model: "alpha" });
  assert.ok(matches(row, "ALPHA") && !matches(row, "beta"));
  assert.ok(matches({ ...row, model: "beta" }, "beta"));
});

test("a message that is sent anew takes what came after it along, where it was asked", () => {
  const turns = (...all: number[]) => all.map((turn) => ({ turn }));
  const all = [turns(1, 2, 4, 5), turns(2, 4), turns(4, 5), turns()];
  assert.deepEqual(all.map((said) => before(said, 2)), [turns(1), turns(), null, null]);
  assert.deepEqual(replaced(all, 2), { columns: 2, later: 2 });
  assert.deepEqual(replaced(all, 5), { columns: 2, later: 0 });
  assert.deepEqual(replaced(all, 1), { columns: 1, later: 3 });
});
