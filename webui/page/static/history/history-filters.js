// @ts-check
// Search and filters of the history: plain strings, shown as a search box and a row of controls.

import { nameOfExtension } from "../base/names.js";
import { button, element } from "../base/parts.js";
import { formatNumber, say } from "../base/strings.js";

const PAUSE = 180; // ms after the last key until the search starts
export const NONE = Object.freeze({ search: "", checkpoint: "", extension: "", favourite: false, since: "", until: "" });

export class Filters {
  /** `changed(state)` is called after a change by the user; while typing, after a pause. */
  constructor(changed) {
    this.changed = changed;
    this.state = { ...NONE };
    this.box = element("input", "history-search");
    Object.assign(this.box, { type: "search", placeholder: say("history.search"), autocomplete: "off", spellcheck: false, dir: "auto", maxLength: 500 });
    this.box.setAttribute("aria-label", say("history.search"));
    this.box.setAttribute("aria-keyshortcuts", "/");
    this.box.addEventListener("input", () => this.typed());
    this.favourite = button(say("history.favourites"), () => this.put({ favourite: !this.state.favourite }));
    this.checkpoint = this.select("checkpoint", say("history.checkpoint.any"));
    this.extension = this.select("extension", say("history.extension.any"));
    this.since = this.date("since", say("history.since"));
    this.until = this.date("until", say("history.until"));
    this.dates = element("div", "history-dates", this.since.parentNode, this.until.parentNode);
    this.dates.hidden = true;
    this.when = button(say("history.dates"), () => this.unfold(this.dates.hidden));
    this.favourite.className = this.when.className = "history-chip";
    this.favourite.classList.add("history-chip-favourite");
    const line = element("div", "history-chips", this.favourite, this.checkpoint.parentNode, this.extension.parentNode, this.when);
    this.node = element("search", "history-filters", this.box, line, this.dates);
    this.show();
  }

  /** Shows a state; `changed` is not called. */
  set(state) {
    clearTimeout(this.pause);
    this.state = { ...NONE, ...state };
    if (this.state.since || this.state.until) this.unfold(true);
    this.show();
  }

  /** The choices, as {name: count}. */
  offer({ checkpoints = {}, extensions = {} }) {
    this.fill(this.checkpoint, checkpoints, this.state.checkpoint);
    this.fill(this.extension, extensions, this.state.extension);
  }

  get any() {
    return Object.values(this.state).some(Boolean);
  }

  clear() {
    this.set(NONE);
    this.unfold(false);
    this.changed(this.state);
  }

  put(change) {
    clearTimeout(this.pause);
    this.state = { ...this.state, search: this.box.value.trim(), ...change };
    this.show();
    this.changed(this.state);
  }

  typed() {
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.put({}), PAUSE);
  }

  show() {
    if (this.box.value.trim() !== this.state.search) this.box.value = this.state.search;
    this.favourite.setAttribute("aria-pressed", String(this.state.favourite));
    for (const name of ["checkpoint", "extension"]) {
      const select = this[name];
      if (this.state[name] && select.value !== this.state[name]) this.fill(select, { [this.state[name]]: null }, this.state[name]);
      select.value = this.state[name];
      select.parentNode.classList.toggle("set", Boolean(this.state[name]));
    }
    for (const name of ["since", "until"]) this[name].value = this.state[name];
    this.when.classList.toggle("set", Boolean(this.state.since || this.state.until));
  }

  unfold(open) {
    this.dates.hidden = !open;
    this.when.setAttribute("aria-expanded", String(open));
  }

  select(name, any) {
    const node = element("select");
    node.any = any;
    node.setAttribute("aria-label", any);
    node.append(new Option(any, ""));
    node.addEventListener("change", () => this.put({ [name]: node.value }));
    element("label", "history-chip history-select", node).hidden = true;
    return node;
  }

  fill(select, counts, chosen) {
    const names = Object.keys(counts).sort((a, b) => a.localeCompare(b));
    if (chosen && !names.includes(chosen)) names.push(chosen);
    const title = (name) => (select === this.extension ? nameOfExtension(name) : name);
    const label = (name) => (counts[name] == null ? title(name) : `${title(name)} (${formatNumber(counts[name])})`);
    const options = [new Option(select.any, ""), ...names.map((name) => new Option(label(name), name))];
    const same = options.length === select.length && options.every((one, at) => one.text === select[at].text);
    if (!same) select.replaceChildren(...options);
    select.value = chosen;
    select.parentNode.hidden = names.length < (select === this.checkpoint ? 2 : 1) && !chosen;
  }

  date(name, words) {
    const node = element("input");
    node.type = "date";
    node.addEventListener("change", () => this.put({ [name]: node.value }));
    element("label", "", element("span", "", words), node);
    return node;
  }
}
