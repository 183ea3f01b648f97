import assert from "node:assert/strict";
import { test } from "node:test";
import { kAnswerMs, kLeaderFirstMs, kSilenceMs } from "../src/net/live.ts";
import { Browser, type Tab } from "./browser.ts";

const kStaleMs = kSilenceMs + kLeaderFirstMs;

async function opened(count: number): Promise<{ browser: Browser; tabs: Tab[] }> {
  const browser = new Browser();
  const tabs: Tab[] = [];
  for (let i = 0; i < count; ++i) tabs.push(await browser.open());
  return { browser, tabs };
}
function allKnow(browser: Browser, tabs: readonly Tab[]): void {
  assert.deepEqual(tabs.map((tab) => [tab.state, tab.value]), tabs.map(() => ["live", browser.daemon.value]));
}
const leaderOf = (browser: Browser): Tab => {
  assert.equal(browser.streams.length, 1, "one stream");
  return browser.streams[0] as Tab;
};
const others = (browser: Browser): Tab[] => browser.tabs.filter((tab) => tab !== leaderOf(browser));

test("tabs of one session read one stream, and all know the same", async () => {
  const { browser, tabs } = await opened(3);
  allKnow(browser, tabs);
  await browser.change();
  await browser.change();
  allKnow(browser, tabs);
  leaderOf(browser);
});

test("a tab that is closed or crashes leaves the stream to another, which goes on where it was", async () => {
  for (const end of ["close", "crash"] as const) {
    const { browser } = await opened(3);
    await browser.change();
    await leaderOf(browser)[end]();
    await browser.change();
    allKnow(browser, browser.tabs);
    leaderOf(browser);
    assert.match(browser.daemon.asked.at(-1) ?? "", /since=1-2$/, end);
  }
});

test("a hidden tab leaves the stream to one in sight; where all are hidden nobody reads", async () => {
  const { browser, tabs } = await opened(2);
  const leads = leaderOf(browser);
  await leads.hide(true);
  assert.notEqual(leaderOf(browser), leads);
  await browser.change();
  await leaderOf(browser).hide(true);
  assert.equal(browser.streams.length, 0);
  await browser.change();
  await browser.advance(120_000);
  assert.equal(browser.streams.length, 0);
  for (const tab of tabs) await tab.hide(false);
  allKnow(browser, tabs);
  leaderOf(browser);
});

test("where the tab that leads stands still, the others say so in 30 s and go on by themselves", async () => {
  const { browser } = await opened(3);
  const leads = leaderOf(browser);
  const rest = others(browser);
  const states = new Set<string>();
  rest.forEach((tab) => tab.link.subscribe((link) => states.add(link.state)));
  await leads.hang(true);
  await browser.change();
  await browser.advance(kStaleMs + 1);
  assert.ok(states.has("lost"));
  allKnow(browser, rest);
  // When it moves again it knows all, too.
  await leads.hang(false);
  await browser.advance(kSilenceMs);
  await browser.change();
  allKnow(browser, browser.tabs);
});

test("one that comes beside a tab that stands still waits no longer than 5 s", async () => {
  const { browser } = await opened(1);
  await leaderOf(browser).hang(true);
  const comes = await browser.open();
  assert.equal(comes.state, "connecting");
  await browser.advance(kAnswerMs + 1);
  allKnow(browser, [comes]);
});

test("a network that fails shows in all tabs, and so does its return", async () => {
  const { browser, tabs } = await opened(3);
  for (const tab of tabs) await tab.setOffline(true);
  assert.deepEqual(tabs.map((tab) => tab.state), ["lost", "lost", "lost"]);
  await browser.change();
  await browser.advance(300_000, () => tabs.forEach((tab) => assert.notEqual(tab.state, "live")));
  for (const tab of tabs) await tab.setOffline(false);
  await browser.advance(60_000);
  allKnow(browser, tabs);
});

test("where only the tab that leads has no network, another leads", async () => {
  const { browser } = await opened(3);
  const leads = leaderOf(browser);
  const rest = others(browser);
  await leads.setOffline(true);
  await browser.change();
  await browser.advance(30_000);
  await browser.change();
  allKnow(browser, browser.tabs);
  assert.ok(rest.includes(leaderOf(browser)));
});

test("a daemon that stands still shows in all tabs in 30 s", async () => {
  const { browser, tabs } = await opened(3);
  browser.daemon.stand(true);
  await browser.advance(kStaleMs + 1);
  assert.deepEqual(tabs.map((tab) => tab.state), ["lost", "lost", "lost"]);
  browser.daemon.stand(false);
  await browser.change();
  await browser.advance(60_000);
  allKnow(browser, tabs);
});

test("tabs that come while the daemon stands still keep no other live", async () => {
  const { browser, tabs } = await opened(1);
  browser.daemon.stand(true);
  await browser.advance(kSilenceMs - 1000);
  await browser.open();
  await browser.advance(kLeaderFirstMs + 1001);
  assert.equal(tabs[0]?.state, "lost");
});

