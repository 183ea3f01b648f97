// Numbers, sizes and times as people read them. Pure.
import { words } from "./words/en.ts";

const kLocale = "en";
const whole = new Intl.NumberFormat(kLocale, { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat(kLocale, { maximumFractionDigits: 1, minimumFractionDigits: 1 });

export const integer = (x: number): string => whole.format(x);

// Three figures or so: 0.42, 7.3, 412.
export function short(x: number | null | undefined): string {
  if (x === null || x === undefined || !Number.isFinite(x)) return words.none;
  if (x !== 0 && Math.abs(x) < 1) return x.toFixed(2);
  return Math.abs(x) < 100 ? one.format(x).replace(/\.0$/, "") : whole.format(x);
}

const u = words.units;
const kUnit = 1000; // the units and digits of the daemon's own sentences
export function bytes(x: number | null | undefined): string {
  if (x === null || x === undefined || !Number.isFinite(x)) return words.none;
  let unit = 0;
  let value = x;
  while (Math.abs(value) >= kUnit - 0.5 && unit < u.bytes.length - 1) {
    value /= kUnit;
    ++unit;
  }
  return `${value.toFixed(unit === 0 || value >= 9.95 ? 0 : 1)} ${u.bytes[unit] ?? ""}`;
}

export function seconds(x: number | null | undefined): string {
  if (x === null || x === undefined || !Number.isFinite(x)) return words.none;
  if (x < 1) return u.ms(whole.format(x * 1000));
  if (x < 60) return u.s(one.format(x));
  if (x < 3600) return u.min(Math.floor(x / 60), Math.floor(x % 60));
  return u.h(Math.floor(x / 3600), Math.floor((x % 3600) / 60));
}

// Of something that lives: no fractions that flicker.
export function age(x: number): string {
  return x < 60 ? u.s(`${Math.max(0, Math.floor(x))}`) : seconds(x);
}

const clockTime = new Intl.DateTimeFormat(kLocale, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
export const clock = (ms: number): string => clockTime.format(ms);

export const percent = (part: number, of: number): number => (of > 0 ? Math.round((100 * part) / of) : 0);

// A word of a shell.
export const quoted = (word: string): string => (/^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replace(/'/g, `'\\''`)}'`);
