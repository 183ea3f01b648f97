// The frame around the views: where to go, whether the page is live, who we are.
import { useSignal } from "@preact/signals";
import { useEffect, useErrorBoundary } from "preact/hooks";
import { clock } from "./format.ts";
import { ApiError, endSession, may, session, takeCode, token, useKey } from "./net/api.ts";
import { link } from "./net/live.ts";
import { later } from "./parts/later.tsx";
import { announcement, Button, Choice, CopyButton, Dialog, Icon, IconButton, Note } from "./parts/ui.tsx";
import { visible } from "./safe/visible.ts";
import { onKey } from "./state/keys.ts";
import { letterKeys, theme } from "./state/prefs.ts";
import { goTo, kViews, route, type ViewName } from "./state/route.ts";
import { draining, findListed, findModels, forget, knowsState, listed, live, requestCount, restarts, running, version, waiting, watchPulls } from "./state/store.ts";
import { Ensemble } from "./views/ensemble.tsx";
import { Play } from "./views/play.tsx";
import { Requests } from "./views/requests.tsx";
import { words } from "./words/en.ts";

const ModelsView = later(() => import("./views/models.tsx").then((module) => module.ModelsView));

function LinkState() {
  const needed = session.value.state === "needed";
  const state = needed ? "lost" : link.value.state;
  const text = needed ? words.access.locked : state === "live" ? words.live : state === "hidden" ? words.hidden : words.connecting;
  return (
    <span class={`link ${state}`}>
      <i aria-hidden="true" />
      {text}
    </span>
  );
}

// What the whole page has to say: that it is not live, that the daemon is another one, or ends.
function Bars() {
  const dismissed = useSignal(0);
  const l = link.value;
  const needed = session.value.state === "needed";
  return (
    <div class="bars" role="status">
      {needed ? <p class="bar-lost">{words.access.title}</p> : l.state === "lost" ? <p class="bar-lost">{l.last === null ? words.notLiveYet : words.notLive(clock(l.last))}</p> : null}
      {l.state === "live" && restarts.value > dismissed.value ? (
        <p class="bar-info">
          {words.restarted}
          <button type="button" class="linklike" onClick={() => (dismissed.value = restarts.value)}>{words.dismiss}</button>
        </p>
      ) : null}
      {l.state === "live" && draining.value ? <p class="bar-info">{words.draining}</p> : null}
    </div>
  );
}

// Over a page that shows nothing without a key (`why`: what is wrong with the one of now) it stays until one is given.
function KeyDialog({ why, onClose }: { why: "none" | "expired" | "view" | null; onClose: () => void }) {
  const forced = why !== null;
  const key = useSignal("");
  const error = useSignal("");
  const enter = (): void => {
    useKey(key.value.trim()).then(
      () => {
        onClose();
        live.again();
      },
      (e: unknown) => (error.value = e instanceof ApiError && e.status === 401 ? words.access.wrong : e instanceof ApiError ? e.message : String(e)),
    );
  };
  return (
    <Dialog title={forced ? words.access.title : words.unlock} onClose={onClose} stays={forced}>
      <p>{why === null ? words.access.why(may("infer")) : words.access.needed[why]}</p>
      <p>{words.access.link}</p>
      <div class="commandline">
        <code>{words.access.command}</code>
        <CopyButton text={() => words.access.command} label={words.copy} small />
      </div>
      <p>{words.access.or}</p>
      <form class="row" onSubmit={(e) => {
        e.preventDefault();
        enter();
      }}>
        <input type="password" autoComplete="off" aria-label={words.access.label} placeholder={words.access.label} value={key.value} onInput={(e) => (key.value = e.currentTarget.value)} />
        <button type="submit" class="button primary" disabled={key.value.trim() === ""}><span>{words.access.enter}</span></button>
      </form>
      {error.value ? <Note kind="error">{visible(error.value)}</Note> : null}
      <p class="hint">{words.access.kept}</p>
    </Dialog>
  );
}

