// The turns of each lane, as the topic `turns` tells them. Plain objects that are changed in place: at most 60 s of
// blocks are kept, and the canvas reads them at each drawing.
import type { TurnsFrame, TurnsReply } from "../net/wire.ts";

export interface Block {
  begin: number; // us since the daemon began
  length: number;
  model: string;
  prompt: number; // rows
  decode: number;
  priority: string;
  turns: number; // that were merged into this block
  threads: number; // of the lane then
  why: number; // it was this model's turn: a number of the schema TurnsFrame
}

export interface Lane {
  lane: number;
  threads: number; // the last that it had; a layout with fewer lanes leaves a lane without any
  unused: boolean; // it has none now
  blocks: Block[]; // by begin
  missing: { at: number; turns: number }[]; // that the daemon's ring has lost; of the time that is kept
  gaps: Gap[]; // of which nobody was told, by time
}

export interface Gap {
  from: number;
  to: number;
}

export const kKeptUs = 60_000_000;

export class TurnLog {
  lanes: Lane[] = [];
  now = 0; // of the last frame
  private unknown: Gap[] = []; // of all lanes
  private epoch = "";
  private received = 0; // performance.now() of it

  // What follows is of the daemon that began at `epoch`. True: it is another one than before, whose times say nothing now.
  begin(epoch: string): boolean {
    const other = this.epoch !== "" && this.epoch !== epoch;
    this.epoch = epoch;
    if (other) this.clear();
    return other;
  }

  // `at` is the browser's clock in milliseconds.
  add(frame: TurnsFrame, at: number): void {
    const before = this.now;
    this.now = frame.now_us;
    this.received = at;
    const gap = frame.from_us > before ? { from: before, to: frame.from_us } : null;
    if (gap) {
      this.unknown.push(gap);
      for (const lane of this.lanes) lane.gaps.push({ ...gap });
    }
    for (const told of frame.lanes) {
      let lane = this.lanes.find((l) => l.lane === told.lane);
      if (!lane) {
        lane = { lane: told.lane, threads: Math.max(1, told.threads), unused: false, blocks: [], missing: [], gaps: this.unknown.map((g) => ({ ...g })) };
        this.lanes.push(lane);
        this.lanes.sort((a, b) => a.lane - b.lane);
      }
      lane.unused = told.threads === 0;
      // The blocks of a lane that has just lost its threads are from before.
      if (told.threads > 0) lane.threads = told.threads;
      // What a frame tells again, after a reconnection, is there already.
      const last = lane.blocks.at(-1);
      const known = last ? last.begin + last.length : -1;
      if (told.missing > 0) {
        lane.missing.push({ at: frame.now_us, turns: told.missing });
        lane.gaps.push({ from: Math.max(known, before), to: told.blocks[0]?.[0] ?? this.now });
      }
      for (const [begin, length, model, prompt, decode, priority, turns, threads, why] of told.blocks)
        if (begin >= known) lane.blocks.push({ begin, length, model, prompt, decode, priority, turns, threads, why });
    }
    for (const lane of this.lanes) {
      const old = lane.blocks.findIndex((b) => b.begin + b.length > this.now - kKeptUs);
      if (old > 0) lane.blocks.splice(0, old);
      if (old < 0) lane.blocks.length = 0;
      lane.missing = lane.missing.filter((m) => m.at > this.now - kKeptUs);
      lane.gaps = lane.gaps.filter((g) => g.to > this.now - kKeptUs);
    }
    this.unknown = this.unknown.filter((g) => g.to > this.now - kKeptUs);
  }

  // What came before the first frame, turn by turn.
  fill(reply: TurnsReply): void {
    for (const told of reply.lanes ?? []) {
      const lane = this.lanes.find((l) => l.lane === told.lane);
      const gap = lane?.gaps[0];
      if (!lane || !gap) continue;
      const first = lane.blocks[0]?.begin ?? Infinity;
      const blocks: Block[] = [];
      for (const [begin, length, model, prompt, decode, priority, threads, why] of told.turns)
        if (begin + length <= Math.min(first, gap.to)) blocks.push({ begin, length, model, prompt, decode, priority, turns: 1, threads, why });
      lane.blocks.unshift(...blocks);
      gap.to = Math.min(gap.to, Math.max(gap.from, reply.from_us ?? gap.to));
    }
  }

  // Whether something of the time since then came before the first frame.
  hasUnfilled(since: number): boolean {
    return this.lanes.some((lane) => lane.gaps[0] !== undefined && lane.gaps[0].from === 0 && lane.gaps[0].to > since);
  }

  // Turns of the time that is kept that nobody was told of.
  missing(): number {
    return this.lanes.reduce((sum, lane) => lane.missing.reduce((all, m) => all + m.turns, sum), 0);
  }

  // The daemon's time, estimated: that of the last frame and what has passed since.
  clock(at: number): number {
    return this.now === 0 ? 0 : this.now + Math.max(0, at - this.received) * 1000;
  }

  clear(): void {
    this.lanes = [];
    this.unknown = [];
    this.now = 0;
  }
}

// How much of the time between two moments is not known of a lane.
export function unknownIn(lane: Pick<Lane, "gaps">, from: number, to: number): number {
  return lane.gaps.reduce((sum, gap) => sum + Math.max(0, Math.min(gap.to, to) - Math.max(gap.from, from)), 0);
}

// With how many threads a lane has computed between two times, from and to; null: it has not.
export function threadsIn(lane: Lane, from: number, to: number): [number, number] | null {
  const all = lane.blocks.filter((b) => b.begin + b.length > from && b.begin < to).map((b) => b.threads);
  return all.length > 0 ? [Math.min(...all), Math.max(...all)] : null;
}

export interface ModelTime {
  model: string;
  us: number; // of computing, times the threads that computed
  turns: number;
  prompt: number;
  decode: number;
}

// What each model has had between two times, by name.
export function timesOf(lanes: readonly Lane[], from: number, to: number): ModelTime[] {
  const times = new Map<string, ModelTime>();
  for (const lane of lanes)
    for (const block of lane.blocks) {
      const inside = Math.min(block.begin + block.length, to) - Math.max(block.begin, from);
      if (inside <= 0) continue;
      let time = times.get(block.model);
      if (!time) times.set(block.model, (time = { model: block.model, us: 0, turns: 0, prompt: 0, decode: 0 }));
      time.us += inside * block.threads;
      time.turns += block.turns;
      time.prompt += block.prompt;
      time.decode += block.decode;
    }
  return [...times.values()].sort((a, b) => (a.model < b.model ? -1 : 1));
}
