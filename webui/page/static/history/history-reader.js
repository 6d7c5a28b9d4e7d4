// @ts-check
// The pane beside the list (a sheet on a phone): one saved text.

import { button, element } from "../base/parts.js";
import { say } from "../base/strings.js";
import { moment, read } from "./history-store.js";

export class Reader {
  /** `close`, `favourite(id, on)`, `remove(id)` act on the shown text; `gone(id)` is called for a text that no longer exists. */
  constructor({ close, favourite, remove, gone }) {
    this.gone = gone;
    this.turn = 0; // counts calls of `open`: only the last one is shown
    this.id = null;
    this.back = button("", close);
    this.back.append(element("span", "history-as-sheet", say("history.back")), element("span", "history-as-pane", say("history.close")));
    this.back.className = "history-back";
    this.favourite = button("", () => favourite(this.id, this.favourite.getAttribute("aria-pressed") !== "true"));
    this.favourite.className = "history-favourite";
    this.favourite.setAttribute("aria-label", say("history.favourite"));
    this.save = button(say("history.download"), () => download(this.result));
    this.save.title = say("history.download.about");
    this.remove = button(say("history.delete"), () => remove(this.id));
    this.tools = element("div", "history-tools", this.favourite, this.save, this.remove);
    this.head = element("header", "history-bar", this.back, this.tools);
    this.body = element("div", "history-body");
    this.node = element("section", "history-pane", this.head, this.body);
    this.node.setAttribute("aria-label", say("history.entry"));
    this.empty();
  }

  /** Nothing is open. */
  empty() {
    this.turn += 1;
    this.id = this.result = null;
    this.node.dataset.shows = "nothing";
    const keys = ["move", "open", "select", "favourite", "delete", "search"].map((name) =>
      element("div", "", element("dt", "", ...say(`history.keys.${name}.keys`).split(" ").map((key) => element("kbd", "", key))), element("dd", "", say(`history.keys.${name}`))),
    );
    const hint = element("div", "history-hint", element("p", "", say("history.choose")), element("dl", "", ...keys));
    this.body.replaceChildren(hint);
  }

  /** Shows a saved text; the newest call wins. */
  async open(id) {
    const turn = (this.turn += 1);
    this.id = id;
    this.node.dataset.shows = "entry";
    this.node.setAttribute("aria-busy", "true");
    try {
      const [result, { showResult }] = await Promise.all([read(id), import("../canvas/row.js")]);
      if (turn !== this.turn) return;
      const { unknown = [], ...stored } = result;
      this.result = stored;
      this.mark(stored.favourite === true);
      this.body.replaceChildren(this.title(stored), ...notes(unknown), showResult(stored));
    } catch (error) {
      if (turn !== this.turn) return;
      this.result = null;
      this.body.replaceChildren(element("p", "history-problem", error.gone ? say("history.gone") : error.message));
      if (error.gone) this.gone(id);
    } finally {
      if (turn === this.turn) this.shown();
    }
  }

  shown() {
    this.node.removeAttribute("aria-busy");
    this.save.disabled = this.favourite.disabled = this.remove.disabled = !this.result;
    this.body.scrollTop = 0;
  }

  mark(favourite) {
    if (this.result) this.result.favourite = favourite;
    this.favourite.setAttribute("aria-pressed", String(favourite));
  }

  title(result) {
    const { created, checkpoint } = result.provenance ?? {};
    const facts = [created && moment(created), checkpoint ?? result.request.model, say("history.seed", { seed: result.request.seed })];
    const about = element("p", "history-about", ...facts.filter(Boolean).flatMap((fact, at) => [at ? " · " : "", element("bdi", "", fact)]));
    const prompt = element("h2", "history-asked", result.request.prompt.trim() || say("history.unprompted"));
    prompt.classList.toggle("none", !result.request.prompt.trim());
    return element("div", "history-title", prompt, about);
  }
}

/** Notes above the text: fields that no installed extension knows. */
function notes(unknown) {
  if (!unknown.length) return [];
  const names = unknown.flatMap((name, index) => [index ? ", " : "", element("bdi", "", name)]);
  return [element("p", "history-note", say("history.unknown"), " ", ...names, ". ", say("history.unknown.about"))];
}

/** Downloads the saved file as it is in the data folder. */
function download(result) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(result, null, 2)], { type: "application/json" }));
  link.download = `${result.id}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
