// Serves a page that is being worked on in front of a running daemon, with the headers that the daemon sends:
//
//   node tools/front.mjs --daemon http://127.0.0.1:8411 [--port 8412] [--dist FOLDER]
//
// Everything but /ui/ is passed on.
import { createServer, request } from "node:http";
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = dirname(dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({ options: { daemon: { type: "string" }, port: { type: "string", default: "8412" }, dist: { type: "string", default: join(here, "dist") } } });
const daemon = new URL(values.daemon ?? "http://127.0.0.1:8411");
const kHeaders = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'none'; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
};

function page(path, reply) {
  const manifest = readFileSync(join(values.dist, "manifest"), "utf8").trim().split("\n").map((line) => line.split("\t"));
  const name = basename(path) || "index.html";
  const entry = manifest.find(([file]) => file === name);
  if (!entry || !existsSync(join(values.dist, name))) return reply.writeHead(404).end();
  return reply.writeHead(200, { ...kHeaders, "content-type": entry[1] }).end(readFileSync(join(values.dist, name)));
}

createServer((asked, reply) => {
  const path = new URL(asked.url, "http://front").pathname;
  if (path === "/") return reply.writeHead(302, { location: "/ui/" }).end();
  if (path.startsWith("/ui/")) return page(path.slice(4), reply);
  const headers = { ...asked.headers, host: daemon.host };
  if (headers.origin) headers.origin = daemon.origin;
  const passed = request({ host: daemon.hostname, port: daemon.port, path: asked.url, method: asked.method, headers }, (answer) => {
    reply.writeHead(answer.statusCode, answer.headers);
    answer.pipe(reply);
  });
  passed.on("error", () => reply.destroy());
  reply.on("close", () => passed.destroy());
  asked.pipe(passed);
}).listen(Number(values.port), "127.0.0.1", function () {
  console.log(`http://127.0.0.1:${this.address().port}/ui/`);
});
