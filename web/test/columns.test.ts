import assert from "node:assert/strict";
import { test } from "node:test";
import { differing, divided, given, kWidthLeast, namesOf, partOf, settingsOf, tracksOf, type Own, type Settings } from "../src/state/columns.ts";

const all: Settings = { system: "Be brief.", temperature: 0.7, maxTokens: 512, seed: 7, priority: "" };

test("a column has its own settings, and those of all for the rest", () => {
  const own = given(all, {}, { temperature: 1.2, seed: null });
  assert.deepEqual(settingsOf(all, own), { ...all, temperature: 1.2, seed: null });
  assert.deepEqual(differing(all, own), ["temperature", "seed"]);
  assert.deepEqual(settingsOf({ ...all, temperature: 0, maxTokens: 8 }, own), { ...all, temperature: 1.2, maxTokens: 8, seed: null });
});

test("what all have is not a column's own", () => {
  const own: Own = given(all, { system: "", temperature: 1 }, { temperature: 0.7 });
  assert.deepEqual(own, { system: "" });
  assert.deepEqual(differing({ ...all, system: "" }, own), []);
  assert.deepEqual(differing(all, {}), []);
});

test("columns of one model are told apart by their place", () => {
  const placed = (model: string, place: number): string => `${model} #${place}`;
  assert.deepEqual(namesOf(["a", "b", "a"], placed), ["a #1", "b", "a #3"]);
});

test("what a column gets in width its neighbour gives, and both stay in sight", () => {
  const near = (a: number, b: number): void => assert.ok(Math.abs(a - b) < 1e-9, `${a} ${b}`);
  for (const [wanted, first] of [[1.3, 1.3], [-5, kWidthLeast], [9, 2 - kWidthLeast]] as const) {
    const [a, b] = divided(2, wanted);
    near(a, first);
    near(a + b, 2);
  }
  assert.deepEqual(partOf(1, 1), { now: 50, least: 30, most: 70 });
  assert.deepEqual(partOf(1.8, 0.6), { now: 75, least: 25, most: 75 });
});

test("columns keep their proportions where they scroll, too", () => {
  assert.equal(tracksOf([1, 1.5]), "minmax(calc(1.000 * min(17.5rem, 100%)), 1.000fr) 1rem minmax(calc(1.500 * min(17.5rem, 100%)), 1.500fr)");
});
