// Which view is in sight. It stands behind '#', so that the daemon serves one page. Pure but for `route`.
import { signal } from "@preact/signals";

export const kViews = ["play", "ensemble", "models", "requests"] as const;
export type ViewName = (typeof kViews)[number];

export interface Route {
  view: ViewName | ""; // "": none is asked for
  rest: string[];
  prompt: string; // ?q= fills the field and is never sent by itself
}

export function routeOf(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [name = "", ...rest] = path.split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return "";
    }
  });
  const view = (kViews as readonly string[]).includes(name) ? (name as ViewName) : "";
  return { view, rest, prompt: (new URLSearchParams(query).get("q") ?? "").slice(0, 8000) };
}

export const route = signal<Route>({ view: "", rest: [], prompt: "" });

export function watchRoute(): void {
  const read = (): void => {
    route.value = routeOf(location.hash);
  };
  window.addEventListener("hashchange", read);
  read();
}

export const goTo = (path: string): void => {
  location.hash = `#/${path}`;
};
