// The cores that computed for each model in the last 15 minutes.
import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { drawCores, kCoresHeight } from "../draw/cores.ts";
import { percent, seconds } from "../format.ts";
import { visibleLine } from "../safe/visible.ts";
import { coreSecondsOf, cores, keepReadingCores, kCoresSeconds } from "../state/cores.ts";
import { isDark } from "../state/prefs.ts";
import { lookOf, view } from "../state/store.ts";
import { words } from "../words/en.ts";
import { Model } from "./ui.tsx";

const w = words.ensemble;
const allCores = (): number => view.value.node?.cores ?? 1;

export function CoresView() {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(keepReadingCores, []);
  useEffect(() => {
    let width = 0;
    const draw = (): void => {
      const shown = cores.value;
      const dark = isDark();
      const target = canvas.current;
      const context = target?.getContext("2d", { alpha: true });
      if (!target || !context || width === 0 || !shown) return;
      const ratio = Math.min(2, window.devicePixelRatio || 1);
      target.width = Math.round(width * ratio);
      target.height = Math.round(kCoresHeight * ratio);
      drawCores(context, { width, ratio, dark, all: allCores(), cores: shown, look: lookOf });
    };
    const sizes = new ResizeObserver((entries) => {
      width = Math.floor(entries[0]?.contentRect.width ?? 0);
      draw();
    });
    if (box.current) sizes.observe(box.current);
    const stop = effect(draw);
    return () => {
      sizes.disconnect();
      stop();
    };
  }, []);
  const all = kCoresSeconds * allCores();
  const times = coreSecondsOf(cores.value);
  return (
    <>
      <div class="trackbox" ref={box}>
        <canvas ref={canvas} role="img" style={{ height: `${kCoresHeight}px` }}
          aria-label={w.coresCanvas(times.map((t) => w.canvasPart(visibleLine(t.model), percent(t.seconds, all))).join(", "))} />
      </div>
      <div class="legend">{times.map((t) => <Model key={t.model} name={t.model} />)}</div>
      <details class="tracktable">
        <summary>{w.table}</summary>
        <div class="scrolls" tabIndex={0} role="region" aria-label={w.table}>
          <table class="grid">
            <thead>
              <tr>
                <th scope="col">{w.columns.model}</th>
                <th scope="col" class="num">{w.columns.time}</th>
                <th scope="col" class="num">{w.columns.coreTime}</th>
              </tr>
            </thead>
            <tbody>
              {times.map((t) => (
                <tr key={t.model}>
                  <td><Model name={t.model} /></td>
                  <td class="num">{percent(t.seconds, all)} %</td>
                  <td class="num">{seconds(t.seconds)}</td>
                </tr>
              ))}
              {times.length === 0 ? <tr><td colSpan={3}>{w.idle}</td></tr> : null}
            </tbody>
          </table>
        </div>
      </details>
    </>
  );
}
