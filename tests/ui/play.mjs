// A chat with columns: one is stopped while the others go on, and the end of an answer stays in sight. And what a page
// asks the daemon for before it shows something.
import { cases, check, checkNoFaults, inBrowser, open, page, stories, until } from "./common.mjs";

async function oneColumnIsStopped() {
  await inBrowser(["--model", stories, "--preload"], async (daemon, chrome) => {
    await daemon.admin("POST", "/choir/v1/models/stories260K/clone", { name: "second" });
    await daemon.admin("POST", "/choir/v1/models/second/load");
    const all = (action) => Promise.all(["stories260K", "second"].map((name) => daemon.admin("POST", `/choir/v1/models/${name}/${action}`)));
    const left = async () => (await daemon.admin("GET", "/choir/v1/requests")).requests.map((r) => r.model).sort().join();
    await all("suspend"); // so that no answer ends by itself meanwhile
    const tab = await page(chrome, daemon);
    await open(tab, daemon, "play");
    await tab.getByRole("button", { name: "Compare with another model" }).click();
    await tab.locator(".column select").first().selectOption("stories260K");
    await tab.locator(".column select").nth(1).selectOption("second");
    await tab.fill("#prompt", "Once upon a time");
    await tab.keyboard.press("Enter");
    await until(async () => (await left()) === "second,stories260K", "both wait");
    const answer = (name) => tab.locator(`.column[aria-label="${name}"] .answer`);
    await answer("second").getByText(/^The model second is suspended\. It is the next one\./).waitFor();
    await tab.getByRole("button", { name: "Stop second only" }).click();
    await answer("second").getByText("stopped").waitFor();
    await until(async () => (await left()) === "stories260K", "the daemon has stopped it");
    await all("resume");
    await answer("stories260K").getByText("tok/s").waitFor();
    await tab.waitForFunction(() => document.querySelectorAll(".answer[aria-busy=false]").length === 2);
    check((await answer("stories260K").locator(".text").textContent()).length > 20, "the other column has written nothing");
    check((await answer("second").locator(".text, .note").count()) === 0, "the column that was stopped has text or an error");
    await tab.getByRole("button", { name: "Remove second" }).click();
    checkNoFaults(tab);
  });
}

async function theEndStaysInSight() {
  await inBrowser(["--model", stories, "--preload"], async (daemon, chrome) => {
    const tab = await page(chrome, daemon);
    await tab.route("**/choir/v1/parallel", (route) => {
      const body = JSON.parse(route.request().postData());
      for (const job of body.jobs) Object.assign(job, { max_tokens: 400, ignore_eos: true });
      return route.continue({ postData: JSON.stringify(body) });
    });
    await open(tab, daemon, "play");
    const say = async (answers) => {
      await tab.fill("#prompt", "Once upon a time");
      await tab.keyboard.press("Enter");
      await tab.waitForFunction((all) => document.querySelectorAll(".answer[aria-busy=false]").length === all, answers);
    };
    // How far the end of the chat is below what is shown, and where its first words are.
    const place = () => tab.evaluate(() => {
      const box = document.querySelector(".logbox").getBoundingClientRect();
      return { long: document.querySelector(".log").offsetHeight > box.height, below: document.querySelector(".log").getBoundingClientRect().bottom - box.bottom, first: document.querySelector(".said").getBoundingClientRect().top };
    });
    for (let answers = 1; answers <= 3; ++answers) await say(answers);
    const end = await place();
    check(end.long && Math.abs(end.below) < 2, `the end is ${end.below} px below what is shown`);
    await tab.evaluate(() => document.querySelector(".said").scrollIntoView());
    await tab.waitForTimeout(100);
    const up = await place();
    check(up.below > 100, "it does not scroll up");
    await say(4);
    const after = await place();
    check(Math.abs(after.first - up.first) < 2 && after.below > up.below, `who reads the begin was moved by ${after.first - up.first} px`);
    checkNoFaults(tab);
  });
}

