// Play: a chat with one model or several beside each other, and the parallel demo.
import { useSignal, useSignalEffect } from "@preact/signals";
import { Fragment } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { may } from "../net/api.ts";
import { isLive } from "../net/live.ts";
import { isSent, useGrowing } from "../parts/message.tsx";
import { arriving, Start } from "../parts/start.tsx";
import { Button, Empty, Icon, IconButton, Note } from "../parts/ui.tsx";
import { tracksOf } from "../state/columns.ts";
import { goTo, route } from "../state/route.ts";
import { catalogue, keepFinding, listed, modelsKnown, view, writers } from "../state/store.ts";
import { columns, draft, filling, fillWith, kColumnsMax, newColumn, say, settings, startAnew, talking, usualSettings } from "../state/talk.ts";
import { words } from "../words/en.ts";
import { ColumnView, fetchGrammar, tell } from "./column.tsx";
import { Demo } from "./demo.tsx";
import { Separator } from "./separator.tsx";
import { SettingsFields } from "./settings.tsx";

const w = words.play;

// A model that is in memory answers at once, so it is the first choice.
export function firstWriter(taken: readonly string[] = []): string {
  const free = writers.value.filter((name) => !taken.includes(name));
  return free.find((name) => view.value.models.get(name)?.state === "loaded") ?? free[0] ?? writers.value[0] ?? "";
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

function Composer() {
  const field = useRef<HTMLTextAreaElement>(null);
  const open = useSignal(false);
  const busy = talking.value !== null;
  const count = columns.value.length;
  const send = (): void => {
    const text = draft.value.trim();
    if (!text || busy || count === 0 || !isLive()) return;
    draft.value = "";
    void say(text, null, tell);
  };
  useEffect(() => {
    if (matchMedia("(pointer: fine)").matches) field.current?.focus();
  }, []);
  useGrowing(field, draft.value);
  if (!may("infer")) return <Note kind="info">{w.mayNotWrite}</Note>;
  return (
    <form class={busy ? "composer busy" : "composer"} onSubmit={(e) => {
      e.preventDefault();
      send();
    }}>
      {open.value ? <SettingsFields s={settings.value} usual={usualSettings} set={(change) => (settings.value = { ...settings.peek(), ...change })} /> : null}
      <div class="row">
        <IconButton icon="settings" label={w.settings} pressed={open.value} onClick={() => (open.value = !open.value)} />
        <textarea id="prompt" dir="auto" ref={field} rows={1} aria-label={w.prompt} value={draft.value}
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
          <button type="submit" class="round" aria-label={w.send} title={w.send} disabled={draft.value.trim() === "" || count === 0 || !isLive()}>
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
  const box = useRef<HTMLDivElement>(null);
  const alone = all.length === 1 || filling.value !== null;
  // Set by itself, so that a drag draws no text anew.
  useSignalEffect(() => {
    box.current?.style.setProperty("--tracks", filling.value || columns.value.length === 1 ? "minmax(0, 1fr)" : tracksOf(columns.value.map((column) => column.width.value)));
  });
  return (
    <div class="chat">
      <div class={`columns${alone ? " one" : ""}${filling.value ? " filled" : ""}`} ref={box}>
        {all.map((column, i) => (
          <Fragment key={column.id}>
            {all[i - 1] ? <Separator first={all[i - 1]!} second={column} /> : null}
            <ColumnView column={column} empty={all.length === 1 ? <Greeting /> : <p class="quiet">{w.empty}</p>} />
          </Fragment>
        ))}
      </div>
      <Composer />
      {writers.value.length === 1 && (catalogue.value ?? []).some((entry) => !entry.local) ? (
        <p class="second"><button type="button" class="linklike" onClick={() => goTo("play/second")}>{words.start.second}</button></p>
      ) : null}
    </div>
  );
}

export function Play() {
  const demo = route.value.rest[0] === "demo";
  const second = route.value.rest[0] === "second";
  const nothing = listed.value !== null && writers.value.length === 0;
  useEffect(() => (nothing ? undefined : keepFinding(10_000)), [nothing]); // the start has its own
  const all = columns.value;
  if ((nothing || (arriving.value?.second === false && !second)) && catalogue.value !== null)
    return (
      <div class="view">
        <h1 class="sr">{w.title}</h1>
        <Start />
      </div>
    );
  return (
    <div class={demo || second ? "view play" : "view play chatting"}>
      <div class="bartop">
        <h1 class="sr">{w.title}</h1>
        <nav class="tabs" aria-label={w.tabs}>
          <a href="#/play" {...(demo || second ? {} : { "aria-current": "page" as const })}>{w.chat}</a>
          <a href="#/play/demo" {...(demo ? { "aria-current": "page" as const } : {})}>{w.demo}</a>
        </nav>
        <span class="grow" />
        {demo || second ? null : (
          <>
            {all.some((c) => c.said.value.length > 0) ? (
              <Button label={w.clear} small kind="quiet" disabled={talking.value !== null}
                onClick={startAnew} />
            ) : null}
            {writers.value.length > 0 && all.length < kColumnsMax ? (
              <Button label={w.addColumn} icon="plus" small disabled={talking.value !== null}
                onClick={() => {
                  fillWith(null);
                  columns.value = [...all, newColumn(firstWriter(all.map((c) => c.model.value)))];
                }} />
            ) : null}
          </>
        )}
      </div>
      {demo ? <Demo /> : second ? <Start second /> : <Chat />}
    </div>
  );
}
