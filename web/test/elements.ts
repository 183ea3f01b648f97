// What Markdown makes of a text: its words, and a check that there are no elements but those allowed.
import assert from "node:assert/strict";
import type { ComponentChildren } from "preact";

interface Made {
  type: unknown;
  props: Record<string, unknown> & { children?: ComponentChildren };
}

const kKinds = new Set([
  "p", "h3", "h4", "h5", "h6", "strong", "em", "del", "code", "pre", "ul", "ol", "li", "blockquote", "div", "table",
  "thead", "tbody", "tr", "th", "td", "hr", "br", "a", "span",
]);
const kProps = new Set(["children", "class", "href", "rel", "target", "tabIndex", "start", "scope"]);

// Text of the elements.
export function walk(node: unknown, path = ""): string {
  if (node === null || node === undefined || typeof node === "boolean") return "";
  if (Array.isArray(node)) return node.map((n) => walk(n, path)).join("");
  if (typeof node === "string" || typeof node === "number") return String(node);
  const made = node as Made;
  if (typeof made.type === "string") {
    assert.ok(kKinds.has(made.type), `${made.type} at ${path}`);
    for (const name of Object.keys(made.props)) assert.ok(kProps.has(name), `${made.type} has ${name}`);
    if (made.type === "a") {
      const href = String(made.props["href"]);
      assert.match(href, /^(https?:|mailto:)/);
      assert.equal(made.props["rel"], "noopener noreferrer nofollow");
    }
  }
  return walk(made.props.children, `${path}/${String(made.type)}`);
}
