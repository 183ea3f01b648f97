// A server in front of a daemon: it passes everything on but the events, which it makes itself, so that they are the same in
// each run: a table of requests that changes, or the frames of a busy hour.
import { createServer, request } from "node:http";

const event = (name, data) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
const kStates = ["waiting", "prefill", "decode"];

function rowOf(id, turn) {
  const state = kStates[(id + turn) % 3];
  const waits = state === "waiting" ? { ahead: (id + turn) % 50, expected_seconds: (id + turn) % 90, why: { reason: "sequences", text: `2 of 2 sequences are in use, ${(id + turn) % 50} requests are ahead` } } : {};
  return {
    id: String(1_000_000 + id), model: `model-${1 + (id % 4)}`, tenant: `tenant-${id % 7}`, priority: "normal", state, waits_for: state === "waiting" ? "slot" : "nothing",
    prompt_tokens: 500, prompt_tokens_done: (id * 7 + turn * 11) % 500, output_tokens: turn, submitted_ms: 1_700_000_000_000 + id, ...waits,
  };
}

const kNode = { cores: 2, kernels: "", lanes: [1, 1], memory_bytes_max: 1, memory_bytes_promised: 0, draining: false };
const kHello = { epoch: "1", version: "bench", now_ms: 0, tenant: "local", scopes: ["view", "infer", "admin"], resumed: false };

// `changes` of `rows` rows change every `everyMs`. Frames are made while a reader is there.
export async function isolatedRows(daemonUrl, { rows, changes, everyMs }) {
  let sent = 0;
  const tell = (reply) => {
    reply.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    reply.write(event("hello", { ...kHello, topics: ["state", "requests"] }));
    reply.write(event("snapshot", { topic: "state", rows: [], rest: { node: { ...kNode, requests_active: rows } } }));
    reply.write(event("snapshot", { topic: "requests", rows: Array.from({ length: rows }, (_, id) => rowOf(id, 0)) }));
    let turn = 0;
    const timer = setInterval(() => {
      ++turn;
      ++sent;
      const set = Array.from({ length: changes }, (_, i) => rowOf((turn + i * Math.floor(rows / changes)) % rows, turn));
      reply.write(event("delta", { topic: "requests", set, gone: [] }));
    }, everyMs);
    reply.on("close", () => clearInterval(timer));
  };
  return { ...(await inFrontOf(daemonUrl, tell)), sent: () => sent };
}

const kFramesASecond = 4;
const kModels = ["a", "b", "c", "d"];

// What came in the 250 ms before frame `n`: on each of two lanes 25 blocks, of one model after the other.
function turnsOf(n) {
  const now_us = (n + 1) * 250_000;
  const blocks = (lane) => Array.from({ length: 25 }, (_, i) => [now_us - 250_000 + i * 10_000, 9_500, kModels[(n + i + lane) % 4], i % 5 === 0 ? 64 : 0, 4, "normal", 2, 1, 1]);
  return { topic: "turns", now_us, from_us: now_us - 250_000, lanes: [0, 1].map((lane) => ({ lane, threads: 1, missing: 0, blocks: blocks(lane) })) };
}

// The frames of a daemon with 4 busy models, `faster` times as fast; requests come and end all the time.
export async function isolatedHour(daemonUrl, { faster }) {
  let sent = 0;
  const tell = (reply) => {
    reply.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    reply.write(event("hello", { ...kHello, topics: ["state", "requests", "turns"] }));
    const model = (name) => ({ name, path: name, state: "loaded", load_progress: null, priority: "normal", shares: 1, pinned: false, sequences_max: 4, sequence_tokens_max: 512, context_tokens: 2048, kv_type: "f16", running: 2, waiting: 0, cells: 100, cached_cells: 0, weight_bytes: 1, kv_bytes: 1, compute_bytes: 1, prompt_tokens: 0, output_tokens: 0, reused_tokens: 0, requests_done: 0, requests_failed: 0, preemptions: 0, load_seconds: 1, compute_seconds: 1, threads: 1, leases: [] });
    reply.write(event("snapshot", { topic: "state", rows: kModels.map(model), rest: { node: { ...kNode, requests_active: 8 } } }));
    reply.write(event("snapshot", { topic: "requests", rows: Array.from({ length: 8 }, (_, id) => rowOf(id, 0)) }));
    const send = () => {
      const n = sent++;
      reply.write(event("turns", turnsOf(n)));
      reply.write(event("delta", { topic: "state", set: [], changed: kModels.map((name) => ({ name, output_tokens: 8 * n, prompt_tokens: 3 * n, compute_seconds: n / 8 })), gone: [] }));
      // Each lives for two seconds.
      reply.write(event("delta", { topic: "requests", set: Array.from({ length: 8 }, (_, i) => rowOf(n + i, n)), gone: [String(1_000_000 + n - 1)] }));
    };
    const timer = setInterval(send, 1000 / (kFramesASecond * faster));
    reply.on("close", () => clearInterval(timer));
  };
  return { ...(await inFrontOf(daemonUrl, tell)), seconds: () => sent / kFramesASecond };
}

async function inFrontOf(daemonUrl, tell) {
  const daemon = new URL(daemonUrl);
  const server = createServer((asked, reply) => {
    if (asked.url.startsWith("/choir/v1/events")) return tell(reply);
    const passed = request({ host: daemon.hostname, port: daemon.port, path: asked.url, method: asked.method, headers: { ...asked.headers, host: daemon.host } }, (answer) => {
      reply.writeHead(answer.statusCode, answer.headers);
      answer.pipe(reply);
    });
    passed.on("error", () => reply.destroy());
    reply.on("close", () => passed.destroy());
    asked.pipe(passed);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
