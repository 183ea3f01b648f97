// Play: a chat with one model or several beside each other, and the parallel demo.
import { signal, useComputed, useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { Start } from "../parts/start.tsx";
import { Button, CopyButton, Empty, Field, Icon, IconButton, Letter, NumberField, Note } from "../parts/ui.tsx";
import { seconds, short } from "../format.ts";
import { may } from "../net/api.ts";
import { isLive } from "../net/live.ts";
import { markdown, type Grown, type Lex } from "../safe/markdown.tsx";
import { visible, visibleLine } from "../safe/visible.ts";
import { goTo, route } from "../state/route.ts";
import { catalogue, keepFinding, listed, modelsKnown, view, writers } from "../state/store.ts";
import { replaced } from "../state/jobs.ts";
import { columns, draft, editing, kColumnsMax, newColumn, say, settings, stopColumn, talking, talkingCall, type Answer, type Column, type Said } from "../state/talk.ts";
import { words } from "../words/en.ts";
import { Demo } from "./demo.tsx";

const w = words.play;

// A model that is in memory answers at once, so it is the first choice.
export function firstWriter(taken: readonly string[] = []): string {
  const free = writers.value.filter((name) => !taken.includes(name));
  return free.find((name) => view.value.models.get(name)?.state === "loaded") ?? free[0] ?? writers.value[0] ?? "";
}

function Facts({ answer }: { answer: Answer }) {
  const parts: string[] = [];
  if (answer.speed !== null) parts.push(w.tokensPerSecond(short(answer.speed)));
  if (answer.tokens > 0) parts.push(w.tokens(answer.tokens));
  if (answer.usage && answer.usage.output_tokens > 0) parts.push(w.firstToken(seconds(answer.usage.first_token_seconds)));
  if (answer.usage && answer.usage.reused_tokens > 0) parts.push(w.reused(answer.usage.reused_tokens));
  const how = answer.state === "stopped" ? w.stopped : (w.finish[answer.finish] ?? "");
  if (how) parts.push(how);
  return <span class="facts">{parts.join(" \u00b7 ")}</span>;
}

// Until the grammar is there, text is shown as it is.
const grammar = signal<{ lex: Lex } | null>(null);
const fetchGrammar = (): void => {
  if (!grammar.peek()) import("../safe/lexer.ts").then((module) => (grammar.value = module), () => undefined);
};

function AnswerText({ text }: { text: string }) {
  const known = useRef<Grown["known"] | undefined>(undefined);
  const grown = grammar.value ? markdown(text, grammar.value.lex, known.current) : undefined;
  known.current = grown?.known;
  return <div class="text">{grown ? grown.view : <p class="plain">{visible(text)}</p>}</div>;
}

const writesNow = (answer: Answer): boolean => answer.state === "loading" || answer.state === "waiting" || answer.state === "writing";

// A field as high as its text, within limits.
function useGrowing(field: { current: HTMLTextAreaElement | null }, text: string): void {
  useLayoutEffect(() => {
    const area = field.current;
    if (!area) return;
    area.style.height = "auto";
    area.style.height = `${Math.min(160, area.scrollHeight + 2)}px`;
  }, [text]);
}

const isSent = (e: KeyboardEvent): boolean => e.key === "Enter" && !e.isComposing && !e.shiftKey;

function Editor({ turn }: { turn: number }) {
  const field = useRef<HTMLTextAreaElement>(null);
  const text = editing.value?.text ?? "";
  const gone = replaced(columns.value.map((column) => column.said.value), turn);
  const may = text.trim() !== "" && talking.value === null && isLive();
  const send = (): void => {
    if (!may) return;
    document.getElementById("prompt")?.focus(); // what has the focus goes
    void say(text.trim(), turn);
  };
  useGrowing(field, text);
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(text.length, text.length);
  }, []);
  return (
    <form class="editor" onSubmit={(e) => {
      e.preventDefault();
      send();
    }}>
      <textarea ref={field} rows={1} aria-label={w.editing} aria-describedby="edit-replaces" value={text}
        onInput={(e) => {
          if (editing.peek()) editing.value = { ...editing.peek()!, text: e.currentTarget.value };
        }}
        onKeyDown={(e) => {
          if (e.key === "Escape" && !e.isComposing) editing.value = null;
          else if (!isSent(e)) return;
          else send();
          e.preventDefault();
        }} />
      <p class="hint" id="edit-replaces">{w.editReplaces(gone.columns, gone.later)}</p>
      <div class="row actions">
        <Button label={words.cancel} small onClick={() => (editing.value = null)} />
        <button type="submit" class="button primary small" disabled={!may}><span>{w.editSend}</span></button>
      </div>
    </form>
  );
}

