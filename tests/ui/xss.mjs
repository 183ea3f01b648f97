// Text of models, names and errors is text: whatever it says, it makes no element, no request and no code.
import { readFileSync } from "node:fs";
import { cases, check, checkNoFaults, inBrowser, open, page, stories } from "./common.mjs";

const corpus = JSON.parse(readFileSync(new URL("./corpus.json", import.meta.url), "utf8"));
check(corpus.length >= 200, `${corpus.length} strings`);
const kAnswer = new Set("P H3 H4 H5 H6 STRONG EM DEL CODE PRE UL OL LI BLOCKQUOTE DIV TABLE THEAD TBODY TR TH TD HR BR A SPAN".split(" "));
const kPage = new Set([...kAnswer, ..."HTML HEAD META TITLE LINK SCRIPT BODY NOSCRIPT MAIN HEADER NAV SECTION ARTICLE FOOTER H1 H2 B I BUTTON INPUT TEXTAREA SELECT OPTION LABEL FORM FIELDSET LEGEND DL DT DD BDI DETAILS SUMMARY CANVAS DIALOG KBD svg path".split(" ")]);

// What must hold of a page at any time.
async function isClean(tab, where) {
  const found = await tab.evaluate(([answer, all]) => {
    const faults = [];
    if (window.canary !== undefined) faults.push(`the canary is ${window.canary}`);
    for (const e of document.querySelectorAll(".text *")) if (!answer.includes(e.tagName)) faults.push(`an answer has <${e.tagName}>`);
    for (const e of document.querySelectorAll("*")) {
      if (!all.includes(e.tagName)) faults.push(`the page has <${e.tagName}>`);
      for (const a of e.attributes) if (/^on|^srcdoc$|^formaction$/i.test(a.name)) faults.push(`<${e.tagName} ${a.name}>`);
      if (e.tagName === "A" && !/^(https?:|mailto:)/.test(e.href)) faults.push(`a link to ${e.href}`);
      if (e.tagName === "A" && e.closest(".text") && e.rel !== "noopener noreferrer nofollow") faults.push(`rel is ${e.rel}`);
    }
    if (document.scripts.length !== 1) faults.push(`${document.scripts.length} scripts`);
    return faults;
  }, [[...kAnswer], [...kPage]]);
  check(found.length === 0, `${where}: ${[...new Set(found)].join(", ")}`);
}

const event = (data) => `data: ${JSON.stringify(data)}\n\n`;
const usage = { prompt_tokens: 1, output_tokens: 1, reused_tokens: 0, queue_seconds: 0, first_token_seconds: 0, total_seconds: 1 };

async function answers() {
  await inBrowser(["--model", stories], async (daemon, chrome) => {
    const tab = await page(chrome, daemon);
    let next = "";
    let error = null;
    await tab.route("**/choir/v1/parallel", (route) => {
      const pieces = next.match(/[\s\S]{1,7}/gu) ?? [];
      const body = [
        event({ type: "begin", jobs: [{ job: 0, model: "m", prompt: "p" }] }),
        ...pieces.map((text, i) => event({ type: "text", job: 0, text, tokens: i + 1 })),
        event({ type: "end", job: 0, finish: error ? "failed" : "stop", error, usage }),
        event({ type: "report", report: { load_seconds: 0, total_seconds: 1, total_tokens: 1, average_tokens_per_second: 1, throughput: 1, sessions: [{ session_id: 0, tokens: 1, tokens_per_second: 1, text: next }] }, text: next }),
      ].join("");
      return route.fulfill({ status: 200, contentType: "text/event-stream", body });
    });
    await open(tab, daemon, "play");
    let count = 0;
    const say = async (text, failed) => {
      next = failed ? "" : text;
      error = failed ? { code: "internal", message: text } : null;
      await tab.fill("#prompt", `${text.replace(/\n/g, " ").slice(0, 200)} x`);
      await tab.keyboard.press("Enter");
      ++count;
      await tab.waitForFunction((n) => document.querySelectorAll(".answer[aria-busy='false']").length === n, count);
    };
    for (const text of corpus) {
      await say(text, false);
      await isClean(tab, `an answer ${JSON.stringify(text)}`);
    }
    for (const text of corpus.slice(0, 12)) await say(text, true);
    await isClean(tab, "errors");
    const shown = await tab.locator(".answer").first().textContent();
    check(shown.includes("<script>"), `the text is not shown as it is: ${shown}`);
    check(!/[\u202a-\u202e\u2066-\u2069\u0000-\u0008]/.test(await tab.locator("main").textContent()), "a mark that is not seen is in the page");
    checkNoFaults(tab);
    // The same texts in the demo and in its report.
    await tab.evaluate(() => (location.hash = "#/play/demo"));
    next = corpus.join("\n");
    error = null;
    await tab.getByRole("button", { name: /^Run/ }).click();
    await tab.waitForSelector("#report");
    await isClean(tab, "the demo");
    checkNoFaults(tab);
  });
}

