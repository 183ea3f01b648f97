// A column of the chat: what was said and answered, its model and its settings.
import { signal, useComputed, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { seconds, short } from "../format.ts";
import { may } from "../net/api.ts";
import { isLive } from "../net/live.ts";
import { isSent, useGrowing } from "../parts/message.tsx";
import { announce, Button, CopyButton, Icon, IconButton, Letter, Note } from "../parts/ui.tsx";
import { markdown, type Grown, type Lex } from "../safe/markdown.tsx";
import { visible, visibleLine } from "../safe/visible.ts";
import { differing, given, settingsOf, type Settings } from "../state/columns.ts";
import { replaced } from "../state/jobs.ts";
import { beforeFirst } from "../state/rows.ts";
import { isThere, view, writers } from "../state/store.ts";
import { columns, editing, filling, fillWith, nameOf, say, settings, stopColumn, talking, talkingCall, type Answer, type Column, type Said } from "../state/talk.ts";
import { words } from "../words/en.ts";
import { SettingsFields } from "./settings.tsx";

const w = words.play;

// For those who do not see it end.
export const tell = (model: string, answer: Answer): void => {
  if (answer.state === "ended") announce(w.told(visibleLine(model), answer.tokens, answer.speed === null ? "" : short(answer.speed)));
  else announce(w.toldOther(visibleLine(model), answer.state === "failed" ? visibleLine(answer.error) : w.stopped));
};

// Why it does not write yet, as long as it does not.
const waits = (a: Answer): string => visibleLine(beforeFirst(view.value.requests.get(a.request), seconds) ?? w.waiting);

function Facts({ said, answer }: { said: Said; answer: Answer }) {
  const parts: string[] = [];
  if (answer.speed !== null) parts.push(w.tokensPerSecond(short(answer.speed)));
  if (answer.tokens > 0) parts.push(w.tokens(answer.tokens));
  // The browser's clock says it while it writes, then the daemon's.
  const first = answer.usage?.output_tokens ? answer.usage.first_token_seconds : answer.began > 0 ? (answer.began - answer.sent) / 1000 : null;
  if (first !== null) parts.push(w.firstToken(seconds(first)));
  if (answer.usage && answer.usage.reused_tokens > 0) parts.push(w.reused(answer.usage.reused_tokens));
  const priority = said.priority || view.value.models.get(said.model)?.priority;
  if (parts.length > 0 && priority) parts.push(w.own.priority(visible(priority)));
  const how = answer.state === "stopped" ? w.stopped : (w.finish[answer.finish] ?? "");
  if (how) parts.push(how);
  return <span class="facts">{parts.join(" \u00b7 ")}</span>;
}

// Until the grammar is there, text is shown as it is.
const grammar = signal<{ lex: Lex } | null>(null);
export const fetchGrammar = (): void => {
  if (!grammar.peek()) import("../safe/lexer.ts").then((module) => (grammar.value = module), () => undefined);
};

function AnswerText({ text }: { text: string }) {
  const known = useRef<Grown["known"] | undefined>(undefined);
  const grown = grammar.value ? markdown(text, grammar.value.lex, known.current) : undefined;
  known.current = grown?.known;
  return <div class="text" dir="auto">{grown ? grown.view : <p class="plain">{visible(text)}</p>}</div>;
}

const writesNow = (answer: Answer): boolean => answer.state === "queued" || answer.state === "loading" || answer.state === "waiting" || answer.state === "writing";

function Editor({ turn }: { turn: number }) {
  const field = useRef<HTMLTextAreaElement>(null);
  const text = editing.value?.text ?? "";
  const gone = replaced(columns.value.map((column) => column.said.value), turn);
  const may = text.trim() !== "" && talking.value === null && isLive();
  const send = (): void => {
    if (!may) return;
    document.getElementById("prompt")?.focus(); // what has the focus goes
    void say(text.trim(), turn, tell);
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
      <textarea ref={field} dir="auto" rows={1} aria-label={w.editing} aria-describedby="edit-replaces" value={text}
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
          <div class="said" dir="auto">{visible(said.prompt)}</div>
        </>
      )}
    </div>
  );
}

