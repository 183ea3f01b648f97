// Run Parallel Demo: all chosen models answer the prompts at the same time; then the report, as `choir parallel` prints it.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { seconds, short } from "../format.ts";
import { may } from "../net/api.ts";
import { isLive } from "../net/live.ts";
import type { ReportFigures } from "../net/wire.ts";
import { Tracks } from "../parts/tracks.tsx";
import { announce, Bar, Button, Choice, CopyButton, IconButton, Model, Note, NumberField } from "../parts/ui.tsx";
import { visible, visibleLine } from "../safe/visible.ts";
import { alone, chosen, demoModels, demoRuns, demoSettings, kModelsMax, report, runAlone, runDemo, runsBoth, sessions, type Report as ReportOfRun, type Session } from "../state/demo.ts";
import { jobsOf } from "../state/jobs.ts";
import { kColours } from "../state/models.ts";
import { reducedMotion } from "../state/prefs.ts";
import { goTo } from "../state/route.ts";
import { learn } from "../state/kinds.ts";
import { shortWhy } from "../state/rows.ts";
import { isThere, lookOf, view, writers } from "../state/store.ts";
import type { Answer } from "../state/talk.ts";
import { words } from "../words/en.ts";

const w = words.demo;

function stateOf(s: Session, a: Answer): string {
  if (a.state === "queued") return w.states.queued;
  if (a.state === "loading") return words.play.loading(a.percent);
  if (a.state === "waiting") {
    if (!isThere(s.model)) return words.play.loading(null);
    const row = view.value.requests.get(a.request);
    return row?.state === "prefill" ? w.states.prompt : visibleLine((row && shortWhy(row)) ?? w.states.waiting);
  }
  if (a.state === "writing") return w.states.writing;
  if (a.state === "failed") return w.states.failed;
  return a.state === "stopped" ? w.states.stopped : w.states.ended;
}

function SessionCard({ s, most }: { s: Session; most: number }) {
  const a = s.answer.value;
  const box = useRef<HTMLParagraphElement>(null);
  useEffect(() => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [a.text]);
  return (
    <li class={`session ${a.state}`} data-session={s.id}>
      <div class="between">
        <h4>{`${w.session} ${s.id}`}</h4>
        <span class="facts">
          {a.speed !== null ? <strong>{a.reported ? w.withWaiting(short(a.speed)) : words.play.tokensPerSecond(short(a.speed))}</strong> : null}
          <span class="state">{stateOf(s, a)}</span>
        </span>
      </div>
      <p class="prompt" title={visible(s.prompt)}><bdi>{visible(s.prompt)}</bdi></p>
      <div class="progress">
        <Bar value={a.tokens} of={most} label={`${w.session} ${s.id}: ${w.progress}`} colour={kColours[lookOf(s.model).colour] ?? ""} />
        <span class="num">{a.tokens}</span>
      </div>
      <p class="generated" dir="auto" ref={box} tabIndex={0} aria-live="off" aria-busy={a.state === "writing"} aria-label={`${w.session} ${s.id}: ${w.text}`}>
        {visible(a.text)}
      </p>
      {a.error ? <Note kind="error">{visible(a.error)}</Note> : null}
    </li>
  );
}

// The speed of a model's sessions together: of those that write, then of all, as their cards have it.
function Sum({ list }: { list: Session[] }) {
  const all = list.map((s) => s.answer.value);
  const writing = all.filter((a) => a.state === "writing");
  const sum = (writing.length > 0 ? writing : all).reduce((total, a) => total + (a.speed ?? 0), 0);
  if (sum === 0) return null;
  const text = short(sum);
  return <span class="num">{writing.length > 0 ? w.live(text) : all.some((a) => a.reported) ? w.withWaiting(text) : words.play.tokensPerSecond(text)}</span>;
}

