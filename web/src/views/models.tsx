// Models: what is in memory and what it takes, what is on disk, what can be fetched; and what other sizes would take.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { bytes, integer, percent, short } from "../format.ts";
import { ApiError, may, send } from "../net/api.ts";
import { isLive } from "../net/live.ts";
import type { Estimate, ModelRow } from "../net/wire.ts";
import { ModelChange } from "../parts/modelchange.tsx";
import { ModelDetails } from "../parts/modeldetails.tsx";
import { Offers } from "../parts/start.tsx";
import { announce, Button, Choice, CopyButton, Dialog, Empty, Letter, Name, Note, StackedBar, type Part } from "../parts/ui.tsx";
import { visible, visibleLine } from "../safe/visible.ts";
import { inMemory, kColours, roomOf, weightsWith } from "../state/models.ts";
import { goTo } from "../state/route.ts";
import { learn } from "../state/kinds.ts";
import { Latest } from "../state/latest.ts";
import { catalogue, failures, findModels, history, keepFinding, keepReadingHistory, listed, load, loading, lookOf, models, view, watchPulls, writers } from "../state/store.ts";
import { words } from "../words/en.ts";

const w = words.models;
const colourOf = (name: string): string => kColours[lookOf(name).colour] ?? "";
const sizeOf = (m: ModelRow): number => m.weight_bytes + m.kv_bytes + m.compute_bytes;
const messageOf = (error: unknown): string => (error instanceof ApiError ? error.message : String(error));

function Memory() {
  const node = view.value.node;
  if (!node) return null;
  const held = models.value.filter((m) => sizeOf(m) > 0);
  const free = Math.max(0, node.memory_bytes_max - node.memory_bytes_promised);
  const parts: Part[] = held.map((m) => {
    const value = sizeOf(m) - (weightsWith(held, m) === m.name ? 0 : m.weight_bytes);
    return { label: `${visibleLine(m.name)}: ${bytes(value)}`, value, class: "", colour: colourOf(m.name) };
  });
  return (
    <section class="card memory" aria-labelledby="memory-title">
      <header>
        <h2 id="memory-title">{w.memory}</h2>
        <p class="num">
          <strong>{bytes(node.memory_bytes_promised)}</strong> {words.ensemble.of(bytes(node.memory_bytes_max))}
          <span class="hint"> {w.memoryFree(bytes(free))}</span>
        </p>
      </header>
      <StackedBar parts={parts} of={node.memory_bytes_max} label={parts.map((p) => p.label).join(", ") || w.noneServed} />
      <p class="keyed hint">{held.map((m, i) => <span key={m.name} class="swatch"><Letter model={m.name} />{parts[i]?.label}</span>)}</p>
    </section>
  );
}

// ---- what if ------------------------------------------------------------------------------------

