// Run Parallel Demo is clicked; its report and its texts are those of the command line.
import { cases, check, checkNoFaults, hasReal, inBrowser, open, page, realModels, run, stories } from "./common.mjs";

// A report without what each run measures anew.
const masked = (report) => report.replace(/\d+\.\d\d/g, "0.00");

// The words of the command that the page shows.
function wordsOf(command) {
  const words = [];
  const text = command.replace(/ \\\n/g, " ");
  for (const [, plain, quoted] of text.matchAll(/(?:([^\s']+)|'([^']*)')(?:\s+|$)/g)) words.push(plain ?? quoted);
  return words;
}

// The second run can be stopped; what it shows is what the daemon has said in its one call.
async function compareAlone(tab, jobs) {
  const calls = [];
  let holds = true; // the first call gets no answer
  await tab.route("**/choir/v1/parallel", async (route) => {
    calls.push(route.request().postDataJSON());
    if (holds) return;
    const reply = await route.fetch();
    const text = (await reply.text()).replace(/"comparison":\{"speedup":[\d.]+/, '"comparison":{"speedup":12.345');
    await route.fulfill({ response: reply, body: text });
  });
  const compare = tab.locator(".compare");
  const run = compare.getByRole("button", { name: "Run one at a time" });
  await run.click();
  await compare.getByText(`0 of ${jobs} requests`).waitFor();
  await compare.getByRole("button", { name: "Stop" }).click();
  await compare.getByText("stopped").waitFor();
  check((await tab.locator("#speedup").count()) === 0, "a speedup of what was stopped");
  holds = false;
  await run.click();
  const gain = await tab.locator("#speedup").textContent({ timeout: 120_000 });
  check(/^12\.3\d times/.test(gain), gain);
  check(calls.length === 2 && calls.every((call) => call.order === "one_at_a_time" && call.jobs.length === jobs && call.against.total_tokens > 0),
    JSON.stringify(calls));
  await tab.unroute("**/choir/v1/parallel");
}

async function demo(models, names, settings) {
  await inBrowser(models.flatMap((m) => ["--model", m]), { models: hasReal ? realModels : "" }, async (daemon, chrome) => {
    const tab = await page(chrome, daemon);
    await open(tab, daemon, "play/demo");
    for (const box of await tab.locator(".chip").all()) {
      const name = (await box.locator(".name").textContent()).trim();
      await box.locator("input").setChecked(names.includes(name));
    }
    await tab.getByLabel("Sessions of each").fill(String(settings.sessions));
    await tab.getByLabel("Most tokens").fill(String(settings.tokens));
    await tab.getByLabel("Most tokens").blur();
    await tab.getByRole("button", { name: "Run Parallel Demo" }).click();
    await tab.waitForSelector("#report", { timeout: 240_000 });
    const report = await tab.locator("#report").textContent();
    // The daemon's totals stand above the box of the text, which may scroll; cards and groups keep their speeds.
    await tab.getByRole("radio", { name: "JSON" }).check();
    const json = JSON.parse(await tab.locator("#report").textContent());
    await tab.getByRole("radio", { name: "Text" }).check();
    const totals = tab.locator(".totals");
    const figures = (await totals.textContent()).replace(/,/g, "");
    check(figures.includes(`${json.total_tokens} tokens`) && Math.abs(parseFloat(figures) - json.throughput) < 1, `${figures}, and not ${json.throughput}`);
    check((await totals.boundingBox()).y < (await tab.locator("#report").boundingBox()).y, "the totals are below the text");
    for (const part of [".session .facts", ".group > header"])
      for (const said of await tab.locator(part).allTextContents()) check(/\d tok\/s with waiting/.test(said), `${part}: ${said}`);
    const order = (all) => all.evaluateAll((found) => found.map((e) => e.textContent).join());
    check((await order(tab.locator(".group h3 .name"))) === (await order(tab.locator(".chip.on .name"))), "the groups have another order than the choice");
    const command = await tab.locator("#command").textContent();
    const texts = await tab.locator("[data-session]").evaluateAll((all) =>
      all.map((e) => [Number(e.getAttribute("data-session")), e.querySelector(".generated").textContent]).sort((a, b) => a[0] - b[0]).map(([, text]) => text));
    if (settings.compare) {
      await compareAlone(tab, texts.length);
      check(/12\.3\d times/.test(await totals.textContent()), "the speedup is not among the totals");
      const rows = await tab.locator(".compare tr").allTextContents();
      const tokens = rows.map((row) => /([\d,]+) tokens/.exec(row)?.[1]);
      check(rows.length === 2 && tokens[0] === tokens[1], rows.join(" / "));
    }
    checkNoFaults(tab);
    const words = wordsOf(command).slice(1);
    const printed = await run(words);
    check(printed.includes(report) || masked(printed.slice(printed.indexOf("====="))) === masked(report),
      `the page's report:\n${report}\nthe command line's:\n${printed}`);
    const rows = JSON.parse(await run([...words, "--json"])).sessions;
    check(rows.length === texts.length && rows.length === names.length * settings.sessions, `${rows.length} sessions, ${texts.length} texts`);
    rows.forEach((row, i) => check(row.text === texts[i], `session ${i}:\n${JSON.stringify(texts[i])}\n${JSON.stringify(row.text)}`));
    check(rows.some((row) => row.text.length > 20), "the sessions wrote nothing");
  });
}

const all = {
  "one small model": () => demo([stories], ["stories260K"], { sessions: 3, tokens: 40, compare: true }),
};
if (hasReal) all["two real models"] = () => demo(["smollm2-135m", "gemma3-270m"], ["smollm2-135m", "gemma3-270m"], { sessions: 3, tokens: 32 });
else console.log("[ PARTLY   ] two real models are not on disk");
await cases(all);
