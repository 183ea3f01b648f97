// Drives Debian's Chromium for `./dev bench ui`: reads lines of JSON {do, ...} and answers each with one line,
// {value} or {error}. The packages are those of the browser's tests; UI_PACKAGES names their folder.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { isolatedHour, isolatedRows } from "./rows.mjs";
import { scriptOfFrames } from "./trace.mjs";

const { chromium } = createRequire(`${process.env.UI_PACKAGES}/`)("playwright-core");
const args = ["--disable-gpu", "--force-color-profile=srgb", "--font-render-hinting=none", ...(process.getuid() === 0 ? ["--no-sandbox"] : [])];
const chrome = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
const kSize = { width: 1280, height: 800 };
let tab = null;

// A tab of its own, with a cache of its own; the one before is closed.
async function fresh() {
  await tab?.context().close();
  tab = await (await chrome.newContext({ viewport: kSize, colorScheme: "dark", serviceWorkers: "block" })).newPage();
  tab.setDefaultTimeout(60_000);
  await tab.addInitScript(() => {
    window.longest = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration);
    }).observe({ type: "longtask", buffered: true });
  });
  return tab;
}

async function show(url, view) {
  await fresh();
  await tab.goto(`${url}/ui/#/${view}`);
  await tab.waitForSelector(".link.live");
}

// Milliseconds of the longest task since the last call; 0: none took 50 ms.
const longest = () => tab.evaluate(() => {
  const was = window.longest;
  window.longest = 0;
  return was;
});

// As the browser tells a page that another tab is in front of it. What a browser slows down in such a tab runs on here.
const hide = (hidden) => tab.evaluate((is) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => is });
  document.dispatchEvent(new Event("visibilitychange"));
}, hidden);

// Bytes and requests of the page in so many seconds.
async function traffic(seconds) {
  const wire = await tab.context().newCDPSession(tab);
  const seen = { bytes: 0, requests: 0 };
  wire.on("Network.dataReceived", (event) => (seen.bytes += event.encodedDataLength));
  wire.on("Network.requestWillBeSent", () => ++seen.requests);
  await wire.send("Network.enable");
  await tab.waitForTimeout(seconds * 1000);
  await wire.detach();
  return seen;
}

// Full: live, the lanes have a size, and the curve of the history is drawn.
async function cold(url) {
  await fresh();
  const requests = [];
  tab.on("request", (request) => requests.push(new URL(request.url()).pathname));
  await tab.goto(`${url}/ui/#/ensemble`, { waitUntil: "commit" });
  const full = () => {
    const lanes = document.querySelector(".tracks canvas");
    const curve = document.querySelector(".tile .spark .line");
    return document.querySelector(".link.live") && lanes?.width > 300 && curve?.getAttribute("d") ? performance.now() : false;
  };
  const ms = await (await tab.waitForFunction(full, undefined, { polling: "raf" })).jsonValue();
  return { ms, requests: [...requests] };
}

// Milliseconds from a move of the slider to other bytes on the page, for each of so many moves.
async function whatIf(url, moves) {
  await show(url, "models");
  await tab.getByRole("button", { name: "What if?" }).first().click();
  await tab.waitForSelector("dialog .result");
  return tab.evaluate(async (count) => {
    const slider = document.querySelector("dialog input[type=range]");
    const shown = () => document.querySelector("dialog .result .big strong").textContent;
    const times = [];
    for (let i = 0; i < count; ++i) {
      const before = shown();
      const began = performance.now();
      slider.value = String(3 + ((Number(slider.value) + 10) % 60));
      slider.dispatchEvent(new Event("input", { bubbles: true }));
      while (shown() === before && performance.now() - began < 10_000) await new Promise(requestAnimationFrame);
      times.push(performance.now() - began);
    }
    return times;
  }, moves);
}

// In the page: the seconds from the key that sends to the end of so many answers. Not asked again and again from outside,
// which would be work of its own and find the end late.
const secondsOfAnswers = (count) => new Promise((resolve) => {
  let began = 0;
  document.addEventListener("keydown", () => (began = performance.now()), { capture: true, once: true });
  const watch = new MutationObserver(() => {
    const answers = [...document.querySelectorAll(".answer")];
    if (answers.length !== count || answers.some((a) => a.getAttribute("aria-busy") !== "false")) return;
    watch.disconnect();
    resolve((performance.now() - began) / 1000);
  });
  watch.observe(document.body, { subtree: true, attributeFilter: ["aria-busy"] });
});

