// @ts-check
// Underlines what acts in a prompt while it is typed, and says what it does by mouse, touch and with the cursor in it.

import { element, origin } from "../base/parts.js";
import { root } from "../base/gradio.js";
import { shown } from "../base/shown.js";
import { say } from "../base/strings.js";
import { ask } from "./asked.js";
import { isPrompt, promptAreas } from "./fields.js";
import { Mirror } from "./mirror.js";
import { unitsOf } from "./units.js";

const PAUSE_MS = 250; // after the last key
const REST_MS = 450; // until the cursor's mark is explained
const GAP = 6;

/** @typedef {{start: number, end: number, effect: "acts" | "literal" | "refused", about: string}} Mark in units of UTF-16 */

/** One prompt's text area with its marks. */
export class Marked {
  /** @param {HTMLTextAreaElement} area */
  constructor(area) {
    this.area = area;
    this.mirror = new Mirror(area);
    /** @type {Mark[]} */
    this.marks = [];
    this.text = ""; // that the marks are of
    area.addEventListener("pointermove", (event) => event.pointerType !== "touch" && this.hover(event));
    area.addEventListener("pointerleave", () => tip.hide(this));
    area.addEventListener("blur", () => tip.hide(this));
    area.addEventListener("scroll", () => tip.hide(this), { passive: true });
    area.addEventListener("input", () => this.typed());
    this.look();
  }

  /** The text was changed by hand. */
  typed() {
    this.typing = true;
    tip.hide(this);
    this.look();
  }

  /** The text or another control may have changed: moves the marks along, and asks again. */
  look() {
    if (this.area.value !== this.text) this.move();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), PAUSE_MS);
  }

  /** Until the answer comes, marks before and behind the change stay, and those around it grow with it. */
  move() {
    const [before, after] = [this.text, this.area.value];
    const most = Math.min(before.length, after.length);
    let head = 0, tail = 0;
    while (head < most && before[head] === after[head]) head += 1;
    while (tail < most - head && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
    const [last, longer] = [before.length - tail, after.length - before.length];
    this.marks = this.marks.flatMap((mark) => {
      if (mark.end <= head) return [mark];
      if (mark.start >= last) return [{ ...mark, start: mark.start + longer, end: mark.end + longer }];
      return mark.start < head && mark.end > last ? [{ ...mark, end: mark.end + longer }] : [];
    });
    this.show();
  }

  async ask() {
    this.asked?.abort();
    this.asked = new AbortController();
    const { value } = this.area;
    try {
      const { marks } = value ? await ask("prompts/marks", this.area, {}, this.asked.signal) : { marks: [] };
      if (value !== this.area.value) return; // it asks again
      const units = unitsOf(value);
      this.marks = marks.map((one) => ({ ...one, start: units(one.start), end: units(one.end), about: sentence(one) }));
      this.show();
      this.rest();
    } catch {
      // a newer question is under way, or the server is away: other calls say so
    }
  }

  show() {
    this.text = this.area.value;
    this.mirror.show(pieces(this.text, this.marks));
  }

  /** The innermost mark at a place of the text; one that ends there counts. */
  at(place) {
    return this.marks.findLastIndex((mark) => mark.start <= place && place <= mark.end);
  }

  hover({ clientX, clientY }) {
    const index = this.mirror.markAt(clientX, clientY);
    if (index === null) tip.hide(this);
    else tip.show(this, index);
  }

  /** The cursor rests: explains the mark it is in; while text is being typed only what does not act. */
  rest() {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      const { selectionStart: start, selectionEnd: end } = this.area;
      if (document.activeElement !== this.area || start !== end || document.querySelector("[role=listbox].completions")) return;
      const index = this.at(start);
      if (index >= 0 && (!this.typing || this.marks[index].effect !== "acts")) tip.show(this, index);
      else if (tip.of === this && !this.area.matches(":hover")) tip.hide(this);
    }, REST_MS);
  }
}

/** The explanation of a mark in the page's language. */
function sentence({ extension, construct, about, values }) {
  const key = `mark.${extension || "core"}.${construct}`;
  const said = say(key, values);
  return said === key ? about : said;
}

/** The text in pieces as Mirror.show takes them: each has the effect of the innermost mark around it. */
function pieces(text, marks) {
  const ends = new Set([0, text.length]);
  for (const { start, end } of marks) ends.add(start).add(end);
  const places = [...ends].sort((a, b) => a - b);
  const open = []; // indices of the marks around, the innermost last
  let next = 0;
  return places.slice(0, -1).map((start, index) => {
    while (open.length && marks[open.at(-1)].end <= start) open.pop();
    while (next < marks.length && marks[next].start <= start) open.push(next++);
    while (open.length && marks[open.at(-1)].end <= start) open.pop();
    const inner = open.at(-1);
    return [text.slice(start, places[index + 1]), inner === undefined ? "" : marks[inner].effect, inner];
  });
}

/** The explanation, beside its mark; a screen reader hears it too. */
const tip = {
  /** @type {Marked | null} */
  of: null,
  node: Object.assign(element("div", "tip prompt-tip"), { role: "status" }),

  show(marked, index) {
    const { start, end, effect, about } = marked.marks[index];
    this.of = marked;
    this.node.dataset.effect = effect;
    if (this.node.textContent !== about) this.node.replaceChildren(element("bdi", "", about));
    if (!this.node.isConnected) root().append(this.node);
    const box = marked.mirror.box(start, end), area = marked.area.getBoundingClientRect();
    const { clientWidth, clientHeight } = document.documentElement;
    const { offsetWidth: width, offsetHeight: height } = this.node;
    const left = Math.max(8, Math.min(box.left, clientWidth - width - 8));
    // Where no line of the prompt is covered; where the text area fills the window, above its mark.
    const places = [area.top - height - GAP, area.bottom + GAP];
    const top = places.find((place) => place >= 8 && place + height <= clientHeight - 8) ?? Math.max(8, box.top - height - GAP);
    Object.assign(this.node.style, { left: `${left}px`, top: `${top}px` });
  },

  hide(marked) {
    if (this.of !== marked) return;
    this.of = null;
    this.node.replaceChildren(); // stays in the page, so that the next one is heard
    this.node.remove();
  },
};

/** The text areas that are marked. @type {WeakMap<HTMLTextAreaElement, Marked>} */
const known = new WeakMap();

/** The marked text area of an element. */
export const markedOf = (area) => known.get(area);

function lookAtAll() {
  for (const area of promptAreas()) {
    const marked = known.get(area);
    if (marked) marked.look();
    else known.set(area, new Marked(area));
  }
}

shown.watch(lookAtAll);
document.addEventListener("keydown", (event) => {
  const area = origin(event);
  if (isPrompt(area) && /^(Arrow|Home|End|Page)/.test(event.key)) typedBy(area, false);
  if (event.key === "Escape" && tip.of) {
    event.stopPropagation(); // it closes what is open first
    tip.hide(tip.of);
  }
}, true);
document.addEventListener("pointerdown", (event) => isPrompt(origin(event)) && typedBy(origin(event), false), true);
document.addEventListener("selectionchange", () => isPrompt(document.activeElement) && known.get(document.activeElement)?.rest());

function typedBy(area, typing) {
  const marked = known.get(area);
  if (marked) marked.typing = typing;
}
