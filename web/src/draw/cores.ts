// The cores that computed for each model, second by second, on top of each other. Nothing of the page but the canvas is
// touched.
import { words } from "../words/en.ts";
import { kColours, type Look } from "../state/models.ts";
import type { Cores } from "../state/cores.ts";
import { patternIn } from "./pattern.ts";

export const kCoresHeight = 132;
const kAxisHeight = 20;

export interface CoresPicture {
  width: number; // in CSS pixels
  ratio: number; // device pixels of one
  dark: boolean;
  all: number; // cores that there are
  cores: Cores;
  look: (model: string) => Look;
}

// Columns of a picture, each with its models from the bottom up: [from, to] of the height, 0 to 1. A column is the mean
// of its seconds. Pure.
export function columnsOf(cores: Cores, all: number, count: number): { model: string; from: number; to: number }[][] {
  const columns: { model: string; from: number; to: number }[][] = [];
  for (let column = 0; column < count; ++column) {
    const first = Math.floor((column * cores.seconds) / count);
    const last = Math.max(first + 1, Math.floor(((column + 1) * cores.seconds) / count));
    const parts: { model: string; from: number; to: number }[] = [];
    let from = 0;
    for (const [model, values] of cores.models) {
      let sum = 0;
      for (let second = first; second < last; ++second) sum += values[values.length - cores.seconds + second] ?? 0;
      const share = sum / (last - first) / Math.max(1, all);
      if (share <= 0) continue;
      parts.push({ model, from, to: Math.min(1, from + share) });
      from = Math.min(1, from + share);
    }
    columns.push(parts);
  }
  return columns;
}

export function drawCores(context: CanvasRenderingContext2D, p: CoresPicture): void {
  const height = kCoresHeight - kAxisHeight;
  context.setTransform(p.ratio, 0, 0, p.ratio, 0, 0);
  context.clearRect(0, 0, p.width, kCoresHeight);
  context.fillStyle = p.dark ? "#1b1f27" : "#eef0f4";
  context.fillRect(0, 0, p.width, height);
  context.font = "600 11px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.textAlign = "center";
  context.direction = "ltr"; // time goes to the right in every language
  const minutes = p.cores.seconds / 60;
  for (let minute = 0; minute <= minutes; minute += 3) {
    const at = Math.round(p.width - (minute * p.width) / minutes) + 0.5;
    context.fillStyle = p.dark ? "rgba(255,255,255,.06)" : "rgba(10,20,40,.07)";
    context.fillRect(at - 0.5, 0, 1, height);
    if (at < 20 || at > p.width - 20) continue;
    context.fillStyle = p.dark ? "#8d96a6" : "#667085";
    context.fillText(words.ensemble.minutes(`\u2212${minute}`), at, kCoresHeight - kAxisHeight / 2);
  }
  const columns = columnsOf(p.cores, p.all, Math.max(1, Math.min(p.cores.seconds, Math.floor(p.width))));
  const width = p.width / columns.length;
  columns.forEach((parts, i) => {
    for (const part of parts) {
      const { colour } = p.look(part.model);
      const top = height * (1 - part.to);
      context.fillStyle = kColours[colour] ?? "#888888";
      context.fillRect(i * width, top, width + 0.5, height * (part.to - part.from));
      const pattern = patternIn(context, colour);
      if (!pattern) continue;
      context.fillStyle = pattern;
      context.fillRect(i * width, top, width + 0.5, height * (part.to - part.from));
    }
  });
}