function WhatIf({ name, row, onClose }: { name: string; row: ModelRow | undefined; onClose: () => void }) {
  const sequences = useSignal(row?.sequences_max || 8);
  const trained = (listed.value ?? []).find((m) => m.id === name)?.meta.n_ctx_train ?? 0;
  const tokens = useSignal(Math.max(512, row?.sequence_tokens_max || Math.min(4096, trained || 4096)));
  const kv = useSignal<"f16" | "q8_0">(row?.kv_type === "q8_0" ? "q8_0" : "f16");
  const estimate = useSignal<Estimate | null>(null);
  const error = useSignal("");
  const done = useSignal("");
  const resizing = useSignal(false);
  // As it is now, it has as many cells as it has, which need not be enough for all sequences at once.
  const asItIs = row !== undefined && sequences.value === row.sequences_max && tokens.value === row.sequence_tokens_max;
  const cells = asItIs ? row.context_tokens : 0;

  const abort = useRef(new AbortController());
  const asked = useRef(new Latest<Record<string, unknown>>((body) =>
    send<Estimate>("POST", "/choir/v1/estimate", body, abort.current.signal).then(
      (e) => {
        estimate.value = e;
        error.value = "";
      },
      (e: unknown) => {
        if (!abort.current.signal.aborted) error.value = messageOf(e);
      },
    )));
  useEffect(() => {
    asked.current.put({ model: name, sequences_max: sequences.value, sequence_tokens_max: tokens.value, kv_type: kv.value, ...(cells > 0 ? { context_tokens: cells } : {}) });
  }, [sequences.value, tokens.value, kv.value, cells, name]);
  useEffect(() => () => {
    asked.current.end();
    abort.current.abort();
  }, []);

  const resize = (): void => {
    done.value = "";
    error.value = "";
    resizing.value = true;
    send("POST", `/choir/v1/models/${encodeURIComponent(name)}/resize`, { sequences_max: sequences.value, sequence_tokens_max: tokens.value }).then(
      () => (done.value = w.resized),
      (e: unknown) => (error.value = messageOf(e)),
    ).finally(() => (resizing.value = false));
  };
  const e = estimate.value;
  const room = e ? roomOf(e, row, models.value) : null;
  const parts: Part[] = e && room
    ? [
        { label: `${w.whatIfOthers}: ${bytes(room.others)}`, value: room.others, class: "other" },
        { label: `${w.whatIfLeaving}: ${bytes(room.leaving)}`, value: room.leaving, class: "leaving" },
        { label: `${w.whatIfOwn}: ${bytes(room.own)}`, value: room.own, class: "itsnow" },
        { label: `${w.weights}: ${bytes(e.weight_bytes)}`, value: e.weight_bytes, class: "c1" },
        { label: `${w.kv}: ${bytes(e.kv_bytes)}`, value: e.kv_bytes, class: "c2" },
        { label: `${w.compute}: ${bytes(e.compute_bytes)}`, value: e.compute_bytes, class: "c3" },
      ].filter((part) => part.value > 0)
    : [];
  const verdict = { now: w.whatIfFits, after: w.whatIfFitsAfter((e?.would_leave ?? []).map(visibleLine).join(", ")), not: w.whatIfNot(bytes(e?.missing_bytes)) };
  const steps = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072].filter((s) => trained === 0 || s <= trained);
  const kvDiffers = row !== undefined && kv.value !== row.kv_type;
  return (
    <Dialog title={`${w.whatIf} ${visibleLine(name)}`} onClose={onClose}>
      <p class="hint">{w.whatIfLead(visibleLine(name))}</p>
      <label class="slider">
        <span class="between"><span>{w.whatIfSequences}</span><strong class="num">{integer(sequences.value)}</strong></span>
        <input type="range" min={1} max={64} value={sequences.value} onInput={(ev) => (sequences.value = Number(ev.currentTarget.value))} />
      </label>
      <label class="slider">
        <span class="between"><span>{w.whatIfTokens}</span><strong class="num">{integer(tokens.value)}</strong></span>
        <input type="range" min={0} max={steps.length - 1} value={Math.max(0, steps.findIndex((s) => s >= tokens.value))} aria-valuetext={integer(tokens.value)}
          onInput={(ev) => (tokens.value = steps[Number(ev.currentTarget.value)] ?? 4096)} />
      </label>
      <div class="between">
        <span>{w.kvType}</span>
        <Choice label={w.kvType} name="kv" value={kv.value} of={[["f16", "f16"], ["q8_0", "q8_0"]] as const} onChange={(v) => (kv.value = v)} />
      </div>
      {e && room ? (
        <div class="result" aria-live="polite">
          <p class="big num"><strong>{(room.own > 0 ? w.whatIfNeedsMore : w.whatIfNeeds)(bytes(e.need_bytes))}</strong> <span class="hint">{w.whatIfLimit(bytes(e.limit_bytes))}</span></p>
          <StackedBar parts={parts} of={Math.max(e.limit_bytes, e.promised_bytes + e.need_bytes)} label={parts.map((p) => p.label).join(", ")} />
          <p class="keyed hint">
            {parts.map((p) => <span key={p.class} class="swatch"><i class={p.class} aria-hidden="true" />{p.label}</span>)}
          </p>
          <p class={room.fits === "not" ? "verdict bad" : room.fits === "after" ? "verdict after" : "verdict good"}>{verdict[room.fits]}</p>
          {e.refusal ? <p class="hint">{visible(e.refusal)}</p> : null}
        </div>
      ) : null}
      {error.value ? <Note kind="error">{visible(error.value)}</Note> : null}
      {done.value ? <Note kind="info">{done.value}</Note> : null}
      {may("admin") && row?.state === "loaded" ? (
        <div class="row actions">
          {kvDiffers ? <span class="hint">{w.resizeKeepsKv}</span> : null}
          <Button label={resizing.value ? w.resizing : w.resize} disabled={!isLive() || kvDiffers || resizing.value || asItIs || !e?.fits} onClick={resize} />
        </div>
      ) : null}
    </Dialog>
  );
}

// ---- one model ----------------------------------------------------------------------------------