// What the page asks for, with few tokens, so that it is soon over.
async function shortened(tab) {
  const asked = [];
  await tab.route("**/choir/v1/parallel", (route) => {
    const body = JSON.parse(route.request().postData());
    asked.push(structuredClone(body.jobs));
    for (const job of body.jobs) job.max_tokens = 6;
    return route.continue({ postData: JSON.stringify(body) });
  });
  return asked;
}
const settled = (tab, answers) => tab.waitForFunction((all) => document.querySelectorAll(".answer[aria-busy=false]").length === all && document.querySelector(".round.stop") === null, answers);
const focused = (tab) => tab.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.tagName);

async function aMessageIsSentAnew() {
  await inBrowser(["--model", stories, "--preload"], async (daemon, chrome) => {
    await daemon.admin("POST", "/choir/v1/models/stories260K/clone", { name: "second" });
    const tab = await page(chrome, daemon);
    const asked = await shortened(tab);
    await open(tab, daemon, "play");
    const column = (name) => tab.locator(`.column[aria-label="${name}"]`);
    const said = async () => Promise.all(["stories260K", "second"].map(async (name) => (await column(name).locator(".said").allTextContents()).join()));
    const say = async (text, answers) => {
      await tab.fill("#prompt", text);
      await tab.keyboard.press("Enter");
      await settled(tab, answers);
    };
    await say("One", 1);
    await tab.getByRole("button", { name: "Compare with another model" }).click();
    await say("Two", 3);
    await say("Three", 5);
    check((await said()).join(" / ") === "One,Two,Three / Two,Three", (await said()).join(" / "));
    await tab.fill("#prompt", "A draft");

    // Given up, all is as it was, and who works with keys goes on where he was.
    for (const giveUp of [() => tab.keyboard.press("Escape"), () => tab.getByRole("button", { name: "Cancel" }).click()]) {
      await column("second").getByRole("button", { name: "Edit: Two" }).focus();
      await tab.keyboard.press("Enter");
      const field = column("second").getByRole("textbox", { name: "Message, to be sent again" });
      check((await field.inputValue()) === "Two" && (await focused(tab)) === "Message, to be sent again", await focused(tab));
      check((await tab.getByText("Replaces its answer and 1 later message, in 2 columns.").count()) === 1, "what goes is not said");
      check((await column("stories260K").getByRole("textbox").count()) === 0, "it is edited twice");
      await tab.keyboard.type(" changed");
      await giveUp();
      check((await focused(tab)) === "Edit: Two", `the focus is at ${await focused(tab)}`);
      check((await said()).join(" / ") === "One,Two,Three / Two,Three" && asked.length === 3, "something has changed");
    }

    await tab.keyboard.press("Enter");
    await tab.keyboard.type(" anew");
    await tab.keyboard.press("Enter");
    await settled(tab, 3);
    check((await said()).join(" / ") === "One,Two anew / Two anew", (await said()).join(" / "));
    check((await focused(tab)) === "Message" && (await tab.inputValue("#prompt")) === "A draft", `the focus is at ${await focused(tab)}`);
    const sent = asked.at(-1).map((job) => job.messages.filter((m) => m.role === "user").map((m) => m.content).join());
    check(sent.join(" / ") === "One,Two anew / Two anew", sent.join(" / "));

    // Where one column was asked, the other stays; the one can be stopped.
    await daemon.admin("POST", "/choir/v1/models/stories260K/suspend");
    await column("stories260K").getByRole("button", { name: "Edit: One" }).click();
    await tab.keyboard.press("End");
    await tab.keyboard.type("!");
    await tab.getByRole("button", { name: "Send again" }).click();
    await tab.getByRole("button", { name: "Stop stories260K only" }).click();
    await column("stories260K").getByText("stopped").waitFor();
    check(asked.at(-1).length === 1 && asked.at(-1)[0].messages.length === 1, JSON.stringify(asked.at(-1)));
    check((await said()).join(" / ") === "One! / Two anew", (await said()).join(" / "));
    checkNoFaults(tab);
  });
}

