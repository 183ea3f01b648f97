// What the fields for messages have in common.
import { useLayoutEffect } from "preact/hooks";

// A field as high as its text, within limits.
export function useGrowing(field: { current: HTMLTextAreaElement | null }, text: string): void {
  useLayoutEffect(() => {
    const area = field.current;
    if (!area) return;
    area.style.height = "auto";
    area.style.height = `${Math.min(160, area.scrollHeight + 2)}px`;
  }, [text]);
}

export const isSent = (e: KeyboardEvent): boolean => e.key === "Enter" && !e.isComposing && !e.shiftKey;