async function names() {
  await inBrowser(["--model", stories], async (daemon, chrome) => {
    const allowed = corpus.filter((text) => !/[\/\u0000-\u001f\u007f]/.test(text) && Buffer.byteLength(text) <= 200).slice(0, 12);
    check(allowed.length >= 8, `${allowed.length} names`);
    for (const name of allowed) {
      const reply = await daemon.admin("POST", "/choir/v1/models/stories260K/clone", { name });
      check(reply.name === name, JSON.stringify(reply));
    }
    const tab = await page(chrome, daemon);
    for (const view of ["models", "play", "play/demo", "ensemble", "requests"]) {
      await open(tab, daemon, view);
      await tab.waitForFunction((n) => document.querySelectorAll(".modelcard").length > n || !location.hash.includes("models"), allowed.length);
      await tab.waitForTimeout(300);
      await isClean(tab, view);
    }
    await open(tab, daemon, "models");
    const cards = await tab.locator(".modelcard h3").allTextContents();
    check(cards.some((text) => text.includes("<img")), `no card shows the name as it is: ${cards.join(" / ")}`);
    // A request of such a model, in the table and in the reasons.
    const model = allowed.find((text) => text.includes("<"));
    const abort = new AbortController();
    fetch(`${daemon.url}/v1/completions`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ model, prompt: "x", max_tokens: 4000, ignore_eos: true, stream: true }), signal: abort.signal }).then((r) => r.text()).catch(() => undefined);
    await open(tab, daemon, "requests");
    await tab.locator("tbody tr .name").first().waitFor();
    await isClean(tab, "a request");
    abort.abort();
    checkNoFaults(tab);
  });
}

// All that the daemon can say of models, requests, files, the catalogue, fetches and blocks, with this text in it.
const told = (model, text, i) => ({
  model: { ...model, name: `${text}#${i}`, state: "loaded", priority: text, kv_type: text },
  request: {
    id: `${text}${i}`, model: `${text}#${i}`, tenant: text, priority: text, state: i % 2 ? text : "waiting", waits_for: text, why: { reason: text, text },
    prompt_tokens: 4, prompt_tokens_done: 1, output_tokens: 2, submitted_ms: 1, ahead: 3, expected_seconds: 5,
  },
  file: { id: `file ${text}`, meta: { size: 1 }, status: { value: "unloaded" }, capabilities: ["chat"] },
  offer: { name: `offer ${text}`, description: text, license: text, bytes: 1, local: false },
  pull: { model: `offer ${text}`, state: "failed", cancelling: false, step: text, bytes_done: 0, bytes_total: 1, path: text, error: { reason: text, message: text } },
  block: [19_000_000 + i * 1e4, 9000, `${text}#${i}`, 1, 1, text, 1, 1],
});

function eventsOf(all, node, text) {
  const frame = (name, data) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
  return (
    frame("hello", { epoch: "1", version: text, tenant: text, scopes: ["view", "infer", "admin"], topics: [] }) +
    frame("snapshot", { topic: "state", rows: all.map((a) => a.model), rest: { node } }) +
    frame("snapshot", { topic: "requests", rows: all.map((a) => a.request) }) +
    frame("turns", { topic: "turns", now_us: 20_000_000, lanes: [{ lane: 0, threads: 1, missing: 0, blocks: all.map((a) => a.block) }] })
  );
}

