// What the browser's tests share: the daemon, the browser, and what no page may do.
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const choir = process.env.CHOIR_BIN;
export const stories = join(process.env.CHOIR_TEST_MODELS, "stories260K.gguf");
// Models of the user's cache; empty where they were not fetched.
export const realModels = process.env.UI_REAL_MODELS ?? "";

const folder = mkdtempSync(join(tmpdir(), "choir-ui-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

function environment(models) {
  const env = { ...process.env, CHOIR_CACHE: folder, XDG_CONFIG_HOME: folder };
  for (const name of Object.keys(env)) if (name.startsWith("CHOIR_SERVE_") || name === "CHOIR_LOG" || name === "CHOIR_MODELS") delete env[name];
  return models ? { ...env, CHOIR_MODELS: models } : env;
}

export class Daemon {
  // `models`: the models folder. The unix socket's path is `socket`.
  static async start(args = [], { models = "", port = 0 } = {}) {
    const daemon = new Daemon();
    daemon.socket = join(folder, `${process.pid}-${Math.random().toString(36).slice(2)}.sock`);
    daemon.process = spawn(choir, ["serve", "--port", String(port), "--bind", "127.0.0.1", "--unix-socket", daemon.socket, ...args], {
      env: environment(models),
      stdio: ["ignore", "pipe", "pipe"],
    });
    daemon.complaints = "";
    daemon.process.stderr.on("data", (bytes) => (daemon.complaints += bytes));
    daemon.ended = new Promise((resolve) => daemon.process.on("exit", (code, signal) => resolve(signal ?? code)));
    let said = "";
    daemon.url = await new Promise((resolve, reject) => {
      daemon.process.stdout.on("data", (bytes) => {
        said += bytes;
        const found = /http:\/\/127\.0\.0\.1:\d+/.exec(said);
        if (found) resolve(found[0]);
      });
      daemon.process.on("exit", (code) => reject(new Error(`the daemon ended with ${code}: ${said}${daemon.complaints}`)));
    });
    daemon.port = Number(new URL(daemon.url).port);
    return daemon;
  }

  async get(path) {
    return (await fetch(this.url + path)).json();
  }

  // Over the unix socket, which may change things. curl knows unix sockets, fetch does not.
  admin(method, path, body = {}) {
    return new Promise((resolve, reject) => {
      const args = ["-sS", "--unix-socket", this.socket, "-X", method, "-H", "content-type: application/json", "-d", JSON.stringify(body), `http://choir${path}`];
      execFile("curl", args, (error, out) => (error ? reject(error) : resolve(JSON.parse(out))));
    });
  }

  // The address of a page that may change things.
  async link() {
    const reply = await this.admin("POST", "/choir/v1/session/link");
    return `${this.url}/ui/#code=${reply.code}`;
  }

  async stop(signal = "SIGTERM") {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill(signal);
    const ended = await this.ended;
    if (signal === "SIGTERM" && ended !== 0) throw new Error(`the daemon ended with ${ended}: ${this.complaints}`);
  }
}

export function run(args, { models = "" } = {}) {
  return new Promise((resolve, reject) => {
    execFile(choir, args, { env: environment(models), maxBuffer: 1 << 24 }, (error, out, complaints) => (error ? reject(new Error(`${error.message}\n${complaints}`)) : resolve(out)));
  });
}

export async function browser() {
  const args = ["--disable-gpu", "--force-color-profile=srgb", "--font-render-hinting=none"];
  return chromium.launch({ executablePath: "/usr/bin/chromium", args: process.getuid() === 0 ? [...args, "--no-sandbox"] : args });
}

// Calls the last argument with a daemon and a browser, which end when it has; the others are those of Daemon.start().
export async function inBrowser(...given) {
  const work = given.pop();
  const daemon = await Daemon.start(...given);
  const chrome = await browser();
  try {
    await work(daemon, chrome);
  } finally {
    await chrome.close();
    await daemon.stop();
  }
}

// A page whose faults are collected: requests to others, what the policy forbids, errors. `allowed`: patterns of console
// messages that belong to the test.
export async function page(chrome, daemon, { width = 1280, height = 800, scheme = "dark", allowed = [], motion = "no-preference" } = {}) {
  const context = await chrome.newContext({ viewport: { width, height }, colorScheme: scheme, reducedMotion: motion, serviceWorkers: "block" });
  const tab = await context.newPage();
  const faults = [];
  tab.faults = faults;
  await tab.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
  });
  tab.on("pageerror", (error) => faults.push(`error: ${error.stack ?? error}`));
  tab.on("console", (message) => {
    if (message.type() !== "error" || allowed.some((pattern) => pattern.test(message.text()))) return;
    faults.push(`console: ${message.text()} ${message.location().url}`);
  });
  tab.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "blob:" && url.origin !== daemon.url) faults.push(`a foreign request: ${url.href}`);
  });
  return tab;
}

export async function open(tab, daemon, view, { admin = false } = {}) {
  if (admin) {
    await tab.goto(await daemon.link());
    await tab.waitForSelector(".link.live");
    await tab.evaluate((path) => (location.hash = `#/${path}`), view);
  } else {
    await tab.goto(`${daemon.url}/ui/#/${view}`);
  }
  await tab.waitForSelector(".link.live");
}

export function check(holds, message) {
  if (!holds) throw new Error(message);
}

export function checkNoFaults(tab) {
  check(tab.faults.length === 0, tab.faults.join("\n"));
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function until(holds, what, seconds = 30) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const value = await holds();
    if (value) return value;
    check(Date.now() < end, `not within ${seconds} s: ${what}`);
    await sleep(50);
  }
}

// Runs the cases of a file one after another; the last line says how many held.
export async function cases(all) {
  let failed = 0;
  for (const [name, act] of Object.entries(all)) {
    const began = Date.now();
    try {
      await act();
      console.log(`ok     ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
    } catch (error) {
      ++failed;
      console.log(`FAILED ${name}\n${error.stack ?? error}`);
    }
  }
  console.log(`${Object.keys(all).length - failed} of ${Object.keys(all).length} cases held`);
  process.exit(failed ? 1 : 0);
}

export const hasReal = realModels !== "" && existsSync(realModels);
