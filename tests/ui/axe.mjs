// No view has a fault that axe finds, in both themes, wide and narrow, busy and empty; nothing scrolls sideways.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { browser, cases, check, checkNoFaults, Daemon, inBrowser, open, page, sleep, stories } from "./common.mjs";

const source = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const kViews = ["play", "play/demo", "ensemble", "models", "requests"];

async function faultsOf(tab, where) {
  await tab.evaluate(source);
  // The size of targets is a rule of WCAG 2.2 AA that axe leaves out unless it is asked for; of neighbours that are too near
  // it says that a person should look.
  const found = await tab.evaluate(async () => {
    const all = await axe.run(document, { resultTypes: ["violations", "incomplete"], rules: { "target-size": { enabled: true } } });
    return [...all.violations, ...all.incomplete.filter((v) => v.id === "target-size")].map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => `${n.html.slice(0, 160)} [${n.failureSummary?.slice(0, 200)}]`).join(" | ")}`);
  });
  check(found.length === 0, `${where}:\n${found.join("\n")}`);
}

async function fits(tab, where) {
  const over = await tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(over <= 0, `${where} scrolls sideways by ${over} pixels`);
}

// Requests that wait and run as long as the case.
function work(daemon) {
  const abort = new AbortController();
  const jobs = Array.from({ length: 6 }, (_, i) => ({ model: "stories260K", prompt: `Story ${i}`, raw: true, ignore_eos: true, max_tokens: 8000 }));
  const all = async () => {
    while (!abort.signal.aborted)
      await fetch(`${daemon.url}/choir/v1/parallel`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ jobs, stream: true }), signal: abort.signal })
        .then((reply) => reply.text()).catch(() => sleep(50));
  };
  for (let i = 0; i < 2; ++i) void all();
  return abort;
}

async function look(scheme, width, busy, forced = false) {
  const daemon = await Daemon.start(["--model", stories, "--sequences", "2", "--context-tokens", "32768"]);
  const chrome = await browser();
  const abort = busy ? work(daemon) : null;
  try {
    const tab = await page(chrome, daemon, { scheme, width, height: 844, motion: "reduce" });
    if (forced) await tab.emulateMedia({ forcedColors: "active" });
    for (const view of kViews) {
      await open(tab, daemon, view, { admin: busy });
      if (busy && view === "requests") await tab.locator("tbody tr:not(.space)").nth(3).waitFor();
      await sleep(400);
      await faultsOf(tab, `${view}, ${scheme}, ${width}`);
      await fits(tab, `${view}, ${scheme}, ${width}`);
    }
    if (width > 1000 && !forced) {
      await open(tab, daemon, "models", { admin: busy });
      await tab.getByRole("button", { name: "What if?" }).first().click();
      await tab.waitForSelector("dialog .result");
      await faultsOf(tab, `the dialog of what if, ${scheme}`);
    }
    checkNoFaults(tab);
  } finally {
    abort?.abort();
    await chrome.close();
    await daemon.stop();
  }
}

// What the views have besides their first sight: answers beside each other, a report, details, tables, dialogs.
async function opened() {
  await inBrowser(["--model", stories, "--sequences", "4", "--context-tokens", "8192"], async (daemon, chrome) => {
    await daemon.admin("POST", "/choir/v1/models/stories260K/clone", { name: "second" });
    for (const scheme of ["dark", "light"])
      for (const width of [1280, 390]) {
        const tab = await page(chrome, daemon, { scheme, width, height: 844, motion: "reduce" });
        const look = async (what) => {
          await faultsOf(tab, `${what}, ${scheme}, ${width}`);
          await fits(tab, `${what}, ${scheme}, ${width}`);
        };
        await open(tab, daemon, "play", { admin: true });
        await tab.getByRole("button", { name: "Compare with another model" }).click();
        await tab.getByRole("button", { name: "Settings", exact: true }).click();
        await tab.getByLabel("Most tokens").fill("30");
        await tab.fill("#prompt", "Once upon a time");
        await tab.keyboard.press("Enter");
        await tab.waitForFunction(() => document.querySelectorAll(".answer[aria-busy=false]").length === 2);
        await look("two answers");
        await tab.getByRole("button", { name: /^Settings of/ }).first().click();
        await tab.locator(".ownfields").getByLabel("Temperature").fill("1.3");
        await tab.locator(".ownfields").getByLabel("Temperature").blur();
        await tab.getByRole("button", { name: /^Edit/ }).first().click();
        await look("a message that is edited, and settings of a column");
        await tab.evaluate(() => (location.hash = "#/play/second"));
        await tab.waitForSelector(".start");
        await look("a second model");
        await tab.evaluate(() => (location.hash = "#/play/demo"));
        await tab.getByLabel("Most tokens").fill("20");
        await tab.getByRole("button", { name: "Run Parallel Demo" }).click();
        await tab.waitForSelector("#report");
        await look("the demo's report");
        await tab.evaluate(() => (location.hash = "#/ensemble"));
        await tab.locator(".tracktable summary").click();
        await look("the lanes as a table");
        await tab.getByRole("radio", { name: "15 min" }).check();
        await tab.getByRole("img", { name: /^The cores of the last 15 minutes/ }).waitFor();
        await look("the cores of 15 minutes");
        await tab.evaluate(() => (location.hash = "#/models"));
        await tab.getByRole("button", { name: "Details" }).first().click();
        await look("a model's details");
        await tab.getByRole("button", { name: "Change\u2026" }).first().click();
        await look("the dialog of changes");
        await tab.keyboard.press("Escape");
        await tab.getByRole("button", { name: "What if?" }).first().click();
        await tab.waitForSelector("dialog .result");
        await look("the dialog of what if");
        await tab.keyboard.press("Escape");
        await tab.evaluate(() => (location.hash = "#/requests"));
        await tab.getByRole("radio", { name: /^Ended/ }).check();
        await look("requests that ended");
        await tab.getByRole("button", { name: "Columns" }).click();
        await look("the choice of columns");
        await tab.getByRole("button", { name: /^Details of request/ }).first().click();
        await look("a request in detail");
        await tab.keyboard.press("Escape");
        checkNoFaults(tab);
        await tab.context().close();
      }
    // Of one who may not change things.
    const tab = await page(chrome, daemon, { width: 390 });
    await open(tab, daemon, "models");
    await tab.getByRole("button", { name: "Unlock changes" }).click();
    await faultsOf(tab, "the dialog of the key");
    checkNoFaults(tab);
  });
}

async function empty() {
  await inBrowser([], async (daemon, chrome) => {
    for (const scheme of ["dark", "light"]) {
      const tab = await page(chrome, daemon, { scheme });
      await open(tab, daemon, "", { admin: true });
      await tab.getByRole("button", { name: "Fetch and load" }).first().waitFor();
      await faultsOf(tab, `an empty machine, ${scheme}`);
      checkNoFaults(tab);
      await tab.context().close();
    }
  });
}

async function lost() {
  const daemon = await Daemon.start(["--model", stories]);
  const chrome = await browser();
  try {
    const tabs = [];
    for (const scheme of ["dark", "light"]) {
      const tab = await page(chrome, daemon, { scheme, allowed: [/ERR_/, /Failed to load/] });
      await open(tab, daemon, "models");
      tabs.push(tab);
    }
    await daemon.stop("SIGKILL");
    for (const tab of tabs) {
      await tab.waitForSelector(".bar-lost");
      for (const view of kViews) {
        await tab.evaluate((path) => (location.hash = `#/${path}`), view);
        await tab.waitForTimeout(100);
        await faultsOf(tab, `${view}, not live`);
      }
    }
  } finally {
    await chrome.close();
  }
}