function Sessions() {
  const all = sessions.value;
  const names = [...new Set(all.map((s) => s.model))];
  return (
    <div class="groups" data-models={names.length}>
      {names.map((name) => {
        const list = all.filter((s) => s.model === name);
        return (
          <section key={name} class="group" aria-label={name}>
            <header class="between">
              <h3><Model name={name} /></h3>
              <Sum list={list} />
            </header>
            <ol>{list.map((s) => <SessionCard key={s.id} s={s} most={demoSettings.value.maxTokens} />)}</ol>
          </section>
        );
      })}
    </div>
  );
}

// Beside the report: what the same work takes when each request waits for the one before.
function Comparison({ r }: { r: ReportOfRun }) {
  const a = alone.value;
  const gain = a?.speedup ?? null;
  const row = (name: string, f: ReportFigures) => (
    <tr><th scope="row">{name}</th><td class="num">{words.play.tokensPerSecond(short(f.throughput))}</td><td class="num">{words.play.tokens(f.total_tokens)}</td><td class="num">{seconds(f.total_seconds)}</td></tr>
  );
  return (
    <div class="compare">
      <div class="between">
        <h3>{w.compare}</h3>
        {gain === null ? null : <strong class="num" id="speedup">{w.speedup(gain.toFixed(2))}</strong>}
        {a?.abort ? (
          <Button label={w.stop} icon="stop" small onClick={() => a.abort?.abort()} />
        ) : (
          <Button label={w.runAlone} icon="go" small disabled={demoRuns.value !== null || !isLive() || !may("infer")} onClick={() => void runAlone().then(() => announce(w.compareEnded))} />
        )}
      </div>
      {a === null ? <p class="hint">{w.compareHint}</p> : null}
      {a?.queued && a.abort ? <p class="hint">{words.play.queued}</p> : null}
      {a?.abort ? <Bar value={a.done} of={r.body.jobs.length} label={w.compareDone(a.done, r.body.jobs.length)} /> : null}
      {a?.abort ? <p class="hint num">{w.compareDone(a.done, r.body.jobs.length)}</p> : null}
      {a?.figures ? <table class="grid"><tbody>{row(w.together, r.together)}{row(w.alone, a.figures)}</tbody></table> : null}
      {a?.error ? <Note kind="error">{visible(a.error)}</Note> : null}
    </div>
  );
}

function Report() {
  const shown = useSignal<"text" | "json">("text");
  const heading = useRef<HTMLElement>(null);
  const r = report.value;
  useEffect(() => {
    const target = heading.current;
    if (r && target && target.getBoundingClientRect().top > window.innerHeight - 160)
      target.scrollIntoView({ block: "start", behavior: reducedMotion.peek() ? "auto" : "smooth" });
  }, [r]);
  if (!r) return null;
  const text = r.text ?? "";
  const gain = alone.value?.speedup ?? null;
  const body = shown.value === "text" && text ? text : r.json;
  return (
    <section class="card report" ref={heading} aria-labelledby="report-title">
      <header>
        <h2 id="report-title">{w.report}</h2>
        <div class="row">
          {text ? <Choice label={w.report} name="report" value={shown.value} of={[["text", w.reportText], ["json", w.reportJson]] as const} onChange={(v) => (shown.value = v)} /> : null}
          <CopyButton text={() => body} label={words.copy} />
        </div>
      </header>
      <p class="totals num">
        {[words.play.tokensPerSecond(short(r.together.throughput)), words.play.tokens(r.together.total_tokens), seconds(r.together.total_seconds), ...(gain === null ? [] : [w.speedup(gain.toFixed(2))])].map((figure) => <strong key={figure}>{figure}</strong>)}
      </p>
      {text ? null : <Note kind="info">{w.noReport}</Note>}
      <pre class="reporttext" id="report" tabIndex={0}>{visible(body)}</pre>
      <Comparison r={r} />
      <div class="between commandtitle">
        <h3>{w.command}</h3>
        <CopyButton text={() => r.command} label={words.copy} />
      </div>
      <pre class="command" id="command" tabIndex={0}>{visible(r.command)}</pre>
    </section>
  );
}

