import { render } from "preact";
import { App } from "./app.tsx";
import { shareSession, takeCode } from "./net/api.ts";
import { watchKeys } from "./state/keys.ts";
import { testLanguage, watchPrefs } from "./state/prefs.ts";
import { watchRoute } from "./state/route.ts";
import { live } from "./state/store.ts";
import { words } from "./words/en.ts";

function start(): void {
  watchPrefs();
  watchKeys();
  const root = document.getElementById("root");
  if (!root) return;
  watchRoute();
  render(<App />, root);
  shareSession(() => live.again());
  // A link that is opened in a page that is there already.
  window.addEventListener("hashchange", () => {
    if (location.hash.startsWith("#code=")) void takeCode().then(() => live.again());
  });
}

if (testLanguage === "en-XB") document.documentElement.dir = "rtl";
if (testLanguage === "en-XA") {
  void import("./words/pseudo.ts").then(({ translate }) => {
    translate(words);
    start();
  });
} else {
  start();
}
