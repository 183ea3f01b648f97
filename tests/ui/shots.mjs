// Draws the pictures of docs/ui from a running daemon with two real models: `./dev ui-shots`.
import { mkdirSync } from "node:fs";
import { browser, Daemon, hasReal, open, page, realModels, sleep } from "./common.mjs";

const out = process.env.UI_SHOTS;
const only = process.argv.slice(2); // names of pictures; none: all
if (!hasReal) throw new Error("the pictures need both models: choir pull smollm2-135m; choir pull gemma3-270m");
mkdirSync(out, { recursive: true });

const kPrompts = ["Tell a story of a lighthouse.", "Describe how bread is baked.", "Why is the sky blue?", "What makes a good friend?", "Name three rivers and say where they flow.", "Give tips for learning a language."];
const kClasses = ["high", "normal", "normal", "low"];

// Requests of some clients, as long as the pictures take.
function work(daemon, count) {
  const abort = new AbortController();
  let next = 0;
  const one = async () => {
    while (!abort.signal.aborted) {
      const i = next++;
      const body = {
        model: i % 2 ? "gemma3-270m" : "smollm2-135m",
        prompt: `${"You are a patient teacher and answer at length. ".repeat(1 + (i % 4))}${kPrompts[i % kPrompts.length]}`,
        max_tokens: 60 + (i % 5) * 50, seed: i, ignore_eos: true, priority: kClasses[i % kClasses.length], stream: true,
      };
      await fetch(`${daemon.url}/v1/completions`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal: abort.signal })
        .then((reply) => reply.text())
        .catch(() => sleep(50));
    }
  };
  for (let i = 0; i < count; ++i) setTimeout(one, i * 40);
  return abort;
}

const daemon = await Daemon.start(["--model", "smollm2-135m", "--model", "gemma3-270m", "--preload", "--sequences", "4"], { models: realModels });
const chrome = await browser();

async function inAllForms(names, act) {
  if (only.length > 0 && !names.some((name) => only.includes(name))) return;
  for (const scheme of ["dark", "light"])
    for (const [width, height] of [[1280, 800], [390, 844]]) {
      const tab = await page(chrome, daemon, { scheme, width, height });
      const shot = (name) => tab.screenshot({ path: `${out}/${name}-${scheme}-${width}.png` });
      await act(tab, shot);
      if (tab.faults.length > 0) console.log(tab.faults.join("\n"));
      await tab.context().close();
    }
}

await inAllForms(["play"], async (tab, shot) => {
  await open(tab, daemon, "play", { admin: true });
  await tab.waitForSelector("#prompt");
  if (tab.viewportSize().width > 600) await tab.getByRole("button", { name: "Compare with another model" }).click();
  await tab.fill("#prompt", "Give three tips for learning a new language.");
  await tab.keyboard.press("Enter");
  await tab.waitForFunction(() => document.querySelectorAll(".answer").length > 0 && !document.querySelector(".answer[aria-busy='true']"), undefined, { timeout: 120_000 });
  await sleep(300);
  await shot("play");
});
await inAllForms(["demo", "report"], async (tab, shot) => {
  await open(tab, daemon, "play/demo", { admin: true });
  await tab.getByRole("button", { name: "Run Parallel Demo" }).click();
  await tab.waitForFunction(() => [...document.querySelectorAll(".progress .num")].filter((e) => Number(e.textContent) > 30).length > 5, undefined, { timeout: 60_000 });
  await shot("demo");
  await tab.waitForSelector("#report", { timeout: 120_000 });
  await sleep(600);
  await tab.locator(".report").evaluate((e) => window.scrollTo(0, e.getBoundingClientRect().top + window.scrollY - 16));
  await sleep(400);
  await shot("report");
});
const busy = work(daemon, 14);
await sleep(12_000);
await inAllForms(["ensemble"], async (tab, shot) => {
  await open(tab, daemon, "ensemble", { admin: true });
  await sleep(2500);
  await shot("ensemble");
});
await inAllForms(["models", "whatif"], async (tab, shot) => {
  await open(tab, daemon, "models", { admin: true });
  await tab.getByRole("button", { name: "Details" }).first().click();
  await sleep(1500);
  await shot("models");
  if (!only.includes("whatif")) return;
  await tab.getByRole("button", { name: "What if?" }).first().click();
  await sleep(800);
  await shot("whatif");
});
await inAllForms(["requests"], async (tab, shot) => {
  await open(tab, daemon, "requests", { admin: true });
  await sleep(1500);
  await shot("requests");
});
busy.abort();
await chrome.close();
await daemon.stop();
