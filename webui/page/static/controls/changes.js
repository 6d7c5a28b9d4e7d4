// @ts-check
// The controls that differ from the preset: their names and values for people, and Reset, which shows them first.

import { foldOf, foldFor, block } from "../base/gradio.js";
import { nameOfField, nameOfValue } from "../base/names.js";
import { showNotice } from "../base/notice.js";
import { element } from "../base/parts.js";
import { confirmed } from "../base/popover.js";
import { shown } from "../base/shown.js";
import { say } from "../base/strings.js";

const LONGEST = 32; // characters of a value
const NEVER = ["model", "unknown", "canvas"]; // no parameters

/**
 * A control that differs from the preset; `whole` is its value uncut. `fold`: the fold that it is in, or null.
 * @typedef {{path: string, label: string, value: string, whole: string, standard: string, fold: HTMLElement | null}} Change
 */

/** Every control that differs from the preset, but for the prompts. @returns {Change[]} */
export function changes() {
  const found = [];
  shown.preset.forEach(([path, standard], index) => {
    const now = shown.values[index];
    if (NEVER.includes(path) || index >= shown.values.length || JSON.stringify(now) === JSON.stringify(standard)) return;
    const control = block(path);
    if (control?.closest("#writing")) return;
    const fold = control ? foldOf(control) : foldFor(path);
    found.push({ path, label: nameOfField(path), value: cut(written(now, path)), whole: written(now, path), standard: cut(written(standard, path)), fold });
  });
  return found;
}

/** A control's value for people. */
function written(value, path) {
  const text = nameOfValue(path, value, (other) => shown.get(other)).trim().replace(/\s+/g, " ");
  return text || say("page.empty");
}

/** The beginning of a value, whole characters of it. */
function cut(text) {
  const signs = [...text];
  return signs.length > LONGEST ? `${signs.slice(0, LONGEST).join("")}…` : text;
}

/** Shows the preset in every control but the prompts, which Undo takes back. */
export function reset() {
  const paths = new Map(changes().map(({ path }) => [path, true]));
  if (!paths.size) return;
  const values = shown.preset.map(([path, standard], index) => (paths.has(path) ? standard : shown.values[index]));
  shown.undoable(say("page.was_reset"));
  shown.put(values);
}

/** The same after a question that lists what changes. */
export async function askReset() {
  const found = changes();
  if (!found.length) return showNotice({ sentence: say("page.nothing_to_reset") });
  const list = element("dl", "changes");
  for (const { label, value, standard } of found) {
    list.append(element("dt", "", element("bdi", "", label)), element("dd", "", element("del", "", element("bdi", "", value)), " ", element("ins", "", element("bdi", "", standard))));
  }
  if (await confirmed(say("page.reset_sure"), say("page.reset_yes"), say("page.reset_no"), list)) reset();
}
