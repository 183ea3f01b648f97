import assert from "node:assert/strict";
import { test } from "node:test";
import type { ComponentChildren } from "preact";
import { safeLink } from "../src/safe/link.ts";
import { lex } from "../src/safe/lexer.ts";
import { kLongestMarkdown, markdown, nothingKnown } from "../src/safe/markdown.tsx";
import { csvCell, visible, visibleLine } from "../src/safe/visible.ts";
import { walk } from "./elements.ts";

const textOf = (source: string): string => walk(markdown(source, lex).view);

test("HTML in an answer is text", () => {
  const evil = '<img src=x onerror=alert(1)> and <script>alert(2)</script>\n\n<div onclick="x()">three</div>';
  const text = textOf(evil);
  for (const part of ["<img src=x onerror=alert(1)>", "<script>alert(2)</script>", '<div onclick="x()">'])
    assert.ok(text.includes(part), text);
});

test("only http, https and mailto are links, and their host is shown", () => {
  assert.ok(textOf("[good](https://example.org/a)").includes("example.org"));
  for (const bad of ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\nscript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "//example.org", "blob:x", "https://a@evil.example"])
    assert.equal(safeLink(bad), null, bad);
  assert.equal(safeLink("https://EXAMPLE.org:8443/x")?.host, "example.org:8443");
  textOf("[x](javascript&colon;alert(1)) [y](&#106;avascript:alert(1)) <javascript:alert(1)> ![z](data:image/svg+xml,a)");
});

test("an image is a link with its address and is not loaded", () => {
  assert.ok(textOf("![a cat](https://example.org/cat.png)").includes("a cat (example.org)"));
});

test("marks that are not seen are seen", () => {
  assert.equal(visible("a\u202eb"), "a\u27e8U+202E\u27e9b");
  assert.equal(visible("\u001b[31m"), "\u241b[31m");
  assert.equal(visible("a\tb\nc\r\nd"), "a\tb\nc\nd");
  assert.equal(visibleLine("a\n\tb"), "a b");
  assert.equal(visible("\u{1f469}\u200d\u{1f52c}"), "\u{1f469}\u200d\u{1f52c}");
  assert.ok(textOf("`x\u2066y`").includes("U+2066"));
  assert.ok(textOf("x&#x202e;y").includes("U+202E"));
});

test("references of Markdown are read once", () => {
  assert.equal(textOf("a &lt;b&gt; &amp;lt; &#39;"), "a <b> &lt; '");
  assert.equal(textOf("`a &lt; b`"), "a &lt; b");
});

test("what is long or deep is still text", () => {
  assert.equal(textOf("x".repeat(kLongestMarkdown + 1)).length, kLongestMarkdown + 1);
  assert.ok(textOf(">".repeat(200) + "deep").includes("deep"));
  assert.ok(textOf("*".repeat(1000) + "a" + "*".repeat(1000)).length > 0);
});

test("a text that grows ends as it would have begun", () => {
  const source = "# Title\n\nOne *two* three.\n\n- a\n- b\n\n  more of b\n\nthen\n\n```js\nlet x = 1;\n\nlet y;\n\nlet z;\n```\n\n1. one\n\n2. two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nend & end\n\nlast words\n";
  let known = nothingKnown;
  let view: ComponentChildren = null;
  for (let end = 1; end <= source.length; ++end) {
    const grown = markdown(source.slice(0, end), lex, known);
    known = grown.known;
    view = grown.view;
  }
  assert.equal(walk(view), textOf(source));
  assert.ok(known.text.length > 20, "a part of it was not read again");
});

test("HTML that goes on behind a blank line is one text, also of an answer that grows", () => {
  for (const begin of ["<script>", "<!--", "<pre>"]) {
    const source = `${begin}\n\nTitle\n\nWords of a *line*.\n\nend\n`;
    let known = nothingKnown;
    for (let end = 1; end <= source.length; ++end) known = markdown(source.slice(0, end), lex, known).known;
    assert.equal(walk(markdown(source, lex, known).view), textOf(source));
  }
});

test("a cell of CSV is never a formula", () => {
  assert.equal(csvCell("=1+1"), `"'=1+1"`);
  assert.equal(csvCell("@x"), `"'@x"`);
  assert.equal(csvCell('a"b'), '"a""b"');
  assert.equal(csvCell(-3), '"-3"');
});
