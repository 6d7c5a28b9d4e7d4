// @ts-check
// What the controls show: Gradio tells of every change, and here it is compared with the preset, kept as a draft, taken back.

import { showNotice } from "./notice.js";
import { say } from "./strings.js";

const DRAFT = "tdw.draft"; // of this tab, so that a reload loses nothing that was typed
const draft = JSON.parse(sessionStorage.getItem(DRAFT) ?? "null");

class Shown {
  values = []; // in the order of `preset`; empty until the page was drawn
  watchers = new Set();
  drawn = new Promise((resolve) => (this.ready = resolve)); // until then Gradio may take nothing, or the draft come in between

  /** [path, what the checkpoint's preset shows] of every control, in the order of the values. */
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

  /** Calls `look` with this after every change, and at once if the page was drawn. */
  watch(look) {
    this.watchers.add(look);
    if (this.values.length) look(this);
  }

  /** Marks what differs from the preset, and the folds that hide such a control. */
  mark() {
    const folds = new Map();
    this.preset.forEach(([path, standard], index) => {
      const block = document.getElementById(`field-${path.replaceAll(".", "-")}`);
      if (!block || block.closest("#writing, #top") || index >= this.values.length) return;
      const changed = JSON.stringify(this.values[index]) !== JSON.stringify(standard);
      block.toggleAttribute("data-changed", changed);
      block.dataset.standard = standard === "" ? say("page.empty") : String(standard);
      const fold = block.closest(".fold");
      if (fold) folds.set(fold, folds.get(fold) || changed);
    });
    for (const [fold, changed] of folds) {
      if (changed) fold.dataset.changed = say("page.changed");
      else delete fold.dataset.changed;
    }
  }

  /** All controls show these values. */
  put(values) {
    window.tdw.raw = values;
    document.querySelector("#put").click();
  }

  /** One control shows this value; the others stay. */
  set(path, value) {
    this.put(this.values.map((old, index) => (this.preset[index][0] === path ? value : old)));
  }

  /** Tells what was done to the controls, with the way back to what they show now. */
  undoable(sentence) {
    const before = [...this.values];
    showNotice({ sentence, undo: before.length ? () => this.put(before) : undefined });
  }

  /** What was in the controls of this tab before it was reloaded, if they still are the same controls. */
  redraft() {
    const paths = JSON.stringify(this.preset.map(([path]) => path));
    if (draft?.paths === paths && JSON.stringify(draft.values) !== JSON.stringify(this.values)) this.put(draft.values);
    this.ready();
  }

  keepDraft() {
    if (!this.values.length) return;
    const paths = JSON.stringify(this.preset.map(([path]) => path));
    sessionStorage.setItem(DRAFT, JSON.stringify({ paths, values: this.values }));
  }
}

export const shown = new Shown();
addEventListener("pagehide", () => shown.keepDraft());
