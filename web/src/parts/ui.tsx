// Small parts that all views use.
import { signal, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { kPatterns } from "../draw/pattern.ts";
import { kColours } from "../state/models.ts";
import { lookOf } from "../state/store.ts";
import { visibleLine } from "../safe/visible.ts";
import { words } from "../words/en.ts";

const kIcons: Record<string, string> = {
  play: "M4 5.5h16v10H9l-5 4z",
  ensemble: "M3 6h7M13 6h8M3 12h3M9 12h12M3 18h10M16 18h5",
  models: "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
  requests: "M4 6h16M4 12h16M4 18h10",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  check: "M5 12.5l4.5 4.5L19 7",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 017 0v3",
  keyboard: "M3 7h18v10H3zM7 11h0M11 11h0M15 11h0M8 14h8",
  pause: "M9 6v12M15 6v12",
  go: "M8 5l11 7-11 7z",
  pin: "M9 3h6l-1 7 3 3H7l3-3zM12 13v8",
  settings: "M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4",
  more: "M5 12h0.01M12 12h0.01M19 12h0.01",
  fill: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  columns: "M4 4h16v16H4zM9.5 4v16M14.5 4v16",
  edit: "M4 20l1-4.5L16 4.5l3.5 3.5-11 11zM13.5 7l3.5 3.5",
  down: "M12 4v11M7 11l5 5 5-5M5 20h14",
};

export function Icon({ name }: { name: string }) {
  return (
    <svg class={`icon i-${name}`} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={kIcons[name] ?? ""} />
    </svg>
  );
}

// The name of a model, a tenant or a file: isolated, so that its marks change nothing around it.
export function Name({ text }: { text: string }) {
  return <bdi class="name">{visibleLine(text)}</bdi>;
}

export function Letter({ model }: { model: string }) {
  const look = lookOf(model);
  return (
    <span class={`letter p${look.colour % kPatterns}`} aria-hidden="true" style={{ backgroundColor: kColours[look.colour] ?? "" }}>
      {look.letter}
    </span>
  );
}

export function Model({ name }: { name: string }) {
  return (
    <span class="model">
      <Letter model={name} />
      <Name text={name} />
    </span>
  );
}

export function Button(props: {
  label: ComponentChildren;
  onClick: () => void;
  kind?: "plain" | "primary" | "danger" | "quiet";
  icon?: string;
  disabled?: boolean;
  title?: string;
  small?: boolean;
  expanded?: boolean; // it shows and hides something
}) {
  return (
    <button
      type="button"
      class={`button ${props.kind ?? "plain"}${props.small ? " small" : ""}`}
      disabled={props.disabled ?? false}
      onClick={props.onClick}
      {...(props.title ? { title: props.title } : {})}
      {...(props.expanded === undefined ? {} : { "aria-expanded": props.expanded })}
    >
      {props.icon ? <Icon name={props.icon} /> : null}
      <span>{props.label}</span>
    </button>
  );
}

export function IconButton(props: { icon: string; label: string; onClick: () => void; disabled?: boolean; pressed?: boolean; class?: string }) {
  return (
    <button
      type="button"
      class={`iconbutton ${props.class ?? ""}`}
      aria-label={props.label}
      title={props.label}
      disabled={props.disabled ?? false}
      onClick={props.onClick}
      {...(props.pressed === undefined ? {} : { "aria-pressed": props.pressed })}
    >
      <Icon name={props.icon} />
    </button>
  );
}

export function CopyButton({ text, label, small }: { text: () => string; label: string; small?: boolean }) {
  const done = useSignal(false);
  const copy = (): void => {
    navigator.clipboard.writeText(text()).then(
      () => {
        done.value = true;
        announce(words.copied);
        setTimeout(() => (done.value = false), 1500);
      },
      () => undefined, // the browser did not allow it
    );
  };
  return small ? (
    <IconButton icon={done.value ? "check" : "copy"} label={label} onClick={copy} />
  ) : (
    <Button icon={done.value ? "check" : "copy"} label={done.value ? words.copied : label} onClick={copy} small />
  );
}

// Where what has the focus inside of `box` goes away, the box gets it (its tabIndex is -1), so that the next Tab goes on there.
export function useKeptFocus(box: { current: HTMLElement | null }): void {
  const inside = box.current?.contains(document.activeElement) ?? false; // before what is drawn now
  useLayoutEffect(() => {
    if (inside && document.activeElement === document.body) box.current?.focus();
  });
}

// One of a few.
export function Choice<T extends string>(props: { label: string; name: string; value: T; of: readonly (readonly [T, string])[]; onChange: (value: T) => void }) {
  return (
    <div class="choice" role="radiogroup" aria-label={props.label}>
      {props.of.map(([value, label]) => (
        <label key={value} class={value === props.value ? "on" : ""}>
          <input type="radio" name={props.name} value={value} checked={value === props.value} onChange={() => props.onChange(value)} />
          <span>{label}</span>
        </label>
      ))}
    </div>
  );
}

export interface Part {
  label: string;
  value: number;
  class: string;
  colour?: string;
}

// Parts of a whole beside each other. What it says stands beside it in words.
export function StackedBar({ parts, of, label }: { parts: Part[]; of: number; label: string }) {
  return (
    <div class="stack" role="img" aria-label={label}>
      {parts.filter((p) => p.value > 0).map((p, i) => (
        <span
          key={i}
          class={p.class}
          title={p.label}
          style={{ width: `${of > 0 ? Math.min(100, (100 * p.value) / of) : 0}%`, ...(p.colour ? { backgroundColor: p.colour } : {}) }}
        />
      ))}
    </div>
  );
}

export function Bar({ value, of, label, colour }: { value: number; of: number; label: string; colour?: string }) {
  const percent = of > 0 ? Math.max(0, Math.min(100, (100 * value) / of)) : 0;
  return (
    <div class="bar" role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(percent)}>
      <span style={{ width: `${percent}%`, ...(colour ? { backgroundColor: colour } : {}) }} />
    </div>
  );
}

