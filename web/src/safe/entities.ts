// The references that Markdown allows in text ("&amp;", "&#39;"). Pure. Others stay as they are written.

const kNamed: Record<string, string> = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", copy: "\u00a9", reg: "\u00ae", trade: "\u2122",
  hellip: "\u2026", mdash: "\u2014", ndash: "\u2013", lsquo: "\u2018", rsquo: "\u2019", ldquo: "\u201c", rdquo: "\u201d",
  laquo: "\u00ab", raquo: "\u00bb", times: "\u00d7", deg: "\u00b0", euro: "\u20ac", pound: "\u00a3", middot: "\u00b7",
  bull: "\u2022", rarr: "\u2192", larr: "\u2190", le: "\u2264", ge: "\u2265", ne: "\u2260", plusmn: "\u00b1",
};

export function withoutEntities(text: string): string {
  return text.replace(/&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|([a-z]{2,8}));/gi, (whole, hex?: string, ten?: string, name?: string) => {
    if (name) return Object.hasOwn(kNamed, name) ? (kNamed[name] ?? whole) : whole;
    const code = hex ? parseInt(hex, 16) : parseInt(ten ?? "", 10);
    return code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? String.fromCodePoint(code) : "\ufffd";
  });
}
