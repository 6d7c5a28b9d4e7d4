// @ts-check
// The list of what may stand at the cursor of a prompt: it opens where a construct was begun, and on Ctrl+Space, which offers
// the checkpoint's words too.

import { root } from "../base/gradio.js";
import { element, origin } from "../base/parts.js";
import { ask } from "./asked.js";
import { isPrompt, replaceText } from "./fields.js";
import { markedOf } from "./marks.js";
import { charactersBefore, unitsOf } from "./units.js";

const PAUSE_MS = 150; // after the last key
const BEGUN = /(?:__|[<[{(])[^\n]{0,80}$/; // what may begin a construct, up to the cursor
const MOST = 50;
const GAP = 4;

const list = {
  node: Object.assign(element("div", "completions"), { id: "completions", role: "listbox" }),
  /** @type {HTMLTextAreaElement | null} */
  area: null,
  found: [],
  chosen: -1,

  open(area, found) {
    this.found = found.slice(0, MOST);
    this.node.replaceChildren(...this.found.map((one, index) => option(one, index)));
    this.area = area;
    if (!this.node.isConnected) root().append(this.node);
    area.setAttribute("aria-autocomplete", "list");
    area.setAttribute("aria-haspopup", "listbox");
    area.setAttribute("aria-controls", this.node.id);
    this.place();
    this.choose(0);
  },

  /** Below the line of what is replaced, or above it. */
  place() {
    const start = this.found[0].start;
    const box = markedOf(this.area).mirror.box(start, start + 1);
    const { clientWidth, clientHeight } = document.documentElement;
    const left = Math.max(8, Math.min(box.left, clientWidth - this.node.offsetWidth - 8));
    const below = box.bottom + GAP + this.node.offsetHeight < clientHeight;
    const top = below ? box.bottom + GAP : Math.max(8, box.top - GAP - this.node.offsetHeight);
    Object.assign(this.node.style, { left: `${left}px`, top: `${top}px` });
  },

  choose(index) {
    this.chosen = index;
    [...this.node.children].forEach((one, at) => one.setAttribute("aria-selected", String(at === index)));
    const now = this.node.children[index];
    if (!now) return this.area.removeAttribute("aria-activedescendant");
    this.area.setAttribute("aria-activedescendant", now.id);
    now.scrollIntoView({ block: "nearest" });
  },

  take(index) {
    const [{ start, end, text }, area] = [this.found[index], this.area];
    this.close();
    taken = true;
    replaceText(area, start, end, text);
    taken = false;
  },

  close() {
    clearTimeout(timer);
    asked?.abort();
    if (!this.area) return;
    for (const name of ["aria-activedescendant", "aria-controls", "aria-haspopup", "aria-autocomplete"]) this.area.removeAttribute(name);
    this.area = null;
    this.node.remove();
  },
};

let timer = 0;
let taken = false; // a completion is being put in
/** @type {AbortController | undefined} */
let asked;

function option({ text, about }, index) {
  const node = element("div", "", element("bdi", "", text), ...(about ? [element("small", "", element("bdi", "", about))] : []));
  Object.assign(node, { id: `completion-${index}`, role: "option" });
  node.addEventListener("pointerdown", (event) => event.preventDefault()); // the text area keeps the focus
  node.addEventListener("click", () => list.take(index));
  return node;
}

/** Asks what may stand at the cursor; words of the checkpoint only if `words`. @param {HTMLTextAreaElement} area */
async function complete(area, words) {
  clearTimeout(timer);
  asked?.abort();
  asked = new AbortController();
  const { value, selectionStart: cursor } = area;
  try {
    const { completions } = await ask("prompts/complete", area, { cursor: charactersBefore(value, cursor) }, asked.signal);
    if (value !== area.value || cursor !== area.selectionStart || document.activeElement !== area) return;
    const units = unitsOf(value);
    const found = completions
      .filter(({ about }) => words || about)
      .map((one) => ({ ...one, start: units(one.start), end: units(one.end) }))
      .filter(({ start, end, text }) => value.slice(start, end) !== text);
    if (found.length) list.open(area, found);
    else list.close();
  } catch {
    // a newer question is under way, or the server is away
  }
}

document.addEventListener("input", (event) => {
  const area = origin(event);
  if (!isPrompt(area) || taken) return;
  list.close();
  if (area.selectionStart === area.selectionEnd && BEGUN.test(area.value.slice(Math.max(0, area.selectionStart - 82), area.selectionStart))) {
    timer = setTimeout(() => complete(area, false), PAUSE_MS);
  }
});

document.addEventListener("keydown", (event) => {
  const area = origin(event);
  if (!isPrompt(area)) return;
  const { key, ctrlKey, metaKey, altKey, shiftKey } = event;
  if (key === " " && ctrlKey && !metaKey && !altKey) {
    event.preventDefault();
    void complete(area, true);
  } else if (list.area === area && !ctrlKey && !metaKey && !altKey && !shiftKey) {
    const way = { ArrowDown: 1, ArrowUp: -1 }[key];
    if (way) list.choose((list.chosen + way + list.found.length) % list.found.length);
    else if (key === "Enter" || key === "Tab") list.take(Math.max(0, list.chosen));
    else if (key === "Escape") list.close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}, true);

document.addEventListener("selectionchange", () => {
  if (!list.area || document.activeElement !== list.area) return;
  const { start, end } = list.found[0];
  const { selectionStart: cursor } = list.area;
  if (cursor < start || cursor > end) list.close();
});
document.addEventListener("focusout", () => list.close());
for (const name of ["scroll", "resize"]) {
  addEventListener(name, (event) => list.area && event.target !== list.node && list.place(), { capture: true, passive: true });
}