function Models() {
  const picked = demoModels.value;
  const unknown = writers.value.filter((name) => view.value.models.get(name)?.state !== "loaded");
  useEffect(() => learn(unknown), [unknown.join("\n")]);
  const toggle = (name: string): void => {
    chosen.value = picked.includes(name) ? picked.filter((n) => n !== name) : [...picked, name].sort();
  };
  return (
    <fieldset class="pick">
      <legend>{w.models} <span class="hint">{w.modelsHint}</span></legend>
      {[...writers.value].sort().map((name) => {
        const on = picked.includes(name);
        return (
          <label key={name} class={on ? "chip on" : "chip"}>
            <input type="checkbox" checked={on} disabled={!on && picked.length >= kModelsMax} onChange={() => toggle(name)} />
            <Model name={name} />
          </label>
        );
      })}
    </fieldset>
  );
}

function Prompts() {
  const s = demoSettings.value;
  const set = (prompts: string[]): void => {
    demoSettings.value = { ...demoSettings.value, prompts };
  };
  return (
    <details class="prompts">
      <summary>{w.prompts(s.prompts.length)}</summary>
      {s.prompts.map((text, i) => (
        <div class="row" key={i}>
          <input type="text" aria-label={w.prompt(i + 1)} value={text} onInput={(e) => set(s.prompts.map((p, at) => (at === i ? e.currentTarget.value : p)))} />
          <IconButton icon="close" label={w.removePrompt(i + 1)} disabled={s.prompts.length <= 1} onClick={() => set(s.prompts.filter((_, at) => at !== i))} />
        </div>
      ))}
      <Button label={w.addPrompt} icon="plus" small onClick={() => set([...s.prompts, w.usual[s.prompts.length % w.usual.length] ?? ""])} />
    </details>
  );
}

export function Demo() {
  const s = demoSettings.value;
  const busy = demoRuns.value !== null;
  const jobs = jobsOf(demoModels.value, s);
  const go = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (runsBoth.peek()) go.current?.querySelector("button")?.focus();
    runsBoth.value = false;
  }, []);
  const run = (): void => {
    void runDemo((id, answer) => announce(w.status(id, answer.tokens, answer.speed === null ? "" : short(answer.speed)))).then(() => {
      if (report.peek()) announce(w.ended);
    });
  };
  return (
    <div class="demo">
      <section class="card setup" aria-labelledby="demo-title">
        <div class="lead">
          <h2 id="demo-title">{w.title}</h2>
          <p>{w.lead}</p>
        </div>
        <Models />
        <div class="fields">
          <NumberField label={w.sessions} value={s.sessions} min={1} max={64} onChange={(v) => (demoSettings.value = { ...s, sessions: Math.round(v ?? 4) })} />
          <NumberField label={w.maxTokens} value={s.maxTokens} min={1} max={4096} onChange={(v) => (demoSettings.value = { ...s, maxTokens: Math.round(v ?? 100) })} />
          <NumberField label={w.temperature} value={s.temperature} min={0} max={10} step={0.1} onChange={(v) => (demoSettings.value = { ...s, temperature: v ?? 0.7 })} />
          <div class="go" ref={go}>
            {!may("infer") ? (
              <Note kind="info">{words.play.mayNotWrite}</Note>
            ) : busy ? (
              <Button label={w.stop} icon="stop" onClick={() => demoRuns.value?.abort()} />
            ) : (
              <Button label={sessions.value.length > 0 ? w.again : w.run} icon="go" kind="primary" disabled={jobs.length === 0 || !isLive()} onClick={run} />
            )}
            <span class="hint">{w.total(jobs.length)}</span>
          </div>
        </div>
        <Prompts />
        {writers.value.length === 1 ? (
          <Note kind="info">
            {w.oneModel}{" "}
            <button type="button" class="linklike" onClick={() => goTo("play/second")}>{w.fetchSecond}</button>
          </Note>
        ) : null}
      </section>
      {sessions.value.length > 0 ? (
        <>
          <section class="card strip" aria-label={w.lanes}>
            <Tracks seconds={10} compact />
          </section>
          {sessions.value[0]?.answer.value.state === "queued" ? <Note kind="info">{words.play.queued}</Note> : null}
          <Report />
          <Sessions />
        </>
      ) : null}
    </div>
  );
}
