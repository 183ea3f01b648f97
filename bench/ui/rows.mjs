// A server in front of a daemon: it passes everything on but the events, which it makes itself, so that the table of
// requests changes as often in each run.
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

// `changes` of `rows` rows change every `everyMs`. Frames are made while a reader is there.
export async function isolatedRows(daemonUrl, { rows, changes, everyMs }) {
  const daemon = new URL(daemonUrl);
  let sent = 0;
  const tell = (reply) => {
    reply.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    reply.write(event("hello", { epoch: "1", version: "bench", tenant: "local", scopes: ["view", "infer", "admin"], topics: ["state", "requests"] }));
    reply.write(event("snapshot", { topic: "state", rows: [], rest: { node: { cores: 2, lanes: [1, 1], memory_bytes_max: 1, memory_bytes_promised: 0, requests_active: rows, draining: false } } }));
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
    sent: () => sent,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
