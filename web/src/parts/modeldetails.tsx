// What there is to know of one model beyond its card: counts, who holds it, and what its KV cells hold.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { age, integer, seconds } from "../format.ts";
import { get } from "../net/api.ts";
import { keepLooking } from "../net/looking.ts";
import type { CellsReply, ModelRow, NodeModel } from "../net/wire.ts";
import { visible } from "../safe/visible.ts";
import { inMemory } from "../state/models.ts";
import { words } from "../words/en.ts";
import { Name, StackedBar, type Part } from "./ui.tsx";

const w = words.models;
const kReadEveryMs = 2000;
const kSequencesShown = 5;
const kFrontsShown = 5;

// What changes by time alone, and what a look of its own is needed for: read while it is in sight.
function useReadings(name: string): { model: NodeModel | null; cells: CellsReply | null } {
  const model = useSignal<NodeModel | null>(null);
  const cells = useSignal<CellsReply | null>(null);
  useEffect(() => {
    const path = encodeURIComponent(name);
    return keepLooking(kReadEveryMs, (abort) => Promise.all([
      get<NodeModel>(`/choir/v1/models/${path}`, abort).then((row) => (model.value = row)),
      get<CellsReply>(`/choir/v1/cells/${path}`, abort).then((row) => (cells.value = row)),
    ]));
  }, [name]);
  return { model: model.value, cells: cells.value };
}

// What sequences share of their cells because they begin the same.
function SharedFronts({ sharing }: { sharing: CellsReply["sharing"] }) {
  if (!sharing || sharing.saved_cells === 0) return null;
  return (
    <>
      <p class="hint">{w.saved(integer(sharing.saved_cells))}</p>
      <ul class="fronts">
        {sharing.fronts.slice(0, kFrontsShown).map((front, i) => (
          <li key={i} class="between hint">
            <span>{front.tenant === null ? null : <><Name text={front.tenant} /> </>}<span class="num">{w.front(integer(front.cells), front.running + front.kept + front.cached)}</span></span>
            <span class="num">{w.frontSaves(integer(front.saved_cells))}</span>
          </li>
        ))}
      </ul>
    </>
  );
}

// Cells of sequences that run or are kept, and of ended requests, which give way.
function CellsView({ m, cells }: { m: ModelRow; cells: CellsReply | null }) {
  const all = m.context_tokens || m.sequences_max * m.sequence_tokens_max;
  const kept = cells ? Math.min(cells.kept_cells, m.cells) : 0;
  const parts: Part[] = [
    { label: `${w.cellsUsed}: ${integer(m.cells - kept)}`, value: m.cells - kept, class: "c1" },
    { label: `${w.cellsKept(cells?.kept_conversations ?? 0)}: ${integer(kept)}`, value: kept, class: "c2" },
    { label: `${w.cellsCached}: ${integer(m.cached_cells)}`, value: m.cached_cells, class: "c3" },
  ].filter((part) => part.class !== "c2" || part.value > 0);
  const longest = (cells?.sequences ?? []).slice(0, kSequencesShown);
  return (
    <div class="cells">
      <div class="between">
        <h4>{w.cells}</h4>
        <span class="num hint">{integer(all)}</span>
      </div>
      <StackedBar parts={parts} of={all} label={parts.map((p) => p.label).join(", ")} />
      <p class="keyed hint">
        {parts.map((p) => <span key={p.class} class="swatch"><i class={p.class} aria-hidden="true" />{p.label}</span>)}
        <span class="swatch"><i class="c0" aria-hidden="true" />{`${w.cellsFree}: ${integer(Math.max(0, all - m.cells - m.cached_cells))}`}</span>
      </p>
      {longest.length > 0 ? (
        <>
          <p class="hint">{w.longest(cells?.running ?? longest.length)}</p>
          <ul class="fronts">
            {longest.map((s) => (
              <li key={s.id} class="between hint">
                <span><Name text={s.tenant} /> <span class="num">{visible(`\u2026${s.id.slice(-6)}`)}</span></span>
                <span class="num">{integer(s.cells)}</span>
              </li>
            ))}
          </ul>
        </>
      ) : null}
      <SharedFronts sharing={cells?.sharing ?? null} />
    </div>
  );
}

export function ModelDetails({ m }: { m: ModelRow }) {
  const { model, cells } = useReadings(m.name);
  const loaded = inMemory(m);
  return (
    <>
      <dl class="facts">
        <div><dt>{w.kvType}</dt><dd>{visible(m.kv_type)}</dd></div>
        <div><dt>{w.threads}</dt><dd class="num">{m.threads > 0 ? m.threads : words.none}</dd></div>
        <div><dt>{w.done}</dt><dd class="num">{integer(m.requests_done)}{m.requests_failed > 0 ? `, ${integer(m.requests_failed)} ${w.failed}` : ""}</dd></div>
        <div><dt>{w.output}</dt><dd class="num">{integer(m.output_tokens)}</dd></div>
        <div><dt>{w.reused}</dt><dd class="num">{integer(m.reused_tokens)}</dd></div>
        <div><dt>{w.computed}</dt><dd class="num">{seconds(m.compute_seconds)}</dd></div>
        {m.preemptions > 0 ? <div><dt>{w.preemptions}</dt><dd class="num">{integer(m.preemptions)}</dd></div> : null}
        {loaded ? <div><dt>{w.loadTime}</dt><dd class="num">{seconds(m.load_seconds)}</dd></div> : null}
        {model && loaded ? <div><dt>{w.lastUse}</dt><dd class="num">{m.running + m.waiting > 0 ? w.inUse : w.ago(age(model.idle_seconds))}</dd></div> : null}
        {model?.not_covered ? <div><dt>{w.otherKernels}</dt><dd>{visible(model.not_covered)}</dd></div> : null}
        {(model?.leases ?? []).map((lease) => (
          <div key={lease.tenant}><dt>{w.heldBy}</dt><dd><Name text={lease.tenant} />{lease.seconds_left === null ? "" : `, ${w.forTime(age(lease.seconds_left))}`}</dd></div>
        ))}
      </dl>
      {loaded ? <CellsView m={m} cells={cells} /> : null}
    </>
  );
}