test("another daemon's state replaces the old one in all tabs", async () => {
  const { browser, tabs } = await opened(3);
  browser.daemon.restart();
  await browser.advance(3000);
  allKnow(browser, tabs);
  assert.deepEqual(tabs.map((tab) => tab.view.restarts), [1, 1, 1]);
  leaderOf(browser);
});

test("a tab of another session has a stream of its own, and nothing of it reaches others", async () => {
  const { browser, tabs } = await opened(2);
  const admin = await browser.open("admin");
  await browser.change();
  assert.equal(browser.streams.length, 2);
  assert.deepEqual([...tabs, admin].map((tab) => tab.view.hello?.tenant), ["t", "t", "admin"]);
  // A tab that gets other rights meanwhile leaves its session's stream to the others.
  const leads = browser.streams.find((tab) => tab !== admin) as Tab;
  leads.token = "admin";
  leads.live.again();
  await browser.advance(0);
  await browser.change();
  allKnow(browser, browser.tabs);
  assert.deepEqual(browser.tabs.map((tab) => tab.view.hello?.tenant), browser.tabs.map((tab) => tab.token));
  assert.equal(browser.streams.length, 2);
});

test("a tab whose session changes while it has no stream does not go on for the session of before", async () => {
  const { browser } = await opened(2);
  const leads = leaderOf(browser);
  await leads.setOffline(true);
  leads.token = "other";
  await leads.setOffline(false);
  await browser.advance(2500);
  await browser.change();
  allKnow(browser, browser.tabs);
  assert.deepEqual(browser.tabs.map((tab) => tab.view.hello?.tenant), browser.tabs.map((tab) => tab.token));
});

test("a tab whose session has ended leads no other", async () => {
  const { browser } = await opened(2);
  const leads = leaderOf(browser);
  leads.locked = true;
  leads.live.again();
  await browser.advance(0);
  assert.notEqual(leaderOf(browser), leads);
  await browser.change();
  allKnow(browser, others(browser).filter((tab) => tab !== leads));
});

test("a browser without locks or channels, or that refuses them, has a stream for each tab", async () => {
  for (const means of ["none", "refused"] as const) {
    const browser = new Browser();
    browser.means = means;
    const tabs = [await browser.open(), await browser.open()];
    await browser.change();
    allKnow(browser, tabs);
    assert.equal(browser.streams.length, 2, means);
  }
});

test("a page that was kept in the history comes back with what is true now", async () => {
  const { browser } = await opened(2);
  const leads = leaderOf(browser);
  leads.live.stop();
  await browser.advance(0);
  assert.notEqual(leaderOf(browser), leads);
  await browser.change();
  leads.live.shown();
  await browser.advance(0);
  allKnow(browser, browser.tabs);
});

function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

// Whatever happens, no tab shows as live what has not been true for 30 s, and in the end all are live and right.
async function anything(seed: number): Promise<void> {
  const random = randomOf(seed);
  const browser = new Browser(random);
  const replaced = new Map<number, number>(); // value -> when it was true last
  const see = (): void => void replaced.set(browser.daemon.value, browser.time);
  const pick = (): Tab | undefined => browser.tabs[Math.floor(random() * browser.tabs.length)];
  const look = (): void => {
    see();
    for (const tab of browser.tabs) {
      if (tab.state !== "live" || tab.hangs || tab.value === undefined) continue;
      const age = browser.time - (replaced.get(tab.value) ?? 0);
      assert.ok(age <= kStaleMs, `seed ${seed}: a tab shows as live what is ${age} ms old`);
    }
  };
  const acts: (() => Promise<void> | void)[] = [
    () => browser.change(),
    () => browser.change(),
    async () => void (browser.tabs.length < 5 && (await browser.open(random() < 0.8 ? "t" : "u"))),
    async () => pick()?.close(),
    async () => pick()?.crash(),
    async () => pick()?.hide(random() < 0.5),
    async () => pick()?.hang(random() < 0.4),
    async () => pick()?.setOffline(random() < 0.5),
    () => {
      const tab = pick();
      tab?.post(() => tab.live.again());
    },
    () => browser.daemon.stand(random() < 0.3),
    () => void (random() < 0.3 && browser.daemon.restart()),
  ];
  await browser.open();
  for (let i = 0; i < 60; ++i) {
    see();
    await acts[Math.floor(random() * acts.length)]?.();
    await browser.advance(Math.floor(random() ** 3 * 40_000) + 1, look);
  }
  browser.daemon.stand(false);
  for (const tab of browser.tabs) {
    await tab.hang(false);
    await tab.setOffline(false);
    await tab.hide(false);
  }
  await browser.advance(90_000);
  await browser.change();
  allKnow(browser, browser.tabs);
}

test("no tab shows as live what has not been true for 30 s, whatever happens to tabs and daemon", async () => {
  for (let seed = 1; seed <= 60; ++seed) await anything(seed);
});
