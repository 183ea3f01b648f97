// What a person has chosen for this browser. No secret is among it.
import { computed, effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

function read(name: string, otherwise: string): string {
  try {
    return localStorage.getItem(name) ?? otherwise;
  } catch {
    return otherwise; // a browser that stores nothing
  }
}

function keep(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // It holds for this page, then.
  }
}

const stored = read("choir.theme", "system");
export const theme = signal<Theme>(stored === "light" || stored === "dark" ? stored : "system");
export const isDark = (): boolean => theme.value === "dark" || (theme.value === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
export const letterKeys = signal(read("choir.keys", "on") === "on");
export const reducedMotion = signal(false);
// The page is as narrow as the style sheet has it: rows of requests are cards.
export const narrow = signal(false);
// Columns of the table of requests that are left out; a narrow page has a choice of its own.
const kHidden = { wide: "choir.columns.hidden", narrow: "choir.columns.hidden.narrow" } as const;
const list = (name: string, otherwise: string): readonly string[] => read(name, otherwise).split(",").filter(Boolean);
const hidden = {
  wide: signal(list(kHidden.wide, "id,reused")),
  narrow: signal(list(kHidden.narrow, "id,tenant,class,reused")),
};
const choice = computed(() => (narrow.value ? hidden.narrow : hidden.wide));
export const hiddenColumns = computed(() => choice.value.value);
export const hideColumns = (keys: readonly string[]): void => {
  choice.peek().value = keys;
};
// For tests of the layout: "en-XA" has longer words, "en-XB" turns the page around. No part of the page sets it.
export const testLanguage = read("choir.language", "");

export function watchPrefs(): void {
  effect(() => {
    document.documentElement.dataset["theme"] = theme.value;
    keep("choir.theme", theme.value);
  });
  for (const width of ["wide", "narrow"] as const) effect(() => keep(kHidden[width], hidden[width].value.join(",")));
  effect(() => keep("choir.keys", letterKeys.value ? "on" : "off"));
  for (const [query, target] of [["(prefers-reduced-motion: reduce)", reducedMotion], ["(max-width: 47.5em)", narrow]] as const) {
    const known = matchMedia(query);
    const look = (): void => {
      target.value = known.matches;
    };
    known.addEventListener("change", look);
    look();
  }
}
