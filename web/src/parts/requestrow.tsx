// A row of the table of requests. On a narrow page the style sheet makes a card of it.
import { useRef } from "preact/hooks";
import { age, integer, short } from "../format.ts";
import { isLive } from "../net/live.ts";
import { visible } from "../safe/visible.ts";
import { hasEnded, speedOf, type Row } from "../state/life.ts";
import { kColours } from "../state/models.ts";
import { shortWhy, type SortKey } from "../state/rows.ts";
import { lookOf, now } from "../state/store.ts";
import { words } from "../words/en.ts";
import { memo } from "./memo.ts";
import { Bar, IconButton, Model, Name } from "./ui.tsx";

const w = words.requests;

export const kSortable: readonly SortKey[] = ["id", "model", "tenant", "class", "state", "prompt", "reused", "output", "speed", "age"];
export const kNumbers = new Set<SortKey>(["reused", "output", "speed", "age"]);
export const kAlways = new Set<SortKey>(["model", "state"]);
// In rem, as in the style sheet; the state takes what is left, and needs as much.
const kWidths: Record<SortKey, number> = { id: 6.5, model: 9.75, tenant: 5.5, class: 5.25, state: 9.5, prompt: 7.75, reused: 5.625, output: 5.625, speed: 4.625, age: 4.875 };
const kActionsWidth = 4.75;
export const tableRems = (columns: readonly SortKey[]): number => kActionsWidth + columns.reduce((sum, key) => sum + kWidths[key], 0);
// How high a row is. On a narrow page it is a card: model, state and reason, and two facts a line.
export const rowRems = (columns: readonly SortKey[], card: boolean): number =>
  card ? 5.25 + 1.375 * Math.ceil(columns.filter((key) => !kAlways.has(key)).length / 2) : 3.5;

// Ids are long numbers; their ends differ.
const shortId = (id: string): string => visible(id.length > 8 ? `\u2026${id.slice(-6)}` : id);

// What goes on by time alone, in a component of its own: it changes each second, the row does not. Not live, it stands.
function Ticking({ of, show }: { of: Row; show: (row: Row, elapsed: number) => string }) {
  const stopped = useRef(now.peek());
  if (!hasEnded(of) && isLive()) stopped.current = now.value;
  return <>{show(of, Math.max(0, (stopped.current - of.submitted_ms) / 1000))}</>;
}
const ageOf = (row: Row, elapsed: number): string => age(Math.floor(hasEnded(row) ? row.total_seconds : elapsed));
const speedText = (row: Row, elapsed: number): string => short(speedOf(row, elapsed));

export interface RowProps {
  row: Row;
  index: number;
  columns: readonly SortKey[];
  mayCancel: boolean;
  onCancel: (row: Row) => void;
  onOpen: (row: Row) => void;
}

function StateCell({ row }: { row: Row }) {
  if (hasEnded(row))
    return (
      <td role="cell" class="why">
        <span class="now"><span class={row.error ? "badge failed" : "badge ended"}>{w.finishes[row.finish] ?? visible(row.finish)}</span></span>
        {row.error ? <span class="hint">{visible(row.error)}</span> : null}
      </td>
    );
  const place = row.ahead !== undefined ? w.place(row.ahead, row.expected_seconds ?? null, age) : "";
  return (
    <td role="cell" class="why">
      <span class="now">
        <span class={`badge ${row.state}`}>{w.states[row.state] ?? visible(row.state)}</span>
        {place ? <span class="place num" title={place}>{place}</span> : null}
      </span>
      {row.why ? <span class="hint" title={visible(row.why.text)}>{visible(shortWhy(row) ?? row.why.text)}</span> : null}
    </td>
  );
}

function PromptCell({ row }: { row: Row }) {
  const done = hasEnded(row) ? row.prompt_tokens : row.prompt_tokens_done;
  return (
    <td role="cell" class="prompt" data-label={w.columns.prompt}>
      {row.prompt_tokens > 0 ? (
        <>
          <Bar value={done} of={row.prompt_tokens} label={w.columns.prompt} colour={kColours[lookOf(row.model).colour] ?? ""} />
          <span class="num hint">{w.promptDone(done, row.prompt_tokens)}</span>
        </>
      ) : (
        <span class="hint">{w.promptUnknown}</span>
      )}
    </td>
  );
}

const kCells: Record<SortKey, (row: Row) => preact.JSX.Element> = {
  id: (row) => <td key="id" role="cell" data-label={w.columns.id} class="id num" title={visible(row.id)}>{shortId(row.id)}</td>,
  model: (row) => <td key="model" role="cell" class="names" title={visible(row.model)}><Model name={row.model} /></td>,
  tenant: (row) => <td key="tenant" role="cell" data-label={w.columns.tenant} class="tenant"><Name text={row.tenant} /></td>,
  class: (row) => <td key="class" role="cell" data-label={w.columns.class} class="class">{visible(row.priority)}</td>,
  state: (row) => <StateCell key="state" row={row} />,
  prompt: (row) => <PromptCell key="prompt" row={row} />,
  reused: (row) => <td key="reused" role="cell" data-label={w.columns.reused} class="num">{integer(row.reused_tokens)}</td>,
  output: (row) => <td key="output" role="cell" data-label={w.columns.output} class="num">{integer(row.output_tokens)}</td>,
  speed: (row) => <td key="speed" role="cell" data-label={w.columns.speed} class="num"><Ticking of={row} show={speedText} /></td>,
  age: (row) => <td key="age" role="cell" data-label={w.columns.age} class="num"><Ticking of={row} show={ageOf} /></td>,
};

function RowView({ row, index, columns, mayCancel, onCancel, onOpen }: RowProps) {
  const open = (event: MouseEvent): void => {
    if (!(event.target as Element).closest("button") && getSelection()?.isCollapsed !== false) onOpen(row);
  };
  return (
    <tr role="row" aria-rowindex={index + 2} onClick={open}>
      {columns.map((key) => kCells[key](row))}
      <td role="cell" class="end">
        <IconButton icon="more" label={w.details(visible(row.id))} onClick={() => onOpen(row)} />
        {mayCancel && !hasEnded(row) ? <IconButton icon="close" label={w.cancelOne(visible(row.id))} onClick={() => onCancel(row)} /> : null}
      </td>
    </tr>
  );
}
export const Line = memo(RowView);
