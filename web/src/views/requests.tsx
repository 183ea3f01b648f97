// Requests: all that wait and run, why they wait, and those that have ended lately.
import { computed, useComputed, useSignal, type ReadonlySignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { integer } from "../format.ts";
import { ApiError, may, send, session } from "../net/api.ts";
import { isLive } from "../net/live.ts";
import { RequestDialog } from "../parts/request.tsx";
import { kAlways, kNumbers, kSortable, Line, rowRems, tableRems, type RowProps } from "../parts/requestrow.tsx";
import { announce, Button, Choice, Dialog, Empty, Note } from "../parts/ui.tsx";
import { visible, visibleLine } from "../safe/visible.ts";
import { ended, keepReadingEnded } from "../state/ended.ts";
import { onKey } from "../state/keys.ts";
import type { Row } from "../state/life.ts";
import { hiddenColumns, hideColumns, narrow } from "../state/prefs.ts";
import { csvOf, rowsInSight, rowsOf, runs, type Kind, type Order, type SortKey } from "../state/rows.ts";
import { now, requestCount, view } from "../state/store.ts";
import { words } from "../words/en.ts";

const w = words.requests;
const kMore = 8; // rows beyond what is in sight

function save(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

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
    <tbody role="rowgroup">
      {first > 0 ? <tr class="space" aria-hidden="true" style={{ blockSize: `${first * height}px` }}><td /></tr> : null}
      {all.slice(first, last).map((row, i) => <Line key={row.id} row={row} index={first + i} {...rest} />)}
      {last < all.length ? <tr class="space" aria-hidden="true" style={{ blockSize: `${(all.length - last) * height}px` }}><td /></tr> : null}
    </tbody>
  );
}

function ColumnChoice() {
  const toggle = (key: SortKey, shown: boolean): void => {
    hideColumns(shown ? hiddenColumns.value.filter((k) => k !== key) : [...hiddenColumns.value, key]);
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

function asked(rows: readonly Row[]): string {
  const [one] = rows;
  if (!one || rows.length > 1) return w.confirm(rows.length);
  return w.confirmOne(visibleLine(one.tenant), visibleLine(one.model), one.output_tokens);
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
  const rem = useSignal(16);
  const rowHeight = useComputed(() => rowRems(columns.value, narrow.value) * rem.value);
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
      rem.value = parseFloat(getComputedStyle(document.documentElement).fontSize);
    });
    sizes.observe(target);
    return () => sizes.disconnect();
  }, []);

  const cancel = async (list: readonly Row[]): Promise<void> => {
    error.value = "";
    let cancelled = 0;
    for (const row of list) {
      try {
        await send("DELETE", `/choir/v1/requests/${encodeURIComponent(row.id)}`);
        ++cancelled;
      } catch (e) {
        // One that has ended meanwhile is as good as cancelled.
        if (!(e instanceof ApiError) || e.status !== 404) error.value = e instanceof ApiError ? e.message : String(e);
      }
    }
    announce(w.cancelled(cancelled));
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
  // That of another one is asked about first.
  const cancelOne = useRef((row: Row) => {
    const who = session.peek();
    if (who.state === "open" && who.info.tenant === row.tenant) void cancel([row]);
    else asks.value = [row];
  });
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
        <table class="grid" role="table" aria-rowcount={all.length + 1} style={{ "--columns": `${tableRems(columns.value)}rem`, "--row": `${rowRems(columns.value, narrow.value)}rem` }}>
          <thead role="rowgroup">
            <tr role="row" aria-rowindex={1}>
              {columns.value.map((key) => (
                <th key={key} role="columnheader" scope="col" class={`${key}${kNumbers.has(key) ? " num" : ""}`} aria-sort={order.value.key === key ? (order.value.down ? "descending" : "ascending") : "none"}>
                  <button type="button" title={w.sortBy(w.columns[key])} onClick={() => (order.value = { key, down: order.value.key === key ? !order.value.down : false })}>
                    {w.columns[key]}
                    <span aria-hidden="true" class="arrow">{order.value.key === key ? (order.value.down ? "\u2193" : "\u2191") : ""}</span>
                  </button>
                </th>
              ))}
              <th role="columnheader" scope="col" class="end"><span class="sr">{w.actions}</span></th>
            </tr>
          </thead>
          <Rows rows={rows} sight={sight} height={rowHeight.value} columns={columns.value} mayCancel={canCancel} onCancel={cancelOne.current} onOpen={open.current} />
        </table>
        {all.length === 0 ? (
          (over ? (ended.value ?? []).length : total) > 0 ? <Empty title={w.noneFiltered} /> : <Empty title={w.none} {...(over ? {} : { hint: w.noneHint })} />
        ) : null}
      </div>
      {over ? <p class="hint">{w.endedHint}</p> : null}
      {may("admin") ? null : <p class="hint">{w.onlyMine}</p>}
      {opened.value !== null ? <RequestDialog id={opened.value} onCancel={cancelOne.current} onClose={() => (opened.value = null)} /> : null}
      {asks.value ? (
        <Dialog title={w.confirmTitle} onClose={() => (asks.value = null)}>
          <p>{asked(asks.value)}</p>
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
