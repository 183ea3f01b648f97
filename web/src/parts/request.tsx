// One request: where its time went, what it took, and why it waits.
import { useEffect, useRef } from "preact/hooks";
import { clock, integer, seconds, short } from "../format.ts";
import { may } from "../net/api.ts";
import { isLive } from "../net/live.ts";
import { Button, CopyButton, Dialog, Model, Name, Note, StackedBar, useKeptFocus, type Part } from "./ui.tsx";
import { visible } from "../safe/visible.ts";
import { ended, keepReadingEnded } from "../state/ended.ts";
import { hasEnded, kStages, lifeOf, speedOf, type Row } from "../state/life.ts";
import { now, view } from "../state/store.ts";
import { words } from "../words/en.ts";

const w = words.requests;
const kClasses = { held: "c0", queue: "other", prompt: "c2", writing: "c1", parked: "c3" } as const;

function Life({ row, elapsed }: { row: Row; elapsed: number }) {
  const life = lifeOf(row, elapsed);
  const total = kStages.reduce((sum, stage) => sum + life[stage], 0);
  const parts: Part[] = kStages.filter((stage) => life[stage] > 0.0005).map((stage) => ({ label: `${w.stages[stage]}: ${seconds(life[stage])}`, value: life[stage], class: kClasses[stage] }));
  return (
    <section class="life">
      <div class="between">
        <h3>{w.life}</h3>
        <span class="num">{seconds(total)}</span>
      </div>
      <StackedBar parts={parts} of={total} label={parts.map((p) => p.label).join(", ")} />
      <p class="keyed hint">{parts.map((p) => <span key={p.label} class="swatch"><i class={p.class} aria-hidden="true" />{p.label}</span>)}</p>
    </section>
  );
}

export function RequestDialog({ id, onCancel, onClose }: { id: string; onCancel: (row: Row) => void; onClose: () => void }) {
  useEffect(keepReadingEnded, []);
  // Between its last frame and the next look at those that ended it is as it was.
  const last = useRef<Row | undefined>(undefined);
  const row = view.value.requests.get(id) ?? ended.value?.find((r) => r.id === id) ?? last.current;
  last.current = row;
  const actions = useRef<HTMLDivElement>(null);
  useKeptFocus(actions); // the button goes with the request's end
  if (!row) return null;
  const over = hasEnded(row);
  const elapsed = (now.value - row.submitted_ms) / 1000;
  const speed = speedOf(row, elapsed);
  const done = over ? row.prompt_tokens : row.prompt_tokens_done;
  return (
    <Dialog title={w.detailsTitle} onClose={onClose}>
      <div class="between">
        <Model name={row.model} />
        <span class={`badge ${over ? "ended" : row.state}`}>{over ? (w.finishes[row.finish] ?? visible(row.finish)) : (w.states[row.state] ?? visible(row.state))}</span>
      </div>
      {!over && row.why ? <Note kind="info">{visible(row.why.text)}</Note> : null}
      {over && row.error ? <Note kind="info">{w.errorWas(visible(row.error))}</Note> : null}
      <Life row={row} elapsed={elapsed} />
      <dl class="facts">
        <div><dt>{w.columns.id}</dt><dd class="num">{visible(row.id)} <CopyButton text={() => row.id} label={w.copyId} small /></dd></div>
        <div><dt>{w.columns.tenant}</dt><dd><Name text={row.tenant} /></dd></div>
        <div><dt>{w.columns.class}</dt><dd>{visible(row.priority)}</dd></div>
        <div><dt>{w.columns.prompt}</dt><dd class="num">{row.prompt_tokens > 0 ? w.promptDone(done, row.prompt_tokens) : w.promptUnknown}</dd></div>
        <div><dt>{w.columns.reused}</dt><dd class="num">{integer(row.reused_tokens)}</dd></div>
        <div><dt>{w.columns.output}</dt><dd class="num">{integer(row.output_tokens)}</dd></div>
        <div><dt>{w.columns.speed}</dt><dd class="num">{short(speed)}</dd></div>
        {over && row.recomputed_tokens > 0 ? <div><dt>{w.recomputed}</dt><dd class="num">{integer(row.recomputed_tokens)}</dd></div> : null}
        <div><dt>{w.submitted}</dt><dd class="num">{clock(row.submitted_ms)}</dd></div>
        {over ? <div><dt>{w.endedAt}</dt><dd class="num">{clock(row.ended_ms)}</dd></div> : null}
      </dl>
      <div class="row actions" ref={actions} tabIndex={-1}>
        {!over && may("admin") && isLive() ? <Button label={w.cancelThis} kind="danger" onClick={() => onCancel(row)} /> : null}
      </div>
    </Dialog>
  );
}
