import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { words } from "../src/words/en.ts";
import { translate } from "../src/words/pseudo.ts";

function* files(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) yield* files(join(folder, entry.name));
    else yield join(folder, entry.name);
  }
}

const sources = [...files(join(WEB, "src"))].map((path) => ({ path, text: readFileSync(path, "utf8") }));

test("no component has words of its own", () => {
  for (const { path, text } of sources.filter((s) => s.path.endsWith(".tsx"))) {
    const bare = text.replace(/\/\/.*$/gm, "");
    assert.doesNotMatch(bare, /<\/?[a-zA-Z0-9]+[^<>]*>\s*[A-Z][a-z]+ [a-z]/, path);
    assert.doesNotMatch(bare, /(?:aria-label|title|placeholder|label)="[A-Za-z]/, path);
  }
});

test("nothing makes elements of text, and nothing stores a secret for longer than the tab", () => {
  for (const { path, text } of sources) {
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|createContextualFragment|srcdoc|DOMParser/, path);
    assert.doesNotMatch(text, /document\.cookie/, path);
    if (!path.endsWith("prefs.ts")) assert.doesNotMatch(text, /localStorage/, path);
  }
});

const shown = sources.filter(({ path }) => !path.includes("/words/"));

function* leavesOf(table: object, above: readonly string[] = []): Generator<readonly string[]> {
  for (const [name, value] of Object.entries(table)) {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) yield* leavesOf(value as object, [...above, name]);
    else yield [...above, name];
  }
}

// By its last name behind that of a table or a short name of one (w and the like), or by that of a table which is read
// with a name that the daemon or a list gives.
test("every text of the words is used somewhere", () => {
  const code = shown.map(({ text }) => text).join("\n");
  const used = (path: readonly string[]): boolean =>
    new RegExp(`\\b(?:[wcsu]|words|(?:w|words)(?:\\.\\w+)+)\\.${path.at(-1)}\\b`).test(code) || path.slice(0, -1).some((table) => new RegExp(`\\.${table}\\[`).test(code));
  assert.deepEqual([...leavesOf(words)].filter((path) => !used(path)).map((path) => path.join(".")), []);
});

test("units that people read are among the words", () => {
  for (const { path, text } of shown.filter((s) => !s.path.endsWith("openapi.ts"))) {
    const bare = text.replace(/\/\/.*$/gm, "").replace(/new Error\([^)]*\)/g, "");
    assert.doesNotMatch(bare, /[\d}] (?:ms|s|min|h|B|kB|MB|GB|TB)(?=[`"'<,;.\s]*[`"'<])|["'`](?:kB|MB|GB|ms|min)["'`]/, path);
  }
});

// ---- the language of tests ----------------------------------------------------------------------

function* textsOf(table: object): Generator<string> {
  for (const value of Object.values(table)) {
    if (typeof value === "string") yield value;
    else if (typeof value === "object" && value !== null) yield* textsOf(value);
  }
}

test("the language of tests makes every text longer and leaves no plain letter", () => {
  const table = JSON.parse(JSON.stringify(words)) as object; // without what is made of numbers;
  const before = [...textsOf(table)];
  translate(table);
  const after = [...textsOf(table)];
  assert.equal(after.length, before.length);
  const letters = (text: string): number => text.match(/\p{L}/gu)?.length ?? 0;
  after.forEach((text, i) => {
    assert.doesNotMatch(text, /[A-Za-z]/, before[i]);
    assert.ok(Math.abs(letters(text) - 1.4 * letters(before[i] ?? "")) <= 1, `${before[i]} -> ${text}`);
  });
  assert.ok(before.length > 200);
});

test("the language of tests leaves names and numbers that a text is made of", () => {
  const table = { stop: (name: string) => `Stop ${name} only`, count: (n: number) => `${n} rows`, both: (a: string, b: string) => `${a} of ${b}` };
  translate(table);
  assert.match(table.stop("llama"), /^Š\p{L}+ llama \p{L}+$/u);
  assert.match(table.count(3), /^3 \p{L}{5,}$/u);
  assert.doesNotMatch(table.count(3), /[a-z]/);
  assert.match(table.both("1 MiB", "2 MiB"), /^1 MiB ö\p{L}* 2 MiB$/u);
});
