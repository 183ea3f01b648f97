// The chat of Play: columns with a model each, and one prompt for all. One stream carries all answers. It outlives the
// view, so that another view may be looked at while a model writes.
import { batch, computed, signal, type Signal } from "@preact/signals";
import { ApiError, send } from "../net/api.ts";
import { runParallel } from "../net/parallel.ts";
import { namesOf, settingsOf, type Own, type Settings } from "./columns.ts";
import { before, messagesOf } from "./jobs.ts";
import type { JobUsage, ReportEvent } from "../net/wire.ts";
import { words } from "../words/en.ts";

export const kColumnsMax = 8;
const kFlushMs = 30; // what comes together reaches the page together

export interface Answer {
  state: "queued" | "loading" | "waiting" | "writing" | "ended" | "stopped" | "failed";
  percent: number | null; // of loading
  request: string; // its id; empty: not submitted yet
  text: string;
  tokens: number;
  sent: number; // performance.now(); 0: not yet
  began: number; // of its first token; 0: none yet
  speed: number | null; // tokens a second; while it writes of the browser's clock, then what the daemon says
  reported: boolean; // the speed is that of the report, which counts its waiting
  finish: string;
  usage: JobUsage | null;
  error: string;
}

export interface Said {
  turn: number; // the same in all columns that were asked it together
  job: number; // of the call that asks it
  prompt: string;
  model: string;
  priority: string; // that was asked for; empty: the model's
  answer: Signal<Answer>;
}

export interface Column {
  id: number;
  model: Signal<string>;
  own: Signal<Own>;
  width: Signal<number>; // beside others: of a usual column's
  said: Signal<Said[]>;
}

let lastColumn = 0;
export const newColumn = (model: string): Column => ({ id: ++lastColumn, model: signal(model), own: signal({}), width: signal(1), said: signal([]) });

export const columns = signal<Column[]>([]);
const names = computed(() => namesOf(columns.value.map((column) => column.model.value), words.play.placed));
export const nameOf = (column: Column): string => names.value[columns.value.indexOf(column)] ?? column.model.value;
const fills = signal<number | null>(null); // the id of the column that has the page for itself
export const filling = computed<Column | null>(() => (columns.value.length > 1 ? (columns.value.find((column) => column.id === fills.value) ?? null) : null));
export const fillWith = (column: Column | null): void => {
  fills.value = column?.id ?? null;
};
export const usualSettings: Settings = { system: "", temperature: 0.7, maxTokens: 512, seed: null, priority: "" };
export const settings = signal<Settings>(usualSettings);
export const draft = signal("");
// The message that is written anew, which stands where it was until it is sent.
export const editing = signal<{ column: number; turn: number; text: string } | null>(null);
export const talking = signal<AbortController | null>(null);
export const talkingCall = signal(""); // of the daemon, with which one column can be stopped; empty: there is none yet

export const freshAnswer: Answer = {
  state: "waiting", percent: null, request: "", text: "", tokens: 0, sent: 0, began: 0, speed: null, reported: false, finish: "", usage: null, error: "",
};

let lastTurn = 0;

// `anew`: the turn of a message that is sent in another form. It is asked where it was asked, and takes what came after it
// along.
// `told`: an answer has ended.
export async function say(prompt: string, anew: number | null, told: (model: string, answer: Answer) => void): Promise<void> {
  const abort = new AbortController();
  talking.value = abort;
  const turn = ++lastTurn;
  const all = columns.peek().flatMap((column) => {
    const kept = anew === null ? column.said.peek() : before(column.said.peek(), anew);
    return kept === null ? [] : [{ column, kept, s: settingsOf(settings.peek(), column.own.peek()), answer: signal<Answer>({ ...freshAnswer }) }];
  });
  const jobs = all.map(({ column, kept, s }) => ({
    model: column.model.peek(),
    messages: messagesOf(kept.map((x) => ({ prompt: x.prompt, answer: x.answer.peek() })), prompt, s.system),
    max_tokens: s.maxTokens,
    temperature: s.temperature,
    seed: s.seed ?? -1,
    ...(s.priority ? { priority: s.priority } : {}),
    default_template: false, // a base model goes on with the text; a template that it never saw would confuse it
  }));
  batch(() => {
    all.forEach(({ column, kept, s, answer }, job) => {
      column.said.value = [...kept, { turn, job, prompt, model: column.model.peek(), priority: s.priority, answer }];
    });
    if (anew !== null) editing.value = null;
  });
  await follow({ jobs }, all.map((one) => one.answer), abort, {
    call: (call) => (talkingCall.value = call),
    end: (job, answer) => told(jobs[job]?.model ?? "", answer),
  });
  batch(() => {
    talking.value = null;
    talkingCall.value = "";
  });
}

