// The lanes as tracks on a canvas. Nothing of the page but the canvas is touched.
import { patternIn } from "./pattern.ts";
import { kColours } from "../state/models.ts";
import type { Look } from "../state/models.ts";
import type { Block, Lane } from "../state/turns.ts";
import { words } from "../words/en.ts";

export const kAxisHeight = 20;
const kGap = 8;
const kSeamsApart = 12; // pixels

// As high as the lane has threads.
export const laneHeight = (threads: number, compact: boolean): number =>
  compact ? Math.min(34, 22 + 4 * (threads - 1)) : Math.min(84, 46 + 12 * (threads - 1));

export const laneTop = (threads: readonly number[], index: number, compact: boolean): number =>
  threads.slice(0, index).reduce((sum, t) => sum + laneHeight(t, compact) + kGap, 0);

export const tracksHeight = (threads: readonly number[], compact: boolean): number =>
  laneTop(threads, threads.length, compact) + (compact ? 0 : kAxisHeight - kGap);

export interface Picture {
  width: number; // in CSS pixels
  ratio: number; // device pixels of one
  from: number; // us
  to: number;
  dark: boolean;
  compact: boolean;
  lanes: readonly Lane[];
  threads: readonly number[]; // of each lane, also of those that have no block yet
  look: (model: string) => Look;
  selected: Block | null;
}

// How much of a lane's height a block takes: 1 row a third, 64 rows all of it.
export function fill(block: Block): number {
  const rows = (block.prompt + block.decode) / Math.max(1, block.turns);
  return Math.min(1, 0.36 + (0.64 * Math.log2(1 + rows)) / Math.log2(65));
}

// Ticks of the axis: seconds before its end.
export function ticksOf(spanSeconds: number): number[] {
  const step = spanSeconds <= 3 ? 0.5 : spanSeconds <= 15 ? 2 : 10;
  const ticks: number[] = [];
  for (let t = 0; t <= spanSeconds + 1e-9; t += step) ticks.push(t);
  return ticks;
}

// When a lane's threads became others, between two blocks. Of changes that follow each other sooner than `least` us the
// first stands for all, so that lines do not cover the blocks. Pure.
export function seamsOf(blocks: readonly Block[], from: number, to: number, least = 0): number[] {
  const seams: number[] = [];
  for (let i = Math.max(1, firstAfter(blocks, from)); i < blocks.length; ++i) {
    const block = blocks[i] as Block;
    if (block.begin > to) break;
    const near = block.begin - (seams.at(-1) ?? -Infinity) < least;
    if (block.begin >= from && !near && block.threads !== blocks[i - 1]?.threads) seams.push(block.begin);
  }
  return seams;
}