// Plays the daemon: nothing of what is told is refused as a name, and nothing that the page asks reaches the real one.
async function play(tab, now) {
  // Events that are played end at once; held open, the page stays live.
  await tab.addInitScript(() => {
    const real = window.fetch;
    window.fetch = async (path, init) => {
      const reply = await real(path, init);
      if (!String(path).startsWith("/choir/v1/events") || !reply.ok) return reply;
      const bytes = new Uint8Array(await reply.arrayBuffer());
      return new Response(new ReadableStream({ start: (stream) => stream.enqueue(bytes) }));
    };
  });
  const replies = {
    "/choir/v1/events": () => (now.locked ? null : now.events),
    "/choir/v1/session": (method) => (now.locked && method !== "GET" ? null : { tenant: now.locked ? null : now.text, scopes: now.locked ? [] : ["view", "infer", "admin"], expires_in_seconds: null }),
    "/v1/models": () => ({ data: now.all.map((a) => a.file) }),
    "/choir/v1/catalogue": () => ({ models: now.all.map((a) => a.offer) }),
    "/choir/v1/pulls": () => ({ pulls: now.all.map((a) => a.pull) }),
  };
  await tab.route(/^[^/]*\/\/[^/]*\/(choir|v1)\//, (route) => {
    const path = new URL(route.request().url()).pathname;
    const reply = replies[path]?.(route.request().method()) ?? null;
    if (typeof reply === "string") return route.fulfill({ status: 200, contentType: "text/event-stream", body: reply });
    const status = reply ? 200 : path === "/choir/v1/events" ? 401 : 400;
    return route.fulfill({ status, contentType: "application/json", body: JSON.stringify(reply ?? { error: { message: now.text } }) });
  });
}

const kShown = { requests: "tbody .name", models: ".modelcard", ensemble: ".reasons li", play: ".view", "play/demo": ".pick .chip" };

async function allThatIsTold() {
  await inBrowser(["--model", stories], async (daemon, chrome) => {
    const state = await daemon.get("/choir/v1/models");
    const tab = await page(chrome, daemon, { allowed: [/40[01]/] });
    const now = {};
    await play(tab, now);
    for (let at = 0; at < corpus.length; at += 100) {
      const text = corpus[at];
      const all = corpus.slice(at, at + 100).map((one, i) => told(state.models[0], one, at + i));
      Object.assign(now, { locked: false, text, all, events: eventsOf(all, state.node, text) });
      for (const [view, shown] of Object.entries(kShown)) {
        await tab.goto("about:blank");
        await tab.goto(`${daemon.url}/ui/#/${view}`);
        await tab.locator(shown).first().waitFor();
        await isClean(tab, `${view}, told from ${at}`);
      }
      // A load that fails.
      await tab.evaluate(() => (location.hash = "#/models"));
      await tab.locator(".disk").getByRole("button", { name: "Load", exact: true }).first().click();
      await tab.locator("[aria-labelledby=disk-title] > .note").first().waitFor();
      await isClean(tab, `models with an error, told from ${at}`);
      // A key that is refused.
      now.locked = true;
      await tab.reload();
      await tab.getByLabel("Key", { exact: true }).fill(text);
      await tab.keyboard.press("Enter");
      await tab.locator("dialog .note").waitFor();
      await isClean(tab, `the dialog of the key, told from ${at}`);
    }
    await tab.unrouteAll({ behavior: "ignoreErrors" });
    checkNoFaults(tab);
  });
}

async function links() {
  await inBrowser(["--model", stories], async (daemon, chrome) => {
    const tab = await page(chrome, daemon);
    const sent = [];
    tab.on("request", (request) => {
      if (request.method() !== "GET") sent.push(`${request.method()} ${request.url()}`);
    });
    await open(tab, daemon, "play?q=" + encodeURIComponent("<img src=x onerror=canary=1> hello"));
    await tab.waitForFunction(() => document.querySelector("#prompt")?.value.includes("hello"));
    await tab.waitForTimeout(500);
    check(sent.length === 0, `a link has sent ${sent.join(", ")}`);
    await isClean(tab, "a link with a prompt");
    // The code of a link leaves the address at once, and a wrong one changes nothing.
    await tab.goto(`${daemon.url}/ui/?x#code=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`);
    await tab.waitForSelector(".link.live");
    check(!tab.url().includes("code="), tab.url());
    const kept = await tab.evaluate(() => [document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage)].join(" "));
    check(!/token|AAAA/.test(kept), kept);
  });
}

await cases({ "answers, errors, the demo and its report": answers, "names of models": names, "tenants, files, the catalogue, errors and keys": allThatIsTold, "links": links });
