// @ts-check
// Below the values of an axis: the choices of its field by their names, as buttons that put them among the values or take them out.

import { block, button, choicesOf, element, nameOfField, nameOfValue, nameValues, say, shown } from "webui";

const LETTERS = ["x", "y", "z"];
const ALL = "*"; // all choices
const PRESET = "preset"; // what the checkpoint's preset says
const MOST = 60; // choices that are shown
const ITEM = /\s*(?:"((?:[^"]|"")*)"\s*|([^,\n]*))(?:[,\n]|$)/y;
const PLAIN = /^[^\s",*\d.+-][^",\n]*$/; // needs no quotes: no range, no number, no sign of its own

/** The values as they are typed: [text, as typed]; null where they cannot be read. @param {string} typed */
function items(typed) {
  const found = /** @type {[string, string][]} */ ([]);
  ITEM.lastIndex = 0;
  while (ITEM.lastIndex < typed.length) {
    const from = ITEM.lastIndex;
    const match = ITEM.exec(typed);
    if (!match || match[2]?.startsWith('"')) return null;
    const text = match[1]?.replaceAll('""', '"') ?? match[2].trim();
    if (text || match[1] !== undefined) found.push([text, typed.slice(from, ITEM.lastIndex).replace(/[,\n]$/, "").trim()]);
  }
  return found;
}

/** A choice as a value. @param {string} text */
const written = (text) => (PLAIN.test(text) && text !== PRESET ? text.trim() : `"${text.replaceAll('"', '""')}"`);

/** The choices of a field as [name, value as it is written]. @param {string} field @returns {[string, string][]} */
function offered(field) {
  const choices = choicesOf(field) ?? (typeof shown.get(field) === "boolean" ? [["", true], ["", false]] : []);
  return choices.slice(0, MOST).map(([, value]) => [
    value === "" ? say("extension.xyz_grid.preset") : nameOfValue(field, value),
    value === "" ? PRESET : typeof value === "boolean" ? String(value) : written(String(value)),
  ]);
}

/** @param {string} letter */
function draw(letter) {
  const control = block(`xyz_grid.${letter}_values`);
  if (!control) return;
  const field = String(shown.get(`xyz_grid.${letter}_field`) ?? "");
  const typed = String(shown.get(`xyz_grid.${letter}_values`) ?? "");
  const row = control.querySelector(".axis-choices") ?? element("div", "axis-choices");
  const choices = field ? offered(field) : [];
  const key = JSON.stringify([field, typed, choices]);
  if (row.dataset.key === key) return;
  row.dataset.key = key;
  const chosen = items(typed);
  const held = (value) => chosen?.some(([, one]) => one === value) ?? false;
  const put = (values) => shown.set(`xyz_grid.${letter}_values`, values.join(", "));
  const focused = row.contains(document.activeElement) ? [...row.children].indexOf(document.activeElement) : -1;
  const chip = ([name, value]) => {
    const on = held(value) || (held(ALL) && value !== PRESET);
    const one = button(name, () => {
      const others = (chosen ?? []).map(([, as]) => as).filter((as) => as !== value && (value === ALL ? as === PRESET : as !== ALL));
      put(held(value) ? others : [...others, value]);
    });
    one.setAttribute("aria-pressed", String(on));
    one.title = value;
    return one;
  };
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", say("extension.xyz_grid.choices", { field: nameOfField(field) }));
  row.hidden = !choices.length;
  row.replaceChildren(...(choices.length ? [...choices, [say("extension.xyz_grid.all"), ALL]].map(chip) : []));
  /** @type {HTMLElement | undefined} */ (row.children[focused])?.focus();
  if (!row.isConnected) control.append(row);
}

/** What is typed as the values of an axis, with choices by their names. */
function readable(field, typed) {
  const names = new Map(field ? offered(field).map(([name, value]) => [value, name]) : []);
  const values = names.size ? items(typed) : null;
  return values ? values.map(([, one]) => names.get(one) ?? (one === ALL ? say("extension.xyz_grid.all") : one)).join(", ") : typed;
}

for (const letter of LETTERS) nameValues(`xyz_grid.${letter}_values`, (typed, get) => readable(get(`xyz_grid.${letter}_field`), String(typed)));
shown.watch(() => LETTERS.forEach(draw));
// Gradio draws what is in the fold when it is opened.
document.addEventListener("click", ({ target }) => {
  const fold = /** @type {Element | null} */ (target instanceof Element ? target : null)?.closest("#extension-xyz_grid");
  if (fold && !fold.querySelector(".axis-choices")) requestAnimationFrame(() => setTimeout(() => LETTERS.forEach(draw), 0));
});
