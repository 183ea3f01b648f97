// Requests: all that wait and run, why they wait, and those that have ended lately.
import { computed, useComputed, useSignal, type ReadonlySignal } from "@preact/signals";
import { memo } from "../parts/memo.ts";
import { useEffect, useRef } from "preact/hooks";
import { age, integer, short } from "../format.ts";
import { ApiError, may, send } from "../net/api.ts";
import { isLive } from "../net/live.ts";
import { RequestDialog } from "../parts/request.tsx";
import { announce, Bar, Button, Choice, Dialog, Empty, IconButton, Model, Name, Note } from "../parts/ui.tsx";
import { visible } from "../safe/visible.ts";
import { ended, keepReadingEnded } from "../state/ended.ts";
import { onKey } from "../state/keys.ts";
import { hasEnded, speedOf, type Row } from "../state/life.ts";
import { kColours } from "../state/models.ts";
import { hiddenColumns } from "../state/prefs.ts";
import { csvOf, rowsInSight, rowsOf, runs, type Kind, type Order, type SortKey } from "../state/rows.ts";
import { lookOf, now, requestCount, view } from "../state/store.ts";
import { words } from "../words/en.ts";

const w = words.requests;
const kRowRems = 3.5; // as in the style sheet
const kMore = 8; // rows beyond what is in sight

const kSortable: readonly SortKey[] = ["id", "model", "tenant", "class", "state", "prompt", "reused", "output", "speed", "age"];
const kNumbers = new Set<SortKey>(["reused", "output", "speed", "age"]);
// In rem, as in the style sheet; the state takes what is left, and needs as much.
const kWidths: Record<SortKey, number> = { id: 6.5, model: 9.75, tenant: 5.5, class: 5.25, state: 9.5, prompt: 7.75, reused: 5.625, output: 5.625, speed: 4.625, age: 4.875 };
const kActionsWidth = 4.75;
const kAlways = new Set<SortKey>(["model", "state"]);

function save(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

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

interface RowProps {
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
      <td class="why">
        <span class="now"><span class={row.error ? "badge failed" : "badge ended"}>{w.finishes[row.finish] ?? visible(row.finish)}</span></span>
        {row.error ? <span class="hint">{visible(row.error)}</span> : null}
      </td>
    );
  const place = row.ahead !== undefined ? w.place(row.ahead, row.expected_seconds ?? null, age) : "";
  return (
    <td class="why">
      <span class="now">
        <span class={`badge ${row.state}`}>{w.states[row.state] ?? visible(row.state)}</span>
        {place ? <span class="place num" title={place}>{place}</span> : null}
      </span>
      {row.why ? <span class="hint" title={visible(row.why.text)}>{visible(row.why.text)}</span> : null}
    </td>
  );
}