// A message of the one who asks, and the way to send it anew.
function Mine({ said, column }: { said: Said; column: number }) {
  const edits = useComputed(() => editing.value?.column === column && editing.value.turn === said.turn);
  const button = useRef<HTMLDivElement>(null);
  const edited = useRef(false);
  useLayoutEffect(() => {
    if (edited.current && editing.peek() === null) button.current?.querySelector("button")?.focus(); // given up
    edited.current = edits.value;
  }, [edits.value]);
  return (
    <div class="mine" ref={button}>
      <span class="sr">{w.you}: </span>
      {edits.value ? <Editor turn={said.turn} /> : (
        <>
          {may("infer") ? (
            <IconButton icon="edit" label={w.edit(visibleLine(said.prompt).slice(0, 60))} disabled={talking.value !== null}
              onClick={() => (editing.value = { column, turn: said.turn, text: said.prompt })} />
          ) : null}
          <div class="said"><bdi>{visible(said.prompt)}</bdi></div>
        </>
      )}
    </div>
  );
}

function Exchange({ said, column }: { said: Said; column: number }) {
  const answer = said.answer.value;
  const busy = writesNow(answer);
  // Of several models in one call some may be there while others are loaded.
  const inMemoryNow = (answer.state === "loading" || answer.state === "waiting") && view.value.models.get(said.model)?.state === "loaded";
  return (
    <li class="exchange">
      <Mine said={said} column={column} />
      <article class="answer" aria-busy={busy} aria-label={visibleLine(said.model)}>
        {answer.text ? <AnswerText text={answer.text} /> : null}
        {answer.state === "loading" ? (
          <p class="working">
            <span class="spinner" aria-hidden="true" />
            {inMemoryNow ? w.waiting : w.loading(answer.percent)}
          </p>
        ) : null}
        {answer.state === "waiting" ? (
          <p class="working">
            <span class="spinner" aria-hidden="true" />
            {inMemoryNow ? w.waiting : w.loading(null)}
          </p>
        ) : null}
        {answer.error ? <Note kind="error">{visible(answer.error)}</Note> : null}
        <footer>
          <Facts answer={answer} />
          {answer.text && !busy ? <CopyButton text={() => answer.text} label={w.copyText} small /> : null}
        </footer>
      </article>
    </li>
  );
}

function ModelChoice({ column }: { column: Column }) {
  const names = writers.value.includes(column.model.value) ? writers.value : [column.model.value, ...writers.value];
  return (
    <select aria-label={w.model} value={column.model.value} disabled={talking.value !== null} onChange={(e) => (column.model.value = e.currentTarget.value)}>
      {names.map((name) => (
        <option key={name} value={name}>
          {visibleLine(name)}
        </option>
      ))}
    </select>
  );
}

function ColumnEnd({ column }: { column: Column }) {
  const writes = useComputed(() => {
    const last = column.said.value.at(-1)?.answer.value;
    return last !== undefined && writesNow(last);
  });
  return talking.value !== null && writes.value ? (
    <IconButton icon="stop" label={w.stopColumn(visibleLine(column.model.value))} disabled={talkingCall.value === ""} onClick={() => stopColumn(column)} />
  ) : (
    <IconButton icon="close" label={w.removeColumn(visibleLine(column.model.value))} disabled={talking.value !== null}
      onClick={() => (columns.value = columns.value.filter((c) => c !== column))} />
  );
}

// The texts of answers are read by those who draw them alone: most of what is here does not change while a model writes.
// The style sheet keeps the end of a log in sight.
function ColumnView({ column, alone }: { column: Column; alone: boolean }) {
  const list = column.said.value;
  return (
    <section class="column" aria-label={visibleLine(column.model.value)}>
      <header>
        <Letter model={column.model.value} />
        <ModelChoice column={column} />
        <span class="grow" />
        {alone ? null : <ColumnEnd column={column} />}
      </header>
      {list.length === 0 ? (
        <div class="said-nothing">{alone ? <Greeting /> : <p class="quiet">{w.empty}</p>}</div>
      ) : (
        <div class="logbox" tabIndex={0} role="group" aria-label={w.chat}>
          <ol class="log">{list.map((said) => <Exchange key={said.turn} said={said} column={column.id} />)}</ol>
        </div>
      )}
    </section>
  );
}

function Greeting() {
  return (
    <Empty title={w.placeholder} hint={w.emptyHint}>
      <div class="suggestions">
        {!may("infer") ? null : w.suggestions.map((text) => (
          <button type="button" class="suggestion" key={text} onClick={() => {
            draft.value = text;
            document.getElementById("prompt")?.focus();
          }}>
            {text}
          </button>
        ))}
      </div>
      {writers.value.length > 1 ? (
        <button type="button" class="linklike" onClick={() => goTo("play/demo")}>{words.demo.title}</button>
      ) : null}
    </Empty>
  );
}

