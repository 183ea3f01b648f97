// Ensemble: what computes now, how fast, who has had how much, and why others wait.
import { computed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { bytes, integer, percent, seconds, short } from "../format.ts";
import { may } from "../net/api.ts";
import { isLive } from "../net/live.ts";
import type { RequestRow } from "../net/wire.ts";
import { CoresView } from "../parts/cores.tsx";
import { Spark } from "../parts/spark.tsx";
import { arriving, Start } from "../parts/start.tsx";
import { Tracks, TrackTable, type Shown } from "../parts/tracks.tsx";
import { Bar, Button, Choice, Model } from "../parts/ui.tsx";
import { visible } from "../safe/visible.ts";
import { coreSecondsOf, cores, kCoresSeconds } from "../state/cores.ts";
import { inMemory, kColours } from "../state/models.ts";
import { onKey } from "../state/keys.ts";
import { goTo } from "../state/route.ts";
import { catalogue, fillTurns, history, historySeconds, keepReadingHistory, listed, lookOf, models, running, turns, turnsTick, view, waiting, type History } from "../state/store.ts";
import { unknownIn, type Lane } from "../state/turns.ts";
import { words } from "../words/en.ts";

const w = words.ensemble;

// The curve of a total, second by second up to now.
function curve(name: string): (number | null)[] {
  const all = history.value?.totals.get(name);
  const last = history.value?.last ?? 0;
  const values: (number | null)[] = [];
  for (let s = last - historySeconds + 1; s <= last; ++s) values.push(all?.get(s) ?? null);
  return values;
}
const latest = (name: string): number | null => history.value?.totals.get(name)?.get(history.value.last) ?? null;
// Of a minute without a first token it is that of the last that had one.
const latestKnown = (name: string): number | null => curve(name).findLast((v) => v !== null) ?? null;

function Tile(props: { label: string; value: string; hint?: string; curve?: string; children?: preact.ComponentChildren }) {
  return (
    <li class="tile">
      <h2>{props.label}</h2>
      <p>
        <strong>{props.value}</strong>
        {props.hint ? <span class="hint">{props.hint}</span> : null}
      </p>
      {props.curve ? <Spark values={curve(props.curve)} /> : props.children}
    </li>
  );
}

function Tiles() {
  const node = view.value.node;
  const first = latestKnown("first_token_p95_ms");
  return (
    <ul class="tiles">
      <Tile label={w.speed} value={short(latest("output_tokens_per_second"))} hint={w.speedHint} curve="output_tokens_per_second" />
      <Tile label={w.running} value={integer(running.value)} curve="running" />
      <Tile label={w.waiting} value={integer(waiting.value)} curve="waiting" />
      <Tile label={w.first} value={first === null ? words.none : seconds(first / 1000)} hint={w.firstHint} curve="first_token_p95_ms" />
      <Tile label={w.memory} value={node ? bytes(node.memory_bytes_promised) : words.none} hint={node ? w.of(bytes(node.memory_bytes_max)) : ""}>
        <Bar value={node?.memory_bytes_promised ?? 0} of={node?.memory_bytes_max ?? 1} label={w.memory} />
      </Tile>
    </ul>
  );
}

interface Share {
  model: string;
  seconds: number;
  due: number;
}

// By the daemon's own books, which have seconds: of the time shown, and at least of two.
function sharesOf(span: number, of: Pick<History, "last" | "cores"> | null): Share[] {
  if (span === kCoresSeconds) return coreSecondsOf(cores.value);
  const since = (of?.last ?? 0) - Math.max(span, 2);
  const sum = (values: ReadonlyMap<number, number>): number => [...values].reduce((all, [second, value]) => all + (second > since ? value : 0), 0);
  return [...(of?.cores ?? [])].map(([model, c]) => ({ model, seconds: sum(c.had), due: sum(c.due) }));
}

// What each model has had of the time shown, beside what its shares gave it.
function Shares({ span, still }: { span: number; still: History | null }) {
  const times = sharesOf(span, still ?? history.value).filter((t) => t.seconds > 0 || t.due > 0);
  const all = times.reduce((sum, t) => sum + t.seconds, 0);
  const rows = [...new Set([...times.map((t) => t.model), ...models.value.filter(inMemory).map((m) => m.name)])].sort();
  return (
    <section class="card shares" aria-labelledby="shares-title">
      <header>
        <h2 id="shares-title">{w.shares}</h2>
        <p class="hint">{w.sharesHint}</p>
      </header>
      {rows.length === 0 ? <p class="quiet">{w.idle}.</p> : null}
      <ul>
        {rows.map((name) => {
          const time = times.find((t) => t.model === name);
          const had = percent(time?.seconds ?? 0, all);
          const due = time ? percent(time.due, all) : null;
          const speed = history.value?.models.get(name);
          return (
            <li key={name}>
              <div class="between">
                <Model name={name} />
                <span class="num">{speed === undefined || speed === null ? "" : `${short(speed)} ${w.modelSpeed}`}</span>
              </div>
              <div class="sharebar">
                <Bar value={had} of={100} label={w.had(had)} colour={kColours[lookOf(name).colour] ?? ""} />
                {due === null ? null : <span class="due" style={{ insetInlineStart: `${due}%` }} />}
              </div>
              <div class="between hint">
                <span>{w.had(had)}</span>
                <span>{due === null ? "" : w.due(due)}</span>
              </div>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

interface Reason {
  reason: string;
  rows: RequestRow[];
}

const kBegun = new Set(["prefill", "decode", "ending"]);
const reasons = computed<Reason[]>(() => {
  const groups = new Map<string, RequestRow[]>();
  for (const row of view.value.requests.values()) {
    if (kBegun.has(row.state)) continue;
    const reason = row.why?.reason ?? row.waits_for;
    groups.set(reason, [...(groups.get(reason) ?? []), row]);
  }
  return [...groups].map(([reason, rows]) => ({ reason, rows })).sort((a, b) => b.rows.length - a.rows.length);
});

function Reasons() {
  const count = reasons.value.reduce((sum, { rows }) => sum + rows.length, 0);
  // One who may not see them all knows how many there are.
  const others = may("admin") ? 0 : Math.max(0, waiting.value - count);
  return (
    <section class="card" aria-labelledby="reasons-title">
      <header>
        <h2 id="reasons-title">{w.reasons}</h2>
        <p class="hint">{count > 0 ? integer(count) : ""}</p>
      </header>
      {count === 0 ? <p class="quiet">{others > 0 ? w.noneOfYours : w.noneWaiting}</p> : null}
      {others > 0 ? <p class="hint">{w.othersWait(others)}</p> : null}
      <ul class="reasons">
        {reasons.value.map(({ reason, rows }) => (
          <li key={reason}>
            <span class="count">{integer(rows.length)}</span>
            <div>
              <strong>{w.reason[reason] ?? visible(reason)}</strong>
              {[...new Set(rows.map((r) => r.why?.text ?? ""))].filter(Boolean).slice(0, 2).map((text) => (
                <p key={text}>{visible(text)}</p>
              ))}
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}

function copyOf(lanes: Lane[]): Lane[] {
  return lanes.map((lane) => ({ ...lane, blocks: [...lane.blocks], gaps: [...lane.gaps] }));
}

function Lanes({ span, frozen, shown, onFreeze }: { span: number; frozen: Shown | null; shown: (s: Shown) => void; onFreeze: () => void }) {
  void turnsTick.value;
  const quiet = turns.lanes.every((l) => l.blocks.length === 0);
  const missing = turns.missing();
  const to = frozen ? frozen.to : turns.now;
  const unknown = (frozen?.lanes ?? turns.lanes).some((lane) => unknownIn(lane, to - span * 1e6, to) > 0);
  useEffect(() => {
    if (!frozen) void fillTurns(span);
  }, [span]);
  return (
    <>
      <Tracks seconds={span} frozen={frozen} onShown={shown} />
      {quiet && running.value === 0 && isLive() ? (
        <div class="quietlanes">
          <p>
            <strong>{w.idle}.</strong> <span class="hint">{w.idleHint}</span>
          </p>
          <Button label={words.demo.run} kind="primary" icon="go" small onClick={() => goTo("play/demo")} />
        </div>
      ) : null}
      <div class="legend">
        {models.value.filter(inMemory).map((m) => <Model key={m.name} name={m.name} />)}
        <span class="swatch"><i class="dark" aria-hidden="true" />{w.legendPrompt}</span>
        <span class="swatch"><i aria-hidden="true" />{w.legendDecode}</span>
        {unknown ? <span class="swatch"><i class="unknown" aria-hidden="true" />{w.unknownTime}</span> : null}
        {missing > 0 ? <span class="hint">{w.missing(missing)}</span> : null}
        <span class="grow" />
        <Button label={frozen ? w.resume : w.freeze} icon={frozen ? "go" : "pause"} onClick={onFreeze} small />
      </div>
    </>
  );
}

export function Ensemble() {
  const span = useSignal<"2" | "10" | "60" | "900">("10");
  const frozen = useSignal<Shown | null>(null);
  const still = useSignal<History | null>(null); // while it is frozen
  const shown = useRef<Shown | null>(null);

  useEffect(keepReadingHistory, []);

  const freeze = (): void => {
    const s = shown.current;
    if (frozen.value) frozen.value = null;
    else if (s) frozen.value = { ...s, lanes: copyOf(s.lanes) };
    still.value = frozen.value ? history.value : null;
  };
  useEffect(() => onKey(" ", () => span.peek() !== "900" && freeze()), []);

  const known = view.value.known.state && listed.value !== null;
  const nothing = models.value.length === 0 && (listed.value ?? []).length === 0;
  // What is fetched from here is loaded from here, too.
  if (known && (nothing || arriving.value?.second === false) && catalogue.value !== null)
    return (
      <div class="view">
        <h1 class="sr">{w.title}</h1>
        <Start />
      </div>
    );
  const n = Number(span.value);
  const long = n === kCoresSeconds;
  return (
    <div class="view ensemble">
      <h1 class="sr">{w.title}</h1>
      <Tiles />
      <section class="card lanes" aria-labelledby="lanes-title">
        <header>
          <div>
            <h2 id="lanes-title">{w.lanes}</h2>
            <p class="hint">{long ? w.coresHint : frozen.value ? w.frozen : w.lanesHint}</p>
          </div>
          <Choice label={w.span} name="span" value={span.value} of={[["2", w.seconds(2)], ["10", w.seconds(10)], ["60", w.seconds(60)], ["900", w.minutes(15)]] as const} onChange={(v) => {
            span.value = v;
            if (v === "900") frozen.value = null;
          }} />
        </header>
        {long ? <CoresView /> : (
          <>
            <Lanes span={n} frozen={frozen.value} shown={(s) => (shown.current = s)} onFreeze={freeze} />
            <TrackTable seconds={n} frozen={frozen.value} />
          </>
        )}
      </section>
      <div class="two">
        <Shares span={n} still={frozen.value ? still.value : null} />
        <Reasons />
      </div>
    </div>
  );
}
