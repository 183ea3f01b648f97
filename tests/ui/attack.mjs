// What must change nothing: a page of another origin, a link that was used, a key that may only look, many tabs.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { browser, cases, check, checkNoFaults, Daemon, inBrowser, open, page, run, sleep, stories, until } from "./common.mjs";

const kModel = "stories260K";
// Bodies that would change something, were they taken; of the others one without members says who is let in.
const kBodies = {
  "POST /choir/v1/models/{model}/resize": { sequences_max: 1, sequence_tokens_max: 64 },
  "POST /choir/v1/models/{model}/update": { priority: "low" },
  "POST /choir/v1/models/{model}/clone": { name: "taken" },
  "POST /choir/v1/models/{model}/replicas": { replicas: 2 },
  "POST /choir/v1/models": { name: "taken", model: kModel },
  "POST /models/load": { model: kModel },
  "POST /models/unload": { model: kModel },
  "POST /choir/v1/pulls": { model: "smollm2-135m" },
  "POST /choir/v1/parallel": { jobs: [{ model: kModel, prompt: "x" }], max_tokens: 4 },
  "POST /v1/chat/completions": { model: kModel, messages: [{ role: "user", content: "x" }], max_tokens: 4 },
  "POST /v1/completions": { model: kModel, prompt: "x", max_tokens: 4 },
};
const kPlaces = { model: kModel, request: "1", pull: "smollm2-135m", parallel: "call_x" };
// What one who may only look is allowed, and why.
const kAllowed = new Map([
  ["POST /choir/v1/session", "it begins a session of one's own key, which may not do more"],
  ["DELETE /choir/v1/session", "it ends one's own session"],
  ["POST /choir/v1/estimate", "it tells what a change would take, and changes nothing"],
]);

// Every operation with which something is changed or asked for, as the daemon's own document has them.
const documented = JSON.parse(readFileSync(join(process.env.CHOIR_REPO, "docs", "openapi.json"), "utf8")).paths;
const kOperations = Object.entries(documented).flatMap(([path, operations]) =>
  Object.keys(operations).filter((method) => /^(post|put|patch|delete)$/.test(method)).map((method) => [method.toUpperCase(), path]));
const kChanges = kOperations
  .filter(([method, path]) => !kAllowed.has(`${method} ${path}`))
  .map(([method, path]) => [method, path.replace(/\{(\w+)\}/g, (_, name) => {
    check(name in kPlaces, `nothing is known to put for {${name}} of ${path}`);
    return kPlaces[name];
  }), method === "DELETE" ? undefined : (kBodies[`${method} ${path}`] ?? {})]);
for (const key of [...Object.keys(kBodies), ...kAllowed.keys()])
  check(kOperations.some((operation) => operation.join(" ") === key), `${key} is not in the document`);

// All that these could have changed. What time alone changes is left out.
async function stateOf(daemon) {
  const models = (await daemon.admin("GET", "/choir/v1/models")).models;
  const rows = models.map((m) => [m.name, m.state, m.pinned, m.sequences_max, m.sequence_tokens_max, m.requests_done, m.requests_failed, m.output_tokens, m.running, m.waiting]);
  return JSON.stringify([rows, await daemon.admin("GET", "/choir/v1/pulls")]);
}

