// The catalogue: models that can be fetched, or were, with what that takes. On an empty machine it is the first page.
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { bytes, seconds } from "../format.ts";
import { may, send } from "../net/api.ts";
import { isLive } from "../net/live.ts";
import type { CatalogueEntry, PullRow } from "../net/wire.ts";
import { visible } from "../safe/visible.ts";
import { chosen, runsBoth } from "../state/demo.ts";
import { loadPercent, offersOf } from "../state/models.ts";
import { goTo } from "../state/route.ts";
import { catalogue, fail, failures, fetchAndLoad, keepFinding, load, loading, pulling, pulls, view, watchPulls, writers } from "../state/store.ts";
import { draft } from "../state/talk.ts";
import { words } from "../words/en.ts";
import { announce, Bar, Button, CopyButton, Note, useKeptFocus } from "./ui.tsx";

const w = words.start;
const kOffersMost = 3; // at first sight

// The model that this page fetches and loads. Until it is there the page stays; then it leads on.
export const arriving = signal<{ name: string; second: boolean } | null>(null);

// When each fetch was first seen, to tell its rate.
const seen = new Map<string, { at: number; done: number }>();

function rateOf(pull: PullRow): number | null {
  const now = performance.now();
  const first = seen.get(pull.model);
  if (!first || pull.bytes_done < first.done) {
    seen.set(pull.model, { at: now, done: pull.bytes_done });
    return null;
  }
  return now - first.at > 900 ? ((pull.bytes_done - first.done) * 1000) / (now - first.at) : null;
}

function Progress({ pull }: { pull: PullRow }) {
  const rate = pull.step === "fetching" ? rateOf(pull) : null;
  const left = rate && pull.bytes_total > 0 ? (pull.bytes_total - pull.bytes_done) / rate : null;
  const parts = [w.steps[pull.step] ?? w.steps["waiting"] ?? ""];
  if (pull.bytes_total > 0) parts.push(w.fetching(bytes(pull.bytes_done), bytes(pull.bytes_total)));
  if (rate) parts.push(w.rate(bytes(rate)));
  if (left !== null && Number.isFinite(left)) parts.push(w.left(seconds(Math.max(1, Math.round(left)))));
  return (
    <div class="pulling">
      <Bar value={pull.bytes_done} of={pull.bytes_total || 1} label={w.steps["fetching"] ?? ""} />
      <p class="hint num">{parts.join(" \u00b7 ")}</p>
    </div>
  );
}

function Loading({ percent }: { percent: number | null }) {
  return (
    <div class="pulling">
      {percent === null ? null : <Bar value={percent} of={100} label={words.play.loading(null)} />}
      <p class="working"><span class="spinner" aria-hidden="true" />{words.play.loading(percent)}</p>
    </div>
  );
}

// `onTake`: its fetch or load was begun here.
function Card({ entry, room, onTake }: { entry: CatalogueEntry; room: number; onTake?: ((name: string) => void) | undefined }) {
  const card = useRef<HTMLLIElement>(null);
  useKeptFocus(card); // its buttons come and go
  const pull = pulls.value.find((p) => p.model === entry.name);
  const active = pull?.state === "running" || pull?.state === "waiting";
  const row = view.value.models.get(entry.name);
  const allowed = may("admin");
  const loads = loading.value.has(entry.name) || row?.state === "loading";
  const failure = failures.value.get(entry.name) ?? "";
  const loadIt = (): void => {
    onTake?.(entry.name);
    void load(entry.name).then((loaded) => {
      if (loaded) announce(w.loaded(entry.name));
    });
  };
  const chat = (): void => {
    arriving.value = null;
    goTo(`play/chat/${encodeURIComponent(entry.name)}`);
  };

  return (
    <li class="card offer" ref={card} tabIndex={-1} aria-label={visible(entry.name)}>
      <div class="between">
        <h3>{visible(entry.name)}</h3>
        <span class="num">{bytes(entry.bytes)}</span>
      </div>
      <p>{visible(entry.description)}</p>
      <p class="hint">
        {`${w.license}: `}
        {visible(entry.license)}
        {room > 0 ? ` \u00b7 ${entry.bytes < room ? w.fits : w.tight}` : ""}
      </p>
      {active && pull ? <Progress pull={pull} /> : null}
      {loads ? <Loading percent={loadPercent(row)} /> : null}
      {pull?.state === "failed" && pull.error ? <Note kind="error">{visible(pull.error.message)}</Note> : null}
      {pull?.state === "cancelled" ? <Note kind="info">{w.cancelled}</Note> : null}
      {failure ? <Note kind="error">{visible(failure)}</Note> : null}
      <div class="row actions">
        {active ? (
          <Button label={words.cancel} icon="close" disabled={pull?.cancelling ?? false}
            onClick={() => void send("DELETE", `/choir/v1/pulls/${encodeURIComponent(entry.name)}`).then(() => watchPulls(), (e: unknown) => fail(entry.name, e))} />
        ) : entry.local || row ? (
          <>
            <Button label={w.chat} kind="primary" icon="play" disabled={loads} onClick={chat} />
            {allowed && row?.state !== "loaded" ? <Button label={w.load} disabled={loads || !isLive()} onClick={loadIt} /> : null}
          </>
        ) : allowed ? (
          <Button label={pull?.state === "failed" ? w.retry : w.fetch} kind="primary" icon="down" disabled={!isLive()} onClick={() => {
            onTake?.(entry.name);
            fetchAndLoad(entry.name);
          }} />
        ) : (
          <div class="commandline">
            <code>{`choir pull ${entry.name}`}</code>
            <CopyButton text={() => `choir pull ${entry.name}`} label={words.copy} small />
          </div>
        )}
      </div>
    </li>
  );
}