function KeysDialog({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title={words.keys.title} onClose={onClose}>
      <dl class="keylist">
        {words.keys.rows.map(([key, what]) => (
          <div key={key}>
            <dt><kbd>{key}</kbd></dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <label class="row">
        <input type="checkbox" checked={letterKeys.value} onChange={(e) => (letterKeys.value = e.currentTarget.checked)} />
        <span>{words.keys.letters}</span>
      </label>
    </Dialog>
  );
}

function Content({ name }: { name: ViewName }) {
  const [error] = useErrorBoundary();
  if (error) return <div class="view"><Note kind="error">{visible(String(error))}</Note></div>;
  if (name === "play") return <Play />;
  if (name === "models") return <ModelsView />;
  if (name === "requests") return <Requests />;
  return <Ensemble />;
}

export function App() {
  const unlock = useSignal(false);
  const help = useSignal(false);
  const home = useSignal<ViewName | null>(null);

  useEffect(() => {
    const off = [
      onKey("g p", () => goTo("play")),
      onKey("g e", () => goTo("ensemble")),
      onKey("g m", () => goTo("models")),
      onKey("g r", () => goTo("requests")),
      onKey("?", () => (help.value = true)),
    ];
    void takeCode().then(() => live.shown());
    // Let in again, with fewer rights or another key.
    const stopSession = session.subscribe((now) => {
      if (now.state === "open" && link.peek().state === "lost") live.again();
    });
    return () => {
      off.forEach((f) => f());
      stopSession();
    };
  }, []);
  // A daemon that works is looked at, one that does nothing is talked to.
  useEffect(() => {
    if (knowsState.value && home.value === null) home.value = running.peek() + waiting.peek() > 0 ? "ensemble" : "play";
  }, [knowsState.value]);

  const leave = (): void => {
    void endSession().then((open) => {
      if (!open) return location.reload(); // with all that this one has seen
      forget();
      live.anew();
    });
  };
  const name: ViewName = route.value.view || home.value || "play";
  // What this session may see, and what has changed while nobody looked. A view that only looks on needs no more than
  // the names, unless there are none: then it offers models to fetch. Models asks for itself.
  const asks = link.value.state === "live" && name !== "models";
  const offers = name === "play" || listed.value?.length === 0;
  useEffect(() => {
    if (asks && !offers) void findListed();
    if (!asks || !offers) return;
    void findModels();
    void watchPulls();
  }, [asks, offers]);
  useEffect(() => {
    document.title = `${words.views[name]} \u00b7 ${words.product}`;
  }, [name]);
  const s = session.value;
  const stale = link.value.state === "lost";
  return (
    <div class={stale ? "app stale" : "app"}>
      <a class="skip" href="#content" onClick={(e) => {
        e.preventDefault();
        document.getElementById("content")?.focus();
      }}>{words.skip}</a>
      <header class="side">
        <div class="brand">
          <svg viewBox="0 0 32 32" aria-hidden="true" class="mark"><path d="M5 9h9M18 9h9M5 16h4M13 16h14M5 23h14M23 23h4" /></svg>
          <strong>{words.product}</strong>
          <LinkState />
        </div>
        <nav aria-label={words.nav}>
          {kViews.map((v) => (
            <a key={v} href={`#/${v}`} {...(v === name ? { "aria-current": "page" as const } : {})}>
              <Icon name={v} />
              <span>{words.views[v]}</span>
              {v === "requests" && requestCount.value > 0 ? <span class="count">{requestCount.value}</span> : null}
            </a>
          ))}
        </nav>
        <div class="foot">
          {s.state === "open" && !may("admin") ? <Button label={words.unlock} icon="lock" small kind="quiet" onClick={() => (unlock.value = true)} /> : null}
          {s.state === "open" && token() ? <Button label={words.lock} icon="lock" small kind="quiet" onClick={leave} /> : null}
          <div class="row">
            <Choice label={words.theme.label} name="theme" value={theme.value} onChange={(v) => (theme.value = v)}
              of={[["system", words.theme.system], ["light", words.theme.light], ["dark", words.theme.dark]] as const} />
            <IconButton icon="keyboard" label={words.keys.open} onClick={() => (help.value = true)} />
          </div>
          {s.state === "open" ? <p class="hint">{words.youAre(visible(s.info.tenant ?? ""))}{version.value ? ` \u00b7 ${visible(version.value)}` : ""}</p> : null}
        </div>
      </header>
      <main id="content" tabIndex={-1}>
        <Bars />
        <Content key={name} name={name} />
      </main>
      <div class="sr" role="status" aria-live="polite">{announcement.value}</div>
      {s.state === "needed" ? <KeyDialog why={s.why} onClose={() => undefined} /> : null}
      {unlock.value && s.state !== "needed" ? <KeyDialog why={null} onClose={() => (unlock.value = false)} /> : null}
      {help.value ? <KeysDialog onClose={() => (help.value = false)} /> : null}
    </div>
  );
}
