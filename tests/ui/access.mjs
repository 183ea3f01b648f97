// A daemon with keys shows nothing without one; what a session saw goes with it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { browser, cases, check, checkNoFaults, Daemon, inBrowser, open, page, run, sleep, stories, until } from "./common.mjs";

const kRefused = [/401/];
const folder = mkdtempSync(join(tmpdir(), "choir-keys-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const keys = join(folder, "keys.json");
const newKey = async (name, ...args) => (await run(["key", "new", name, "--keys", keys, ...args])).trim().split("\n").at(-1);

// A request that goes on until it is aborted.
function long(daemon, key) {
  const abort = new AbortController();
  const body = { model: "stories260K", prompt: "Once", max_tokens: 400, ignore_eos: true, stream: true };
  void (async () => {
    while (!abort.signal.aborted)
      await fetch(`${daemon.url}/v1/completions`, {
        method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${key}` }, body: JSON.stringify(body), signal: abort.signal,
      }).then((reply) => reply.text()).catch(() => sleep(20));
  })();
  return abort;
}

async function aKeyIsNeeded() {
  const admin = await newKey("boss", ...["view", "infer", "admin"].flatMap((scope) => ["--scope", scope]));
  const looker = await newKey("looker", "--scope", "view");
  const worker = await newKey("hidden-tenant", "--scope", "infer");
  const daemon = await Daemon.start(["--model", stories, "--keys", keys]);
  const chrome = await browser();
  const work = long(daemon, worker);
  try {
    const tab = await page(chrome, daemon, { allowed: kRefused });
    await tab.goto(`${daemon.url}/ui/#/requests`);
    const dialog = tab.getByRole("dialog", { name: "A key is needed" });
    await dialog.waitFor();
    const said = await dialog.textContent();
    check(said.includes("nothing to one who has no key") && !said.includes("allowed to you now"), said);
    check((await tab.locator(".foot").textContent()).includes("Tenant") === false, "the page says who asks");
    // There is no way out but a key.
    check((await dialog.getByRole("button", { name: "Close" }).count()) === 0, "the dialog can be closed");
    for (let i = 0; i < 4; ++i) await tab.keyboard.press("Escape");
    await sleep(200);
    check(await dialog.isVisible(), "Escape has closed the dialog");
    const field = dialog.getByLabel("Key", { exact: true });
    await field.fill("choir_wrong");
    await dialog.getByRole("button", { name: "Use this key" }).click();
    await dialog.getByText("does not know this key").waitFor();
    check(await dialog.isVisible(), "a wrong key has closed the dialog");
    // One that may ask models and not look at the daemon: what it lacks is said, and that nothing answers is not.
    await field.fill(worker);
    await dialog.getByRole("button", { name: "Use this key" }).click();
    await dialog.getByText("lacks the scope view").waitFor();
    check(!(await tab.locator("body").textContent()).includes("does not answer"), "the page says that the daemon does not answer");
    await field.fill(admin);
    await dialog.getByRole("button", { name: "Use this key" }).click();
    await tab.waitForSelector(".link.live");
    check(!(await dialog.isVisible()), "the dialog stays after a right key");
    await tab.locator("tbody").getByText("hidden-tenant").first().waitFor();
    // Some of the other tenant's requests end meanwhile.
    await tab.getByRole("radio", { name: /^Ended/ }).check();
    await until(async () => /Ended [1-9]\d*$/.test(await tab.getByText(/^Ended/).textContent()), "a request ends");
    await tab.locator("tbody").getByText("hidden-tenant").first().waitFor();
    await tab.getByRole("radio", { name: /^All/ }).check();
    // A reload keeps the session; its end shows nothing more, here and to the one who comes next.
    await tab.reload();
    await tab.waitForSelector(".link.live");
    await tab.locator("tbody").getByText("hidden-tenant").first().waitFor();
    await tab.getByRole("button", { name: "End session" }).click();
    await dialog.waitFor();
    await tab.waitForLoadState();
    check(!(await tab.locator("body").textContent()).includes("hidden-tenant"), "the page still shows what the admin saw");
    await field.fill(looker);
    await dialog.getByRole("button", { name: "Use this key" }).click();
    await tab.waitForSelector(".link.live");
    await sleep(600);
    check(!(await tab.locator("body").textContent()).includes("hidden-tenant"), "one who may look sees the requests of others");
    await tab.getByRole("radio", { name: /^Ended/ }).check();
    await until(async () => (await tab.getByText(/^Ended \d+$/).count()) > 0, "those that ended are read");
    check((await tab.getByText(/^Ended \d+$/).textContent()) === "Ended 0", "one who may look has requests of others among those that ended");
    await tab.getByRole("button", { name: "Unlock changes" }).click();
    const unlock = tab.getByRole("dialog", { name: "Unlock changes" });
    check((await unlock.textContent()).includes("Asking models needs the scope infer"), await unlock.textContent());
    await tab.keyboard.press("Escape");
    await unlock.waitFor({ state: "detached" });
    checkNoFaults(tab);
  } finally {
    work.abort();
    await chrome.close();
    await daemon.stop();
  }
}

// The key of an open session lost its scope.
async function aKeyIsNarrowed() {
  await inBrowser(["--model", stories], async (daemon, chrome) => {
    const tab = await page(chrome, daemon, { allowed: [/403/] });
    let narrowed = true;
    await tab.route("**/choir/v1/events*", (route) => (narrowed ? route.fulfill({ status: 403, contentType: "application/json", body: JSON.stringify({ error: { message: "the key 'x' lacks the scope view" } }) }) : route.continue()));
    await tab.goto(`${daemon.url}/ui/#/requests`);
    const dialog = tab.getByRole("dialog", { name: "A key is needed" });
    await dialog.getByText("lacks the scope view").waitFor();
    check(!(await tab.locator("body").textContent()).includes("does not answer"), "the page says that the daemon does not answer");
    narrowed = false;
    await tab.reload();
    await tab.waitForSelector(".link.live");
    check((await dialog.count()) === 0, "the dialog stays");
    checkNoFaults(tab);
  });
}

// Without keys the end of an admin's session is that of what only an admin sees.
async function anAdminGoes() {
  await inBrowser(["--model", stories], async (daemon, chrome) => {
    const tab = await page(chrome, daemon, { allowed: kRefused });
    await open(tab, daemon, "requests", { admin: true });
    await tab.getByText("the scope admin").waitFor({ state: "detached" });
    await tab.getByRole("button", { name: "End session" }).click();
    await tab.getByRole("button", { name: "Unlock changes" }).waitFor();
    await tab.waitForSelector(".link.live");
    await tab.getByText("Those of others need the scope admin").waitFor();
    checkNoFaults(tab);
  });
}

// A new tab is let in by one that is open; one of another browser is not.
async function aSecondTab() {
  await inBrowser(["--model", stories], async (daemon, chrome) => {
    const tab = await page(chrome, daemon, { allowed: kRefused });
    await open(tab, daemon, "models", { admin: true });
    await tab.getByRole("button", { name: "End session" }).waitFor();
    const second = await tab.context().newPage();
    await second.goto(`${daemon.url}/ui/#/models`);
    await second.getByRole("button", { name: "End session" }).waitFor();
    const other = await page(chrome, daemon, { allowed: kRefused });
    await open(other, daemon, "models");
    await sleep(500);
    check((await other.getByRole("button", { name: "End session" }).count()) === 0, "a tab of another browser has the session");
    checkNoFaults(tab);
  });
}

await cases({ "a second tab": aSecondTab, "a daemon with keys": aKeyIsNeeded, "a key that was narrowed": aKeyIsNarrowed, "an admin's session ends": anAdminGoes });