function Cards({ of, room, onTake }: { of: readonly CatalogueEntry[]; room: number; onTake?: (name: string) => void }) {
  return <ul class="offers">{of.map((entry) => <Card key={entry.name} entry={entry} room={room} onTake={onTake} />)}</ul>;
}

export function Offers() {
  return (
    <>
      {may("admin") ? null : <p class="hint">{w.notAllowed}</p>}
      <Cards of={catalogue.value ?? []} room={view.value.node?.memory_bytes_max ?? 0} />
    </>
  );
}

// What the page is for has come: the field with a prompt in it, or the demo with both models.
function leadOn(name: string, second: boolean): void {
  arriving.value = null;
  announce(w.loaded(name));
  if (second) return runBoth();
  draft.value ||= words.play.suggestions[0];
  goTo(`play/chat/${encodeURIComponent(name)}`);
}

function runBoth(): void {
  chosen.value = null;
  runsBoth.value = true;
  goTo("play/demo");
}

// The first page of an empty machine; `second`: of one that has a model, and shall have two.
export function Start({ second = false }: { second?: boolean }) {
  useEffect(() => {
    void watchPulls();
    const stop = keepFinding(3000);
    return () => {
      stop();
      // Of a fetch that goes on, who comes back sees the end.
      if (!pulling.peek() && loading.peek().size === 0) arriving.value = null;
    };
  }, []);
  const name = arriving.value?.name ?? null;
  const there = name !== null && view.value.models.get(name)?.state === "loaded" && !loading.value.has(name) && writers.value.includes(name);
  useEffect(() => {
    if (there && name !== null) leadOn(name, second);
  }, [there]);
  const node = view.value.node;
  const room = node ? node.memory_bytes_max - (second ? node.memory_bytes_promised : 0) : 0;
  const all = (catalogue.value ?? []).filter((entry) => !second || !entry.local || entry.name === name);
  const offers = offersOf(all, room, kOffersMost);
  const take = (model: string): void => {
    arriving.value = { name: model, second };
  };
  return (
    <section class="start" aria-labelledby="start-title">
      <p class="hint">{node ? w.machine(node.cores, bytes(node.memory_bytes_max), visible(node.kernels)) : ""}</p>
      <h2 id="start-title">{second ? w.secondTitle : w.title}</h2>
      <p>{second ? w.secondLead : w.lead}</p>
      {may("admin") || all.length === 0 ? null : <p class="hint">{w.notAllowed}</p>}
      {all.length === 0 ? <p class="hint">{w.noneLeft}</p> : <Cards of={offers.first} room={room} onTake={take} />}
      {offers.more.length > 0 ? (
        <details class="moreoffers" open={offers.more.some((entry) => entry.name === name)}>
          <summary>{w.more(offers.more.length)}</summary>
          <Cards of={offers.more} room={room} onTake={take} />
        </details>
      ) : null}
      {second && writers.value.length > 1 && name === null ? <div class="row"><Button label={w.runBoth} icon="go" kind="primary" onClick={runBoth} /></div> : null}
      <p class="hint">{w.folder}</p>
    </section>
  );
}
