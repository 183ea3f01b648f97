// The table of requests: what one that has ended took is what its own answer says, where its time went, and the columns.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { browser, cases, check, checkNoFaults, Daemon, open, page, run, stories, until } from "./common.mjs";

const kModel = "stories260K";
const daemon = await Daemon.start(["--model", stories]);
const chrome = await browser();

async function answer(more = {}) {
  const reply = await fetch(`${daemon.url}/v1/completions`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ model: kModel, prompt: "Once upon a time", max_tokens: 20, ignore_eos: true, ...more }),
  });
  return (await reply.json()).usage;
}
const cellsOf = (row) => row.locator("td").allTextContents();

async function ended() {
  const tab = await page(chrome, daemon);
  await open(tab, daemon, "requests");
  await tab.getByRole("radio", { name: /^Ended/ }).check();
  const usage = await answer();
  const row = tab.locator("tbody tr").first();
  await until(async () => (await cellsOf(row)).includes(String(usage.completion_tokens)), "the request that has ended is in the table");
  check((await row.textContent()).includes(`${usage.prompt_tokens} of ${usage.prompt_tokens}`), await row.textContent());
  // By the keyboard: the dialog, and back to where one was.
  const details = row.getByRole("button", { name: /^Details of request/ });
  await details.focus();
  await tab.keyboard.press("Enter");
  const dialog = tab.getByRole("dialog", { name: "Request" });
  await dialog.waitFor();
  const text = await dialog.textContent();
  for (const part of ["at its limit", "reading the prompt: ", "writing: ", `Output${usage.completion_tokens}`]) check(text.includes(part), `'${part}' is missing: ${text}`);
  await tab.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  check(await details.evaluate((e) => e === document.activeElement), "the focus is lost");
  checkNoFaults(tab);
  await tab.context().close();
}

// It is opened while it waits, and goes on to its end while one looks.
async function inSight() {
  const tab = await page(chrome, daemon);
  await open(tab, daemon, "requests", { admin: true });
  await daemon.admin("POST", `/choir/v1/models/${kModel}/suspend`);
  const usage = answer({ max_tokens: 30 });
  await tab.locator("tbody tr").first().click();
  const dialog = tab.getByRole("dialog", { name: "Request" });
  await dialog.getByText("suspended", { exact: true }).waitFor();
  await dialog.getByText(/^waiting: /).waitFor();
  check(await dialog.getByRole("button", { name: "Cancel this request" }).isVisible(), "it cannot be cancelled");
  await daemon.admin("POST", `/choir/v1/models/${kModel}/resume`);
  await usage;
  await dialog.getByText("at its limit").waitFor();
  check((await dialog.textContent()).includes("Output30"), await dialog.textContent());
  check((await dialog.getByRole("button", { name: "Cancel this request" }).count()) === 0, "what has ended can be cancelled");
  checkNoFaults(tab);
  await tab.context().close();
}

async function columns() {
  const tab = await page(chrome, daemon);
  await open(tab, daemon, "requests");
  const heads = () => tab.locator("thead th button").allTextContents();
  const before = await heads();
  check(!before.includes("Reused") && before.includes("Tenant"), `${before}`);
  await tab.getByRole("button", { name: "Columns" }).click();
  await tab.getByRole("checkbox", { name: "Reused" }).check();
  await tab.getByRole("checkbox", { name: "Tenant" }).uncheck();
  const after = await heads();
  check(after.includes("Reused") && !after.includes("Tenant"), `${after}`);
  await tab.reload();
  await tab.waitForSelector(".link.live");
  check(`${await heads()}` === `${after}`, "the choice is gone after a reload");
  checkNoFaults(tab);
  await tab.context().close();
}

