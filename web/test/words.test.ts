import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

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
