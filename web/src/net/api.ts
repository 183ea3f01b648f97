// Calls of the daemon. Each carries the session's token, which is in sessionStorage and nowhere else.
import { signal } from "@preact/signals";
import { words } from "../words/en.ts";
import { SseReader, type SseEvent } from "./sse.ts";
import type { SessionInfo } from "./wire.ts";

const kTokenName = "choir.token";

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code: string = "",
  ) {
    super(message);
  }
}

export type Session =
  | { state: "unknown" }
  | { state: "open"; info: SessionInfo }
  | { state: "needed"; why: "none" | "expired" | "view" }; // a key is needed: there is none, not any more, or it may not look

export const session = signal<Session>({ state: "unknown" });
// A daemon with keys answers one who sends none, too: without a tenant, who may do nothing. Pure.
// All of the page needs the scope view.
export function sessionOf(info: SessionInfo, expired: boolean): Session {
  if (info.tenant === null) return { state: "needed", why: expired ? "expired" : "none" };
  return info.scopes.includes("view") ? { state: "open", info } : { state: "needed", why: "view" };
}
export const may = (scope: string): boolean => session.value.state === "open" && session.value.info.scopes.includes(scope);
export const token = (): string => sessionStorage.getItem(kTokenName) ?? "";

function headers(more: Record<string, string> = {}): Headers {
  const all = new Headers(more);
  const secret = token();
  if (secret) all.set("authorization", `Bearer ${secret}`);
  return all;
}

// What an error of the daemon says, for people.
async function errorOf(reply: Response): Promise<ApiError> {
  let message = `${reply.status} ${reply.statusText}`;
  let code = "";
  try {
    const body = (await reply.json()) as { error?: { message?: string; code?: unknown } };
    if (body.error?.message) message = body.error.message;
    if (typeof body.error?.code === "string") code = body.error.code;
  } catch {
    // The status alone, then.
  }
  return new ApiError(reply.status, message, code);
}

export async function call(method: string, path: string, body?: unknown, abort?: AbortSignal): Promise<Response> {
  const init: RequestInit = { method, headers: headers(body === undefined ? {} : { "content-type": "application/json" }), cache: "no-store" };
  if (body !== undefined) init.body = JSON.stringify(body);
  if (abort) init.signal = abort;
  let reply: Response;
  try {
    reply = await fetch(path, init);
  } catch (error) {
    if (abort?.aborted) throw error;
    throw new ApiError(0, words.errors.unreachable);
  }
  if (reply.ok) return reply;
  const error = await errorOf(reply);
  if (reply.status === 401) keyNeeded();
  throw error;
}

export async function get<T>(path: string, abort?: AbortSignal): Promise<T> {
  return (await (await call("GET", path, undefined, abort)).json()) as T;
}

export async function send<T>(method: "POST" | "DELETE", path: string, body?: unknown, abort?: AbortSignal): Promise<T> {
  return (await (await call(method, path, body, abort)).json()) as T;
}

// The events of a reply, one by one. Ends with the body; throws when the connection breaks.
export async function* eventsOf(reply: Response): AsyncGenerator<SseEvent> {
  if (!reply.body) return;
  const reader = reply.body.getReader();
  const decoder = new TextDecoder();
  const sse = new SseReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* sse.take(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

// ---- the session --------------------------------------------------------------------------------

// A token that is not known any more (it is too old, its key has gone, the daemon was started again) is forgotten; a
// daemon without keys then still lets us look.
function keyNeeded(): void {
  const had = token() !== "";
  sessionStorage.removeItem(kTokenName);
  const was = session.peek();
  const expired = was.state === "open" || (was.state === "needed" && was.why === "expired");
  if (!had) {
    if (was.state !== "needed") session.value = { state: "needed", why: expired ? "expired" : "none" };
    return;
  }
  get<SessionInfo>("/choir/v1/session").then(
    (info) => (session.value = sessionOf(info, expired)),
    () => (session.value = { state: "needed", why: expired ? "expired" : "none" }),
  );
}

// The daemon knows the session and shows it nothing: its key was narrowed meanwhile.
export function mayNotLook(): void {
  session.value = { state: "needed", why: "view" };
}

// The code of a one-use link stands behind '#'; it leaves the address and the history at once.
function codeInAddress(): string {
  const found = /^#code=([\w-]+)$/.exec(location.hash);
  if (!found) return "";
  history.replaceState(null, "", location.pathname + location.search);
  return found[1] ?? "";
}

async function exchange(init: { key?: string; code?: string }): Promise<void> {
  const all = new Headers({ "content-type": "application/json" });
  if (init.key) all.set("authorization", `Bearer ${init.key}`);
  const body = init.code ? JSON.stringify({ code: init.code }) : "{}";
  const reply = await fetch("/choir/v1/session", { method: "POST", headers: all, body, cache: "no-store" });
  if (!reply.ok) throw await errorOf(reply);
  const info = (await reply.json()) as SessionInfo;
  const next = sessionOf(info, false);
  if (next.state === "needed") {
    // What was allowed before still is.
    if (info.token) void fetch("/choir/v1/session", { method: "DELETE", headers: { authorization: `Bearer ${info.token}` } }).catch(() => undefined);
    throw new ApiError(403, words.access.mayNotLook);
  }
  if (info.token) sessionStorage.setItem(kTokenName, info.token);
  session.value = next;
}

export async function useKey(key: string): Promise<void> {
  await exchange({ key });
}

// True: the page goes on without a key. False: the next one who uses it may be another person.
export async function endSession(): Promise<boolean> {
  await call("DELETE", "/choir/v1/session").catch(() => undefined);
  sessionStorage.removeItem(kTokenName);
  await findSession();
  return session.peek().state === "open";
}

// Exchanges the code of a one-use link, if the address has one. One that was used already, or is too old, changes
// nothing. Who we are otherwise, the first event tells.
export async function takeCode(): Promise<void> {
  const code = codeInAddress();
  if (code) await exchange({ code }).catch(() => undefined);
}

// A tab that is new gets the session of one that is open, so that it need not be unlocked again; nothing of it outlives
// the last tab. Only pages of this very origin hear the channel. `got`: there is one now.
export function shareSession(got: () => void): void {
  if (typeof BroadcastChannel === "undefined") return;
  const channel = new BroadcastChannel("choir.session");
  const me = String(Math.random());
  channel.onmessage = ({ data }: MessageEvent<{ asks: string } | { to: string; token: string }>) => {
    if ("asks" in data) {
      if (token()) channel.postMessage({ to: data.asks, token: token() });
    } else if (data.to === me && !token()) {
      // Others that are open without a session stay so.
      sessionStorage.setItem(kTokenName, data.token);
      void findSession().then(got, got);
    }
  };
  if (!token() && !location.hash.startsWith("#code=")) channel.postMessage({ asks: me });
}

// Who we are. An open daemon (no keys, loopback) answers without a token.
async function findSession(): Promise<void> {
  try {
    session.value = sessionOf(await get<SessionInfo>("/choir/v1/session"), false);
  } catch (error) {
    // Without a daemon there is nothing to know yet; where a key is needed, keyNeeded() has said so.
    if (!(error instanceof ApiError)) throw error;
  }
}
