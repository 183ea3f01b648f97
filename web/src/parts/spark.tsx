// A curve of some minutes, without axes; the figure stands beside it.
import { seconds } from "../format.ts";
import { words } from "../words/en.ts";

const kWidth = 240;
const kHeight = 40;

// The path of a line, and of what is below it. Gaps stay gaps. Pure.
export function pathsOf(values: readonly (number | null)[], most: number): { line: string; area: string } {
  let line = "";
  let area = "";
  let begun = -1;
  const x = (i: number): string => ((i * kWidth) / Math.max(1, values.length - 1)).toFixed(1);
  const close = (end: number): void => {
    if (begun >= 0) area += `L${x(end)} ${kHeight}L${x(begun)} ${kHeight}Z`;
    begun = -1;
  };
  values.forEach((value, i) => {
    if (value === null) return close(i - 1);
    const point = `${x(i)} ${(kHeight - 1 - ((kHeight - 3) * value) / (most || 1)).toFixed(1)}`;
    line += (begun < 0 ? "M" : "L") + point;
    area += (begun < 0 ? "M" : "L") + point;
    if (begun < 0) begun = i;
  });
  close(values.length - 1);
  return { line, area };
}

// From the first second that there is anything of: a daemon that has just begun has no minutes behind it. Pure.
export function knownOf(values: readonly (number | null)[]): readonly (number | null)[] {
  const first = values.findIndex((value) => value !== null);
  return first < 0 ? [] : values.slice(first);
}

export function Spark({ values: all }: { values: readonly (number | null)[] }) {
  const values = knownOf(all);
  const most = values.reduce<number>((m, v) => Math.max(m, v ?? 0), 0);
  const { line, area } = pathsOf(values, most);
  return (
    <svg class="spark" viewBox={`0 0 ${kWidth} ${kHeight}`} preserveAspectRatio="none" role="img" aria-label={words.ensemble.curve(seconds(values.length))}>
      <path class="area" d={area} />
      <path class="line" d={line} />
    </svg>
  );
}
