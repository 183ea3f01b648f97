// A page whose daemon goes away says so and keeps what it knew; it is live again by itself, and shows the new state.
import { browser, cases, check, Daemon, inBrowser, open, page, sleep, stories, until } from "./common.mjs";

const kNetwork = [/ERR_/, /Failed to load resource/];

async function killed() {
  let daemon = await Daemon.start(["--model", stories]);
  const chrome = await browser();
  try {
    await daemon.admin("POST", "/choir/v1/models/stories260K/clone", { name: "second" });
    const tab = await page(chrome, daemon, { allowed: kNetwork });
    await open(tab, daemon, "models");
    await tab.getByRole("heading", { name: "second" }).waitFor();
    await daemon.stop("SIGKILL");
    await tab.waitForSelector(".bar-lost");
    check((await tab.locator(".bar-lost").textContent()).match(/\d\d:\d\d:\d\d/), "the bar does not say when");
    check((await tab.locator(".modelcard").count()) === 2, "what was known is gone");
    check(await tab.evaluate(() => getComputedStyle(document.querySelector("main .view")).filter.includes("grayscale")), "values are not grey");
    await tab.evaluate(() => (location.hash = "#/play/demo"));
    const button = tab.getByRole("button", { name: "Run Parallel Demo" });
    check(await button.isDisabled(), "the demo can be run without a daemon");
    await tab.evaluate(() => (location.hash = "#/models"));
    daemon = await Daemon.start(["--model", stories], { port: daemon.port });
    await tab.waitForSelector(".link.live", { timeout: 15_000 });
    await tab.waitForSelector(".bar-info");
    await until(async () => (await tab.locator(".modelcard").count()) === 1, "the new daemon's models are shown");
    check((await tab.locator(".bar-lost").count()) === 0, "the page still says that it is not live");
    await daemon.stop();
    await tab.waitForSelector(".bar-lost");
  } finally {
    await chrome.close();
    await daemon.stop("SIGKILL");
  }
}

async function stopped() {
  const daemon = await Daemon.start(["--model", stories]);
  const chrome = await browser();
  try {
    const tab = await page(chrome, daemon, { allowed: kNetwork });
    await open(tab, daemon, "ensemble");
    daemon.process.kill("SIGSTOP");
    await tab.waitForFunction(() => !document.querySelector(".link.live"), undefined, { timeout: 40_000 });
    daemon.process.kill("SIGCONT");
    await tab.waitForSelector(".link.live", { timeout: 30_000 });
  } finally {
    daemon.process.kill("SIGCONT");
    await chrome.close();
    await daemon.stop();
  }
}

// What the daemon says to a reader that asks for the same.
async function resumes(daemon, epoch, number) {
  const abort = new AbortController();
  const reply = await fetch(`${daemon.url}/choir/v1/events?topics=state,requests,turns&since=${epoch}-${number}`, { signal: abort.signal });
  const { value } = await reply.body.getReader().read();
  abort.abort();
  return JSON.parse(/^data: (.*)$/m.exec(new TextDecoder().decode(value))[1]);
}

async function hidden() {
  await inBrowser(["--model", stories], async (daemon, chrome) => {
    const tab = await page(chrome, daemon, { allowed: kNetwork });
    const streams = new Set();
    tab.on("request", (r) => r.url().includes("/events?") && streams.add(r));
    for (const end of ["requestfinished", "requestfailed"]) tab.on(end, (r) => streams.delete(r));
    await open(tab, daemon, "ensemble");
    check(streams.size === 1, `${streams.size} streams`);
    const hide = (value) => tab.evaluate((is) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => is });
      document.dispatchEvent(new Event("visibilitychange"));
    }, value);
    await hide(true);
    await until(() => streams.size === 0, "a hidden page holds no stream");
    let requests = 0;
    tab.on("request", () => ++requests);
    await sleep(5000);
    check(requests === 0, `a hidden page has sent ${requests} requests in 5 s`);
    // It goes on behind what it has got, and knows what has happened since then.
    await daemon.admin("POST", "/choir/v1/models/stories260K/clone", { name: "second" });
    const again = tab.waitForResponse((r) => r.url().includes("/events?"));
    await hide(false);
    const { epoch, number } = /since=(?<epoch>\d+)-(?<number>\d+)$/.exec((await again).url())?.groups ?? {};
    check(Number(number) > 0, `${(await again).url()} does not go on`);
    await tab.waitForSelector(".link.live");
    await tab.evaluate(() => (location.hash = "#/models"));
    await tab.getByRole("heading", { name: "second" }).waitFor();
    await tab.getByRole("heading", { name: "stories260K" }).waitFor();
    const hello = await resumes(daemon, epoch, number);
    check(hello.resumed === true, `the daemon does not go on after ${epoch}-${number}: ${JSON.stringify(hello)}`);
    await tab.evaluate(() => (location.hash = "#/ensemble"));
    check(streams.size === 1, `${streams.size} streams`);
    // Other views need no other stream.
    for (const view of ["models", "requests", "play", "ensemble"]) {
      await tab.evaluate((v) => (location.hash = `#/${v}`), view);
      await sleep(200);
    }
    check(streams.size === 1, `${streams.size} streams after a walk through the views`);
  });
}

await cases({ "a daemon that is killed, and another one": killed, "a daemon that stands still": stopped, "a page that nobody sees": hidden });
