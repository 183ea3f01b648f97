// Keys without a modifier. They act unless a person types, or has switched them off.
import { letterKeys } from "./prefs.ts";

type Act = () => void;
const acts = new Map<string, Act>();

// Returns what takes it away again.
export function onKey(key: string, act: Act): () => void {
  acts.set(key, act);
  return () => {
    if (acts.get(key) === act) acts.delete(key);
  };
}

function types(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable], dialog[open]") !== null;
}

export function watchKeys(): void {
  let before = "";
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || types(event.target)) return;
    if (!letterKeys.value) return;
    // Space presses a button that has the focus.
    if (event.key === " " && event.target instanceof HTMLElement && event.target.closest("button, summary, a")) return;
    const act = acts.get(before === "g" ? `g ${event.key}` : event.key);
    before = event.key === "g" ? "g" : "";
    if (!act) return;
    event.preventDefault();
    act();
  });
}