// What the daemon says no to stands where it happened.
async function errors() {
  await inBrowser(["--model", stories], async (daemon, chrome) => {
    for (const scheme of ["dark", "light"]) {
      const tab = await page(chrome, daemon, { scheme, width: scheme === "dark" ? 1280 : 390, allowed: [/Failed to load/] });
      const no = (route) => route.fulfill({ status: 503, contentType: "application/json", body: JSON.stringify({ error: { message: "There is no memory left for it: 12 MiB are needed, 3 MiB are free." } }) });
      await tab.route("**/choir/v1/parallel", no);
      await tab.route("**/load", no);
      await open(tab, daemon, "models", { admin: true });
      await tab.getByRole("button", { name: "Load", exact: true }).first().click();
      await tab.locator(".note.error").waitFor();
      await faultsOf(tab, `a load that fails, ${scheme}`);
      await tab.evaluate(() => (location.hash = "#/play"));
      await tab.fill("#prompt", "Once upon a time");
      await tab.keyboard.press("Enter");
      await tab.locator(".answer .note.error").waitFor();
      await faultsOf(tab, `an answer that fails, ${scheme}`);
      await fits(tab, `an answer that fails, ${scheme}`);
      checkNoFaults(tab);
      await tab.context().close();
    }
  });
}

async function widths() {
  await inBrowser(["--model", stories], async (daemon, chrome) => {
    for (const width of [320, 2560]) {
      const tab = await page(chrome, daemon, { width });
      for (const view of kViews) {
        await open(tab, daemon, view);
        await sleep(200);
        await fits(tab, `${view}, ${width}`);
      }
      await tab.context().close();
    }
  });
}

async function keys() {
  await inBrowser(["--model", stories], async (daemon, chrome) => {
    const tab = await page(chrome, daemon);
    await open(tab, daemon, "ensemble");
    for (const [letter, title] of [["m", "Models"], ["r", "Requests"], ["p", "Play"], ["e", "Ensemble"]]) {
      await tab.evaluate(() => document.activeElement?.blur());
      await tab.keyboard.press("g");
      await tab.keyboard.press(letter);
      await tab.waitForFunction((t) => document.title.startsWith(t), title);
    }
    await tab.keyboard.press("?");
    await tab.waitForSelector("dialog[open]");
    await faultsOf(tab, "the list of keys");
    await tab.keyboard.press("Escape");
    await tab.waitForSelector("dialog[open]", { state: "detached" });
    checkNoFaults(tab);
  });
}

await cases({
  "dark, wide, idle": () => look("dark", 1280, false),
  "light, wide, busy": () => look("light", 1280, true),
  "dark, narrow, busy": () => look("dark", 390, true),
  "light, narrow, idle": () => look("light", 390, false),
  "dark, wide, busy": () => look("dark", 1280, true),
  "light, narrow, busy": () => look("light", 390, true),
  "colours of the system": () => look("dark", 1280, true, true),
  "what fails": errors,
  "what is opened": opened,
  "a machine without models": empty,
  "a daemon that is gone": lost,
  "very narrow and very wide": widths,
  "by keyboard": keys,
});