function ModelCard({ m, onWhatIf }: { m: ModelRow; onWhatIf: () => void }) {
  const busy = useSignal("");
  const error = useSignal("");
  const asks = useSignal(false);
  const changes = useSignal(false);
  const open = useSignal(false);
  const act = (place: string, action: string): void => {
    busy.value = action;
    error.value = "";
    send("POST", `/choir/v1/models/${encodeURIComponent(m.name)}/${action}`, {})
      .then(
        () => announce(`${visibleLine(m.name)}: ${w.actions[action] ?? ""}`),
        (e: unknown) => (error.value = messageOf(e)),
      )
      .finally(() => {
        busy.value = "";
        // A button that was disabled meanwhile has lost the focus.
        requestAnimationFrame(() => {
          if (document.activeElement === document.body) footer.current?.querySelector<HTMLElement>(`[data-place="${place}"] button`)?.focus();
        });
      });
  };
  const footer = useRef<HTMLElement>(null);
  // `place`: where the button stands, whatever it does there now.
  const button = (place: string, action: string) => (
    <span key={place} data-place={place}>
      <Button label={w.actions[action] ?? ""} small disabled={busy.value !== "" || !isLive()}
        onClick={() => (action === "unload" && m.running + m.waiting > 0 ? (asks.value = true) : act(place, action))} />
    </span>
  );
  const loaded = inMemory(m);
  const speed = m.running > 0 ? history.value?.models.get(m.name) : null;
  const state = busy.value === "load" ? "loading" : m.state;
  const sharer = weightsWith(models.value, m);
  const parts: Part[] = [
    { label: sharer === m.name ? `${w.weights}: ${bytes(m.weight_bytes)}` : `${w.weightsOf(visibleLine(sharer))}: ${bytes(m.weight_bytes)}`, value: m.weight_bytes, class: sharer === m.name ? "c1" : "other" },
    { label: `${w.kv}: ${bytes(m.kv_bytes)}`, value: m.kv_bytes, class: "c2" },
    { label: `${w.compute}: ${bytes(m.compute_bytes)}`, value: m.compute_bytes, class: "c3" },
  ];
  return (
    <li class={`card modelcard ${m.state}`}>
      <header class="between">
        <h3><Letter model={m.name} /><Name text={m.name} /><CopyButton text={() => m.name} label={w.copyName} small /></h3>
        <span class={`badge ${state}`}>{w.state[state] ?? ""}{typeof m.load_progress === "number" ? ` ${percent(m.load_progress, 1)} %` : ""}{m.pinned ? ` \u00b7 ${w.pinned}` : ""}</span>
      </header>
      {loaded ? (
        <>
          <div class="between">
            <span class="num"><strong>{bytes(sizeOf(m))}</strong></span>
            <span class="num hint">{`${speed ? `${short(speed)} ${words.ensemble.modelSpeed} \u00b7 ` : ""}${integer(m.running)} ${w.running} \u00b7 ${integer(m.waiting)} ${w.waiting}`}</span>
          </div>
          <StackedBar parts={parts} of={sizeOf(m)} label={parts.map((p) => p.label).join(", ")} />
          <p class="keyed hint">{parts.map((p) => <span key={p.label} class="swatch"><i class={p.class} aria-hidden="true" />{p.label}</span>)}</p>
        </>
      ) : null}
      <dl class="facts">
        <div><dt>{w.context}</dt><dd class="num">{`${w.sequences(m.sequences_max)}, ${w.tokensEach(integer(m.sequence_tokens_max || m.context_tokens))}`}</dd></div>
        <div><dt>{w.classWord}</dt><dd>{`${visible(m.priority)}, ${w.shares.toLowerCase()} ${m.shares}${m.replicas ? `, ${w.replicaCount(m.replicas)}` : ""}`}</dd></div>
        {m.replica_of === undefined ? null : <div><dt>{w.replicaOf}</dt><dd><Name text={m.replica_of} /></dd></div>}
      </dl>
      {open.value ? <ModelDetails m={m} /> : null}
      {[error.value, failures.value.get(m.name) ?? ""].map((text, i) => text ? <Note key={i} kind="error">{visible(text)}</Note> : null)}
      <footer class="row actions" ref={footer}>
        {may("infer") && writers.value.includes(m.name) ? <Button label={w.chat} small kind="primary" onClick={() => goTo(`play/chat/${encodeURIComponent(m.name)}`)} /> : null}
        <Button label={w.whatIf} small disabled={!isLive()} onClick={onWhatIf} />
        {may("admin") ? (
          <>
            {button("memory", loaded ? "unload" : "load")}
            {loaded ? button("run", m.state === "suspended" ? "resume" : "suspend") : null}
            {button("pin", m.pinned ? "unpin" : "pin")}
          </>
        ) : null}
        <span class="more">
          {may("admin") ? <button type="button" class="linklike" disabled={!isLive()} onClick={() => (changes.value = true)}>{w.changeMore}</button> : null}
          <button type="button" class="linklike" aria-expanded={open.value} onClick={() => (open.value = !open.value)}>{open.value ? w.lessDetails : w.details}</button>
        </span>
      </footer>
      {changes.value ? <ModelChange m={m} onClose={() => (changes.value = false)} /> : null}
      {asks.value ? (
        <Dialog title={w.confirmTitle} onClose={() => (asks.value = false)}>
          <p>{w.confirmUnload(visibleLine(m.name), m.running + m.waiting)}</p>
          <div class="row actions">
            <Button label={words.cancel} onClick={() => (asks.value = false)} />
            <Button label={w.unloadNow} kind="danger" onClick={() => {
              asks.value = false;
              act("memory", "unload");
            }} />
          </div>
        </Dialog>
      ) : null}
    </li>
  );
}