// A page of another port of this machine, which is "same-site" for a browser.
async function foreignPage(daemon) {
  const server = createServer((_, reply) => reply.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>other</title><body></body>"));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}/`, daemon, close: () => server.close() };
}

function besideForeignPage(args, work) {
  return inBrowser(args, async (daemon, chrome) => {
    const foreign = await foreignPage(daemon);
    try {
      await work(daemon, chrome, foreign);
    } finally {
      foreign.close();
    }
  });
}

async function anotherOrigin() {
  await besideForeignPage(["--model", stories, "--preload"], async (daemon, chrome, foreign) => {
    await until(async () => (await daemon.get("/choir/v1/models")).models[0]?.state === "loaded", "the model is loaded");
    const before = await stateOf(daemon);
    const context = await chrome.newContext();
    const tab = await context.newPage();
    let sent = 0;
    context.on("request", (r) => (sent += r.url().startsWith(daemon.url) ? 1 : 0));
    const answers = [];
    context.on("response", (r) => r.url().startsWith(daemon.url) && answers.push([r.request().method(), new URL(r.url()).pathname, r.status()]));
    await tab.goto(foreign.url);
    // fetch in all modes, with and without what makes a browser ask before.
    const read = await tab.evaluate(async ([url, changes]) => {
      const read = [];
      for (const [method, path, body] of changes)
        for (const mode of ["no-cors", "cors", "same-origin", "navigate"])
          for (const headers of [{}, { "content-type": "text/plain" }, { "content-type": "application/json" }, { authorization: "Bearer x" }])
            for (const credentials of ["omit", "include"])
              try {
                const reply = await fetch(url + path, { method, mode, headers, credentials, ...(body ? { body: JSON.stringify(body) } : {}) });
                if (reply.type !== "opaque") read.push(`${method} ${path} ${mode} ${reply.status}`);
              } catch {
                // refused, by the browser or by the daemon
              }
      for (const [method, path, body] of changes)
        if (method === "POST") navigator.sendBeacon(url + path, new Blob([JSON.stringify(body)], { type: "text/plain" }));
      return read;
    }, [daemon.url, kChanges]);
    check(read.length === 0, `another origin reads answers: ${read.join(", ")}`);
    // Forms, whose bodies can be made to look like JSON.
    for (const [, path] of kChanges.filter(([m]) => m === "POST"))
      for (const enctype of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
        await tab.evaluate(([action, type]) => {
          const frame = document.createElement("iframe");
          frame.name = `f${Math.random()}`;
          const form = document.createElement("form");
          Object.assign(form, { action, method: "post", enctype: type, target: frame.name });
          const field = document.createElement("input");
          Object.assign(field, { name: '{"name":"taken","model":"stories260K","prompt":"x","jobs":[],"pad":"', value: '"}' });
          form.append(field);
          document.body.append(frame, form);
          form.submit();
        }, [daemon.url + path, enctype]);
    await until(() => answers.filter(([m]) => m === "POST").length >= 40, "the forms are answered");
    await sleep(500);
    const taken = answers.filter(([m, , status]) => m !== "OPTIONS" && m !== "GET" && status < 400);
    check(taken.length === 0, `taken from another origin: ${taken.map((a) => a.join(" ")).join(", ")}`);
    check(answers.some(([, , status]) => status === 403), "no answer was 403");
    check(sent > 100, `only ${sent} requests were tried`);
    check((await stateOf(daemon)) === before, `changed: ${before} -> ${await stateOf(daemon)}`);
  });
}

async function framesAndWindows() {
  await besideForeignPage(["--model", stories], async (daemon, chrome, foreign) => {
    const before = await stateOf(daemon);
    const context = await chrome.newContext();
    const tab = await context.newPage();
    await tab.goto(foreign.url);
    for (const path of ["/ui/", "/ui/#/play?q=hello", "/ui/index.html"]) {
      await tab.evaluate((src) => {
        const frame = document.createElement("iframe");
        frame.src = src;
        document.body.append(frame);
        return new Promise((resolve) => (frame.onload = frame.onerror = resolve));
      }, daemon.url + path);
      await sleep(200);
      for (const frame of tab.frames().slice(1)) {
        const shown = await frame.evaluate(() => document.querySelectorAll("#root, nav").length).catch(() => 0);
        check(shown === 0, `${path} is shown in a frame of another origin`);
      }
    }
    // A window that another page opened has no way back to it, and sends nothing by itself.
    const sent = [];
    context.on("request", (r) => r.url().startsWith(daemon.url) && r.method() !== "GET" && sent.push(`${r.method()} ${r.url()}`));
    const [opened] = await Promise.all([
      context.waitForEvent("page"),
      tab.evaluate((url) => {
        window.other = window.open(`${url}/ui/#/play?q=${encodeURIComponent("write this")}`);
      }, daemon.url),
    ]);
    await opened.waitForSelector(".link.live");
    check(await opened.evaluate(() => window.opener === null), "the page knows who has opened it");
    check(await tab.evaluate(() => window.other.closed), "another origin holds the page's window");
    await tab.evaluate(() => window.other.postMessage({ type: "send" }, "*"));
    await sleep(500);
    check(sent.length === 0, sent.join(", "));
    check((await stateOf(daemon)) === before, "something has changed");
  });
}

async function aUsedLink() {
  await inBrowser(["--model", stories], async (daemon, chrome) => {
    const link = await daemon.link();
    const first = await page(chrome, daemon);
    await first.goto(link);
    await first.getByRole("button", { name: "End session" }).waitFor();
    const second = await page(chrome, daemon, { allowed: [/401/] });
    await second.goto(link);
    await second.waitForSelector(".link.live");
    check((await second.getByRole("button", { name: "End session" }).count()) === 0, "a link works twice");
    await second.getByRole("button", { name: "Unlock changes" }).waitFor();
    check(!second.url().includes("code="), second.url());
    const status = await second.evaluate((path) => fetch(path, { method: "POST", body: "{}", headers: { "content-type": "application/json" } }).then((r) => r.status), `/choir/v1/models/${kModel}/pin`);
    check(status === 403, `a page without rights pins a model: ${status}`);
    checkNoFaults(first);
  });
}

async function aKeyThatLooks() {
  const folder = mkdtempSync(join(tmpdir(), "choir-keys-"));
  const keys = join(folder, "keys.json");
  const key = (await run(["key", "new", "looker", "--keys", keys, "--scope", "view"])).trim().split("\n").at(-1);
  const daemon = await Daemon.start(["--model", stories, "--keys", keys]);
  const chrome = await browser();
  try {
    const before = await stateOf(daemon);
    const tab = await page(chrome, daemon, { allowed: [/40[13]/] });
    await tab.goto(`${daemon.url}/ui/#/models`);
    await tab.getByLabel("Key", { exact: true }).fill(key);
    await tab.keyboard.press("Enter");
    await tab.waitForSelector(".link.live");
    // What it may not do is not there.
    for (const name of ["Load", "Unload", "Suspend", "Pin", "Fetch and load"]) check((await tab.getByRole("button", { name, exact: true }).count()) === 0, `there is a button ${name}`);
    const answers = await tab.evaluate(async (changes) => {
      const authorization = `Bearer ${sessionStorage.getItem("choir.token")}`;
      const answers = [];
      for (const [method, path, body] of changes) {
        const reply = await fetch(path, { method, headers: { authorization, "content-type": "application/json" }, ...(body ? { body: JSON.stringify(body) } : {}) });
        answers.push([method, path, reply.status]);
      }
      return answers;
    }, kChanges);
    const wrong = answers.filter(([, , status]) => status !== 403);
    check(wrong.length === 0, `not refused: ${wrong.map((a) => a.join(" ")).join(", ")}`);
    check((await stateOf(daemon)) === before, "something has changed");
    checkNoFaults(tab);
  } finally {
    await chrome.close();
    await daemon.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

// A browser has six connections to a daemon: a tab in the background holds none of them.
async function manyTabs() {
  await inBrowser(["--model", stories], async (daemon, chrome) => {
    const context = await chrome.newContext();
    const hide = (tab, value) => tab.evaluate((is) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => is });
      document.dispatchEvent(new Event("visibilitychange"));
    }, value);
    const before = await stateOf(daemon);
    const tabs = [];
    for (let i = 0; i < 7; ++i) {
      const tab = await context.newPage();
      await tab.goto(`${daemon.url}/ui/#/ensemble`);
      await tab.waitForSelector(".link.live", { timeout: 10_000 });
      if (i < 6) await hide(tab, true);
      tabs.push(tab);
    }
    const reply = await tabs[6].evaluate(() => fetch("/choir/v1/models").then((r) => r.status));
    check(reply === 200, `the seventh tab gets ${reply}`);
    await hide(tabs[6], true);
    await hide(tabs[0], false);
    await tabs[0].waitForSelector(".link.live");
    check((await stateOf(daemon)) === before, "something has changed");
  });
}

await cases({
  "a page of another origin": anotherOrigin,
  "frames and windows": framesAndWindows,
  "a link that was used": aUsedLink,
  "a key that may only look": aKeyThatLooks,
  "a seventh tab": manyTabs,
});