// All is forgotten that was said; models, settings and widths stay.
export function startAnew(): void {
  batch(() => {
    editing.value = null;
    for (const column of columns.peek()) column.said.value = [];
  });
}

// The others go on. Its end comes on the stream; one that has ended meanwhile is as good as stopped, and a daemon that
// does not answer breaks the stream, too.
export function stopColumn(column: Column): void {
  const job = column.said.peek().at(-1)?.job ?? 0;
  send("DELETE", `/choir/v1/parallel/${encodeURIComponent(talkingCall.peek())}?job=${job}`).catch(() => undefined);
}

export interface Followed {
  queued?: (queued: boolean) => void;
  call?: (call: string) => void;
  report?: (told: ReportEvent) => void;
  end?: (job: number, answer: Answer) => void;
}
// Behind its first token; as a text is short, or comes as a whole, the daemon's clock knows it better than the browser's.
function speedAtEnd({ output_tokens, first_token_seconds, total_seconds }: JobUsage): number | null {
  const seconds = total_seconds - first_token_seconds;
  return output_tokens > 1 && seconds > 0 ? (output_tokens - 1) / seconds : null;
}
const kEnds: ReadonlySet<Answer["state"]> = new Set(["ended", "failed", "stopped"]);

// Carries the events of one call into the answers. Ends when all have ended; a failure is in the answers.
export async function follow(body: Record<string, unknown>, answers: readonly Signal<Answer>[], abort: AbortController, on: Followed = {}): Promise<void> {
  const next: Answer[] = answers.map((a) => ({ ...a.peek() }));
  const touched = new Set<number>();
  let timer = 0;
  const flush = (): void => {
    clearTimeout(timer);
    timer = 0;
    const at = performance.now();
    batch(() => {
      for (const i of touched) {
        const a = next[i];
        const target = answers[i];
        if (!a || !target) continue;
        if (a.state === "writing" && a.began > 0 && at > a.began + 200) a.speed = ((a.tokens - 1) * 1000) / (at - a.began);
        target.value = { ...a };
      }
    });
    touched.clear();
  };
  const touch = (i: number): void => {
    touched.add(i);
    timer ||= window.setTimeout(flush, kFlushMs);
  };
  const submitted = (job: number, request: string | null): void => {
    const a = next[job];
    if (!a || request === null) return;
    a.request = request;
    touch(job);
  };
  const all = (change: (a: Answer) => void): void => {
    next.forEach((a, i) => {
      if (kEnds.has(a.state)) return;
      change(a);
      touch(i);
    });
  };
  try {
    await runParallel(
      body,
      answers.length,
      {
        queued: () => {
          all((a) => (a.state = "queued"));
          on.queued?.(true);
        },
        sent: () => {
          all((a) => {
            a.state = "waiting";
            a.sent = performance.now();
          });
          on.queued?.(false);
        },
        loading: (percent) =>
          all((a) => {
            a.state = "loading";
            a.percent = percent;
          }),
        event: (event) => {
          if (event.type === "begin") {
            all((a) => (a.state = "waiting"));
            for (const job of event.jobs) submitted(job.job, job.request);
            if (event.call) on.call?.(event.call);
          }
          if (event.type === "begun") submitted(event.job, event.request);
          if (event.type === "text") {
            const a = next[event.job];
            if (!a) return;
            if (a.began === 0) a.began = performance.now();
            a.state = "writing";
            a.text += event.text;
            a.tokens = event.tokens;
            touch(event.job);
          }
          if (event.type === "end") {
            const a = next[event.job];
            if (!a) return;
            a.state = event.finish === "cancelled" ? "stopped" : event.error ? "failed" : "ended";
            a.error = a.state === "failed" ? (event.error?.message ?? "") : "";
            a.finish = event.finish;
            a.usage = event.usage;
            a.tokens = event.usage.output_tokens;
            a.speed = speedAtEnd(event.usage);
            touch(event.job);
            on.end?.(event.job, a);
          }
          if (event.type === "report") {
            for (const row of event.report.sessions ?? []) {
              const a = next[row.session_id];
              if (!a || row.tokens === 0) continue;
              a.speed = row.tokens_per_second;
              a.reported = true;
              touch(row.session_id);
            }
            on.report?.(event);
          }
        },
      },
      abort.signal,
    );
  } catch (error) {
    const stopped = abort.signal.aborted;
    // What is no answer of the daemon is a connection that broke.
    const message = error instanceof ApiError ? error.message : words.errors.broken;
    all((a) => {
      a.state = stopped ? "stopped" : "failed";
      a.error = stopped ? "" : message;
    });
  }
  flush();
}