async function aColumnHasItsOwnSettings() {
  await inBrowser(["--model", stories, "--preload"], async (daemon, chrome) => {
    const tab = await page(chrome, daemon);
    const asked = await shortened(tab);
    await open(tab, daemon, "play");
    await tab.getByRole("button", { name: "Compare with another model" }).click();
    const column = (place) => tab.locator(`.column[aria-label="stories260K, column ${place}"]`);
    await tab.getByRole("button", { name: "Settings", exact: true }).click();
    await tab.locator(".composer").getByLabel("Seed").fill("7");
    await column(2).getByRole("button", { name: "Settings of stories260K, column 2" }).click();
    const fields = tab.getByRole("group", { name: "Settings of stories260K, column 2" });
    check((await fields.getByLabel("Seed").inputValue()) === "7", "a column begins with other settings than all");
    await fields.getByLabel("Temperature").fill("0");
    await fields.getByLabel("Seed").fill("");
    await fields.getByLabel("Seed").blur();
    await fields.getByLabel("Class").selectOption("low");
    await tab.fill("#prompt", "Once upon a time");
    await tab.keyboard.press("Enter");
    await settled(tab, 2);
    const values = () => asked.at(-1).map((job) => [job.model, job.temperature, job.seed, job.max_tokens, job.priority].join(" ")).join(" / ");
    check(values() === "stories260K 0.7 7 512  / stories260K 0 -1 512 low", values());
    check((await tab.locator(".own").allTextContents()).join().startsWith("temperature 0 \u00b7 random seed \u00b7 class low"), (await tab.locator(".own").allTextContents()).join());
    // A chat that begins anew keeps them; one button gives them up.
    await column(2).getByRole("button", { name: "Settings of stories260K, column 2" }).click();
    await tab.getByRole("button", { name: "New chat" }).click();
    check((await tab.locator(".answer").count()) === 0 && (await tab.locator(".own").count()) === 1, "a new chat has lost the settings");
    await tab.getByRole("button", { name: "Settings of all columns for stories260K, column 2" }).click();
    check((await tab.locator(".own").count()) === 0 && (await focused(tab)) === "Message", `the focus is at ${await focused(tab)}`);
    await tab.fill("#prompt", "Once upon a time");
    await tab.keyboard.press("Enter");
    await settled(tab, 2);
    check(values() === "stories260K 0.7 7 512  / stories260K 0.7 7 512 ", values());
    checkNoFaults(tab);
  });
}

