// The table of requests: what one that has ended took is what its own answer says, where its time went, and the columns.
import { browser, cases, check, checkNoFaults, Daemon, open, page, stories, until } from "./common.mjs";

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

process.on("exit", () => daemon.process.kill("SIGKILL"));
await cases({
  "a request that has ended": ended,
  "a request that ends while one looks": inSight,
  "the choice of columns": columns,
});
