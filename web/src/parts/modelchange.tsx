// Changes of a model that are made while it runs: its class and shares, how many replicas it has, and a copy of it.
import { useSignal } from "@preact/signals";
import { ApiError, send } from "../net/api.ts";
import { isLive } from "../net/live.ts";
import type { ModelRow } from "../net/wire.ts";
import { visible, visibleLine } from "../safe/visible.ts";
import { words } from "../words/en.ts";
import { Button, Dialog, Field, Note, NumberField } from "./ui.tsx";

const w = words.models;

export function ModelChange({ m, onClose }: { m: ModelRow; onClose: () => void }) {
  const priority = useSignal<string>(m.priority);
  const shares = useSignal(m.shares);
  const replicas = useSignal(m.replicas ?? 1);
  const copy = useSignal("");
  const busy = useSignal(false);
  const error = useSignal("");
  const done = useSignal("");

  const act = (action: string, body: Record<string, unknown>, said: string): void => {
    busy.value = true;
    error.value = "";
    done.value = "";
    send("POST", `/choir/v1/models/${encodeURIComponent(m.name)}/${action}`, body)
      .then(() => (done.value = said), (e: unknown) => (error.value = e instanceof ApiError ? e.message : String(e)))
      .finally(() => (busy.value = false));
  };
  const off = busy.value || !isLive();
  return (
    <Dialog title={w.changeTitle(visibleLine(m.name))} onClose={onClose}>
      <form class="change" onSubmit={(e) => {
        e.preventDefault();
        act("update", { priority: priority.value, shares: shares.value }, w.changed);
      }}>
        <Field label={w.classWord}>
          <select value={priority.value} onChange={(e) => (priority.value = e.currentTarget.value)}>
            {["critical", "high", "normal", "low"].map((c) => <option key={c} value={c}>{c}</option>)}
          </select>
        </Field>
        <NumberField label={w.shares} value={shares.value} min={0.001} max={1000} step="any" onChange={(v) => (shares.value = v ?? m.shares)} />
        <button type="submit" class="button small" disabled={off}><span>{w.change}</span></button>
      </form>
      <p class="hint">{w.sharesHint}</p>
      {m.replica_of === undefined ? (
        <>
          <form class="change" onSubmit={(e) => {
            e.preventDefault();
            act("replicas", { count: replicas.value }, w.replicasNow(replicas.value));
          }}>
            <NumberField label={w.replicas} value={replicas.value} min={1} max={64} onChange={(v) => (replicas.value = v ?? 1)} />
            <button type="submit" class="button small" disabled={off}><span>{w.change}</span></button>
          </form>
          <p class="hint">{w.replicasHint}</p>
        </>
      ) : null}
      <form class="change" onSubmit={(e) => {
        e.preventDefault();
        act("clone", { name: copy.value.trim() }, w.cloned(visibleLine(copy.value.trim())));
      }}>
        <Field label={w.cloneName}><input type="text" required value={copy.value} onInput={(e) => (copy.value = e.currentTarget.value)} /></Field>
        <button type="submit" class="button small" disabled={off}><span>{w.clone}</span></button>
      </form>
      <p class="hint">{w.cloneHint}</p>
      {error.value ? <Note kind="error">{visible(error.value)}</Note> : null}
      {done.value ? <Note kind="info">{done.value}</Note> : null}
      <div class="row actions"><Button label={words.close} onClick={onClose} /></div>
    </Dialog>
  );
}
