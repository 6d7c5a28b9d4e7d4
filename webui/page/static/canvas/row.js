// @ts-check
// One text of a job: its board while it is generated; then the text with its views and actions.

import { Board } from "./board.js";
import { titled, worded } from "../base/names.js";
import { button, element } from "../base/parts.js";
import { Run } from "../results/run.js";
import { shownFinished } from "../results/actions.js";
import { say } from "../base/strings.js";
import { Thumb } from "./thumb.js";
import { Tools } from "../results/tools.js";

export class Row {
  constructor(name = "") {
    this.committed = 0; // positions that the model has committed
    this.state = "queued";
    this.live = true; // false: a thumbnail, which becomes a board when it is clicked
    this.board = new Board();
    this.name = element("bdi", "row-name", name);
    this.meta = element("span", "row-meta");
    this.final = element("div", "text final");
    this.extras = element("div", "row-extras");
    this.final.hidden = true;
    /** @type {HTMLButtonElement | null} */
    this.opener = null;
    const head = element("header", "row-head", this.name, this.meta);
    this.place = element("div", "row-views", this.board.node, this.final);
    this.node = element("article", "row", head, this.place, this.extras);
  }

  get known() {
    return this.board.known;
  }

  /** Makes this a thumbnail that a click expands. */
  compact() {
    this.live = false;
    this.thumb = new Thumb(say("canvas.open"), this.name.textContent, () => this.expand());
    this.node.classList.add("compact");
    this.board.node.remove();
    this.place.before(this.thumb.node);
    this.final.addEventListener("click", () => this.expand());
  }

  /** Shows all that can be done with it. */
  expand() {
    if (this.opener) {
      this.opener.remove();
      this.opener = null;
      this.addTools();
      this.node.querySelector(".row-tools button")?.focus({ preventScroll: true });
    }
    if (this.live) return;
    this.live = true;
    this.node.classList.remove("compact");
    this.thumb.node.remove();
    const { known } = this.thumb;
    this.place.prepend(this.board.node);
    this.board.show(known);
    this.thumb = null;
    if (this.result) this.look(), this.addTools();
  }

  /** Applies an update of the cell. `fresh`: its changes are highlighted; false for a snapshot. */
  update(cell, fresh) {
    const target = this.live ? this.board : this.thumb;
    target.resize(cell.length);
    if (cell.changes.length || cell.result) target.unhighlight();
    for (const [column, text, confidence, step] of cell.changes) {
      const before = target.known[column];
      if (before === undefined) continue;
      this.committed += Number(text !== null && confidence !== null) - Number(before[0] !== null && before[1] !== null);
      target.put(column, [text, confidence, step], fresh);
    }
    target.settle();
    this.state = cell.state;
    this.steps = cell.steps;
    this.step = cell.step;
    this.node.dataset.state = cell.state;
    const length = target.known.length;
    this.meta.textContent = cell.state === "running" ? say("canvas.row.progress", { done: length - target.masked, length }) : "";
    if (cell.error) this.fail(cell.error);
    if (cell.result && !this.result) this.finish(cell.result);
  }

  fail(sentence) {
    this.failed = true;
    this.sentence = worded(sentence);
    this.extras.append(element("p", "row-error", element("bdi", "", this.sentence)));
    this.board.node.hidden = !this.board.known.length;
  }

  finish(result) {
    this.result = result;
    this.final.replaceChildren(...marked(result.text.trimStart(), this.live ? this.known : this.thumb.known)); // the first token starts with a space
    this.board.node.hidden = true;
    this.final.hidden = false;
    if (!result.complete) this.meta.textContent = say("canvas.unfinished");
    for (const note of result.notes ?? []) this.extras.append(element("p", "row-note", element("bdi", "", note)));
    if (result.error) this.fail(result.error);
    if (this.live) {
      this.look();
      return this.node.closest(".crossed") ? this.offerTools() : this.addTools();
    }
    this.thumb.unhighlight();
    this.thumb.settle();
  }

  look() {
    this.board.end = new Run(this.result, this.board.known).end;
    shownFinished(this.final, this.result.request, this.result);
  }

  /** Adds views, actions, cost and parameters below a finished text. */
  addTools() {
    this.node.append(new Tools(this).node);
  }

  /** In the narrow cells of a grid they are there once it is opened: they would take more room than the text. */
  offerTools() {
    this.opener = button(say("canvas.open"), () => this.expand());
    this.opener.className = "row-open";
    this.node.append(this.opener);
  }
}

/** A text as nodes: if some of it was given, what was filled in between is marked. */
function marked(text, known) {
  if (!known.some(([piece, confidence]) => piece && confidence === null)) return [text];
  const runs = []; // [text, whether it was filled in]
  for (const [piece, confidence] of known) {
    if (!piece) continue;
    const blank = piece.match(/^\s*/)[0];
    const filled = confidence !== null;
    for (const [part, mark] of [[blank, filled && runs.at(-1)?.[1]], [piece.slice(blank.length), filled]]) {
      if (runs.at(-1)?.[1] === mark) runs.at(-1)[0] += part;
      else if (part) runs.push([part, mark]);
    }
  }
  if (runs.length) runs[0][0] = runs[0][0].trimStart();
  if (runs.map(([part]) => part).join("") !== text) return [text]; // such as tokens that are half a character
  return runs.map(([part, filled]) => (filled ? element("span", "filled", part) : part));
}

/** One of very many texts of a job: what their table needs of it. */
export class Brief {
  constructor() {
    this.committed = 0;
    this.state = "queued";
  }

  /** Applies an update of the cell. */
  update(cell) {
    for (const [, text, confidence] of cell.changes) this.committed += text === null ? -1 : Number(confidence !== null);
    Object.assign(this, { state: cell.state, steps: cell.steps, step: cell.step });
    this.result = cell.result ?? this.result;
    this.sentence = cell.error ? worded(cell.error) : this.sentence;
    this.failed = Boolean(this.sentence);
    if (this.result) this.committed = this.result.statistics.tokens;
  }
}

/** A finished Result from the history or a file as a node; its parts, if any, below each other. */
export function showResult(result) {
  const node = element("div", "tdw-result");
  if (result.parts?.length) {
    node.append(...result.parts.map((part) => showResult(part)));
    return node;
  }
  const row = new Row((result.axes ?? []).map(titled).join(" · "));
  const run = new Run(result);
  row.state = row.node.dataset.state = "done";
  row.board.flowing = false;
  row.board.end = run.end;
  row.board.show(run.at(run.steps));
  row.finish(result);
  node.append(row.node);
  return node;
}