async function widthsOfColumns() {
  await inBrowser(["--model", stories, "--preload"], async (daemon, chrome) => {
    const tab = await page(chrome, daemon);
    await open(tab, daemon, "play");
    for (let i = 0; i < 2; ++i) await tab.getByRole("button", { name: "Compare with another model" }).click();
    const drawn = () => tab.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(resolve, 0)))));
    const wide = async () => (await drawn(), tab.locator(".column").evaluateAll((all) => all.map((e) => Math.round(e.getBoundingClientRect().width))));
    const near = (a, b) => Math.abs(a - b) <= 2;
    const equal = (all) => all.every((w) => near(w, all[0]));
    const line = tab.getByRole("separator").first();
    const part = () => line.getAttribute("aria-valuenow");
    const before = await wide();
    check(equal(before) && (await part()) === "50", before.join());
    await line.focus();
    await tab.keyboard.press("ArrowRight");
    await tab.keyboard.press("ArrowRight");
    const keyed = await wide();
    check((await part()) === "60" && keyed[0] > before[0] * 1.19 && near(keyed[0] + keyed[1], before[0] + before[1]) && near(keyed[2], before[2]), keyed.join());
    await tab.keyboard.press("Home");
    check((await part()) === (await line.getAttribute("aria-valuemin")), await part());
    await tab.keyboard.press("Enter");
    check(equal(await wide()), "Enter makes all equal");
    const box = await line.boundingBox();
    check(box.width >= 24, `the line is ${box.width} wide`);
    await tab.mouse.move(box.x + 12, box.y + 200);
    await tab.mouse.down();
    await tab.mouse.move(box.x + 12 - 60, box.y + 220, { steps: 4 });
    await tab.mouse.up();
    const dragged = await wide();
    check(near(dragged[0], before[0] - 60) && near(dragged[1], before[1] + 60), dragged.join());
    await tab.mouse.move(box.x + 200, box.y + 200);
    check((await wide()).join() === dragged.join(), "it is dragged on");
    await line.dblclick();
    check(equal(await wide()), "a double click makes all equal");

    // One for the whole page, and back; by keys.
    await tab.getByRole("button", { name: "Fill the page with stories260K, column 2" }).focus();
    await tab.keyboard.press("Enter");
    check((await tab.locator(".column:visible").count()) === 1 && (await tab.getByRole("separator").count()) === 0, "others are in sight");
    check((await wide())[1] > 900, (await wide()).join());
    check((await tab.evaluate(() => document.activeElement.textContent)) === "All columns", "the focus is lost");
    await tab.setViewportSize({ width: 700, height: 800 }); // where columns do not stand beside each other
    check((await tab.locator(".column:visible").count()) === 3, "on a narrow page no column fills it");
    await tab.setViewportSize({ width: 1280, height: 800 });
    await tab.getByRole("button", { name: "All columns" }).focus();
    await tab.keyboard.press("Enter");
    check((await tab.locator(".column:visible").count()) === 3, "the others do not come back");
    await tab.getByRole("button", { name: "Fill the page with stories260K, column 3" }).click();
    await tab.getByRole("button", { name: "Remove stories260K, column 3" }).click();
    check((await tab.locator(".column:visible").count()) === 2, "the column that filled the page has gone, and the others stay away");
    checkNoFaults(tab);
  });
}

async function fewRequests() {
  await inBrowser(["--model", stories, "--preload"], async (daemon, chrome) => {
    const tab = await page(chrome, daemon);
    const asked = [];
    tab.on("request", (request) => asked.push(new URL(request.url()).pathname));
    await open(tab, daemon, "ensemble");
    await tab.waitForFunction(() => document.querySelector(".tile .spark .line")?.getAttribute("d"));
    check(asked.length <= 8, asked.join(" "));
    check(!asked.includes("/choir/v1/catalogue"), "Ensemble shows nothing of the catalogue");
    await tab.keyboard.press("g");
    await tab.keyboard.press("m");
    await until(() => asked.includes("/choir/v1/catalogue") && asked.includes("/choir/v1/pulls"), "Models asks for the catalogue");
    for (const path of ["/choir/v1/catalogue", "/choir/v1/pulls"])
      check(asked.filter((one) => one === path).length === 1, `${path} is asked for once: ${asked.join(" ")}`);
    checkNoFaults(tab);
  });
}

// While an answer is written its facts have what is known; its end is said to those who do not see it.
async function factsOfAnAnswer() {
  await inBrowser(["--model", stories, "--preload"], async (daemon, chrome) => {
    const tab = await page(chrome, daemon);
    await shortened(tab);
    await open(tab, daemon, "play");
    await tab.getByRole("button", { name: "Settings", exact: true }).click();
    await tab.getByLabel("Class").selectOption("low");
    await tab.fill("#prompt", "Once upon a time");
    await tab.keyboard.press("Enter");
    await settled(tab, 1);
    await tab.getByRole("status").getByText(/^stories260K has ended, 6 tokens, [\d.,]+ tokens a second\.$/).waitFor({ state: "attached" });
    await tab.unroute("**/choir/v1/parallel");
    // A stream that stands still behind its first text, and one from right to left.
    const event = (data) => `data: ${JSON.stringify(data)}\n\n`;
    const begin = event({ type: "begin", call: "call_x", jobs: [] });
    await tab.evaluate((body) => {
      const fetched = window.fetch;
      window.fetch = (path, init) => (String(path).endsWith("/parallel")
        ? Promise.resolve(new Response(new ReadableStream({ start: (stream) => stream.enqueue(new TextEncoder().encode(body)) })))
        : fetched(path, init));
    }, begin + event({ type: "text", job: 0, text: "\u05e9\u05dc\u05d5\u05dd. \u05d4\u05d9\u05d4 \u05e4\u05e2\u05dd Lily.", tokens: 4 }));
    await tab.getByLabel("Class").selectOption("");
    await tab.fill("#prompt", "\u05e1\u05e4\u05e8 \u05dc\u05d9");
    await tab.keyboard.press("Enter");
    const last = tab.locator(".exchange").last();
    await last.getByText(/4 tokens \u00b7 first token .*s \u00b7 class normal/).waitFor();
    check((await tab.locator(".exchange").first().locator(".facts").textContent()).includes("class low"), "the class that was asked for is not told");
    for (const part of [".text", ".said"]) {
      const directions = await tab.locator(part).evaluateAll((all) => all.map((e) => getComputedStyle(e).direction));
      check(`${directions}` === "ltr,rtl", `${part}: ${directions}`);
    }
    checkNoFaults(tab);
  });
}

