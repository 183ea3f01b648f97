// The page survives a translation: with words that are 40 % longer, and mirrored, nothing scrolls sideways, no text is
// cut, and nothing lies over something else, from very narrow to very wide.
import { browser, cases, check, checkNoFaults, Daemon, open, page, stories } from "./common.mjs";

const kWidths = [320, 390, 1280, 2560];
const kViews = ["play", "play/demo", "ensemble", "models", "requests"];
const kLanguages = { "en-XA": "longer words", "en-XB": "mirrored" };

// In the page: what is wrong with its layout, in sentences.
function faultsOfLayout() {
  const faults = [];
  const styles = new Map();
  const style = (e) => styles.get(e) ?? (styles.set(e, getComputedStyle(e)), styles.get(e));
  const up = function* (e) {
    for (let at = e; at && at !== document.documentElement; at = at.parentElement) yield at;
  };
  const told = (e) => `<${e.tagName.toLowerCase()} class="${e.getAttribute("class") ?? ""}"> "${(e.textContent || e.getAttribute("aria-label") || "").trim().slice(0, 50)}"`;
  // For ears only, or for those who tab.
  const isSeen = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && ![...up(e)].some((a) => style(a).clipPath !== "none" || a.classList.contains("skip"));

  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) faults.push(`the page scrolls sideways by ${root.scrollWidth - root.clientWidth} pixels`);

  // A text that has no room may be whole in a title.
  const cuts = (overflow) => overflow === "hidden" || overflow === "clip";
  for (const e of document.body.querySelectorAll("*")) {
    if (!(e instanceof HTMLElement) || e.textContent.trim() === "" || !isSeen(e) || e.closest("[title]")) continue;
    if (cuts(style(e).overflowX) && e.scrollWidth > e.clientWidth + 1) faults.push(`cut by ${e.scrollWidth - e.clientWidth} pixels: ${told(e)}`);
    if (cuts(style(e).overflowY) && e.scrollHeight > e.clientHeight + 2) faults.push(`cut below by ${e.scrollHeight - e.clientHeight} pixels: ${told(e)}`);
  }

  const pen = document.createElement("canvas").getContext("2d");
  for (const e of document.body.querySelectorAll("input[placeholder]:placeholder-shown:not([title])")) {
    pen.font = style(e).font;
    const room = e.clientWidth - parseFloat(style(e).paddingInlineStart) - parseFloat(style(e).paddingInlineEnd);
    if (isSeen(e) && pen.measureText(e.placeholder).width > room) faults.push(`a field without room for ${e.placeholder}`);
  }

  // What is in sight: texts line by line, and what is worked with.
  const clipped = (rect, e) => {
    let box = { left: rect.left, right: rect.right, top: rect.top, bottom: rect.bottom };
    for (const a of up(e)) {
      if (style(a).overflowX === "visible" && style(a).overflowY === "visible") continue;
      const of = a.getBoundingClientRect();
      box = { left: Math.max(box.left, of.left), right: Math.min(box.right, of.right), top: Math.max(box.top, of.top), bottom: Math.min(box.bottom, of.bottom) };
    }
    return box;
  };
  // What stays in place while the page scrolls below it lies over it by its nature.
  const layerOf = (e) => {
    for (const a of up(e)) {
      if (a.tagName === "DIALOG") return a;
      if (["fixed", "sticky"].includes(style(a).position)) return a.parentElement;
    }
    return null;
  };
  const items = [];
  const add = (e, rect) => {
    const box = clipped(rect, e);
    if (box.right - box.left > 1 && box.bottom - box.top > 1) items.push({ e, box, layer: layerOf(e) });
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const e = node.parentElement;
    if (node.data.trim() === "" || !e || e.closest("svg, option") || !isSeen(e)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const rect of range.getClientRects()) {
      add(e, rect);
      // The box that is drawn around it.
      const scrolls = [...up(e)].find((a) => style(a).overflowX !== "visible");
      const around = [...up(e)].find((a) => style(a).display !== "inline" && (style(a).backgroundColor !== "rgba(0, 0, 0, 0)" || parseFloat(style(a).borderInlineEndWidth) > 0));
      if (!around || around === document.body || (scrolls && around.contains(scrolls) && scrolls !== document.body)) continue;
      const of = around.getBoundingClientRect();
      if (rect.width > 1 && (rect.left < of.left - 1 || rect.right > of.right + 1)) faults.push(`stands out of ${told(around)}: ${told(e)}`);
    }
  }
  for (const e of document.body.querySelectorAll("button, a, input, select, textarea, summary, canvas")) if (isSeen(e)) add(e, e.getBoundingClientRect());

  for (let i = 0; i < items.length; ++i)
    for (let j = 0; j < i; ++j) {
      const [a, b] = [items[i], items[j]];
      if (a.layer !== b.layer || a.e.contains(b.e) || b.e.contains(a.e)) continue;
      const wide = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
      const high = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
      if (wide > 2 && high > 4) faults.push(`over each other by ${Math.round(wide)} x ${Math.round(high)}: ${told(a.e)} and ${told(b.e)}`);
    }
  return [...new Set(faults)].slice(0, 12);
}