// Waiting ones say why in a few words; the sentence is in the dialog. On a narrow page each is a card, with the columns
// that are ticked there.
async function narrow() {
  await daemon.admin("POST", `/choir/v1/models/${kModel}/load`);
  await daemon.admin("POST", `/choir/v1/models/${kModel}/resize`, { sequences_max: 1, sequence_tokens_max: 1024 });
  const ends = new AbortController();
  const jobs = Array.from({ length: 3 }, () => ({ model: kModel, prompt: "Once", raw: true, ignore_eos: true, max_tokens: 900 }));
  // One after another, as long as the case goes on.
  const work = async () => {
    while (!ends.signal.aborted)
      await fetch(`${daemon.url}/choir/v1/parallel`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ jobs, stream: true }), signal: ends.signal }).then((r) => r.text()).catch(() => undefined);
  };
  const works = work();
  try {
    const tab = await page(chrome, daemon, { width: 390, height: 844 });
    await open(tab, daemon, "requests", { admin: true });
    const waits = tab.locator("tbody tr", { hasText: "1 of 1 sequence" }).first();
    await waits.waitFor();
    check((await tab.getByText("The one sequence of").count()) === 0, "a row says the whole sentence");
    const texts = () => tab.locator("tbody tr").first().locator("td[data-label]").evaluateAll((all) => all.map((e) => e.getAttribute("data-label")));
    check(`${await texts()}` === "Prompt,Output,tok/s,Age", `${await texts()}`);
    await tab.getByRole("button", { name: "Columns" }).click();
    await tab.getByRole("checkbox", { name: "Tenant" }).check();
    await until(async () => `${await texts()}` === "Tenant,Prompt,Output,tok/s,Age", "what is ticked is in the cards");
    // Nothing of a card is outside of the page or of the card, and what can be done is in sight.
    const outside = await tab.evaluate(() => {
      const box = document.querySelector(".tablebox");
      const bad = [];
      if (box.scrollWidth > box.clientWidth) bad.push(`scrolls by ${box.scrollWidth - box.clientWidth}`);
      for (const row of document.querySelectorAll("tbody tr:not(.space)")) {
        const whole = row.getBoundingClientRect();
        for (const part of row.querySelectorAll("td, td button, td .badge")) {
          const r = part.getBoundingClientRect();
          if (r.left < whole.left - 1 || r.right > whole.right + 1 || r.top < whole.top - 1 || r.bottom > whole.bottom + 1) bad.push(part.outerHTML.slice(0, 90));
        }
      }
      return bad;
    });
    check(outside.length === 0, outside.join("\n"));
    const close = await tab.locator("tbody tr").first().getByRole("button", { name: /^Cancel request/ }).boundingBox();
    check(close && close.x + close.width <= 390 && close.width >= 24, JSON.stringify(close));
    // The choice is that of narrow pages alone.
    await tab.setViewportSize({ width: 1280, height: 800 });
    check(`${await tab.locator("thead th button").allTextContents()}`.includes("Tenant,Class,State"), "a wide page has other columns");
    await tab.setViewportSize({ width: 390, height: 844 });
    await tab.reload();
    await tab.waitForSelector(".link.live");
    await until(async () => `${await texts()}` === "Tenant,Prompt,Output,tok/s,Age", "the choice is kept");
    checkNoFaults(tab);
    await tab.context().close();
  } finally {
    ends.abort();
    await works;
  }
}

// One's own goes at once; that of another is asked about, in the row and in the dialog.
async function ofAnother() {
  const folder = mkdtempSync(join(tmpdir(), "choir-keys-"));
  const keys = join(folder, "keys.json");
  const key = (await run(["key", "new", "neighbour", "--keys", keys, "--scope", "view", "--scope", "infer"])).trim().split("\n").at(-1);
  const other = await Daemon.start(["--model", stories, "--keys", keys]);
  try {
    await other.admin("POST", `/choir/v1/models/${kModel}/load`);
    await other.admin("POST", `/choir/v1/models/${kModel}/suspend`);
    const body = { model: kModel, prompt: "Once upon a time", max_tokens: 20 };
    const ask = () => fetch(`${other.url}/v1/completions`, { method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${key}` }, body: JSON.stringify(body) }).then((r) => r.status);
    const mine = other.admin("POST", "/v1/completions", body).catch(() => undefined);
    const tab = await page(chrome, other);
    await open(tab, other, "requests", { admin: true });
    const rows = tab.locator("tbody tr:not(.space)");
    const close = (tenant) => rows.filter({ hasText: tenant }).getByRole("button", { name: /^Cancel request/ });
    await rows.first().waitFor();
    await close("local").click();
    await until(async () => (await rows.count()) === 0, "one's own goes at once");
    await mine;
    for (const inDialog of [false, true]) {
      const answer = ask();
      await rows.filter({ hasText: "neighbour" }).waitFor();
      if (inDialog) {
        await rows.first().click();
        await tab.getByRole("button", { name: "Cancel this request" }).click();
      } else {
        await close("neighbour").click();
      }
      const dialog = tab.getByRole("dialog", { name: "Cancel requests?" });
      await dialog.getByText(`The request of the tenant neighbour in ${kModel}, with 0 tokens so far, will be cancelled.`).waitFor();
      await dialog.getByRole("button", { name: "Keep them" }).click();
      await dialog.waitFor({ state: "detached" });
      check((await other.admin("GET", "/choir/v1/requests")).requests.length === 1, "it is cancelled without an answer");
      await (inDialog ? tab.getByRole("button", { name: "Cancel this request" }) : close("neighbour")).click();
      await dialog.getByRole("button", { name: "Cancel 1" }).click();
      check((await answer) >= 400, `the other's answer is ${await answer}`);
      await tab.getByRole("status").getByText("1 request was cancelled.").waitFor({ state: "attached" });
      if (inDialog) await tab.keyboard.press("Escape");
      await until(async () => (await rows.count()) === 0, "it has gone");
    }
    checkNoFaults(tab);
    await tab.context().close();
  } finally {
    await other.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

process.on("exit", () => daemon.process.kill("SIGKILL"));
await cases({
  "a request that has ended": ended,
  "a request that ends while one looks": inSight,
  "the choice of columns": columns,
  "a request of another tenant": ofAnother,
  "cards on a narrow page": narrow,
});