// The tabs of a browser have six connections together: the fourth that generates says why it waits, can be stopped, and
// begins when another has ended. What else they ask for is answered meanwhile.
async function theFourthTab() {
  await inBrowser(["--model", stories, "--preload"], async (daemon, chrome) => {
    await until(async () => (await daemon.get("/choir/v1/models")).models[0]?.state === "loaded", "the model is loaded");
    await daemon.admin("POST", "/choir/v1/models/stories260K/suspend"); // answers that come slowly
    const first = await page(chrome, daemon);
    const tabs = [first];
    for (let i = 1; i < 4; ++i) tabs.push(await first.context().newPage());
    const asked = async () => (await daemon.admin("GET", "/choir/v1/requests")).requests.length;
    const say = async (tab) => {
      await tab.fill("#prompt", "Once upon a time");
      await tab.keyboard.press("Enter");
    };
    for (const [i, tab] of tabs.entries()) {
      await open(tab, daemon, "play");
      await tab.waitForSelector(".column");
      await say(tab);
      if (i < 3) await until(async () => (await asked()) === i + 1, `tab ${i + 1} has asked`);
    }
    const fourth = tabs[3];
    const why = fourth.getByText(/^Other tabs of this browser generate/);
    await why.waitFor();
    check((await asked()) === 3, "the fourth has asked");
    await fourth.getByRole("button", { name: "Stop", exact: true }).click();
    await fourth.getByText("stopped").waitFor();
    await say(fourth);
    await why.waitFor();
    // No tab hangs: the stream of events goes on, and a question is answered.
    for (const tab of tabs) {
      check(await tab.locator(".link.live").isVisible(), "a tab is not live");
      check((await tab.evaluate(() => fetch("/choir/v1/models").then((r) => r.status))) === 200, "a question is not answered");
    }
    await tabs[0].getByRole("button", { name: "Stop", exact: true }).click();
    await why.waitFor({ state: "detached" });
    await until(async () => (await asked()) === 3, "the fourth takes the place");
    await daemon.admin("POST", "/choir/v1/models/stories260K/resume");
    await fourth.waitForFunction(() => document.querySelector(".round.stop") === null && /tok\/s/.test(document.querySelector(".log").textContent));
    await tabs[1].close(); // with its place, whatever it held
    for (const tab of [tabs[0], tabs[2]]) await tab.waitForSelector(".link.live");
    checkNoFaults(first);
  });
}

await cases({
  "facts of an answer": factsOfAnAnswer,
  "the fourth tab that generates": theFourthTab,
  "settings of a column": aColumnHasItsOwnSettings,
  "widths of columns": widthsOfColumns,
  "a message is sent anew": aMessageIsSentAnew,
  "one column is stopped": oneColumnIsStopped,
  "the end of an answer stays in sight": theEndStaysInSight,
  "what Ensemble asks for": fewRequests,
});
