// A model's text as elements. `marked` splits it into tokens; the elements are made here, from these kinds alone:
// p h3..h6 (shown one step lower) strong em del code pre ul ol li blockquote table(thead tbody tr th td) hr br a span.
// HTML in the text is shown as text. Nothing is loaded: an image is a link with its address.
import type { Token, Tokens } from "marked";
import type { ComponentChildren, VNode } from "preact";
import { withoutEntities } from "./entities.ts";
import { safeLink } from "./link.ts";
import { visible } from "./visible.ts";

export const kLongestMarkdown = 200_000; // characters; longer text is shown as it is
export const kDeepest = 32;

const text = (raw: string): string => visible(withoutEntities(raw));

function link(address: string, children: ComponentChildren): ComponentChildren {
  const safe = safeLink(withoutEntities(address));
  if (!safe) return <span>{children}</span>;
  return (
    <span>
      <a href={safe.href} rel="noopener noreferrer nofollow" target="_blank">
        {children}
      </a>
      <span class="host"> ({visible(safe.host)})</span>
    </span>
  );
}

function cells(row: Tokens.TableCell[], head: boolean, depth: number): VNode[] {
  return row.map((cell, i) => (head ? <th key={i} scope="col">{inline(cell.tokens, depth)}</th> : <td key={i}>{inline(cell.tokens, depth)}</td>));
}

function heading(level: number, children: ComponentChildren): VNode {
  if (level <= 1) return <h3>{children}</h3>;
  if (level === 2) return <h4>{children}</h4>;
  if (level === 3) return <h5>{children}</h5>;
  return <h6>{children}</h6>;
}

function inline(tokens: Token[] | undefined, depth: number): ComponentChildren[] {
  return (tokens ?? []).map((token) => element(token, depth + 1));
}

function element(token: Token, depth: number): ComponentChildren {
  if (depth > kDeepest) return visible(token.raw);
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "paragraph":
      return <p>{inline(token.tokens, depth)}</p>;
    case "heading":
      return heading((token as Tokens.Heading).depth, inline(token.tokens, depth));
    case "strong":
      return <strong>{inline(token.tokens, depth)}</strong>;
    case "em":
      return <em>{inline(token.tokens, depth)}</em>;
    case "del":
      return <del>{inline(token.tokens, depth)}</del>;
    case "codespan":
      return <code>{visible((token as Tokens.Codespan).text)}</code>;
    case "code":
      return (
        <pre tabIndex={0}>
          <code>{visible((token as Tokens.Code).text)}</code>
        </pre>
      );
    case "blockquote":
      return <blockquote>{inline(token.tokens, depth)}</blockquote>;
    case "list": {
      const list = token as Tokens.List;
      const items = list.items.map((item, i) => (
        <li key={i}>
          {item.task ? (item.checked ? "\u2611 " : "\u2610 ") : null}
          {inline(item.tokens, depth)}
        </li>
      ));
      return list.ordered ? <ol start={Number(list.start) || 1}>{items}</ol> : <ul>{items}</ul>;
    }
    case "checkbox":
      return null;
    case "table": {
      const table = token as Tokens.Table;
      return (
        <div class="scrolls" tabIndex={0}>
          <table>
            <thead>
              <tr>{cells(table.header, true, depth)}</tr>
            </thead>
            <tbody>
              {table.rows.map((row, i) => (
                <tr key={i}>{cells(row, false, depth)}</tr>
              ))}
            </tbody>
          </table>
        </div>
      );
    }
    case "hr":
      return <hr />;
    case "br":
      return <br />;
    case "link":
      return link((token as Tokens.Link).href, inline(token.tokens, depth));
    case "image": {
      const image = token as Tokens.Image;
      return link(image.href, text(image.text || image.href));
    }
    case "escape":
      return visible((token as Tokens.Escape).text);
    case "text":
      return token.tokens ? inline(token.tokens, depth) : text((token as Tokens.Text).text);
    default: // html, and what a later marked may add
      return visible(token.raw);
  }
}

export type Lex = (source: string) => Token[]; // that of lexer.ts

// The blocks of a text that were lexed once; of a text that grows only what may still change is lexed again.
interface Known {
  text: string; // that `blocks` stand for
  blocks: VNode[];
}

export interface Grown {
  known: Known;
  view: ComponentChildren;
}

export const nothingKnown: Known = { text: "", blocks: [] };

// Where what is before does not change any more: behind a blank line, before a line that is whole, begins a block of its
// own and is not in a fence. 0: nowhere.
function settledEnd(source: string): number {
  if (/^ *(?:`{4,}|~~~)/m.test(source)) return 0; // fences that may have others inside
  if (/^ {0,3}<(?:script|pre|style|textarea|[!?])/im.test(source)) return 0; // HTML that goes on behind a blank line
  for (let at = source.lastIndexOf("\n\n"); at > 0; at = source.lastIndexOf("\n\n", at - 1)) {
    if (!/^(?:[\p{L}"'(*_]|```|#+ )[^\n]*\n/u.test(source.slice(at + 2)) || /^[*_] /.test(source.slice(at + 2, at + 4))) continue;
    const fences = source.slice(0, at).match(/^ *```/gm)?.length ?? 0;
    if (fences % 2 === 0) return at + 2;
  }
  return 0;
}

export function markdown(source: string, lex: Lex, known: Known = nothingKnown): Grown {
  if (source.length > kLongestMarkdown) return { known: nothingKnown, view: <p class="plain">{visible(source)}</p> };
  let base = source.startsWith(known.text) ? known : nothingKnown;
  try {
    const settled = base.text.length + settledEnd(source.slice(base.text.length));
    if (settled > base.text.length) {
      const more = lex(source.slice(base.text.length, settled));
      base = { text: source.slice(0, settled), blocks: [...base.blocks, <>{more.map((t) => element(t, 0))}</>] };
    }
    const open = lex(source.slice(base.text.length));
    return { known: base, view: [...base.blocks, ...open.map((t) => element(t, 0))] };
  } catch {
    return { known: nothingKnown, view: <p class="plain">{visible(source)}</p> };
  }
}
