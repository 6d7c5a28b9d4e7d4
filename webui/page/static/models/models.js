// @ts-check
// <tdw-models>: the chosen checkpoint: its details, whether it is loaded, what failed; load, unload, rescan.

import { feed } from "../base/feed.js";
import { button, element } from "../base/parts.js";
import { downloader } from "./download.js";
import { limit } from "./limits.js";
import { details, refused, size } from "./model-facts.js";
import { say } from "../base/strings.js";

const CHOICE = "#field-model input";

class Models extends HTMLElement {
  connectedCallback() {
    if (this.chip) return;
    this.entries = [];
    this.version = null;
    this.label = element("span", "models-label");
    this.state = element("span", "models-state");
    this.bar = element("span", "models-bar", element("i"));
    this.chip = element("button", "models-chip", this.label, this.state, this.bar);
    this.chip.type = "button";
    this.chip.setAttribute("aria-haspopup", "dialog");
    this.pop = element("div", "models-pop");
    this.pop.popover = "auto";
    this.pop.id = "models-pop";
    this.pop.setAttribute("role", "dialog");
    this.pop.setAttribute("aria-label", say("models.title"));
    this.chip.popoverTargetElement = this.pop;
    this.facts = element("div", "models-facts");
    this.load = button(say("models.load"), () => this.call(`${encode(this.chosen.name)}/load`));
    this.unload = button(say("models.unload"), () => this.call("unload"));
    const again = button(say("models.rescan"), () => this.rescan());
    this.bad = element("div", "models-bad");
    this.pop.append(this.facts, element("div", "models-acts", this.load, this.unload, again), downloader(), this.bad);
    this.append(this.chip, this.pop);
    this.pop.addEventListener("beforetoggle", (event) => event.newState === "open" && this.place());
    feed.addEventListener("change", () => this.changed());
    for (const name of ["change", "input", "click", "focusout", "keyup"]) document.addEventListener(name, () => this.choice());
    this.read();
  }

  /** The entry of the checkpoint that the control shows; before it is drawn, the default. */
  get chosen() {
    const shown = /** @type {HTMLInputElement | null} */ (document.querySelector(CHOICE))?.value ?? "";
    const plain = shown.replace(/[\u202c\u2069]+ · /, " · "); // without the marks that end a name's changes of direction
    const named = this.entries.filter(({ name }) => shown === name || [shown, plain].some((words) => words.startsWith(`${name} · `)));
    const longest = named.sort((one, other) => other.name.length - one.name.length)[0];
    return longest ?? this.entries.find((entry) => entry.default) ?? this.entries[0];
  }

  choice() {
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.show(), 60); // Gradio writes the control's text after the event
  }

  changed() {
    if (feed.checkpoints === this.version) return this.show();
    this.version = feed.checkpoints;
    void this.rescan(true);
  }

  /** Reads the list again, with new folders. */
  async read() {
    try {
      const reply = await fetch("api/v1/checkpoints");
      if (reply.ok) this.entries = await reply.json();
      this.known ??= this.entries.map(({ name }) => name); // those that the control offers
    } catch {
      return false; // the feed reports that the server is away
    }
    this.show();
    return true;
  }

  /** Reads the list, and says what has come and gone; `quiet`: nothing if that is nothing. */
  async rescan(quiet = false) {
    if (quiet && !this.known) return this.read(); // it has not looked yet
    const before = new Set(this.known); // what the control offers, not what was read meanwhile
    if (!(await this.read())) return quiet || this.ask("tdw:error", { sentence: say("jobs.unanswered") });
    const added = this.entries.filter(({ name }) => !before.delete(name)).map(({ name }) => name);
    const lost = [...before];
    this.known = this.entries.map(({ name }) => name);
    if (quiet && !added.length && !lost.length) return;
    const changes = [added.length && say("models.added", { names: added.join(", ") }), lost.length && say("models.lost", { names: lost.join(", ") })];
    this.ask("tdw:rescanned", { checkpoints: this.entries, added, lost });
    this.ask("tdw:notice", { sentence: changes.filter(Boolean).join(" ") || say("models.same", { n: this.entries.length }) });
  }

  async call(path) {
    try {
      const reply = await fetch(`api/v1/checkpoints/${path}`, { method: "POST" });
      if (!reply.ok) this.ask("tdw:error", { sentence: (await reply.json()).error.message });
    } catch {
      this.ask("tdw:error", { sentence: say("jobs.unanswered") });
    }
  }

  show() {
    const entry = this.chosen;
    this.chip.hidden = !entry && !this.entries.length;
    if (!entry) return;
    const idle = Object.entries(entry.cautions ?? {}).filter(([name]) => name.includes("="));
    limit({ ...entry.refused, ...Object.fromEntries(idle) });
    const state = stateOf(entry);
    this.chip.dataset.state = state.state;
    setText(this.label, entry.error ? "" : entry.parameters ? say("models.size_of", { number: size(entry) }) : size(entry));
    setText(this.state, state.words);
    this.bar.hidden = state.state !== "loading";
    this.bar.firstChild.style.width = `${state.percent}%`;
    this.chip.setAttribute("aria-label", say("models.chip", { name: entry.name, state: state.words }));
    this.load.hidden = Boolean(entry.error) || state.state === "loaded" || state.state === "loading" || state.state === "wanted";
    this.load.textContent = say(state.state === "failed" ? "models.retry" : "models.load");
    this.unload.hidden = !this.entries.some(({ name }) => name === feed.loaded);
    const key = JSON.stringify([entry, state.state, state.percent, this.entries.map(({ name, error }) => [name, error])]);
    if (key === this.drawn) return; // keeps selection and focus in the details
    this.drawn = key;
    this.facts.replaceChildren(...details(entry, state));
    this.bad.replaceChildren(...refused(this.entries.filter((other) => other !== entry)));
  }

  /** Places the details below the chip, inside the window. */
  place() {
    this.read();
    const box = this.chip.getBoundingClientRect();
    const width = Math.min(420, document.documentElement.clientWidth - 24);
    const left = Math.max(12, Math.min(box.right - width, document.documentElement.clientWidth - width - 12));
    Object.assign(this.pop.style, { width: `${width}px`, left: `${left}px`, top: `${box.bottom + 8}px` });
  }

  ask(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { bubbles: true, detail }));
  }
}

/** The state of a checkpoint: {state, words, percent}. */
function stateOf(entry) {
  if (entry.error) return { state: "unusable", words: say("models.state.unusable"), percent: 0 };
  if (feed.loading?.checkpoint === entry.name) {
    const percent = Math.round(100 * feed.loading.done);
    return { state: "loading", words: say("models.state.loading", { percent }), percent };
  }
  if (feed.loaded === entry.name) return { state: "loaded", words: say("models.state.loaded"), percent: 100 };
  const state = feed.wanted.includes(entry.name) ? "wanted" : entry.failed ? "failed" : "idle";
  return { state, words: say(`models.state.${state}`), percent: 0 };
}

function encode(name) {
  return name.split("/").map(encodeURIComponent).join("/");
}

function setText(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

customElements.define("tdw-models", Models);
