// The line between two columns of the chat, which changes their widths.
import { batch } from "@preact/signals";
import { useRef } from "preact/hooks";
import { visibleLine } from "../safe/visible.ts";
import { divided, partOf } from "../state/columns.ts";
import { columns, nameOf, type Column } from "../state/talk.ts";
import { words } from "../words/en.ts";

const w = words.play;
const kStep = 0.1; // of a key

const equal = (): void => batch(() => columns.peek().forEach((column) => (column.width.value = 1)));

export function Separator({ first, second }: { first: Column; second: Column }) {
  const line = useRef<HTMLDivElement>(null);
  const drag = useRef<{ x: number; width: number; pixels: number } | null>(null); // `pixels`: of a usual column
  const part = partOf(first.width.value, second.width.value);
  const both = (): number => first.width.peek() + second.width.peek();
  const set = (width: number): void => {
    const [a, b] = divided(both(), width);
    batch(() => {
      first.width.value = a;
      second.width.value = b;
    });
  };
  // To the side to which one reads.
  const sign = (): number => (line.current && getComputedStyle(line.current).direction === "rtl" ? -1 : 1);
  const widthOf = (e: Element | null | undefined): number => e?.getBoundingClientRect().width ?? 0;
  const key = (e: KeyboardEvent): void => {
    const width = first.width.peek();
    if (e.key === "ArrowRight") set(width + sign() * kStep);
    else if (e.key === "ArrowLeft") set(width - sign() * kStep);
    else if (e.key === "Home") set(0);
    else if (e.key === "End") set(both());
    else if (e.key === "Enter") equal();
    else return;
    e.preventDefault();
  };
  return (
    <div class="separator" role="separator" ref={line} tabIndex={0} aria-orientation="vertical" title={w.widthHint}
      aria-label={w.width(visibleLine(nameOf(first)), visibleLine(nameOf(second)))}
      aria-valuenow={part.now} aria-valuemin={part.least} aria-valuemax={part.most}
      onKeyDown={key}
      onDblClick={equal}
      onPointerDown={(e) => {
        if (e.button !== 0) return;
        e.currentTarget.setPointerCapture(e.pointerId);
        const wide = widthOf(line.current?.previousElementSibling) + widthOf(line.current?.nextElementSibling);
        drag.current = { x: e.clientX, width: first.width.peek(), pixels: wide / both() };
      }}
      onPointerMove={(e) => {
        const from = drag.current;
        if (from && from.pixels > 0) set(from.width + (sign() * (e.clientX - from.x)) / from.pixels);
      }}
      onLostPointerCapture={() => (drag.current = null)}
    />
  );
}
