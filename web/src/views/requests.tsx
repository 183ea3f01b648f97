// Requests: all that wait and run, why they wait, and those that have ended while the page was open.
import { computed, useComputed, useSignal, type ReadonlySignal } from "@preact/signals";
import { memo } from "../parts/memo.ts";
import { useEffect, useRef } from "preact/hooks";
import { age, integer } from "../format.ts";
import { ApiError, may, send } from "../net/api.ts";
import { isLive } from "../net/live.ts";
import type { RequestRow } from "../net/wire.ts";
import { announce, Bar, Button, Choice, Dialog, Empty, IconButton, Model, Name, Note } from "../parts/ui.tsx";
import { visible } from "../safe/visible.ts";
import { onKey } from "../state/keys.ts";
import { kColours } from "../state/models.ts";
import { csvOf, rowsInSight, rowsOf, runs, type Kind, type Order, type SortKey } from "../state/rows.ts";
import { lookOf, now, requestCount, view } from "../state/store.ts";
import { words } from "../words/en.ts";

const w = words.requests;
const kRowHeight = 56; // as in the style sheet
const kMore = 8; // rows beyond what is in sight

const kSortable: readonly SortKey[] = ["id", "model", "tenant", "class", "state", "prompt", "output", "age"];
const kNumbers = new Set<SortKey>(["output", "age"]);

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

// Seconds that go on, in a component of their own: they change each second, the row does not. Not live, they stand.
function Age({ since, until }: { since: number | undefined; until: number | undefined }) {
  const stopped = useRef(now.peek());
  if (until === undefined && isLive()) stopped.current = now.value;
  return <>{since === undefined ? words.none : age(Math.max(0, Math.floor(((until ?? stopped.current) - since) / 1000)))}</>;
}

interface RowProps {
  row: RequestRow;
  index: number;
  until: number | undefined; // when it ended; it is as it was last seen before that
  mayCancel: boolean;
  onCancel: (row: RequestRow) => void;
}

function RowView({ row, index, until, mayCancel, onCancel }: RowProps) {
  const ended = until !== undefined;
  const state = ended ? "ended" : row.state;
  const place = row.ahead !== undefined && !ended ? w.place(row.ahead, row.expected_seconds ?? null, age) : "";
  return (
    <tr aria-rowindex={index + 2}>
      <td class="id num" title={visible(row.id)}>{shortId(row.id)}</td>
      <td><Model name={row.model} /></td>
      <td class="tenant"><Name text={row.tenant} /></td>
      <td class="class">{visible(row.priority)}</td>
      <td class="why">
        <span class="now">
          <span class={`badge ${state}`}>{w.states[state] ?? visible(state)}</span>
          {place ? <span class="place num" title={place}>{place}</span> : null}
        </span>
        {row.why && !ended ? <span class="hint" title={visible(row.why.text)}>{visible(row.why.text)}</span> : null}
      </td>
      <td class="prompt">
        {row.prompt_tokens > 0 ? (
          <>
            <Bar value={row.prompt_tokens_done} of={row.prompt_tokens} label={w.columns.prompt} colour={kColours[lookOf(row.model).colour] ?? ""} />
            <span class="num hint">{w.promptDone(row.prompt_tokens_done, row.prompt_tokens)}</span>
          </>
        ) : (
          <span class="hint">{w.promptUnknown}</span>
        )}
      </td>
      <td class="num">{ended ? w.atLeast(integer(row.output_tokens)) : integer(row.output_tokens)}</td>
      <td class="num"><Age since={row.submitted_ms} until={until} /></td>
      <td class="end">{mayCancel && !ended ? <IconButton icon="close" label={w.cancelOne(visible(row.id))} onClick={() => onCancel(row)} /> : null}</td>
    </tr>
  );
}
const Row = memo(RowView);

interface RowsProps {
  rows: ReadonlySignal<RequestRow[]>;
  sight: ReadonlySignal<[number, number]>;
  ended: boolean;
  mayCancel: boolean;
  onCancel: (row: RequestRow) => void;
}

