// The lanes of the last seconds. They move while something computes; when nothing does, nothing is drawn.
import { effect, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { blockAt, drawTracks, firstAfter, laneHeight, tracksHeight, type Picture } from "../draw/tracks.ts";
import { integer, percent, short } from "../format.ts";
import { visibleLine } from "../safe/visible.ts";
import { isDark, reducedMotion, theme } from "../state/prefs.ts";
import { lookOf, turns, turnsSecond, turnsTick, view } from "../state/store.ts";
import { threadsIn, timesOf, unknownIn, type Block, type Lane } from "../state/turns.ts";
import { link } from "../net/live.ts";
import { words } from "../words/en.ts";
import { Model } from "./ui.tsx";

const kPicturesASecond = 4; // the browser takes its time from the models
const kBehindUs = 350_000; // the newest blocks come in whole, behind the right edge

export interface Shown {
  lanes: Lane[]; // copies while frozen
  to: number;
}

export function threadsOfLanes(): number[] {
  const threads: number[] = [...(view.value.node?.lanes ?? [])];
  for (const lane of turns.lanes) if (!lane.unused || lane.blocks.length > 0) threads[lane.lane] = lane.threads;
  for (let i = 0; i < threads.length; ++i) threads[i] ??= 1;
  return threads.length > 0 ? threads : [1];
}

// How many cores a lane had for what is in sight; where that is nothing, how many it has now. The layout may have no such
// lane any more.
function LaneCores({ lane, threads, seconds, frozen }: { lane: number; threads: number; seconds: number; frozen: Shown | null }) {
  void turnsTick.value;
  const to = frozen ? frozen.to : turns.now;
  const told = (frozen ? frozen.lanes : turns.lanes).find((l) => l.lane === lane);
  const had = told ? threadsIn(told, to - seconds * 1e6, to) : null;
  if (had) return <span>{words.ensemble.hadCores(...had)}</span>;
  return <span>{told?.unused ? words.ensemble.unused : words.ensemble.cores(threads)}</span>;
}

export function Tracks(props: { seconds: number; compact?: boolean; frozen?: Shown | null; onShown?: (shown: Shown) => void }) {
  const compact = props.compact ?? false;
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const picture = useRef<Picture | null>(null);
  const picked = useSignal<Block | null>(null);
  const threads = useSignal<number[]>(threadsOfLanes());
  const frozen = useRef<Shown | null>(null);
  frozen.current = props.frozen ?? null;

  useEffect(() => {
    let request = 0;
    let timer = 0;
    let drawnAt = 0;
    let width = 0;
    const draw = (): void => {
      const target = canvas.current;
      const context = target?.getContext("2d", { alpha: true });
      if (!target || !context || width === 0) return;
      const lanes = threadsOfLanes();
      if (lanes.join() !== threads.peek().join()) threads.value = lanes;
      const ratio = Math.min(2, window.devicePixelRatio || 1);
      const height = tracksHeight(lanes, compact);
      if (target.width !== Math.round(width * ratio) || target.height !== Math.round(height * ratio)) {
        target.width = Math.round(width * ratio);
        target.height = Math.round(height * ratio);
        target.style.height = `${height}px`;
      }
      const still = frozen.current;
      const to = still ? still.to : (link.peek().state === "live" ? turns.clock(performance.now()) : turns.now) - kBehindUs;
      const from = to - props.seconds * 1e6;
      picture.current = {
        width, ratio, from, to, compact, threads: lanes, dark: isDark(), look: lookOf,
        lanes: still ? still.lanes : turns.lanes, selected: picked.peek(),
      };
      drawTracks(context, picture.current);
      props.onShown?.({ lanes: picture.current.lanes as Lane[], to });
    };
    // Whether a block is in sight, so that time moves it.
    const moves = (): boolean => {
      const p = picture.current;
      return !frozen.current && p !== null && link.peek().state === "live" && p.lanes.some((l) => firstAfter(l.blocks, p.from) < l.blocks.length);
    };
    // A timer before each picture: a browser that is asked for each of its frames works on all of them.
    const step = (): void => {
      request = 0;
      drawnAt = performance.now();
      draw();
      if (moves()) soon();
    };
    const soon = (): void => {
      if (timer !== 0 || request !== 0) return;
      const pause = 1000 / (reducedMotion.peek() ? 1 : kPicturesASecond);
      timer = window.setTimeout(() => {
        timer = 0;
        request = requestAnimationFrame(step);
      }, Math.max(0, pause - (performance.now() - drawnAt)));
    };
    const sizes = new ResizeObserver((entries) => {
      width = Math.floor(entries[0]?.contentRect.width ?? 0);
      draw();
    });
    if (box.current) sizes.observe(box.current);
    const stop = effect(() => {
      void turnsTick.value, void theme.value, void picked.value, void link.value, void view.value.node;
      soon();
    });
    drawNow.add(draw);
    return () => {
      drawNow.delete(draw);
      sizes.disconnect();
      stop();
      clearTimeout(timer);
      cancelAnimationFrame(request);
    };
  }, [props.seconds, compact, props.frozen]);

  const at = (event: PointerEvent): void => {
    const p = picture.current;
    const rect = canvas.current?.getBoundingClientRect();
    if (p && rect) picked.value = blockAt(p, event.clientX - rect.left, event.clientY - rect.top);
  };
  const key = (event: KeyboardEvent): void => {
    const p = picture.current;
    if (!p || !frozen.current || !["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    picked.value = neighbour(p, picked.peek(), event.key);
  };

  const list = threads.value;
  return (
    <div class={compact ? "tracks compact" : "tracks"}>
      <div class="lanenames" aria-hidden="true">
        {list.map((count, i) => (
          <div key={i} class="lanename" style={{ height: `${laneHeight(count, compact)}px` }}>
            <strong>{words.ensemble.lane(i)}</strong>
            {compact ? null : <LaneCores lane={i} threads={count} seconds={props.seconds} frozen={props.frozen ?? null} />}
          </div>
        ))}
      </div>
      <div
        class="trackbox" ref={box} tabIndex={compact ? -1 : 0} onKeyDown={key}
        role="group" aria-label={words.ensemble.lanes}
      >
        <canvas
          ref={canvas} role="img" aria-label={sentence(picture.current)}
          onPointerMove={at} onPointerDown={at} onPointerLeave={() => (frozen.current ? undefined : (picked.value = null))}
        />
      </div>
      {compact ? null : <p class="picked" aria-live={props.frozen ? "polite" : "off"}>{picked.value ? told(picked.value) : words.ensemble.pick}</p>}
    </div>
  );
}

// All tracks in sight are drawn again; for pictures that have to be of one moment.
export const drawNow = new Set<() => void>();

function told(b: Block): string {
  const what = words.ensemble.block(visibleLine(b.model), b.turns, short(b.length / 1000), b.prompt, b.decode, b.priority);
  const why = words.ensemble.why[b.why];
  return why ? `${what}; ${why}` : what;
}

function sentence(p: Picture | null): string {
  if (!p) return words.ensemble.lanes;
  const times = timesOf(p.lanes, p.from, p.to);
  const all = p.threads.reduce((sum, t, i) => sum + t * (p.to - p.from - unknownIn(p.lanes.find((l) => l.lane === i) ?? { gaps: [] }, p.from, p.to)), 0);
  return words.ensemble.canvas(p.threads.length, times.map((t) => words.ensemble.canvasPart(visibleLine(t.model), percent(t.us, all))).join(", "));
}

function neighbour(p: Picture, block: Block | null, key: string): Block | null {
  const lane = p.lanes.findIndex((l) => block !== null && l.blocks.includes(block));
  const blocks = (i: number): Block[] => (p.lanes[i]?.blocks ?? []).filter((b) => b.begin + b.length > p.from && b.begin < p.to);
  if (!block || lane < 0) return blocks(0).at(-1) ?? blocks(1).at(-1) ?? null;
  if (key === "ArrowLeft" || key === "ArrowRight") {
    const list = blocks(lane);
    return list[list.indexOf(block) + (key === "ArrowLeft" ? -1 : 1)] ?? block;
  }
  const other = blocks(lane + (key === "ArrowUp" ? -1 : 1));
  return other.reduce<Block | null>((best, b) => (!best || Math.abs(b.begin - block.begin) < Math.abs(best.begin - block.begin) ? b : best), null) ?? block;
}

// What the tracks show, as a table: for those who do not see them, and to copy from.
export function TrackTable({ seconds, frozen }: { seconds: number; frozen: Shown | null }) {
  void turnsSecond.value;
  const to = frozen ? frozen.to : turns.now;
  const lanes = frozen ? frozen.lanes : turns.lanes;
  const rows = lanes.flatMap((lane) => timesOf([lane], to - seconds * 1e6, to).map((time) => ({ lane, time })));
  const c = words.ensemble.columns;
  return (
    <details class="tracktable">
      <summary>{words.ensemble.table}</summary>
      <div class="scrolls" tabIndex={0} role="region" aria-label={words.ensemble.table}>
        <table class="grid">
          <thead>
            <tr>
              <th scope="col">{c.lane}</th>
              <th scope="col">{c.model}</th>
              <th scope="col" class="num">{c.time}</th>
              <th scope="col" class="num">{c.turns}</th>
              <th scope="col" class="num">{c.prompt}</th>
              <th scope="col" class="num">{c.decode}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(({ lane, time }) => (
              <tr key={`${lane.lane} ${time.model}`}>
                <td>{words.ensemble.lane(lane.lane)}</td>
                <td><Model name={time.model} /></td>
                <td class="num">{percent(time.us, lane.threads * (seconds * 1e6 - unknownIn(lane, to - seconds * 1e6, to)))} %</td>
                <td class="num">{integer(time.turns)}</td>
                <td class="num">{integer(time.prompt)}</td>
                <td class="num">{integer(time.decode)}</td>
              </tr>
            ))}
            {rows.length === 0 ? <tr><td colSpan={6}>{words.ensemble.idle}</td></tr> : null}
          </tbody>
        </table>
      </div>
    </details>
  );
}