const drawn = (tab) => tab.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(resolve, 0)))));

async function look(tab, where, faults) {
  await drawn(tab);
  for (const fault of await tab.evaluate(faultsOfLayout)) faults.push(`${where}: ${fault}`);
}

async function inLanguage(chrome, daemon, language, width) {
  const tab = await page(chrome, daemon, { width, motion: "reduce" });
  await tab.addInitScript((name) => localStorage.setItem("choir.language", name), language);
  return tab;
}

// Two that wait for a suspended model while it holds two more, and a model that answers.
async function busyDaemon() {
  const daemon = await Daemon.start(["--model", stories, "--sequences", "2", "--context-tokens", "32768"]);
  await daemon.admin("POST", "/choir/v1/models/stories260K/clone", { name: "second" });
  const jobs = Array.from({ length: 4 }, (_, i) => ({ model: "stories260K", prompt: `Story ${i}`, raw: true, ignore_eos: true, max_tokens: 30000 }));
  const abort = new AbortController();
  const body = JSON.stringify({ jobs, stream: true });
  fetch(`${daemon.url}/choir/v1/parallel`, { method: "POST", headers: { "content-type": "application/json" }, body, signal: abort.signal }).then((reply) => reply.text()).catch(() => undefined);
  for (;;) {
    const { requests } = await daemon.get("/choir/v1/requests");
    if (requests.filter((r) => r.output_tokens > 0).length === 2) break;
  }
  await daemon.admin("POST", "/choir/v1/models/stories260K/suspend");
  return { daemon, abort };
}

// An answer beside an empty column, a report, and texts of sessions; all without a word of the page, which are others here.
async function fill(tab, daemon) {
  await open(tab, daemon, "play", { admin: true });
  await tab.locator(".column select").selectOption("second");
  await tab.locator(".composer .iconbutton").click();
  await tab.locator(".settings input[type=number]").nth(1).fill("30");
  await tab.fill("#prompt", "Once upon a time");
  await tab.keyboard.press("Enter");
  await tab.waitForSelector(".answer[aria-busy=false] .facts:not(:empty)");
  await tab.locator(".bartop .button").last().click();
  await tab.evaluate(() => (location.hash = "#/play/demo"));
  for (const box of await tab.locator(".chip").all()) await box.locator("input").setChecked((await box.locator(".name").textContent()) === "second");
  await tab.locator(".fields input").nth(1).fill("20");
  await tab.locator(".fields input").nth(1).blur();
  await tab.locator(".go .primary").click();
  await tab.waitForSelector("#report");
}

// What a view has besides its first sight.
const openParts = () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  for (const button of document.querySelectorAll(".modelcard .linklike[aria-expanded=false], :is(.composer, .column) .iconbutton[aria-pressed=false]")) button.click();
};

async function allViews(tab, faults) {
  for (const width of kWidths) {
    await tab.setViewportSize({ width, height: 844 });
    for (const colorScheme of ["dark", "light"]) {
      await tab.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      for (const view of kViews) {
        await tab.evaluate((path) => (location.hash = `#/${path}`), view);
        await tab.waitForSelector(`.view.${view === "play/demo" ? "play:not(.chatting)" : view}`);
        await tab.evaluate(openParts);
        await look(tab, `${view}, ${width}, ${colorScheme}`, faults);
      }
    }
    await tab.locator(".foot .iconbutton").click();
    await look(tab, `the list of keys, ${width}`, faults);
    await tab.keyboard.press("Escape");
    await tab.evaluate(() => (location.hash = "#/models"));
    await tab.locator(".modelcard .actions .button:not(.primary)").first().click();
    await tab.waitForSelector("dialog .result");
    await look(tab, `the dialog of what if, ${width}`, faults);
    await tab.keyboard.press("Escape");
    await tab.waitForSelector("dialog", { state: "detached" });
  }
}

const isAsSaid = (language) => {
  const [side, main] = [".side", "main"].map((name) => document.querySelector(name).getBoundingClientRect());
  const words = document.querySelector(".side nav").textContent;
  return language === "en-XB" ? side.left >= main.right - 1 && /Models/.test(words) : side.right <= main.left + 1 && !/[A-Za-z]/.test(words);
};

async function busy(language) {
  const { daemon, abort } = await busyDaemon();
  const faults = [];
  try {
    const tab = await inLanguage(chrome, daemon, language, 1280);
    await fill(tab, daemon);
    check(await tab.evaluate(isAsSaid, language), `the page is not in ${language}`);
    await allViews(tab, faults);
    checkNoFaults(tab);
    await tab.context().close();
    // One who may not change things, and asks to.
    for (const width of [320, 1280]) {
      const other = await inLanguage(chrome, daemon, language, width);
      await open(other, daemon, "models");
      await look(other, `models of one who looks on, ${width}`, faults);
      await other.locator(".foot .button.quiet").click();
      await look(other, `the dialog of the key, ${width}`, faults);
      await other.context().close();
    }
  } finally {
    abort.abort();
    await daemon.stop();
  }
  check(faults.length === 0, `${faults.length} faults:\n${faults.join("\n")}`);
}

