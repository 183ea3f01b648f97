// Text of models, files and other people. Pure.
//
// Characters that are not seen, or that turn the order of others, are shown by their number, so that a name cannot look
// like another one. Tabs and line ends stay where the text may have lines.

// C0 without \t \n, DEL, C1; soft hyphen; Arabic letter mark; zero width space; directional marks, embeddings, overrides
// and isolates; word joiner and the invisible operators; interlinear marks; byte order mark; tags. Zero width joiners
// stay: emoji and some scripts need them.
const kMarks = new RegExp(
  "[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e" +
    "\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]|[\\u{e0000}-\\u{e007f}]",
  "gu",
);

function shown(c: string): string {
  const code = c.codePointAt(0) ?? 0;
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
}

export function visible(text: string): string {
  return text.replace(/\r\n/g, "\n").replace(kMarks, shown);
}

// On one line.
export function visibleLine(text: string): string {
  return visible(text).replace(/[\t\n]+/g, " ");
}

// A cell of a CSV file: quoted, and never a formula.
export function csvCell(value: string | number): string {
  const text = String(value);
  const safe = /^[=+\-@\t\r]/.test(text) && typeof value === "string" ? "'" + text : text;
  return `"${safe.replace(/"/g, '""')}"`;
}