// A chat with so many columns, whose answers have all tokens; gives its seconds and the body of the one call, so that it can
// be sent again without a browser.
async function columns(url, model, count, tokens) {
  await show(url, "play");
  await tab.waitForSelector(".column select");
  for (let i = 1; i < count; ++i) await tab.getByRole("button", { name: "Compare with another model" }).click();
  for (const select of await tab.locator(".column select").all()) await select.selectOption(model);
  let sent = "";
  await tab.route("**/choir/v1/parallel", (route) => {
    const body = JSON.parse(route.request().postData());
    for (const job of body.jobs) Object.assign(job, { max_tokens: tokens, ignore_eos: true });
    sent = JSON.stringify(body);
    return route.continue({ postData: sent });
  });
  await tab.fill("#prompt", "Tell a long story about a lighthouse keeper and his dog.");
  await longest();
  const seconds = tab.evaluate(secondsOfAnswers, count);
  await tab.keyboard.press("Enter");
  const spent = await seconds;
  const failed = await tab.locator(".answer .note").allTextContents();
  if (failed.length > 0) throw new Error(failed[0]);
  return { seconds: spent, longest: await longest(), body: sent };
}

// The table of requests with made events; scrolls all the time.
async function rows(url, seconds) {
  const served = await isolatedRows(url, { rows: 1000, changes: 100, everyMs: 250 });
  try {
    await show(served.url, "requests");
    await tab.waitForFunction(() => document.querySelector("table")?.getAttribute("aria-rowcount") === "1001");
    const filter = tab.getByRole("searchbox");
    await filter.fill("model");
    await filter.selectText();
    await tab.waitForTimeout(1000);
    await longest();
    await chrome.startTracing(tab, { categories: ["devtools.timeline", "disabled-by-default-devtools.timeline", "disabled-by-default-devtools.timeline.frame", "devtools.timeline.frame"] });
    await tab.evaluate(async (ms) => {
      const box = document.querySelector(".tablebox");
      const end = performance.now() + ms;
      for (let at = 0; performance.now() < end; at += 25) {
        box.scrollTop = at % (box.scrollHeight - box.clientHeight);
        await new Promise(requestAnimationFrame);
      }
    }, seconds * 1000);
    const trace = await chrome.stopTracing();
    const kept = await tab.evaluate(() => {
      const field = document.activeElement;
      return { focus: field?.type === "search", selection: field?.selectionStart === 0 && field?.selectionEnd === "model".length };
    });
    return { longest: await longest(), frames: served.sent(), ...scriptOfFrames(JSON.parse(trace.toString())), ...kept };
  } finally {
    await fresh();
    served.close();
  }
}

// What the page holds after so many seconds of frames that come 60 times as fast, more than it held when they had come for a
// sixth of that.
async function hour(url, seconds) {
  const served = await isolatedHour(url, { faster: 60 });
  try {
    await show(served.url, "ensemble");
    const wire = await tab.context().newCDPSession(tab);
    const held = async () => {
      await wire.send("HeapProfiler.collectGarbage");
      const { usedSize } = await wire.send("Runtime.getHeapUsage");
      const { nodes } = await wire.send("Memory.getDOMCounters");
      return { bytes: usedSize, nodes };
    };
    await tab.waitForTimeout((seconds * 1000) / 6);
    const before = await held();
    await tab.waitForTimeout(seconds * 1000);
    const after = await held();
    return { bytes: after.bytes - before.bytes, nodes: after.nodes - before.nodes, of: before.nodes, seconds: served.seconds() };
  } finally {
    await fresh();
    served.close();
  }
}

const acts = {
  blank: async () => void (await (await fresh()).goto("about:blank")),
  show: ({ url, view }) => show(url, view),
  longest,
  hide: ({ hidden }) => hide(hidden),
  traffic: ({ seconds }) => traffic(seconds),
  cold: ({ url }) => cold(url),
  whatIf: ({ url, moves }) => whatIf(url, moves),
  columns: ({ url, model, count, tokens }) => columns(url, model, count, tokens),
  hour: ({ url, seconds }) => hour(url, seconds),
  rows: ({ url, seconds }) => rows(url, seconds),
};

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  try {
    console.log(JSON.stringify({ value: (await acts[asked.do](asked)) ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error?.stack ?? error) }));
  }
}
await chrome.close();
