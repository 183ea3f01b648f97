// Builds the page into a folder, and checks it: types, unit tests, sizes. Called by `./dev web`. The types of what the
// daemon sends are written first, from docs/openapi.json.
//
//   node tools/build.mjs             writes src/net/openapi.ts and web/dist
//   node tools/build.mjs --check     builds into a temporary folder and fails where one of these differs
//
// The same sources give the same bytes. Of the .gz files the contents count, because zlib's output may change with its
// version.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { typesOf } from "./types.mjs";

const web = dirname(dirname(fileURLToPath(import.meta.url)));
const kFirstMax = 60 * 1024; // gzip bytes of what the first view needs
const kAllMax = 140 * 1024; // of all files
const check = process.argv.includes("--check");

function fail(message) {
  console.error(`web: ${message}`);
  process.exit(1);
}

function run(command, args, what) {
  const done = spawnSync(command, args, { cwd: web, stdio: "inherit" });
  if (done.status !== 0) fail(`${what} failed`);
}

// openapi-typescript needs TypeScript 5, whose `tsc` has the same name.
const tsc = join(web, "node_modules", "typescript-7", "bin", "tsc");
const hashed = (name, ending, bytes) => `${name}-${createHash("sha256").update(bytes).digest("hex").slice(0, 10)}.${ending}`;

const common = {
  absWorkingDir: web,
  bundle: true,
  write: false,
  format: "esm",
  target: ["chrome123", "firefox128", "safari17.5"],
  jsx: "automatic",
  jsxImportSource: "preact",
  logLevel: "warning",
  charset: "utf8",
};

async function bundle(entry, options = {}) {
  const result = await build({ ...common, entryPoints: [entry], ...options });
  return Buffer.from(result.outputFiles[0].contents);
}

// What the licences of the packages in the page ask for.
function licences() {
  const parts = [];
  for (const name of Object.keys(JSON.parse(readFileSync(join(web, "package.json"), "utf8")).dependencies).concat("@preact/signals-core").sort()) {
    const folder = join(web, "node_modules", name);
    const info = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((f) => /^licen[cs]e/i.test(f));
    const text = file ? readFileSync(join(folder, file), "utf8").replace(/\r\n/g, "\n").trim() : `Licence: ${info.license}`;
    parts.push(`${name} ${info.version} (${info.license})\n\n${text}\n`);
  }
  return Buffer.from(`The page contains these packages.\n\n${parts.join("\n----\n\n")}`);
}

// The scripts by name; the first is that of the page, the others are fetched when they are needed.
async function scripts() {
  const made = await build({ ...common, entryPoints: { app: "src/main.tsx" }, outdir: "out", splitting: true, minify: true, legalComments: "none", entryNames: "[name]-[hash]", chunkNames: "part-[hash]" });
  const files = made.outputFiles.map((f) => [basename(f.path), Buffer.from(f.contents)]);
  return files.sort(([a], [b]) => Number(b.startsWith("app-")) - Number(a.startsWith("app-")) || (a < b ? -1 : 1));
}

async function pageFiles() {
  const all = await scripts();
  const style = await bundle("src/style.css", { minify: true });
  const [[scriptName]] = all;
  const styleName = hashed("app", "css", style);
  const index = readFileSync(join(web, "index.html"), "utf8").replace("STYLE", styleName).replace("SCRIPT", scriptName);
  return [
    ["index.html", "text/html; charset=utf-8", "plain", Buffer.from(index)],
    ...all.map(([name, bytes]) => [name, "text/javascript; charset=utf-8", "hashed", bytes]),
    [styleName, "text/css; charset=utf-8", "hashed", style],
    ["icon.svg", "image/svg+xml", "plain", readFileSync(join(web, "icon.svg"))],
    ["LICENSES.txt", "text/plain; charset=utf-8", "plain", licences()],
  ];
}

function writeTo(folder, files) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [path, , , bytes] of files) {
    writeFileSync(join(folder, path), bytes);
    writeFileSync(join(folder, `${path}.gz`), gzipSync(bytes, { level: 9 }));
  }
  writeFileSync(join(folder, "manifest"), files.map(([path, type, kind]) => `${path}\t${type}\t${kind}\n`).join(""));
}

// A script that the page's own script fetches only when it needs it.
function isLater(path, files) {
  const app = files.find(([name]) => /^app-.*\.js$/.test(name))[3].toString();
  return path.startsWith("part-") && !new RegExp(`from"\\./${path}"`).test(app);
}

function sizes(files) {
  let first = 0;
  let all = 0;
  for (const [path, , , bytes] of files) {
    const packed = gzipSync(bytes, { level: 9 }).length;
    all += packed;
    if (path !== "LICENSES.txt" && !isLater(path, files)) first += packed;
    console.log(`web: ${path.padEnd(24)} ${String(bytes.length).padStart(8)} bytes, gzip ${String(packed).padStart(7)}`);
  }
  console.log(`web: first view ${(first / 1024).toFixed(1)} of ${kFirstMax / 1024} KiB, all ${(all / 1024).toFixed(1)} of ${kAllMax / 1024} KiB (gzip)`);
  if (first > kFirstMax || all > kAllMax) fail("the page is larger than it may be");
}

async function unitTests() {
  const folder = mkdtempSync(join(tmpdir(), "choir-web-"));
  try {
    const tests = readdirSync(join(web, "test")).filter((f) => /\.test\.tsx?$/.test(f));
    for (const test of tests) {
      const bytes = await bundle(`test/${test}`, { platform: "node", target: "node20", define: { WEB: JSON.stringify(web) } });
      writeFileSync(join(folder, test.replace(/\.tsx?$/, ".mjs")), bytes);
    }
    run(process.execPath, ["--test", folder], "a unit test");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function same(a, b, path) {
  const [x, y] = [readFileSync(join(a, path)), readFileSync(join(b, path))];
  return path.endsWith(".gz") ? gunzipSync(x).equals(gunzipSync(y)) : x.equals(y);
}

const types = join(web, "src", "net", "openapi.ts");
const wire = await typesOf(join(dirname(web), "docs", "openapi.json"));
if (!check) writeFileSync(types, wire);
else if (!existsSync(types) || readFileSync(types, "utf8") !== wire) fail("src/net/openapi.ts is not what docs/openapi.json gives; run ./dev web and commit it");
run(tsc, ["--noEmit"], "the check of types");
await unitTests();
const files = await pageFiles();
sizes(files);
const dist = join(web, "dist");
if (!check) {
  writeTo(dist, files);
} else {
  const folder = mkdtempSync(join(tmpdir(), "choir-web-"));
  try {
    writeTo(folder, files);
    const names = (at) => (existsSync(at) ? readdirSync(at).sort() : []);
    const [built, committed] = [names(folder), names(dist)];
    const wrong = [...new Set([...built, ...committed])].filter((name) => !built.includes(name) || !committed.includes(name) || !same(folder, dist, name));
    if (wrong.length > 0) fail(`web/dist is not what the sources give: ${wrong.join(", ")}; run ./dev web and commit it`);
    console.log("web: web/dist is what the sources give");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
