// A chat with columns: one is stopped while the others go on.
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
    await tab.getByRole("button", { name: "Stop second only" }).click();
    const answer = (name) => tab.locator(`.column[aria-label="${name}"] .answer`);
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

await cases({ "one column is stopped": oneColumnIsStopped });