function SettingsFields() {
  const s = settings.value;
  const set = (change: Partial<typeof s>): void => {
    settings.value = { ...settings.value, ...change };
  };
  return (
    <div class="settings">
      <Field label={w.system}>
        <input type="text" value={s.system} placeholder={w.systemHint} onChange={(e) => set({ system: e.currentTarget.value })} />
      </Field>
      <NumberField label={w.temperature} value={s.temperature} min={0} max={10} step={0.1} onChange={(v) => set({ temperature: v ?? 0.7 })} />
      <NumberField label={w.maxTokens} value={s.maxTokens} min={1} max={1048576} onChange={(v) => set({ maxTokens: v ?? 512 })} />
      <NumberField label={w.seed} value={s.seed} min={0} max={9007199254740991} placeholder={w.seedHint} onChange={(v) => set({ seed: v })} />
      <Field label={w.priority}>
        <select value={s.priority} onChange={(e) => set({ priority: e.currentTarget.value })}>
          <option value="">{w.priorityUsual}</option>
          {["critical", "high", "normal", "low"].map((c) => <option key={c} value={c}>{c}</option>)}
        </select>
      </Field>
    </div>
  );
}

function Composer() {
  const field = useRef<HTMLTextAreaElement>(null);
  const open = useSignal(false);
  const busy = talking.value !== null;
  const send = (): void => {
    const text = draft.value.trim();
    if (!text || busy || !isLive()) return;
    draft.value = "";
    void say(text);
  };
  useEffect(() => {
    if (matchMedia("(pointer: fine)").matches) field.current?.focus();
  }, []);
  useGrowing(field, draft.value);
  const count = columns.value.length;
  if (!may("infer")) return <Note kind="info">{w.mayNotWrite}</Note>;
  return (
    <form class={busy ? "composer busy" : "composer"} onSubmit={(e) => {
      e.preventDefault();
      send();
    }}>
      {open.value ? <SettingsFields /> : null}
      <div class="row">
        <IconButton icon="settings" label={w.settings} pressed={open.value} onClick={() => (open.value = !open.value)} />
        <textarea id="prompt" ref={field} rows={1} aria-label={w.prompt} value={draft.value}
          placeholder={count > 1 ? w.placeholderAll(count) : w.placeholder}
          onInput={(e) => (draft.value = e.currentTarget.value)}
          onKeyDown={(e) => {
            if (!isSent(e)) return;
            e.preventDefault();
            send();
          }} />
        {busy ? (
          <button type="button" class="round stop" aria-label={w.stop} title={w.stop} onClick={() => talking.value?.abort()}>
            <Icon name="stop" />
          </button>
        ) : (
          <button type="submit" class="round" aria-label={w.send} title={w.send} disabled={draft.value.trim() === "" || !isLive()}>
            <Icon name="send" />
          </button>
        )}
      </div>
    </form>
  );
}

function Chat() {
  useEffect(fetchGrammar, []);
  useEffect(() => {
    const wanted = route.peek().rest[1];
    if (wanted && writers.peek().includes(wanted)) {
      if (columns.peek().length === 0) columns.value = [newColumn(wanted)];
      else if (columns.peek().length === 1 && columns.peek()[0]) columns.peek()[0]!.model.value = wanted;
    }
    if (route.peek().prompt) draft.value = route.peek().prompt;
  }, [route.value]);
  useEffect(() => {
    if (columns.peek().length === 0 && writers.value.length > 0 && modelsKnown.value) columns.value = [newColumn(firstWriter())];
  }, [writers.value, modelsKnown.value]);
  const all = columns.value;
  return (
    <div class="chat">
      <div class={all.length === 1 ? "columns one" : "columns"}>
        {all.map((column) => <ColumnView key={column.id} column={column} alone={all.length === 1} />)}
      </div>
      <Composer />
    </div>
  );
}

export function Play() {
  const demo = route.value.rest[0] === "demo";
  const nothing = listed.value !== null && writers.value.length === 0;
  useEffect(() => (nothing ? undefined : keepFinding(10_000)), [nothing]); // the start has its own
  const all = columns.value;
  if (nothing && catalogue.value !== null)
    return (
      <div class="view">
        <h1 class="sr">{w.title}</h1>
        <Start />
      </div>
    );
  return (
    <div class={demo ? "view play" : "view play chatting"}>
      <div class="bartop">
        <h1 class="sr">{w.title}</h1>
        <nav class="tabs" aria-label={w.tabs}>
          <a href="#/play" {...(demo ? {} : { "aria-current": "page" as const })}>{w.chat}</a>
          <a href="#/play/demo" {...(demo ? { "aria-current": "page" as const } : {})}>{w.demo}</a>
        </nav>
        <span class="grow" />
        {demo ? null : (
          <>
            {all.some((c) => c.said.value.length > 0) ? (
              <Button label={w.clear} small kind="quiet" disabled={talking.value !== null}
                onClick={() => {
                  editing.value = null;
                  columns.value = all.map((c) => newColumn(c.model.value));
                }} />
            ) : null}
            {writers.value.length > 0 && all.length < kColumnsMax ? (
              <Button label={w.addColumn} icon="plus" small disabled={talking.value !== null}
                onClick={() => (columns.value = [...all, newColumn(firstWriter(all.map((c) => c.model.value)))])} />
            ) : null}
          </>
        )}
      </div>
      {demo ? <Demo /> : <Chat />}
    </div>
  );
}
