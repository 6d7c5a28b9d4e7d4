// @ts-check
// The values of the controls: compared with the preset, stored as a draft, restored by Undo.

import { block, foldFor, foldOf } from "./gradio.js";
import { nameOfValue } from "./names.js";
import { showNotice } from "./notice.js";
import { say } from "./strings.js";

const DRAFT = "tdw.draft"; // values by path, of this tab: a reload loses nothing that was typed
const draft = byPath(JSON.parse(sessionStorage.getItem(DRAFT) ?? "{}"));

/** A draft as values by path; earlier versions stored {paths, values}. */
function byPath(stored) {
  if (typeof stored.paths !== "string") return stored;
  return Object.fromEntries(JSON.parse(stored.paths).map((path, index) => [path, stored.values[index]]));
}

class Shown {
  values = []; // in the order of `preset`; empty until the page is drawn
  watchers = new Set();
  drawn = new Promise((resolve) => (this.ready = resolve)); // before that Gradio takes no values, or the draft overwrites them

  /** The presets that the checkpoint offers under a name. @returns {Record<string, object>} */
  get offered() {
    return JSON.parse(document.querySelector("#guide .preset")?.dataset.presets ?? "{}");
  }

  /** [path, the preset's value, ...former paths] of every control, in the order of `values`. */
  get preset() {
    return JSON.parse(document.querySelector("#guide .preset")?.dataset.values ?? "[]");
  }

  /** The value of a field ("steps", "<extension>.<option>"), as its control shows it. */
  get(path) {
    return this.values[this.preset.findIndex(([name]) => name === path)];
  }

  /** The controls changed. */
  take(values) {
    this.values = values;
    this.mark();
    for (const look of this.watchers) look(this);
  }

  /** Calls `look` with this after every change, and now if the page is drawn. */
  watch(look) {
    this.watchers.add(look);
    if (this.values.length) look(this);
  }

  /** Marks the controls that differ from the preset, and the folds around them. */
  mark() {
    const folds = new Map();
    this.preset.forEach(([path, standard], index) => {
      const control = block(path);
      if (control?.closest("#writing, #top") || index >= this.values.length) return;
      const changed = JSON.stringify(this.values[index]) !== JSON.stringify(standard);
      control?.toggleAttribute("data-changed", changed);
      if (control) control.dataset.standard = nameOfValue(path, standard);
      const fold = control ? foldOf(control) : foldFor(path); // Gradio draws what is in a fold when it is opened
      if (fold) folds.set(fold, (folds.get(fold) ?? 0) + Number(changed));
    });
    for (const [fold, changed] of folds) {
      fold.toggleAttribute("data-changed", changed > 0);
      const name = fold.querySelector(":scope > button > span");
      if (name && changed) name.dataset.changed = say("page.changed", { count: changed });
      else name?.removeAttribute("data-changed");
    }
  }

  /** Shows these values in all controls. */
  put(values) {
    window.tdw.raw = values;
    document.querySelector("#put").click();
  }

  /** Shows a value in one control. */
  set(path, value) {
    this.put(this.values.map((old, index) => (this.preset[index][0] === path ? value : old)));
  }

  /** Shows a notice about a change of the controls, with an Undo to their current values. */
  undoable(sentence) {
    const before = [...this.values];
    showNotice({ sentence, undo: before.length ? () => this.put(before) : undefined });
  }

  /** Restores what the controls showed before this tab was reloaded. */
  restoreDraft() {
    const values = this.preset.map(([path, , ...former], index) => {
      const name = [path, ...former].find((one) => one in draft);
      return name === undefined ? this.values[index] : draft[name];
    });
    if (JSON.stringify(values) !== JSON.stringify(this.values)) this.put(values);
    this.ready();
  }

  keepDraft() {
    if (!this.values.length) return;
    const values = this.preset.map(([path], index) => [path, this.values[index]]);
    sessionStorage.setItem(DRAFT, JSON.stringify(Object.fromEntries(values)));
  }
}

export const shown = new Shown();
addEventListener("pagehide", () => shown.keepDraft());
