// One text of a job: its canvas while it is written, the text when it is done. Data reaches the page as textContent only.

import { button, element, parameters } from "./parts.js";

const WIDTHS = [1.5, 2.3, 1.1, 2.9, 1.8, 2.6, 1.3, 3.4, 2.1, 0.9, 2.7, 1.7]; // em; words of English, roughly
const SHADES = 5; // levels of confidence that the style knows
const REPLAY_MS = 4000;

export class Row {
  /** `labels` name the request's fields; `use` is called with a request to put into the controls. */
  constructor(name, labels, use) {
    this.labels = labels;
    this.use = use;
    this.known = []; // per column [text or null, confidence or null, step]
    this.nodes = []; // per column the element that shows it
    this.fresh = []; // the words of the last step, which stand out until the next one
    this.decided = 0; // positions the model has decided
    this.state = "queued";
    this.live = true; // false: a compact row, which paints nothing until it is opened
    this.name = element("span", "row-name", name);
    this.meta = element("span", "row-meta");
    this.bar = element("i");
    this.tokens = element("div", "text tokens");
    this.final = element("div", "text final");
    this.extras = element("div", "row-extras");
    this.tools = element("footer", "row-tools");
    this.final.hidden = this.tools.hidden = true;
    this.tokens.setAttribute("aria-hidden", "true");
    const head = element("header", "row-head", this.name, this.meta, element("span", "row-bar", this.bar));
    this.node = element("article", "row", head, this.tokens, this.final, this.extras, this.tools);
  }

  /** Makes this a compact row: a bar while it runs, two lines when it is done, opened by a press. */
  compact() {
    this.live = false;
    this.node.classList.add("compact");
    this.opener = button("Open", () => this.open());
    this.opener.setAttribute("aria-expanded", "false");
    this.node.querySelector(".row-head").append(this.opener);
  }

  open() {
    this.live = true;
    this.node.classList.remove("compact");
    this.opener.remove();
    this.known.forEach((_, column) => this.paint(column, false));
  }

  /** Enters one update of the cell. `fresh`: its words were decided just now, not before we watched. */
  update(cell, fresh) {
    while (this.known.length < cell.length) {
      this.known.push([null, null, 0]);
      this.nodes.push(null);
      if (this.live) this.paint(this.known.length - 1, false);
    }
    if (cell.changes.length || cell.result) this.calm();
    for (const [column, text, confidence, step] of cell.changes) {
      const before = this.known[column];
      if (before === undefined) continue;
      this.decided += (text !== null && confidence !== null) - (before[0] !== null && before[1] !== null);
      this.known[column] = [text, confidence, step];
      if (this.live) this.paint(column, fresh, before[0] !== null && text === null);
    }
    this.state = cell.state;
    this.steps = cell.steps;
    this.step = cell.step;
    this.node.dataset.state = cell.state;
    const open = this.known.filter((known) => known[0] === null).length;
    this.bar.style.width = `${this.known.length ? (100 * (this.known.length - open)) / this.known.length : 0}%`;
    this.meta.textContent = cell.state === "running" ? `${this.known.length - open} of ${this.known.length}` : "";
    if (cell.error) this.fail(cell.error);
    if (cell.result && !this.result) this.finish(cell.result);
  }

  /** Shows column's position: a bar for a mask, a word, or nothing for tokens without text. */
  paint(column, fresh, reopened = false, at = Infinity) {
    const [text, confidence, step] = this.known[column];
    const node = element("span");
    if (text === null || step > at) {
      const bar = element("i", reopened ? "mask reopened" : "mask");
      bar.style.width = `${WIDTHS[(column * 7 + (column >> 3) * 5) % WIDTHS.length]}em`;
      node.append(column ? " " : "", bar); // the blank stands where a word's would, and ends lines as it would
    } else {
      const blank = text.match(/^\s*/)[0];
      const word = element("span", "word", text.slice(blank.length));
      node.append(column ? blank : blank.trimStart(), word);
      if (confidence !== null) word.classList.add(`sure-${Math.min(SHADES - 1, Math.floor(confidence * SHADES))}`);
      if (fresh && word.textContent) {
        word.classList.add("fresh");
        this.fresh.push(word);
      }
      word.about = { text, confidence, step };
    }
    if (this.nodes[column]) this.nodes[column].replaceWith(node);
    else this.tokens.append(node);
    this.nodes[column] = node;
  }

  calm() {
    for (const word of this.fresh.splice(0)) word.classList.replace("fresh", "calm");
  }

  fail(sentence) {
    this.extras.append(element("p", "row-error", sentence));
    this.tokens.hidden = !this.known.length;
  }

  finish(result) {
    this.result = result;
    this.final.textContent = result.text.trimStart(); // the first word brings its blank along
    this.tokens.hidden = true;
    this.final.hidden = false;
    if (!result.complete) this.meta.textContent = "unfinished";
    for (const note of result.notes ?? []) this.extras.append(element("p", "row-note", note));
    if (result.error) this.fail(result.error);
    const copy = button("Copy", async () => {
      await copied(result.text);
      copy.textContent = "Copied";
      setTimeout(() => (copy.textContent = "Copy"), 1500);
    });
    this.toggle = button("Tokens", () => this.view(this.final.hidden));
    this.toggle.setAttribute("aria-pressed", "false");
    this.toggle.title = "Shade words by how sure the model was";
    this.player = button("Replay", () => this.replay());
    this.tools.append(copy, this.toggle, this.player, parameters(result, this.labels, this.use));
    this.tools.hidden = false;
  }

  /** Shows the plain text, or the tokens with their confidence. */
  view(plain) {
    clearInterval(this.playing);
    if (!this.live) this.open();
    this.nodes.forEach((_, column) => this.paint(column, false));
    this.final.hidden = !plain;
    this.tokens.hidden = plain;
    this.toggle.setAttribute("aria-pressed", String(!plain));
    this.player.textContent = "Replay";
  }

  /** Plays the run again, step by step; pressed while it plays, ends at the text. */
  replay() {
    const playing = this.player.textContent === "Stop";
    this.view(true);
    if (playing) return;
    this.view(false);
    const last = Math.max(...this.known.map((known) => known[2]));
    const columns = this.known.map((_, column) => column);
    columns.forEach((column) => this.paint(column, false, false, 0));
    this.player.textContent = "Stop";
    let step = 0;
    this.playing = setInterval(() => {
      step += 1;
      this.calm();
      columns.filter((column) => this.known[column][2] === step).forEach((column) => this.paint(column, true));
      if (step >= last) {
        clearInterval(this.playing);
        setTimeout(() => this.player.textContent === "Stop" && this.view(true), 1200);
      }
    }, REPLAY_MS / Math.max(last, 1));
  }
}

/** Copies a text, also where the page is not a secure context and the clipboard's API is missing. */
async function copied(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = element("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
