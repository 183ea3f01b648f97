// What a person has chosen for this browser. No secret is among it.
import { effect, signal } from "@preact/signals";

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
// Columns of the table of requests that are left out.
export const hiddenColumns = signal<readonly string[]>(read("choir.columns.hidden", "id,reused").split(",").filter(Boolean));
// For tests of the layout: "en-XA" has longer words, "en-XB" turns the page around. No part of the page sets it.
export const testLanguage = read("choir.language", "");

export function watchPrefs(): void {
  effect(() => {
    document.documentElement.dataset["theme"] = theme.value;
    keep("choir.theme", theme.value);
  });
  effect(() => keep("choir.columns.hidden", hiddenColumns.value.join(",")));
  effect(() => keep("choir.keys", letterKeys.value ? "on" : "off"));
  const motion = matchMedia("(prefers-reduced-motion: reduce)");
  const look = (): void => {
    reducedMotion.value = motion.matches;
  };
  motion.addEventListener("change", look);
  look();
}
