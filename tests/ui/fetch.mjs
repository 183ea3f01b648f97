// "Fetch and load": what was fetched is loaded, whatever is in sight by then. The fetch itself is played here, because
// it needs a network; all else is the daemon's.
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { browser, cases, check, checkNoFaults, Daemon, inBrowser, open, page, sleep, stories, until } from "./common.mjs";

const folder = mkdtempSync(join(tmpdir(), "choir-fetch-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const kModel = "smollm2-135m";

async function withFetch(act) {
  const models = mkdtempSync(join(folder, "models-"));
  const daemon = await Daemon.start([], { models });
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

const fromTheFirstPage = () =>
  withFetch(async (tab, daemon, fetched) => {
    await open(tab, daemon, "play", { admin: true });
    await begin(tab);
    fetched.finish();
    await isLoaded(daemon);
    await tab.waitForSelector("#prompt");
  });

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

const aLoadThatFails = () =>
  withFetch(async (tab, daemon, fetched) => {
    await open(tab, daemon, "models", { admin: true });
    await tab.route(`**/choir/v1/models/${kModel}/load`, (route) => route.fulfill({ status: 507, contentType: "application/json", body: JSON.stringify({ error: { message: "there is no room for it" } }) }));
    await begin(tab);
    fetched.finish();
    await tab.getByText("there is no room for it").first().waitFor();
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
  "another view is in sight when it ends": fromAnotherView,
  "a load that fails": aLoadThatFails,
  "while nobody looks": whileNobodyLooks,
});
