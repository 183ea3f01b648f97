// Random input: the reader of a stream's events, with the frames that it tells, and Markdown.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ComponentChildren } from "preact";
import { SseReader, type SseEvent } from "../src/net/sse.ts";
import { lex } from "../src/safe/lexer.ts";
import { markdown, nothingKnown } from "../src/safe/markdown.tsx";
import { emptyView, reduce, type Frame } from "../src/state/frames.ts";
import { walk } from "./elements.ts";
import { numbers, seeds } from "./random.ts";

// Calls `act` with each seed and numbers of it. What it throws tells the seed.
function each(what: string, usual: number, act: (next: (below: number) => number) => void): void {
  for (const seed of seeds(what, usual))
    try {
      act(numbers(seed));
    } catch (error) {
      throw new Error(`CHOIR_UI_FUZZ_SEED=${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
}
const made = (next: (below: number) => number, parts: readonly string[], most: number): string => {
  let text = "";
  for (let i = 1 + next(most); i > 0; --i) text += parts[next(parts.length)];
  return text;
};

const kLines = ["event: hello", "event: snapshot", "event:delta", "event", "id: 7", "id:", "data: {}", "data:", "data", 'data: {"topic":"requests","rows":[{"id":"1"}]}', 'data: {"topic":"requests","set":[{"id":"2"}],"gone":["1"]}', 'data: {"topic":"state","rows":[]}', 'data: {"epoch":"1","scopes":[],"tenant":null}', ": loading 4 %", ":", "\ud83d\ude00: \u2028", "retry: 5", "  data: x", "\u0000"];
const kEnds = ["\n", "\n", "\n\n", "\r\n", "\r\n\r\n", "\r", ""];

test("a random stream gives the same events wherever its pieces end, and its frames end in one state", () => {
  each("streams", 400, (next) => {
    let stream = "";
    for (let i = next(40); i > 0; --i) stream += (kLines[next(kLines.length)] ?? "") + (kEnds[next(kEnds.length)] ?? "");
    const whole = new SseReader().take(stream);
    const reader = new SseReader();
    const pieces: SseEvent[] = [];
    for (let at = 0; at < stream.length; ) {
      const size = 1 + next(9);
      pieces.push(...reader.take(stream.slice(at, at + size)));
      at += size;
    }
    assert.deepEqual(pieces, whole);
    const told = (events: readonly SseEvent[]): unknown =>
      events.filter(({ event }) => /^(?:hello|snapshot|delta)$/.test(event)).reduce((view, { event, data }) => {
        try {
          return reduce(view, { event, data: JSON.parse(data) } as Frame);
        } catch {
          return view; // no frame of the daemon; the page begins the stream anew then
        }
      }, emptyView);
    assert.deepEqual(told(pieces), told(whole));
  });
});

const kParts = ["<script>", "</script>", "[a](", "javascript:", ")", "![", "](", "`", "```\n", "\n\n", "\n", "- ", "1. ", "> ", "*", "**", "_", "~~", "|", "|-|-|\n", "<a href=x>", "&lt;", "&#x3c;", "\u202e", "\u0000", "http://x.y", "<!--", "-->", "\\", "#", " ", "text", "<svg/onload=x>", "{{x}}", "[ ] "];

test("random text makes no other elements, and none throws", () => {
  each("Markdown", 1500, (next) => {
    walk(markdown(made(next, kParts, 24), lex).view);
  });
});

// Without an open <a>: behind it the lexer makes no link of an address, up to the end of the text that it is given at once.
const kGrowing = [...kParts.filter((part) => !part.startsWith("<a")), "Words of a line.\n\n", "Title\n\n"];

test("a random text that grows ends with the words that it would have begun with", () => {
  each("Markdown that grows", 150, (next) => {
    const source = made(next, kGrowing, 30);
    let known = nothingKnown;
    let view: ComponentChildren = null;
    for (let end = 1; end < source.length + 4; end += 1 + next(4)) {
      const grown = markdown(source.slice(0, end), lex, known);
      known = grown.known;
      view = grown.view;
    }
    view = markdown(source, lex, known).view;
    assert.equal(walk(view), walk(markdown(source, lex).view));
  });
});
