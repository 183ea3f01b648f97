// "Fetch and load": what was fetched is loaded, whatever is in sight by then. The fetch itself is played here, because
// it needs a network; all else is the daemon's.
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { browser, cases, check, checkNoFaults, Daemon, inBrowser, open, page, sleep, stories, until } from "./common.mjs";

const folder = mkdtempSync(join(tmpdir(), "choir-fetch-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const kModel = "smollm2-135m";

async function withFetch(act, args = []) {
  const models = mkdtempSync(join(folder, "models-"));
  const daemon = await Daemon.start(args, { models });
  const chrome = await browser();
  const fetched = { state: "", asked: 0, finish: () => undefined };
  try {
    const tab = await page(chrome, daemon);
    fetched.finish = () => {
      copyFileSync(stories, join(models, `${kModel}.gguf`));
      fetched.state = "done";
    };
    await tab.route("**/choir/v1/pulls", (route) => {
      if (route.request().method() === "POST") fetched.state = "running";
      else ++fetched.asked;
      const row = { model: kModel, state: fetched.state, cancelling: false, step: "fetching", bytes_done: 5_000_000, bytes_total: 98_000_000, path: null, error: null };
      const pulls = fetched.state === "" ? [] : [row];
      return route.fulfill({ status: 200, contentType: "application/json", body: JSON.stringify(route.request().method() === "POST" ? row : { pulls }) });
    });
    await act(tab, daemon, fetched);
    checkNoFaults(tab);
  } finally {
    await chrome.close();
    await daemon.stop();
  }
}

const begin = async (tab) => {
  const card = tab.locator(".offer").filter({ hasText: kModel });
  await card.getByRole("button", { name: "Fetch and load" }).click();
  await card.getByRole("progressbar").waitFor();
};
const isLoaded = (daemon) => until(async () => (await daemon.get("/choir/v1/models")).models.some((m) => m.name === kModel && m.state === "loaded"), "the model is loaded");

// A load that takes as long as the case wants, and says what the case has it say: a small file is loaded at once.
async function heldLoad(tab) {
  const held = { go: () => undefined };
  await tab.route(`**/choir/v1/models/${kModel}/load`, async (route) => {
    await new Promise((resolve) => (held.go = resolve));
    await route.continue();
  });
  await tab.addInitScript(() => {
    const real = window.fetch;
    window.fetch = async (url, ...rest) => {
      const reply = await real(url, ...rest);
      if (!String(url).includes("/choir/v1/events")) return reply;
      const { readable, writable } = new TransformStream();
      const between = async () => {
        const [from, to] = [reply.body.getReader(), writable.getWriter()];
        window.tell = (event, data) => to.write(new TextEncoder().encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`));
        for (let piece = await from.read(); !piece.done; piece = await from.read()) await to.write(piece.value);
        await to.close();
      };
      between().catch(() => undefined);
      return new Response(readable, { status: reply.status, headers: reply.headers });
    };
  });
  return held;
}
const tellLoad = (tab, load_progress) => tab.evaluate(([name, progress]) => window.tell("delta", { topic: "state", set: [{ name, state: "loading", load_progress: progress, running: 0, waiting: 0 }] }), [kModel, load_progress]);
const focusIsIn = (tab, selector) => tab.evaluate((s) => document.activeElement?.closest(s) !== null, selector);

const fromTheFirstPage = () =>
  withFetch(async (tab, daemon, fetched) => {
    const held = await heldLoad(tab);
    await open(tab, daemon, "play", { admin: true });
    check(/^\d+ cores?, .*for models/.test(await tab.locator(".start .hint").first().textContent()), "nothing is said of the machine");
    await begin(tab);
    const card = tab.locator(".offer").filter({ hasText: kModel });
    await card.getByRole("button", { name: "Cancel" }).focus();
    fetched.finish();
    await card.getByText("Loading the model\u2026").waitFor();
    check(await focusIsIn(tab, ".offer"), "the focus is lost as the fetch ends");
    await tellLoad(tab, 0.426);
    await card.getByText("Loading the model: 42 %").waitFor();
    check((await card.getByRole("progressbar").getAttribute("aria-valuenow")) === "42", "the bar does not show it");
    check((await tab.locator("#prompt").count()) === 0, "the page goes on before the model is there");
    held.go();
    await isLoaded(daemon);
    // The field with a prompt in it: one key sends it, to this model.
    await tab.waitForSelector("#prompt");
    await tab.locator(`.column[aria-label="${kModel}"]`).waitFor();
    await until(() => focusIsIn(tab, "#prompt"), "the cursor is in the field");
    check((await tab.inputValue("#prompt")).length > 5, "there is no prompt to send");
    await tab.keyboard.press("Enter");
    await tab.locator(".answer .facts").getByText("tok/s").waitFor();
  });

const theSecondModel = () =>
  withFetch(async (tab, daemon, fetched) => {
    await open(tab, daemon, "play", { admin: true });
    await tab.getByRole("button", { name: "Add a second model and run both at once." }).click();
    await begin(tab);
    // Another view is looked at meanwhile.
    await tab.getByRole("link", { name: "Chat", exact: true }).click();
    await tab.waitForSelector("#prompt");
    await tab.goBack();
    fetched.finish();
    await isLoaded(daemon);
    await tab.getByRole("button", { name: "Run Parallel Demo" }).waitFor();
    await tab.waitForFunction(() => document.querySelectorAll(".chip input:checked").length === 2);
    check((await tab.evaluate(() => document.activeElement.textContent)) === "Run Parallel Demo", "one key runs both");
    await tab.evaluate(() => (location.hash = "#/play"));
    await tab.waitForSelector("#prompt");
    check((await tab.getByText("Add a second model").count()) === 0, "a second model is offered to one who has two");
  }, ["--model", stories, "--preload"]);

const fromAnotherView = () =>
  withFetch(async (tab, daemon, fetched) => {
    await open(tab, daemon, "ensemble", { admin: true });
    await begin(tab);
    await tab.evaluate(() => (location.hash = "#/requests"));
    fetched.finish();
    await isLoaded(daemon);
    await tab.evaluate(() => (location.hash = "#/models"));
    await tab.locator(".modelcard.loaded").filter({ hasText: kModel }).waitFor();
  });

const fromTheEnsemble = () =>
  withFetch(async (tab, daemon, fetched) => {
    await open(tab, daemon, "ensemble", { admin: true });
    await begin(tab);
    fetched.finish();
    await isLoaded(daemon);
    await tab.waitForSelector("#prompt");
    check((await tab.inputValue("#prompt")).length > 5, "the first page does not lead into the chat");
  });

const aLoadThatFails = () =>
  withFetch(async (tab, daemon, fetched) => {
    await open(tab, daemon, "models", { admin: true });
    await tab.route(`**/choir/v1/models/${kModel}/load`, (route) => route.fulfill({ status: 507, contentType: "application/json", body: JSON.stringify({ error: { message: "there is no room for it" } }) }));
    await begin(tab);
    fetched.finish();
    await tab.getByText("there is no room for it").first().waitFor();
    tab.faults.splice(0, tab.faults.length, ...tab.faults.filter((text) => !text.includes("507")));
  });

const aFirstLoadThatFails = () =>
  withFetch(async (tab, daemon, fetched) => {
    await open(tab, daemon, "play", { admin: true });
    let fails = true;
    await tab.route(`**/choir/v1/models/${kModel}/load`, (route) => (fails ? route.fulfill({ status: 507, contentType: "application/json", body: JSON.stringify({ error: { message: "there is no room for it" } }) }) : route.continue()));
    await begin(tab);
    fetched.finish();
    await tab.getByText("there is no room for it").waitFor();
    await sleep(3500); // the list of models has it by now
    check(await tab.getByText("there is no room for it").isVisible(), "the page goes on, and does not say why it is not loaded");
    fails = false;
    await tab.getByRole("button", { name: "Load", exact: true }).click();
    await tab.waitForSelector("#prompt");
    tab.faults.splice(0, tab.faults.length, ...tab.faults.filter((text) => !text.includes("507")));
  });

const whileNobodyLooks = () =>
  withFetch(async (tab, daemon, fetched) => {
    await open(tab, daemon, "models", { admin: true });
    await begin(tab);
    await until(() => fetched.asked >= 3, "the page follows the fetch");
    const hide = (value) => tab.evaluate((is) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => is });
      document.dispatchEvent(new Event("visibilitychange"));
    }, value);
    await hide(true);
    await sleep(1200); // one that is under way
    const before = fetched.asked;
    await sleep(3000);
    check(fetched.asked === before, `a page that nobody sees has asked ${fetched.asked - before} times`);
    fetched.finish();
    await hide(false);
    await isLoaded(daemon);
  });

// What a file of the folder is, the daemon says when it is asked for its size.
async function anEncoder() {
  const models = mkdtempSync(join(folder, "models-"));
  for (const name of ["encoder", "writer"]) copyFileSync(stories, join(models, `${name}.gguf`));
  await inBrowser([], { models }, async (daemon, chrome) => {
    const tab = await page(chrome, daemon);
    await tab.route("**/choir/v1/estimate", async (route) => {
      const reply = await route.fetch();
      const estimate = await reply.json();
      check(JSON.stringify(estimate.capabilities) === '["completion","chat"]', JSON.stringify(estimate));
      if (estimate.model === "encoder") estimate.capabilities = ["embedding"];
      return route.fulfill({ response: reply, json: estimate });
    });
    // So does the list, once the file's head is read.
    await tab.route("**/v1/models", async (route) => {
      const reply = await route.fetch();
      const list = await reply.json();
      for (const model of list.data) if (model.id === "encoder" && model.capabilities) model.capabilities = ["embedding"];
      return route.fulfill({ response: reply, json: list });
    });
    await open(tab, daemon, "models");
    const row = (name) => tab.locator(".disk li").filter({ hasText: name });
    await row("encoder").getByRole("button", { name: "Chat" }).waitFor({ state: "detached" });
    await row("writer").getByRole("button", { name: "Chat" }).waitFor();
    await tab.evaluate(() => (location.hash = "#/play/demo"));
    await tab.locator(".pick").getByText("writer").waitFor();
    check((await tab.locator(".pick").getByText("encoder").count()) === 0, "the demo offers an encoder");
    await tab.evaluate(() => (location.hash = "#/play"));
    await tab.locator(".column option", { hasText: "writer" }).waitFor({ state: "attached" });
    check((await tab.locator(".column option", { hasText: "encoder" }).count()) === 0, "the chat offers an encoder");
    checkNoFaults(tab);
  });
}

await cases({
  "a model that does not write": anEncoder,
  "from the first page": fromTheFirstPage,
  "the second model": theSecondModel,
  "a load from the first page that fails": aFirstLoadThatFails,
  "from the ensemble": fromTheEnsemble,
  "another view is in sight when it ends": fromAnotherView,
  "a load that fails": aLoadThatFails,
  "while nobody looks": whileNobodyLooks,
});
