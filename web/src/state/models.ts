// The colour and the letter of each model, and whether it is in memory. Pure. Colour and letter follow the name: a model
// looks the same on each visit, unless a second one wants the same, and throughout a visit.
import type { Estimate, ModelRow } from "../net/wire.ts";

export const inMemory = (model: Pick<ModelRow, "state">): boolean => model.state === "loaded" || model.state === "suspended";

// How much of a model that is loading is there; null: it is not loading, or nobody knows.
export const loadPercent = (model: Pick<ModelRow, "state" | "load_progress"> | undefined): number | null =>
  model?.state === "loading" && model.load_progress !== null ? Math.floor(100 * model.load_progress) : null;

// Weights of one file are in memory once, whatever models use it: those of `m` count with this model, the first of them.
export function weightsWith<T extends Pick<ModelRow, "name" | "path" | "weight_bytes">>(all: Iterable<T>, m: T): string {
  for (const other of all) if (other.path === m.path && other.weight_bytes > 0) return other.name;
  return m.name;
}

export interface Room {
  fits: "now" | "after" | "not"; // `after` others have left
  others: number; // bytes of the limit that stay taken
  leaving: number;
  own: number; // that the model has now: its weights, and what it keeps until a resize is done
}

// How what an estimate tells divides the memory. `row`: the model, where it is in memory.
export function roomOf(e: Pick<Estimate, "fits" | "would_leave" | "promised_bytes">, row: ModelRow | undefined, all: readonly ModelRow[]): Room {
  const bytesOf = (m: ModelRow): number => m.kv_bytes + m.compute_bytes + (weightsWith(all, m) === m.name ? m.weight_bytes : 0);
  const own = row && inMemory(row) ? row.kv_bytes + row.compute_bytes + row.weight_bytes : 0;
  const rest = Math.max(0, e.promised_bytes - own);
  const leaving = Math.min(rest, all.reduce((sum, m) => sum + (e.would_leave.includes(m.name) ? bytesOf(m) : 0), 0));
  return { fits: !e.fits ? "not" : e.would_leave.length > 0 ? "after" : "now", others: rest - leaving, leaving, own };
}

// What of the catalogue is offered first: models that have room, in its order, before the smallest that have none.
export function offersOf<T extends { bytes: number }>(all: readonly T[], room: number, most: number): { first: T[]; more: T[] } {
  const fits = (one: T): boolean => room <= 0 || one.bytes < room;
  const sorted = [...all.filter(fits), ...all.filter((one) => !fits(one)).sort((a, b) => a.bytes - b.bytes)];
  return { first: sorted.slice(0, most), more: sorted.slice(most) };
}

// Each has 3:1 against both grounds of the page, and white letters have 4.5:1 on it. That leaves about one lightness for
// all; in it they are as far from each other as colours of this strength can be, also for those who do not see green.
export const kColours = [
  "#2472e4", "#d24206", "#007e30", "#cc3c7e", "#9c54cc", "#007e96", "#8a6078", "#906600",
] as const;

export interface Look {
  colour: number; // in kColours
  letter: string;
}

function hash(name: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < name.length; ++i) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193) >>> 0;
  return h >>> 0;
}

function letterOf(name: string, taken: ReadonlySet<string>): string {
  for (const c of name.toUpperCase()) if (/[A-Z]/.test(c) && !taken.has(c)) return c;
  for (let i = 0; i < 26; ++i) {
    const c = String.fromCharCode(65 + i);
    if (!taken.has(c)) return c;
  }
  return "?";
}

// Those of `known` keep what they have.
export function looksOf(names: Iterable<string>, known: ReadonlyMap<string, Look> = new Map()): Map<string, Look> {
  const looks = new Map(known);
  const letters = new Set([...known.values()].map((look) => look.letter));
  const colours = new Set([...known.values()].map((look) => look.colour));
  for (const name of [...new Set(names)].sort()) {
    if (looks.has(name)) continue;
    let colour = hash(name) % kColours.length;
    if (colours.size < kColours.length) while (colours.has(colour)) colour = (colour + 1) % kColours.length;
    const letter = letterOf(name, letters);
    colours.add(colour);
    letters.add(letter);
    looks.set(name, { colour, letter });
  }
  return looks;
}

// WCAG's contrast of two colours "#rrggbb".
export function contrast(a: string, b: string): number {
  const light = (hex: string): number => {
    const part = (at: number): number => {
      const c = parseInt(hex.slice(at, at + 2), 16) / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    };
    return 0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5);
  };
  const [x, y] = [light(a), light(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}
