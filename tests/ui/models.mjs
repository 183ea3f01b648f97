// What can be changed of a model while it runs, and what its details tell.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { browser, cases, check, checkNoFaults, Daemon, open, page, sleep, stories, until } from "./common.mjs";

const kModel = "stories260K";
const daemon = await Daemon.start(["--model", stories, "--preload"]);
const chrome = await browser();
const rows = async () => (await daemon.get("/choir/v1/models")).models;
const rowOf = async (name) => (await rows()).find((row) => row.name === name);

async function changes() {
  const tab = await page(chrome, daemon, { allowed: [/409 \(Conflict\)/] });
  await open(tab, daemon, "models", { admin: true });
  await tab.getByRole("button", { name: "Change\u2026" }).click();
  const dialog = tab.getByRole("dialog", { name: `Change ${kModel}` });
  await dialog.getByLabel("Class").selectOption("low");
  await dialog.getByLabel("Shares").fill("2.5");
  await tab.keyboard.press("Enter");
  await dialog.getByText("Changed.").waitFor();
  const row = await rowOf(kModel);
  check(row.priority === "low" && row.shares === 2.5, JSON.stringify(row));
  await dialog.getByLabel("Replicas").fill("2");
  await sleep(600); // what changed is told and drawn meanwhile; what was typed stays
  await tab.keyboard.press("Enter");
  await dialog.getByText("There are 2 replicas now.").waitFor();
  check((await rows()).filter((r) => r.replica_of === kModel).length === 1, "there is no replica");
  // A name that is taken is refused with a reason, and the dialog stays.
  await dialog.getByLabel("Name of a copy").fill(kModel);
  await tab.keyboard.press("Enter");
  await dialog.getByRole("alert").waitFor();
  await dialog.getByLabel("Name of a copy").fill("second");
  await tab.keyboard.press("Enter");
  await dialog.getByText("second is declared.").waitFor();
  check((await dialog.getByRole("alert").count()) === 0, "the error of before stays");
  await tab.keyboard.press("Escape");
  await tab.locator(".modelcard").filter({ hasText: "second" }).getByText("not in memory").waitFor();
  await tab.locator(".modelcard").filter({ hasText: "low, shares 2.5, 2 replicas" }).waitFor();
  checkNoFaults(tab);
  await tab.context().close();
}

async function details() {
  const tab = await page(chrome, daemon);
  await open(tab, daemon, "models");
  check((await tab.getByRole("button", { name: "Change\u2026" }).count()) === 0, "one who may not change things can");
  await daemon.admin("POST", `/choir/v1/models/second/load`);
  for (const end of ["dog", "cat"]) {
    const prompt = `Once upon a time there was a little girl who had a red ball and a ${end}`;
    const body = JSON.stringify({ model: "second", prompt, max_tokens: 20, ignore_eos: true });
    await (await fetch(`${daemon.url}/v1/completions`, { method: "POST", headers: { "content-type": "application/json" }, body })).json();
  }
  const card = tab.locator(".modelcard").filter({ has: tab.getByRole("heading", { name: "second" }) });
  await card.getByRole("button", { name: "Details" }).click();
  await card.getByText(/^\d+ s ago$/).waitFor();
  await until(async () => /cached: [1-9]/.test(await card.textContent()), "the cells of the requests that have ended");
  await card.getByText(/^Sharing saves \d+ cells/).waitFor();
  await card.getByText(/^\d+ tokens, 2 sequences$/).waitFor();
  checkNoFaults(tab);
  await tab.context().close();
}

// Two small nodes: in one a model has to leave, in the other it may not.
async function whatFits() {
  const config = join(mkdtempSync(join(tmpdir(), "choir-ui-")), "serve.yaml");
  const inSmall = async (pinned, what) => {
    writeFileSync(config, "node:\n  memory_bytes: 18000000\n");
    const small = await Daemon.start(["--model", stories, "--preload", "--config", config]);
    const tab = await page(chrome, small);
    if (pinned) await small.admin("POST", `/choir/v1/models/${kModel}/pin`);
    await small.admin("POST", "/choir/v1/models", { model: kModel, name: "second", sequences_max: 16, sequence_tokens_max: 512 });
    await open(tab, small, "models", { admin: true });
    const card = tab.locator(".modelcard").filter({ has: tab.getByRole("heading", { name: "second" }) });
    await card.getByRole("button", { name: "What if?" }).click();
    await what(tab, tab.getByRole("dialog"));
    checkNoFaults(tab);
    await tab.context().close();
    await small.stop();
  };
  await inSmall(false, async (tab, dialog) => {
    await dialog.getByText(`It fits when these leave memory: ${kModel}.`).waitFor();
    await dialog.getByText(/^Would leave: /).waitFor();
  });
  await inSmall(true, async (tab, dialog) => {
    await dialog.getByText(/^It does not fit: /).waitFor();
    await dialog.getByText(/short: lower its batch/).waitFor();
  });
}

// Its canvas has what computed, and its table says the same.
async function fifteenMinutes() {
  const tab = await page(chrome, daemon);
  await open(tab, daemon, "ensemble");
  await tab.getByRole("radio", { name: "15 min" }).check();
  const canvas = tab.getByRole("img", { name: /^The cores of the last 15 minutes: .*second \d+ percent/ });
  await canvas.waitFor();
  const coloured = () => canvas.evaluate((e) => {
    const { data } = e.getContext("2d").getImageData(0, 0, e.width, e.height);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 0 && Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]) > 60) ++count;
    return count;
  });
  await until(async () => (await coloured()) > 0, "something is drawn");
  await tab.locator(".tracktable summary").click();
  await tab.locator(".tracktable").getByText("second").waitFor();
  checkNoFaults(tab);
  await tab.context().close();
}

process.on("exit", () => daemon.process.kill("SIGKILL"));
await cases({
  "class, shares, replicas and a copy": changes,
  "details": details,
  "what fits": whatFits,
  "the cores of 15 minutes": fifteenMinutes,
});