function PromptCell({ row }: { row: Row }) {
  const done = hasEnded(row) ? row.prompt_tokens : row.prompt_tokens_done;
  return (
    <td class="prompt">
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
  id: (row) => <td key="id" class="id num" title={visible(row.id)}>{shortId(row.id)}</td>,
  model: (row) => <td key="model"><Model name={row.model} /></td>,
  tenant: (row) => <td key="tenant" class="tenant"><Name text={row.tenant} /></td>,
  class: (row) => <td key="class" class="class">{visible(row.priority)}</td>,
  state: (row) => <StateCell key="state" row={row} />,
  prompt: (row) => <PromptCell key="prompt" row={row} />,
  reused: (row) => <td key="reused" class="num">{integer(row.reused_tokens)}</td>,
  output: (row) => <td key="output" class="num">{integer(row.output_tokens)}</td>,
  speed: (row) => <td key="speed" class="num"><Ticking of={row} show={speedText} /></td>,
  age: (row) => <td key="age" class="num"><Ticking of={row} show={ageOf} /></td>,
};

function RowView({ row, index, columns, mayCancel, onCancel, onOpen }: RowProps) {
  const open = (event: MouseEvent): void => {
    if (!(event.target as Element).closest("button") && getSelection()?.isCollapsed !== false) onOpen(row);
  };
  return (
    <tr aria-rowindex={index + 2} onClick={open}>
      {columns.map((key) => kCells[key](row))}
      <td class="end">
        <IconButton icon="more" label={w.details(visible(row.id))} onClick={() => onOpen(row)} />
        {mayCancel && !hasEnded(row) ? <IconButton icon="close" label={w.cancelOne(visible(row.id))} onClick={() => onCancel(row)} /> : null}
      </td>
    </tr>
  );
}
const Line = memo(RowView);

interface RowsProps extends Omit<RowProps, "row" | "index"> {
  height: number; // of a row, in pixels
  rows: ReadonlySignal<Row[]>;
  sight: ReadonlySignal<[number, number]>;
}

// The rows in sight. A scroll draws these again, and nothing of what is around them.
function Rows({ rows, sight, height, ...rest }: RowsProps) {
  const all = rows.value;
  const [first, last] = sight.value;
  return (
    <tbody>
      {first > 0 ? <tr class="space" aria-hidden="true" style={{ height: `${first * height}px` }}><td /></tr> : null}
      {all.slice(first, last).map((row, i) => <Line key={row.id} row={row} index={first + i} {...rest} />)}
      {last < all.length ? <tr class="space" aria-hidden="true" style={{ height: `${(all.length - last) * height}px` }}><td /></tr> : null}
    </tbody>
  );
}

function ColumnChoice() {
  const toggle = (key: SortKey, shown: boolean): void => {
    hiddenColumns.value = shown ? hiddenColumns.value.filter((k) => k !== key) : [...hiddenColumns.value, key];
  };
  return (
    <div class="columnchoice" role="group" aria-label={w.chooseColumns}>
      {kSortable.filter((key) => !kAlways.has(key)).map((key) => (
        <label key={key}>
          <input type="checkbox" checked={!hiddenColumns.value.includes(key)} onChange={(e) => toggle(key, e.currentTarget.checked)} />
          {w.columns[key]}
        </label>
      ))}
    </div>
  );
}

const waitingCount = computed(() => {
  let count = 0;
  for (const row of view.value.requests.values()) if (!runs(row)) ++count;
  return count;
});
const columns = computed(() => kSortable.filter((key) => !hiddenColumns.value.includes(key)));

export function Requests() {
  const filter = useSignal("");
  const kind = useSignal<Kind>("all");
  const order = useSignal<Order>({ key: "age", down: true });
  const asks = useSignal<Row[] | null>(null);
  const choosing = useSignal(false);
  const opened = useSignal<string | null>(null);
  const error = useSignal("");
  const top = useSignal(0);
  const height = useSignal(600);
  const rowHeight = useSignal(kRowRems * 16);
  const box = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);

  const rows = useComputed<Row[]>(() => {
    const all = kind.value === "ended" ? (ended.value ?? []) : view.value.requests.values();
    return rowsOf(all, kind.value, filter.value, order.value, now.peek());
  });
  // The pair of before while it is the same, so that nothing is drawn for a scroll within a step.
  const pair = useRef<[number, number]>([0, 0]);
  const sight = useComputed<[number, number]>(() => {
    const next = rowsInSight(top.value, height.value, rowHeight.value, rows.value.length, kMore);
    if (next[0] !== pair.current[0] || next[1] !== pair.current[1]) pair.current = next;
    return pair.current;
  });
  const over = kind.value === "ended";
  const isNowLive = isLive();
  useEffect(() => (over && isNowLive ? keepReadingEnded() : undefined), [over, isNowLive]);
  useEffect(() => onKey("/", () => field.current?.focus()), []);
  useEffect(() => {
    const target = box.current;
    if (!target) return;
    const sizes = new ResizeObserver(() => {
      height.value = target.clientHeight;
      rowHeight.value = kRowRems * parseFloat(getComputedStyle(document.documentElement).fontSize);
    });
    sizes.observe(target);
    return () => sizes.disconnect();
  }, []);

  const cancel = async (list: readonly Row[]): Promise<void> => {
    error.value = "";
    for (const row of list) {
      try {
        await send("DELETE", `/choir/v1/requests/${encodeURIComponent(row.id)}`);
      } catch (e) {
        // One that has ended meanwhile is as good as cancelled.
        if (!(e instanceof ApiError) || e.status !== 404) error.value = e instanceof ApiError ? e.message : String(e);
      }
    }
    announce(w.count(list.length));
    // The button that was pressed goes with its row.
    requestAnimationFrame(() => {
      if (document.activeElement === document.body) box.current?.focus();
    });
  };
  const all = rows.value;
  const canCancel = may("admin") && isLive();
  const waits = waitingCount.value;
  const total = requestCount.value;
  const label = (text: string, count: number): string => `${text} ${integer(count)}`;
  const cancelOne = useRef((row: Row) => void cancel([row]));
  const open = useRef((row: Row) => void (opened.value = row.id));
  return (
    <div class="view requests">
      <h1 class="sr">{w.title}</h1>
      <div class="toolbar">
        <input ref={field} type="search" aria-label={w.filter} title={w.filter} placeholder={w.filter} value={filter.value} onInput={(e) => (filter.value = e.currentTarget.value)} />
        <Choice label={w.columns.state} name="kind" value={kind.value} onChange={(v) => (kind.value = v)} of={[
          ["all", label(w.all, total)], ["waiting", label(w.waiting, waits)], ["running", label(w.running, total - waits)], ["ended", over && ended.value ? label(w.ended, ended.value.length) : w.ended],
        ] as const} />
        <span class="grow" />
        <Button label={w.chooseColumns} small expanded={choosing.value} onClick={() => (choosing.value = !choosing.value)} />
        <Button label={w.csv} small icon="down" disabled={all.length === 0} onClick={() => save("requests.csv", "text/csv", csvOf(all))} />
        <Button label={w.json} small icon="down" disabled={all.length === 0} onClick={() => save("requests.json", "application/json", JSON.stringify(all, null, 2))} />
        {canCancel && !over && all.length > 1 ? <Button label={w.cancelAll(all.length)} small kind="danger" onClick={() => (asks.value = all)} /> : null}
      </div>
      {choosing.value ? <ColumnChoice /> : null}
      {error.value ? <Note kind="error">{visible(error.value)}</Note> : null}
      <div class="card tablebox" ref={box} tabIndex={0} role="region" aria-label={w.title} onScroll={(e) => (top.value = e.currentTarget.scrollTop)}>
        <table class="grid" aria-rowcount={all.length + 1} style={{ "--columns": `${kActionsWidth + columns.value.reduce((sum, key) => sum + kWidths[key], 0)}rem` }}>
          <thead>
            <tr aria-rowindex={1}>
              {columns.value.map((key) => (
                <th key={key} scope="col" class={`${key}${kNumbers.has(key) ? " num" : ""}`} aria-sort={order.value.key === key ? (order.value.down ? "descending" : "ascending") : "none"}>
                  <button type="button" title={w.sortBy(w.columns[key])} onClick={() => (order.value = { key, down: order.value.key === key ? !order.value.down : false })}>
                    {w.columns[key]}
                    <span aria-hidden="true" class="arrow">{order.value.key === key ? (order.value.down ? "\u2193" : "\u2191") : ""}</span>
                  </button>
                </th>
              ))}
              <th scope="col" class="end"><span class="sr">{w.actions}</span></th>
            </tr>
          </thead>
          <Rows rows={rows} sight={sight} height={rowHeight.value} columns={columns.value} mayCancel={canCancel} onCancel={cancelOne.current} onOpen={open.current} />
        </table>
        {all.length === 0 ? (
          (over ? (ended.value ?? []).length : total) > 0 ? <Empty title={w.noneFiltered} /> : <Empty title={w.none} hint={over ? w.endedHint : w.noneHint} />
        ) : null}
      </div>
      {may("admin") ? null : <p class="hint">{w.onlyMine}</p>}
      {opened.value !== null ? <RequestDialog id={opened.value} onCancel={cancelOne.current} onClose={() => (opened.value = null)} /> : null}
      {asks.value ? (
        <Dialog title={w.confirmTitle} onClose={() => (asks.value = null)}>
          <p>{w.confirm(asks.value.length)}</p>
          <div class="row actions">
            <Button label={w.keep} onClick={() => (asks.value = null)} />
            <Button label={w.confirmYes(asks.value.length)} kind="danger" onClick={() => {
              const list = asks.value ?? [];
              asks.value = null;
              void cancel(list);
            }} />
          </div>
        </Dialog>
      ) : null}
    </div>
  );
}