// The rows in sight. A scroll draws these again, and nothing of what is around them.
function Rows({ rows, sight, ended, mayCancel, onCancel }: RowsProps) {
  const all = rows.value;
  const [first, last] = sight.value;
  return (
    <tbody>
      {first > 0 ? <tr class="space" aria-hidden="true" style={{ height: `${first * kRowHeight}px` }}><td /></tr> : null}
      {all.slice(first, last).map((row, i) => <Row key={row.id} row={row} index={first + i} until={ended ? endedAt.value.get(row.id) : undefined} mayCancel={mayCancel} onCancel={onCancel} />)}
      {last < all.length ? <tr class="space" aria-hidden="true" style={{ height: `${(all.length - last) * kRowHeight}px` }}><td /></tr> : null}
    </tbody>
  );
}

const waitingCount = computed(() => {
  let count = 0;
  for (const row of view.value.requests.values()) if (!runs(row)) ++count;
  return count;
});
const endedAt = computed(() => new Map(view.value.ended.map((e) => [e.row.id, e.ended_ms])));
const endedCount = computed(() => view.value.ended.length);

export function Requests() {
  const filter = useSignal("");
  const kind = useSignal<Kind>("all");
  const order = useSignal<Order>({ key: "age", down: true });
  const asks = useSignal<RequestRow[] | null>(null);
  const error = useSignal("");
  const top = useSignal(0);
  const height = useSignal(600);
  const box = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);

  const rows = useComputed<RequestRow[]>(() => {
    const all = kind.value === "ended" ? view.value.ended.map((e) => e.row) : view.value.requests.values();
    return rowsOf(all, kind.value, filter.value, order.value);
  });
  // The pair of before while it is the same, so that nothing is drawn for a scroll within a step.
  const pair = useRef<[number, number]>([0, 0]);
  const sight = useComputed<[number, number]>(() => {
    const next = rowsInSight(top.value, height.value, kRowHeight, rows.value.length, kMore);
    if (next[0] !== pair.current[0] || next[1] !== pair.current[1]) pair.current = next;
    return pair.current;
  });
  useEffect(() => onKey("/", () => field.current?.focus()), []);
  useEffect(() => {
    const target = box.current;
    if (!target) return;
    const sizes = new ResizeObserver(() => (height.value = target.clientHeight));
    sizes.observe(target);
    return () => sizes.disconnect();
  }, []);

  const cancel = async (list: readonly RequestRow[]): Promise<void> => {
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
  const ended = kind.value === "ended";
  const canCancel = may("admin") && isLive();
  const waits = waitingCount.value;
  const total = requestCount.value;
  const label = (text: string, count: number): string => `${text} ${integer(count)}`;
  const cancelOne = useRef((row: RequestRow) => void cancel([row]));
  return (
    <div class="view requests">
      <h1 class="sr">{w.title}</h1>
      <div class="toolbar">
        <input ref={field} type="search" aria-label={w.filter} title={w.filter} placeholder={w.filter} value={filter.value} onInput={(e) => (filter.value = e.currentTarget.value)} />
        <Choice label={w.columns.state} name="kind" value={kind.value} onChange={(v) => (kind.value = v)} of={[
          ["all", label(w.all, total)], ["waiting", label(w.waiting, waits)], ["running", label(w.running, total - waits)], ["ended", label(w.ended, endedCount.value)],
        ] as const} />
        <span class="grow" />
        <Button label={w.csv} small icon="down" disabled={all.length === 0} onClick={() => save("requests.csv", "text/csv", csvOf(all))} />
        <Button label={w.json} small icon="down" disabled={all.length === 0} onClick={() => save("requests.json", "application/json", JSON.stringify(all, null, 2))} />
        {canCancel && !ended && all.length > 1 ? <Button label={w.cancelAll(all.length)} small kind="danger" onClick={() => (asks.value = all)} /> : null}
      </div>
      {error.value ? <Note kind="error">{visible(error.value)}</Note> : null}
      <div class="card tablebox" ref={box} tabIndex={0} role="region" aria-label={w.title} onScroll={(e) => (top.value = e.currentTarget.scrollTop)}>
        <table class="grid" aria-rowcount={all.length + 1}>
          <thead>
            <tr aria-rowindex={1}>
              {kSortable.map((key) => (
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
          <Rows rows={rows} sight={sight} ended={ended} mayCancel={canCancel} onCancel={cancelOne.current} />
        </table>
        {all.length === 0 ? (
          (ended ? endedCount.value : total) > 0 ? <Empty title={w.noneFiltered} /> : <Empty title={w.none} hint={ended ? w.endedHint : w.noneHint} />
        ) : null}
      </div>
      {may("admin") ? null : <p class="hint">{w.onlyMine}</p>}
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
