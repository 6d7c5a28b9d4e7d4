// @ts-check
// <tdw-presets>: the checkpoint's preset, others that it offers, and saved ones. A preset holds everything but prompt, checkpoint and seed.

import { nameOfField, nameOfValue } from "../base/names.js";
import { showError, showNotice } from "../base/notice.js";
import { button, element, flat, visible } from "../base/parts.js";
import { popover } from "../base/popover.js";
import { shown } from "../base/shown.js";
import { say } from "../base/strings.js";
import { reset } from "./changes.js";

const NOT_IN_PRESETS = ["prompt", "model", "seed", "canvas"];
const ROOT = "api/v1/presets";

class Presets extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.label = element("bdi");
    const opener = element("button", "", say("page.presets"), this.label);
    opener.type = "button";
    const parts = popover(opener, "presets", (panel) => this.draw(panel));
    this.panel = parts[1];
    this.append(...parts);
    shown.watch(() => this.mark());
  }

  /** Draws the panel: the checkpoint's preset, then the saved ones. */
  async draw(panel) {
    const own = element("ul", "own");
    const name = element("input");
    Object.assign(name, { type: "text", maxLength: 80, required: true, placeholder: say("page.preset_name") });
    name.setAttribute("aria-label", say("page.preset_name"));
    name.value = this.applied?.name ?? "";
    const save = element("button", "strong", say("page.preset_save"));
    const form = element("form", "", name, save);
    form.addEventListener("submit", (event) => (event.preventDefault(), void this.save(name.value.trim())));
    const theirs = button(say("page.preset_checkpoint"), () => (panel.hidePopover(), reset(), this.apply(null)));
    theirs.append(element("small", "", say("page.preset_checkpoint_help")));
    theirs.className = "whole";
    const offered = Object.entries(shown.offered).map(([name, request]) => {
      const use = button("", () => (panel.hidePopover(), this.use(name, request)));
      use.append(element("bdi", "", name), element("small", "", element("bdi", "", inWords(request))));
      use.setAttribute("aria-label", name);
      use.setAttribute("aria-description", visible(inWords(request)));
      use.className = "whole";
      return use;
    });
    const part = (key, ...nodes) => [element("h3", "", say(key)), ...nodes];
    panel.replaceChildren(...part("page.presets_checkpoint", theirs, ...offered), ...part("page.presets_own", own, form), element("p", "hint", say("page.preset_hint")));
    const presets = await this.call("GET", "");
    own.replaceChildren(...(presets ?? []).map((preset) => this.item(preset)));
    if (!presets?.length) own.replaceChildren(element("li", "none", say("page.presets_none")));
  }

  item({ name, request }) {
    const use = button("", () => (this.panel.hidePopover(), this.use(name, request)));
    use.append(element("bdi", "", name));
    use.className = "whole";
    const update = button(say("page.preset_update"), () => void this.save(name));
    const remove = button(say("page.preset_delete"), () => void this.delete(name, request));
    for (const [one, key] of [[update, "page.preset_update_of"], [remove, "page.preset_delete_of"]]) one.setAttribute("aria-label", say(key, { name }));
    const item = element("li", "", use, update, remove);
    if (this.applied?.name === name) item.setAttribute("aria-current", "true");
    return item;
  }

  /** Shows the preset in the controls; the notice can undo it. */
  use(name, request) {
    shown.undoable(say("page.preset_used", { name }));
    const part = Object.fromEntries(Object.entries(request).filter(([field]) => !NOT_IN_PRESETS.includes(field)));
    window.tdw.merge(part);
    this.apply(name);
  }

  async save(name) {
    if (!name) return;
    const { request, error } = await window.tdw.request();
    if (error) return showError(error);
    for (const field of NOT_IN_PRESETS) delete request[field];
    if (!Object.keys(request.unknown ?? {}).length) delete request.unknown;
    const before = (await this.call("GET", ""))?.find((preset) => preset.name === name);
    if (!(await this.call("PUT", name, { request }))) return;
    this.apply(name);
    this.panel.hidePopover();
    const back = () => (before ? this.call("PUT", name, { request: before.request }) : this.call("DELETE", name));
    showNotice({ sentence: say(before ? "page.preset_updated" : "page.preset_saved", { name }), undo: () => void back() });
  }

  async delete(name, request) {
    if (!(await this.call("DELETE", name))) return;
    if (this.applied?.name === name) this.apply(null);
    await this.draw(this.panel);
    showNotice({ sentence: say("page.preset_deleted", { name }), undo: () => void this.call("PUT", name, { request }) });
  }

  /** Names the preset in use (null: none), and marks it as soon as a control differs from it. */
  apply(name) {
    this.applied = name === null ? null : { name, values: null };
    clearTimeout(this.timer);
    removeEventListener("keydown", this.settle, true);
    this.settle = () => {
      clearTimeout(this.timer);
      removeEventListener("keydown", this.settle, true);
      if (this.applied && !this.applied.values) this.applied.values = this.own();
      this.mark();
    };
    this.timer = setTimeout(this.settle, 1000); // Gradio has drawn by then ...
    addEventListener("keydown", this.settle, true); // ... or before someone types
    this.mark();
  }

  own() {
    const paths = shown.preset.map(([path]) => path);
    return JSON.stringify(shown.values.filter((_, index) => !NOT_IN_PRESETS.includes(paths[index])));
  }

  mark() {
    this.label.textContent = this.applied?.name ?? "";
    const touched = Boolean(this.applied?.values) && this.applied.values !== this.own();
    this.toggleAttribute("data-touched", touched);
  }

  /** Calls the server. Shows the sentence of a refusal, and returns null then. */
  async call(method, name, body) {
    const init = { method, ...(body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }) };
    const reply = await fetch(name ? `${ROOT}/${encodeURIComponent(name)}` : ROOT, init).catch(() => null);
    const answer = await reply?.json().catch(() => null);
    if (reply?.ok) return answer ?? true;
    this.panel.hidePopover();
    showError(answer?.error?.message ?? say("page.no_answer"));
    return null;
  }
}

/** What a preset of the checkpoint sets, in words. */
function inWords(request) {
  const values = [...flat(request)].filter(([, value]) => value !== null);
  return values.map(([path, value]) => `${nameOfField(path)}: ${nameOfValue(path, value)}`).join(" · ");
}

customElements.define("tdw-presets", Presets);