function OnDisk({ onWhatIf }: { onWhatIf: (name: string) => void }) {
  const rest = (listed.value ?? []).filter((m) => !view.value.models.has(m.id));
  const unknown = rest.filter((m) => !m.capabilities).map((m) => m.id);
  useEffect(() => learn(unknown), [unknown.join("\n")]);
  if (rest.length === 0) return null;
  return (
    <section aria-labelledby="disk-title">
      <h2 id="disk-title" class="section">{w.onDisk}</h2>
      {rest.map((m) => failures.value.has(m.id) ? <Note key={m.id} kind="error">{visible(failures.value.get(m.id) ?? "")}</Note> : null)}
      <ul class="card disk">
        {rest.map((m) => (
          <li key={m.id}>
            <Letter model={m.id} />
            <Name text={m.id} />
            <span class="num hint">{bytes(m.meta.size)}</span>
            <span class="grow" />
            <Button label={w.whatIf} small disabled={!isLive()} onClick={() => onWhatIf(m.id)} />
            {may("admin") ? <Button label={loading.value.has(m.id) ? (w.state["loading"] ?? "") : (w.actions["load"] ?? "")} small kind="primary" disabled={loading.value.size > 0 || !isLive()} onClick={() => void load(m.id)} /> : null}
            {may("infer") && writers.value.includes(m.id) ? <Button label={w.chat} small onClick={() => goTo(`play/chat/${encodeURIComponent(m.id)}`)} /> : null}
          </li>
        ))}
      </ul>
    </section>
  );
}

export function ModelsView() {
  const whatIf = useSignal<string | null>(null);
  const isNowLive = isLive();
  useEffect(() => {
    if (!isNowLive) return;
    void findModels();
    void watchPulls();
  }, [isNowLive]);
  useEffect(() => keepFinding(10_000), []);
  useEffect(keepReadingHistory, []);
  const offered = (catalogue.value ?? []).some((c) => !c.local);
  return (
    <div class="view models">
      <h1 class="sr">{w.title}</h1>
      <Memory />
      <section aria-labelledby="served-title">
        <div class="between section">
          <h2 id="served-title">{w.served}</h2>
          <span class="address hint">
            {w.address}: <code>{`${location.origin}/v1`}</code>
            <CopyButton text={() => `${location.origin}/v1`} label={w.copyAddress} small />
          </span>
        </div>
        {models.value.length === 0 ? <Empty title={w.noneServed} /> : null}
        <ul class="modelcards">{models.value.map((m) => <ModelCard key={m.name} m={m} onWhatIf={() => (whatIf.value = m.name)} />)}</ul>
      </section>
      <OnDisk onWhatIf={(name) => (whatIf.value = name)} />
      <section aria-labelledby="catalogue-title">
        <h2 id="catalogue-title" class="section">{w.catalogue}</h2>
        {catalogue.value !== null && !offered ? <p class="quiet">{w.noneToFetch}</p> : null}
        {offered ? <Offers /> : null}
      </section>
      {whatIf.value !== null ? <WhatIf name={whatIf.value} row={view.value.models.get(whatIf.value)} onClose={() => (whatIf.value = null)} /> : null}
    </div>
  );
}
