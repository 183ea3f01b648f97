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

// Where nothing happens the page asks for nothing but its curves, and changes nothing else.
async function idle() {
  await inBrowser(["--model", stories], async (daemon, chrome) => {
    const tab = await page(chrome, daemon, { allowed: kNetwork });
    await open(tab, daemon, "ensemble");
    await tab.waitForSelector(".spark");
    const asked = [];
    tab.on("request", (r) => asked.push(r.url()));
    // What has just happened is read sooner; a page that has seen nothing for a while asks for more at once.
    const idle = (url) => Number(/history\?seconds=(\d+)/.exec(url)?.[1] ?? 0) >= 10;
    await until(() => asked.some(idle), "the curves move on", 30);
    await sleep(500); // until they are drawn
    asked.length = 0;
    await tab.evaluate(() => {
      window.changes = 0;
      new MutationObserver((all) => (window.changes += all.length)).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
    });
    await sleep(7000);
    check(asked.length === 0, `an idle page has asked for ${asked.join(" ")}`);
    const changes = await tab.evaluate(() => window.changes);
    check(changes === 0, `an idle page has changed ${changes} times`);
    // When something happens it looks at once.
    await fetch(`${daemon.url}/v1/completions`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ model: "stories260K", prompt: "Once", max_tokens: 20, ignore_eos: true }) });
    const peak = () => tab.locator(".spark .line").first().evaluate((line) => Math.min(...[...line.getAttribute("d").matchAll(/ ([\d.]+)/g)].map((point) => Number(point[1]))));
    await until(async () => (await peak()) < 5, "the speed is in the curve", 7);
    await until(async () => (await tab.locator(".tile strong").first().textContent()) === "0", "the speed is over", 6);
  });
}

// Keeps in `streams` the streams of events that a tab reads now.
function follow(tab, streams) {
  tab.on("request", (r) => r.url().includes("/events?") && streams.set(r, tab));
  for (const end of ["requestfinished", "requestfailed"]) tab.on(end, (r) => streams.delete(r));
}

const hide = (tab, value) => tab.evaluate((is) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => is });
  document.dispatchEvent(new Event("visibilitychange"));
}, value);
const shows = (tab, model) => tab.locator(".modelcard h3").filter({ hasText: model }).waitFor();

async function several() {
  await inBrowser(["--model", stories], async (daemon, chrome) => {
    const context = await chrome.newContext({ serviceWorkers: "block" });
    const tabs = [await context.newPage(), await context.newPage(), await context.newPage()];
    const streams = new Map();
    for (const tab of tabs) {
      follow(tab, streams);
      await open(tab, daemon, "models");
      await shows(tab, "stories260K");
    }
    await until(() => streams.size === 1, "three tabs read one stream");
    await daemon.admin("POST", "/choir/v1/models/stories260K/clone", { name: "second" });
    for (const tab of tabs) await shows(tab, "second");
    check(streams.size === 1, `${streams.size} streams`);
    // The one that reads is closed; another goes on where it was.
    const [leader] = [...streams.values()];
    const rest = tabs.filter((tab) => tab !== leader);
    const next = Promise.race(rest.map((tab) => tab.waitForRequest((r) => r.url().includes("/events?"))));
    await leader.close();
    check(/since=\d+-[1-9]/.test((await next).url()), `${(await next).url()} does not go on`);
    streams.forEach((tab, stream) => tab === leader && streams.delete(stream));
    await daemon.admin("POST", "/choir/v1/models/stories260K/clone", { name: "third" });
    for (const tab of rest) await shows(tab, "third");
    check(streams.size === 1, `${streams.size} streams`);
    // So it is where the one that reads is hidden. Where all are, nobody reads.
    const [reads] = [...streams.values()];
    const [other] = rest.filter((tab) => tab !== reads);
    await hide(reads, true);
    await until(() => streams.size === 1 && [...streams.values()][0] === other, "the other tab reads");
    await hide(other, true);
    await until(() => streams.size === 0, "nobody reads for hidden tabs");
    await daemon.admin("POST", "/choir/v1/models/stories260K/clone", { name: "fourth" });
    await hide(reads, false);
    await shows(reads, "fourth");
    await hide(other, false);
    await shows(other, "fourth");
    await until(() => streams.size === 1, "two tabs read one stream");
    // One of another session has a stream of its own, and so has one whose browser has no locks.
    for (const [count, admin, prepare] of [[2, true], [3, false, () => delete Navigator.prototype.locks]]) {
      const tab = await context.newPage();
      follow(tab, streams);
      if (prepare) await tab.addInitScript(prepare);
      await open(tab, daemon, "models", { admin });
      await shows(tab, "fourth");
      await until(() => streams.size === count, `${count} streams`);
    }
    await context.close();
  });
}

// The tab that reads crashes, or its thread stands still: the others go on.
async function ended() {
  await inBrowser(["--model", stories], async (daemon, chrome) => {
    const context = await chrome.newContext({ serviceWorkers: "block" });
    const streams = new Map();
    const opened = async () => {
      const tab = await context.newPage();
      follow(tab, streams);
      await open(tab, daemon, "models");
      await shows(tab, "stories260K");
      return tab;
    };
    const tabs = [await opened(), await opened(), await opened()];
    check(streams.size === 1, `${streams.size} streams`);
    const drop = (tab) => {
      tabs.splice(tabs.indexOf(tab), 1);
      for (const [stream, of] of streams) if (of === tab) streams.delete(stream);
    };
    const reads = () => [...streams.values()][0];

    const crashed = reads();
    await crashed.goto("chrome://crash").catch(() => undefined);
    drop(crashed);
    await until(() => streams.size === 1, "one tab reads after a crash");
    await daemon.admin("POST", "/choir/v1/models/stories260K/clone", { name: "second" });
    for (const tab of tabs) await shows(tab, "second");

    // A dialog nobody answers stops the thread of its tab.
    const stands = reads();
    stands.on("dialog", () => undefined);
    void stands.evaluate(() => alert("stands")).catch(() => undefined);
    await sleep(500); // until its thread stands
    const [rest] = tabs.filter((tab) => tab !== stands);
    await daemon.admin("POST", "/choir/v1/models/stories260K/clone", { name: "third" });
    const comes = await context.newPage();
    follow(comes, streams);
    await open(comes, daemon, "models");
    await shows(comes, "third");
    await rest.locator(".modelcard h3").filter({ hasText: "third" }).waitFor({ timeout: 40_000 });
    await rest.waitForSelector(".link.live");
    await context.close();
  });
}

await cases({
  "a daemon that is killed, and another one": killed,
  "a daemon that stands still": stopped,
  "a page that nobody sees": hidden,
  "a page that sees nothing happen": idle,
  "several tabs of a browser": several,
  "a tab that reads for others and ends": ended,
});
