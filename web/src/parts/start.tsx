// The catalogue: models that can be fetched, or were, with what that takes. On an empty machine it is the first page.
import { useEffect } from "preact/hooks";
import { bytes, seconds } from "../format.ts";
import { may, send } from "../net/api.ts";
import { isLive } from "../net/live.ts";
import type { CatalogueEntry, PullRow } from "../net/wire.ts";
import { visible } from "../safe/visible.ts";
import { goTo } from "../state/route.ts";
import { catalogue, fail, failures, fetchAndLoad, keepFinding, load, loading, pulls, view, watchPulls } from "../state/store.ts";
import { words } from "../words/en.ts";
import { announce, Bar, Button, CopyButton, Note } from "./ui.tsx";

const w = words.start;

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

function Card({ entry }: { entry: CatalogueEntry }) {
  const pull = pulls.value.find((p) => p.model === entry.name);
  const active = pull?.state === "running" || pull?.state === "waiting";
  const row = view.value.models.get(entry.name);
  const allowed = may("admin");
  const room = view.value.node?.memory_bytes_max ?? 0;
  const loads = loading.value.has(entry.name);
  const failure = failures.value.get(entry.name) ?? "";
  const loadIt = (): void => {
    void load(entry.name).then((loaded) => {
      if (loaded) announce(w.chat);
    });
  };

  return (
    <li class="card offer">
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
      {loads ? <p class="working"><span class="spinner" aria-hidden="true" />{words.play.loading(null)}</p> : null}
      {pull?.state === "failed" && pull.error ? <Note kind="error">{visible(pull.error.message)}</Note> : null}
      {pull?.state === "cancelled" ? <Note kind="info">{w.cancelled}</Note> : null}
      {failure ? <Note kind="error">{visible(failure)}</Note> : null}
      <div class="row actions">
        {active ? (
          <Button label={words.cancel} icon="close" disabled={pull?.cancelling ?? false}
            onClick={() => void send("DELETE", `/choir/v1/pulls/${encodeURIComponent(entry.name)}`).then(() => watchPulls(), (e: unknown) => fail(entry.name, e))} />
        ) : entry.local || row ? (
          <>
            <Button label={w.chat} kind="primary" icon="play" onClick={() => goTo(`play/chat/${encodeURIComponent(entry.name)}`)} />
            {allowed && row?.state !== "loaded" ? <Button label={w.load} disabled={loads || !isLive()} onClick={loadIt} /> : null}
          </>
        ) : allowed ? (
          <Button label={pull?.state === "failed" ? w.retry : w.fetch} kind="primary" icon="down" disabled={!isLive()} onClick={() => fetchAndLoad(entry.name)} />
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

export function Offers() {
  return (
    <>
      {may("admin") ? null : <p class="hint">{w.notAllowed}</p>}
      <ul class="offers">{(catalogue.value ?? []).map((entry) => <Card key={entry.name} entry={entry} />)}</ul>
    </>
  );
}

export function Start() {
  useEffect(() => {
    void watchPulls();
    return keepFinding(3000);
  }, []);
  const node = view.value.node;
  return (
    <section class="start" aria-labelledby="start-title">
      <p class="hint">{node ? w.machine(node.cores, bytes(node.memory_bytes_max)) : ""}</p>
      <h2 id="start-title">{w.title}</h2>
      <p>{w.lead}</p>
      <Offers />
      <p class="hint">{w.folder}</p>
    </section>
  );
}