function Exchange({ said, column }: { said: Said; column: number }) {
  const answer = said.answer.value;
  const busy = writesNow(answer);
  // Of several models in one call some may be there while others are loaded.
  const inMemoryNow = (answer.state === "loading" || answer.state === "waiting") && isThere(said.model);
  return (
    <li class="exchange">
      <Mine said={said} column={column} />
      <article class="answer" aria-busy={busy} aria-label={visibleLine(said.model)}>
        {answer.text ? <AnswerText text={answer.text} /> : null}
        {busy && answer.state !== "writing" ? (
          <p class="working">
            <span class="spinner" aria-hidden="true" />
            {answer.state === "queued" ? w.queued : inMemoryNow ? waits(answer) : w.loading(answer.state === "loading" ? answer.percent : null)}
          </p>
        ) : null}
        {answer.error ? <Note kind="error">{visible(answer.error)}</Note> : null}
        <footer>
          <Facts said={said} answer={answer} />
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

function ColumnEnd({ column, name }: { column: Column; name: string }) {
  const writes = useComputed(() => {
    const last = column.said.value.at(-1)?.answer.value;
    return last !== undefined && writesNow(last);
  });
  return talking.value !== null && writes.value ? (
    <IconButton icon="stop" label={w.stopColumn(name)} disabled={talkingCall.value === ""} onClick={() => stopColumn(column)} />
  ) : (
    <IconButton icon="close" label={w.removeColumn(name)} disabled={talking.value !== null}
      onClick={() => (columns.value = columns.value.filter((c) => c !== column))} />
  );
}

// One element in both states, which keeps the focus.
function Fill({ column, name }: { column: Column; name: string }) {
  const fills = filling.value === column;
  const label = w.fill(name);
  return (
    <button type="button" class={fills ? "button small fills" : "iconbutton fills"} {...(fills ? {} : { "aria-label": label, title: label })} onClick={() => fillWith(fills ? null : column)}>
      <Icon name={fills ? "columns" : "fill"} />
      {fills ? <span>{w.allColumns}</span> : null}
    </button>
  );
}

function toldOf(key: keyof Settings, s: Settings): string {
  if (key === "system") return w.own.system(s.system);
  if (key === "temperature") return w.own.temperature(s.temperature);
  if (key === "maxTokens") return w.own.maxTokens(s.maxTokens);
  if (key === "seed") return w.own.seed(s.seed);
  return w.own.priority(s.priority);
}

// What a column has other than all, and the way back.
function OwnSettings({ column, name, opened }: { column: Column; name: string; opened: boolean }) {
  const all = settings.value;
  const own = column.own.value;
  const s = settingsOf(all, own);
  const others = differing(all, own);
  if (others.length === 0 && !opened) return null;
  const clear = (): void => {
    column.own.value = {};
    document.getElementById("prompt")?.focus(); // what has the focus goes
  };
  return (
    <div class="ownsettings">
      {others.length > 0 ? (
        <p class="own">
          <span>{others.map((key) => toldOf(key, s)).join(" \u00b7 ")}</span>
          {opened ? <Button label={w.asAll} small onClick={clear} /> : <IconButton icon="close" label={w.asAllOf(name)} onClick={clear} />}
        </p>
      ) : null}
      {opened ? (
        <div class="ownfields" role="group" aria-label={w.settingsOf(name)}>
          <SettingsFields s={s} usual={all} set={(change) => (column.own.value = given(settings.peek(), column.own.peek(), change))} />
        </div>
      ) : null}
    </div>
  );
}

// The texts of answers are read by those who draw them alone: most of what is here does not change while a model writes.
// The style sheet keeps the end of a log in sight. `empty`: what stands where nothing is said yet.
export function ColumnView({ column, empty }: { column: Column; empty: ComponentChildren }) {
  const opened = useSignal(false);
  const list = column.said.value;
  const name = visibleLine(nameOf(column));
  const alone = columns.value.length === 1;
  return (
    <section class={filling.value === column ? "column fill" : "column"} aria-label={name}>
      <header>
        <Letter model={column.model.value} />
        <ModelChoice column={column} />
        {alone ? null : (
          <div class="columnactions">
            <IconButton icon="settings" label={w.settingsOf(name)} pressed={opened.value} onClick={() => (opened.value = !opened.value)} />
            <Fill column={column} name={name} />
            <ColumnEnd column={column} name={name} />
          </div>
        )}
      </header>
      <OwnSettings column={column} name={name} opened={opened.value && !alone} />
      {list.length === 0 ? (
        <div class="said-nothing">{empty}</div>
      ) : (
        <div class="logbox" tabIndex={0} role="group" aria-label={w.chat}>
          <ol class="log">{list.map((said) => <Exchange key={said.turn} said={said} column={column.id} />)}</ol>
        </div>
      )}
    </section>
  );
}
