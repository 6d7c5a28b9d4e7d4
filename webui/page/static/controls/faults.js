// @ts-check
// Marks the controls that the reason names why nothing can be made, and the folds that they are in, until it is mended.

import { block, foldOf, foldFor } from "../base/gradio.js";
import { say } from "../base/strings.js";
import { shown } from "../base/shown.js";
import { plan } from "./plan.js";

/** The fields that a sentence of the server names: by their labels ("Length: ..."), or by their names ("length"). Of several those that
 *  differ from the preset. @param {string} sentence @returns {string[]} */
function named(sentence) {
  const [, extension] = /^([a-z]\w*): /.exec(sentence) ?? [];
  const fields = shown.preset.map(([path, standard], index) => ({ path, changed: JSON.stringify(shown.values[index]) !== JSON.stringify(standard) }));
  const mine = fields.filter(({ path }) => path.startsWith(`${extension}.`));
  const labels = document.querySelector("tdw-canvas")?.labels ?? {};
  const among = mine.length ? mine : fields;
  const found = [
    among.filter(({ path }) => sentence.includes(`${label(path, labels)}: `)),
    among.filter(({ path }) => new RegExp(`(?<![\\w.])${path.replace(".", "\\.")}(?![\\w.]*\\w)`).test(sentence)),
    mine,
  ].find((some) => some.length) ?? [];
  const changed = found.filter((one) => one.changed);
  return (changed.length ? changed : found).map(({ path }) => path);
}

/** A field's label in the page's language, as the server says it. */
function label(path, labels) {
  const key = `field.${path}.label`;
  return say(key) === key ? labels[path]?.[0] ?? path : say(key);
}

function mark() {
  const paths = new Set(plan.error ? named(plan.error) : []);
  const folds = new Set();
  for (const [path] of shown.preset) {
    const control = block(path);
    const faulty = paths.has(path);
    control?.toggleAttribute("data-fault", faulty);
    for (const input of control?.querySelectorAll("input, textarea") ?? []) faulty ? input.setAttribute("aria-invalid", "true") : input.removeAttribute("aria-invalid");
    const fold = faulty && (control ? foldOf(control) : foldFor(path));
    if (fold) folds.add(fold);
  }
  for (const fold of document.querySelectorAll(".fold")) fold.toggleAttribute("data-fault", folds.has(fold));
}

plan.addEventListener("change", mark);
