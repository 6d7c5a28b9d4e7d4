// @ts-check
// The board: the positions of a text, masked ones as bars, committed ones as words. Live rows, replays and token views use it.

import { cellsOf, settle } from "./lines.js";
import { element } from "../base/parts.js";
import { say } from "../base/strings.js";
import { Tip } from "../base/tip.js";

export const SHADES = 5; // levels of confidence in the style sheet

/**
 * The nodes of one position: `node` holds a space (the text node `gap`), a `lineBreak` where there is one, and `show`: a
 * bar `width` px wide or a word. `remasked`: the word that was here before it was masked again.
 * @typedef {{node: HTMLElement, blank?: string, gap?: any, show?: HTMLElement, lineBreak?: HTMLElement, width?: number, remasked?: string | null}} Position
 */

export class Board {
  constructor() {
    this.known = []; // per column [text or null, confidence or null, step]
    /** @type {Position[]} */
    this.nodes = [];
    this.fresh = []; // the words committed in the last step, highlighted until the next one
    this.end = Infinity; // the columns from here on are not part of the text
    this.node = element("div", "text tokens");
    this.node.tabIndex = 0;
    this.node.setAttribute("role", "group");
    this.node.setAttribute("aria-label", say("canvas.tokens.label"));
    this.tip = new Tip(this);
    /** What happens when a word is chosen. @type {((column: number) => void) | null} */
    this.pick = null;
    this.node.addEventListener("click", ({ target }) => this.chosen(/** @type {HTMLElement} */ (target).closest(".at")));
    this.node.addEventListener("keydown", (event) => event.key === "Enter" && this.tip.here && this.chosen(this.tip.here));
    this.flowing = true; // false: the browser breaks the lines, as in any text
    new ResizeObserver(([{ contentRect }]) => {
      if (this.width && Math.abs(contentRect.width - this.width) > 1) this.reflow();
    }).observe(this.node);
  }

  /** A word was clicked, or Enter was pressed on it. */
  chosen(node) {
    const column = this.nodes.findIndex((at) => at.node === node);
    if (column >= 0) this.pick?.(column);
  }

  get masked() {
    return this.known.filter(([text]) => text === null).length;
  }

  resize(length) {
    while (this.known.length < length) {
      this.known.push([null, null, 0]);
      const node = element("span", "at");
      this.nodes.push({ node });
      this.node.append(node);
      this.paint(this.known.length - 1, false);
    }
  }

  /** Sets a position. `fresh`: it was committed or remasked in the current step. */
  put(column, now, fresh) {
    const before = this.known[column];
    this.known[column] = now;
    this.paint(column, fresh, fresh && now[0] === null ? before[0] : null);
  }

  /** Shows a list of positions; if `fresh`, those that changed since the last call are highlighted. */
  show(known, fresh = false) {
    this.resize(known.length);
    this.unhighlight();
    known.forEach((now, column) => {
      const [text, , step] = this.known[column];
      if (text !== now[0] || step !== now[2]) this.put(column, now, fresh);
    });
    this.settle();
  }

  /** Draws a position: a bar for a mask, a word, or nothing for tokens without text. */
  paint(column, fresh, remasked = null) {
    const [text, confidence] = this.known[column];
    const { node } = this.nodes[column];
    /** @type {Position} */
    const at = { node, blank: column ? " " : "" };
    this.nodes[column] = at;
    node.classList.toggle("beyond", column >= this.end);
    if (text === null) {
      at.show = element("i", remasked === null ? "mask" : "mask remasked"); // the space is outside the bar
      at.remasked = remasked;
    } else {
      const blank = text.match(/^\s*/)[0];
      at.blank = column ? blank : "";
      at.show = element("span", "word", text.slice(blank.length));
      if (confidence !== null) at.show.classList.add(`confidence-${Math.min(SHADES - 1, Math.floor(confidence * SHADES))}`);
      if (fresh && at.show.textContent) {
        at.show.classList.add("fresh");
        this.fresh.push(at.show);
      }
    }
    node.replaceChildren(at.blank, at.show);
    at.gap = node.firstChild;
  }

  unhighlight() {
    for (const word of this.fresh.splice(0)) word.classList.replace("fresh", "calm");
  }

  /** Lets the browser break the lines: for texts that no longer change. */
  natural() {
    this.flowing = false;
    this.starts = null;
    this.node.style.minHeight = "";
    for (const at of this.nodes) at.lineBreak?.remove();
    for (const at of this.nodes) at.lineBreak = null;
  }

  /** Keeps lines steady: for texts that change. */
  steady() {
    this.flowing = true;
    this.reflow();
  }

  reflow() {
    this.starts = null;
    this.most = 0;
    this.settle();
  }

  /** Breaks lines and sizes bars after changes; see lines.js. */
  settle() {
    if (!this.flowing || !this.nodes.length) return;
    const style = getComputedStyle(this.node);
    this.width = this.node.clientWidth;
    if (!this.width) return; // hidden; the observer calls again
    const size = Number.parseFloat(style.fontSize);
    const measure = this.ruler(`${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`);
    const cells = cellsOf(this.known, measure, size, this.remasked());
    const { starts, widths, lines } = settle(cells, this.width - 2, this.starts);
    this.starts = starts;
    this.nodes.forEach((at, column) => {
      if (starts.has(column) !== Boolean(at.lineBreak)) this.breakLine(at, starts.has(column));
      if (cells[column].masked && !cells[column].blank) at.gap.data = ""; // a bar after a line break is not indented
      const width = widths.get(column);
      if (width === undefined || Math.abs((at.width ?? 0) - width) < 0.5) return;
      at.width = width;
      at.show.style.width = `${width.toFixed(1)}px`;
    });
    this.most = Math.max(this.most ?? 0, lines); // lines once used stay reserved, so that nothing below moves
    this.node.style.minHeight = `${this.most * Number.parseFloat(style.lineHeight)}px`;
  }

  breakLine(at, wanted) {
    at.lineBreak?.remove();
    at.lineBreak = wanted ? element("br") : null;
    if (wanted) at.show.before(at.lineBreak);
  }

  remasked() {
    return new Map(this.nodes.flatMap((at, column) => (typeof at.remasked === "string" ? [[column, at.remasked]] : [])));
  }

  ruler(font) {
    if (this.font !== font) this.measure = ruler(font);
    this.font = font;
    return this.measure;
  }
}

/** A function that measures a text's width in px in a font. */
export function ruler(font) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = font;
  const seen = new Map();
  return (text) => {
    if (!seen.has(text)) seen.set(text, pen.measureText(text).width);
    return seen.get(text);
  };
}