export function Field({ label, hint, children }: { label: string; hint?: string; children: ComponentChildren }) {
  return (
    <label class="field">
      <span class="label">
        {label}
        {hint ? <span class="hint"> {hint}</span> : null}
      </span>
      {children}
    </label>
  );
}

export function NumberField(props: { label: string; hint?: string; value: number | null; min: number; max: number; step?: number | "any"; placeholder?: string; onChange: (value: number | null) => void }) {
  // What is typed and not taken yet stays, whatever is drawn meanwhile.
  const typed = useSignal<string | null>(null);
  return (
    <Field label={props.label} {...(props.hint ? { hint: props.hint } : {})}>
      <input
        type="number"
        min={props.min}
        max={props.max}
        step={props.step ?? 1}
        placeholder={props.placeholder ?? ""}
        value={typed.value ?? props.value ?? ""}
        onInput={(event) => (typed.value = event.currentTarget.value)}
        onBlur={() => (typed.value = null)}
        onChange={(event) => {
          typed.value = null;
          const value = event.currentTarget.value === "" ? null : Number(event.currentTarget.value);
          props.onChange(value === null || !Number.isFinite(value) ? null : Math.max(props.min, Math.min(props.max, value)));
        }}
      />
    </Field>
  );
}

// `stays`: it has no way out but what is in it.
export function Dialog(props: { title: string; onClose: () => void; stays?: boolean; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    const before = document.activeElement;
    if (dialog && !dialog.open) dialog.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  // A browser closes a dialog at the second Escape, whatever the page says to the first.
  const closed = (): void => {
    if (props.stays) ref.current?.showModal();
    else props.onClose();
  };
  return (
    <dialog ref={ref} onClose={closed} onCancel={(e) => props.stays && e.preventDefault()} aria-label={props.title}>
      <header>
        <h2>{props.title}</h2>
        {props.stays ? null : <IconButton icon="close" label={words.close} onClick={() => ref.current?.close()} />}
      </header>
      <div class="body">{props.children}</div>
    </dialog>
  );
}

export function Note({ kind, children }: { kind: "error" | "info"; children: ComponentChildren }) {
  return (
    <p class={`note ${kind}`} role={kind === "error" ? "alert" : "status"}>
      {children}
    </p>
  );
}

export function Empty({ title, hint, children }: { title: string; hint?: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="title">{title}</p>
      {hint ? <p>{hint}</p> : null}
      {children}
    </div>
  );
}

// ---- what a screen reader is told ---------------------------------------------------------------

export const announcement = signal("");
let queued: string[] = [];
let announcing = 0;
const kTogether = 4; // what is longer, nobody listens to

// At most every 2 s; what comes meanwhile is said together, of many the last ones.
export function announce(text: string): void {
  queued = [...queued, text].slice(-kTogether);
  if (announcing) return;
  const say = (): void => {
    announcement.value = queued.join(" ");
    queued = [];
    announcing = window.setTimeout(() => {
      announcing = 0;
      if (queued.length > 0) say();
    }, 2000);
  };
  say();
}
