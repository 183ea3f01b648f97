// The settings of a chat: of all columns, or of one.
import { Field, NumberField } from "../parts/ui.tsx";
import type { Own, Settings } from "../state/columns.ts";
import { words } from "../words/en.ts";

const w = words.play;

// `usual`: what a field that is left empty means.
export function SettingsFields({ s, usual, set }: { s: Settings; usual: Settings; set: (change: Own) => void }) {
  return (
    <div class="settings">
      <Field label={w.system}>
        <input type="text" value={s.system} placeholder={w.systemHint} onInput={(e) => set({ system: e.currentTarget.value })} />
      </Field>
      <NumberField label={w.temperature} value={s.temperature} min={0} max={10} step={0.1} onChange={(v) => set({ temperature: v ?? usual.temperature })} />
      <NumberField label={w.maxTokens} value={s.maxTokens} min={1} max={1048576} onChange={(v) => set({ maxTokens: v ?? usual.maxTokens })} />
      <NumberField label={w.seed} value={s.seed} min={0} max={9007199254740991} placeholder={w.seedHint} onChange={(v) => set({ seed: v })} />
      <Field label={w.priority}>
        <select value={s.priority} onChange={(e) => set({ priority: e.currentTarget.value })}>
          <option value="">{w.priorityUsual}</option>
          {["critical", "high", "normal", "low"].map((c) => <option key={c} value={c}>{c}</option>)}
        </select>
      </Field>
    </div>
  );
}
