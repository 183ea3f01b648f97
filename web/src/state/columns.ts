// The columns of the chat beside each other: their own settings, their names, and how wide they are. Pure.

export interface Settings {
  system: string;
  temperature: number;
  maxTokens: number;
  seed: number | null; // null: a random one
  priority: string; // empty: that of the model
}
export type Own = Partial<Settings>; // what a column has beside the settings of all

export const settingsOf = (all: Settings, own: Own): Settings => ({ ...all, ...own });

// Which settings of a column differ from those of all.
export const differing = (all: Settings, own: Own): (keyof Settings)[] =>
  (Object.keys(all) as (keyof Settings)[]).filter((key) => own[key] !== undefined && own[key] !== all[key]);

// What a column has of its own when it is given these values: one that all have is not its own.
export function given(all: Settings, own: Own, change: Own): Own {
  const next = { ...own, ...change };
  for (const key of Object.keys(change) as (keyof Settings)[]) if (next[key] === all[key]) delete next[key];
  return next;
}

// The name of each column: its model's, with its place where another has the same.
export function namesOf(models: readonly string[], placed: (model: string, place: number) => string): string[] {
  return models.map((model, i) => (models.indexOf(model) === models.lastIndexOf(model) ? model : placed(model, i + 1)));
}

// Widths are of a usual column's. What one of two neighbours gets, the other gives.
export const kWidthLeast = 0.6;
export const divided = (both: number, first: number): [number, number] => {
  const width = Math.max(kWidthLeast, Math.min(both - kWidthLeast, first));
  return [width, both - width];
};

// In percent of two neighbours: the first one's part, and between what it may be.
export function partOf(first: number, second: number): { now: number; least: number; most: number } {
  const percent = (part: number): number => Math.round((100 * part) / (first + second));
  return { now: percent(first), least: percent(kWidthLeast), most: percent(first + second - kWidthLeast) };
}

const kUsualWidth = "min(17.5rem, 100%)"; // below it, the columns scroll
const kBetween = "1rem";
// For grid-template-columns. Columns that have no room beside each other keep their proportions, too.
export const tracksOf = (widths: readonly number[]): string =>
  widths.map((width) => `minmax(calc(${width.toFixed(3)} * ${kUsualWidth}), ${width.toFixed(3)}fr)`).join(` ${kBetween} `);
