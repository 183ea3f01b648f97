import { render } from "preact";
import { App } from "./app.tsx";
import { takeCode } from "./net/api.ts";
import { watchKeys } from "./state/keys.ts";
import { watchPrefs } from "./state/prefs.ts";
import { watchRoute } from "./state/route.ts";
import { live } from "./state/store.ts";

watchPrefs();
watchKeys();
const root = document.getElementById("root");
if (root) {
  watchRoute();
  render(<App />, root);
  // A link that is opened in a page that is there already.
  window.addEventListener("hashchange", () => {
    if (location.hash.startsWith("#code=")) void takeCode().then(() => live.again());
  });
}