// The words of the page as they are, in letters of twice the size: where the text grows with the root's, and where a browser
// that has them so is as narrow as half of it.
async function large() {
  const { daemon, abort } = await busyDaemon();
  const faults = [];
  try {
    const tab = await page(chrome, daemon, { width: 1280, motion: "reduce" });
    await tab.addInitScript(() => document.addEventListener("DOMContentLoaded", () => (document.documentElement.style.fontSize = "32px")));
    await fill(tab, daemon);
    check((await tab.evaluate(() => getComputedStyle(document.body).fontSize)) === "28px", "the letters have their usual size");
    for (const view of [...kViews, "play/second"]) {
      await tab.evaluate((path) => (location.hash = `#/${path}`), view);
      await tab.waitForSelector(`.view.${view.startsWith("play/") ? "play:not(.chatting)" : view}`);
      await tab.evaluate(openParts);
      await look(tab, `${view}, large`, faults);
      faults.push(...await tab.evaluate(() => [
        ...[...document.querySelectorAll(".letter")].filter((e) => e.scrollHeight > e.clientHeight + 1).map(() => "a letter is higher than its box"),
        ...[...document.querySelectorAll("textarea")].filter((e) => parseFloat(getComputedStyle(e).lineHeight) < 1.1 * parseFloat(getComputedStyle(e).fontSize)).map(() => "lines of a field lie over each other"),
      ]));
    }
    checkNoFaults(tab);
  } finally {
    abort.abort();
    await daemon.stop();
  }
  check(faults.length === 0, `${faults.length} faults:\n${faults.join("\n")}`);
}

// What stands in the frame is said in words, and in one line.
async function frame() {
  const daemon = await Daemon.start(["--model", stories]);
  try {
    for (const width of [320, 390, 1280]) {
      const tab = await page(chrome, daemon, { width });
      await open(tab, daemon, "play");
      for (const admin of [false, true]) {
        if (admin) await open(tab, daemon, "play", { admin });
        const words = tab.getByText(admin ? "End session" : "Unlock changes");
        await words.waitFor();
        check((await words.boundingBox()).width > 40, `at ${width} a lock stands there without its word`);
      }
      const high = () => tab.evaluate(() => document.querySelector(".brand").getBoundingClientRect().height);
      const before = await high();
      await tab.locator(".link").evaluate((e) => (e.lastChild.data = "Connecting\u2026"));
      check((await high()) === before, `at ${width} the state of the link wraps`);
      await tab.context().close();
    }
  } finally {
    await daemon.stop();
  }
}

async function empty() {
  const daemon = await Daemon.start();
  const faults = [];
  try {
    for (const language of Object.keys(kLanguages))
      for (const width of [320, 1280]) {
        const tab = await inLanguage(chrome, daemon, language, width);
        await open(tab, daemon, "ensemble", { admin: width > 1000 });
        await tab.waitForSelector(".offer");
        await look(tab, `an empty machine, ${width}, ${language}`, faults);
        checkNoFaults(tab);
        await tab.context().close();
      }
  } finally {
    await daemon.stop();
  }
  check(faults.length === 0, faults.join("\n"));
}

// The check sees what it is for.
async function wrong() {
  const daemon = await Daemon.start(["--model", stories]);
  try {
    for (const [language, side] of [["en-XA", "marginRight"], ["en-XB", "marginLeft"]]) {
      const tab = await inLanguage(chrome, daemon, language, 1280);
      await open(tab, daemon, "models");
      const after = async (selector, changes) => {
        await tab.locator(selector).first().evaluate((e, style) => Object.assign(e.style, style), changes);
        return (await tab.evaluate(faultsOfLayout)).join("\n");
      };
      await tab.waitForSelector(".modelcard .button");
      const found = [
        [/^over each other by/m, await after(".modelcard .button", { [side]: "-40px", position: "relative", zIndex: 1 })],
        [/^cut by/m, await after(".modelcard h3", { overflow: "hidden", inlineSize: "30px" })],
        [/^stands out of/m, await after(".foot .button", { inlineSize: "30px", whiteSpace: "nowrap" })],
        [/^the page scrolls sideways/m, await after("main", { inlineSize: "1400px" })],
      ];
      for (const [pattern, text] of found) check(pattern.test(text), `not found in ${language}: ${pattern}:\n${text}`);
      await tab.context().close();
    }
  } finally {
    await daemon.stop();
  }
}

const chrome = await browser();
await cases({
  ...Object.fromEntries(Object.entries(kLanguages).map(([language, name]) => [name, () => busy(language)])),
  "large letters": large,
  "the frame": frame,
  "a machine without models": empty,
  "a page that is wrong": wrong,
});
