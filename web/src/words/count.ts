// A number with the word for what is counted.
const plural = new Intl.PluralRules("en");
export const n = (count: number, one: string, many: string): string =>
  `${count.toLocaleString("en")} ${plural.select(count) === "one" ? one : many}`;