export function drawTracks(context: CanvasRenderingContext2D, p: Picture): void {
  const height = tracksHeight(p.threads, p.compact);
  const span = p.to - p.from;
  const x = (us: number): number => ((us - p.from) / span) * p.width;
  context.setTransform(p.ratio, 0, 0, p.ratio, 0, 0);
  context.clearRect(0, 0, p.width, height);
  context.font = "600 11px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.direction = "ltr"; // time goes to the right in every language

  p.threads.forEach((threads, i) => {
    context.fillStyle = p.dark ? "#1b1f27" : "#eef0f4";
    context.fillRect(0, laneTop(p.threads, i, p.compact), p.width, laneHeight(threads, p.compact));
  });
  if (!p.compact) {
    context.textAlign = "center";
    for (const tick of ticksOf(span / 1e6)) {
      const at = Math.round(p.width - (tick * 1e6 * p.width) / span) + 0.5;
      context.fillStyle = p.dark ? "rgba(255,255,255,.06)" : "rgba(10,20,40,.07)";
      context.fillRect(at - 0.5, 0, 1, height - kAxisHeight);
      if (at < 16 || at > p.width - 16) continue;
      context.fillStyle = p.dark ? "#8d96a6" : "#667085";
      context.fillText(words.units.s(`\u2212${tick}`), at, height - kAxisHeight / 2);
    }
  }

  context.textAlign = "center";
  for (const lane of p.lanes) {
    const top = laneTop(p.threads, lane.lane, p.compact);
    const full = laneHeight(p.threads[lane.lane] ?? lane.threads, p.compact);
    for (const gap of lane.gaps) hatch(context, Math.max(0, x(gap.from)), Math.min(p.width, x(gap.to)), top, full, p.dark);
    let drawn = -1; // pixel column that the last narrow block of `model` took
    let model = "";
    for (let i = firstAfter(lane.blocks, p.from); i < lane.blocks.length; ++i) {
      const block = lane.blocks[i] as Block;
      if (block.begin > p.to) break;
      const left = x(block.begin);
      const right = x(block.begin + block.length);
      const column = Math.floor(left);
      if (right - left < 1 && column === drawn && block.model === model) continue;
      drawn = column;
      model = block.model;
      const look = p.look(block.model);
      const width = Math.max(1, right - left - (right - left > 4 ? 1 : 0));
      const h = Math.round(full * fill(block));
      const y = top + full - h;
      context.fillStyle = kColours[look.colour] ?? "#888888";
      context.fillRect(left, y, width, h);
      const pattern = patternIn(context, look.colour);
      if (pattern) {
        context.fillStyle = pattern;
        context.fillRect(left, y, width, h);
      }
      const rows = block.prompt + block.decode;
      if (block.prompt > 0 && rows > 0) {
        const part = Math.max(2, Math.round((h * block.prompt) / rows));
        context.fillStyle = "rgba(0,0,0,.36)";
        context.fillRect(left, top + full - part, width, part);
      }
      if (width >= 15 && h >= 14) {
        context.fillStyle = "#ffffff";
        context.fillText(look.letter, left + width / 2, y + h / 2 + 0.5);
      }
      if (block === p.selected) {
        context.strokeStyle = p.dark ? "#ffffff" : "#10151f";
        context.lineWidth = 2;
        context.strokeRect(left - 1, top - 1, width + 2, full + 2);
      }
    }
    context.fillStyle = p.dark ? "rgba(231,234,240,.8)" : "rgba(20,24,33,.75)";
    for (const seam of seamsOf(lane.blocks, p.from, p.to, (kSeamsApart * span) / p.width)) context.fillRect(Math.round(x(seam)) - 1, top - 3, 1, full + 6);
  }
}

// A time of which nothing is known.
function hatch(context: CanvasRenderingContext2D, left: number, right: number, top: number, height: number, dark: boolean): void {
  if (right <= left) return;
  context.save();
  context.beginPath();
  context.rect(left, top, right - left, height);
  context.clip();
  context.strokeStyle = dark ? "#323947" : "#cdd2db";
  context.lineWidth = 1;
  context.beginPath();
  for (let at = left - height; at < right; at += 7) {
    context.moveTo(at, top + height);
    context.lineTo(at + height, top);
  }
  context.stroke();
  context.restore();
}

// The first block that ends after a time.
export function firstAfter(blocks: readonly Block[], us: number): number {
  let low = 0;
  let high = blocks.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const block = blocks[middle] as Block;
    if (block.begin + block.length <= us) low = middle + 1;
    else high = middle;
  }
  return low;
}

// The block at a place of the canvas; `slack` us around a block count as its own.
export function blockAt(p: Pick<Picture, "lanes" | "threads" | "compact" | "from" | "to" | "width">, px: number, py: number): Block | null {
  const us = p.from + (px / p.width) * (p.to - p.from);
  const slack = (2 * (p.to - p.from)) / p.width;
  for (const lane of p.lanes) {
    const top = laneTop(p.threads, lane.lane, p.compact);
    if (py < top || py > top + laneHeight(p.threads[lane.lane] ?? lane.threads, p.compact)) continue;
    for (let i = firstAfter(lane.blocks, us - slack); i < lane.blocks.length; ++i) {
      const block = lane.blocks[i] as Block;
      if (block.begin - slack > us) return null;
      return block;
    }
  }
  return null;
}
