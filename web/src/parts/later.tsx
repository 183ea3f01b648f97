// Views that are not in sight at first: their scripts are fetched when they are wanted, or soon after the page has come, so
// that they are there though the daemon is gone by then.
import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";
import { link } from "../net/live.ts";

const kSoonMs = 3000;

export function later(load: () => Promise<ComponentType>): ComponentType {
  const view = signal<ComponentType | null>(null);
  let loading = false;
  const fetchIt = (): void => {
    if (loading) return;
    loading = true;
    load().then((made) => (view.value = made), () => undefined).finally(() => (loading = false));
  };
  setTimeout(() => document.hidden || fetchIt(), kSoonMs); // a page that nobody sees asks for nothing
  return function Later() {
    const alive = link.value.state; // where it could not be had, it is asked for again once the daemon answers
    useEffect(() => {
      if (!view.peek()) fetchIt();
    }, [alive]);
    const View = view.value;
    return View ? <View /> : <div class="view" aria-busy="true" />;
  };
}
