// @ts-check
// A windowed list: of ten thousand entries only the visible ones are in the document. Row heights are fixed, set in CSS.

import { element } from "../base/parts.js";
import { say } from "../base/strings.js";
import { dayName, dayNumber } from "./history-store.js";

const MARGIN = 400; // px above and below the visible part that are drawn too
const REST = 100_000; // most entries to reserve space for before they are loaded: browsers limit heights

export class List {
  /**
   * `draw(item)` makes a row, `paint(node, item)` updates it, `more(wanted)` is called to load that many entries.
   */
  constructor({ draw, paint, more }) {
    this.draw = draw;
    this.paint = paint;
    this.more = more;
    this.items = [];
    this.total = 0;
    this.tops = []; // px, per entry
    this.nodes = new Map(); // id: the row that is drawn
    this.active = null; // the id of the row that keys act on
    this.row = this.head = 0; // px: heights of a row and of a day's title, set in CSS
    this.label = element("div", "history-day history-day-now");
    this.label.setAttribute("aria-hidden", "true");
    this.sheet = element("div", "history-sheet");
    this.sheet.setAttribute("role", "rowgroup");
    this.rest = element("div", "history-rest");
    this.sheet.append(this.rest);
    this.node = element("div", "history-list", this.label, this.sheet);
    this.node.setAttribute("role", "grid");
    this.node.setAttribute("aria-multiselectable", "true");
    this.node.setAttribute("aria-label", say("history.list"));
    this.node.addEventListener("scroll", () => this.soon(), { passive: true });
    new ResizeObserver(() => this.measure()).observe(this.node);
  }

  // -- entries ----------------------------------------------------------------------------------------------------------

  /** Replaces all entries, newest first. The scroll position is kept at the same entry, unless `top`. */
  set(items, total, top = false) {
    const anchor = top ? null : this.anchor();
    this.items = items;
    this.total = Math.max(total, items.length);
    if (!this.items.some((item) => item.id === this.active)) this.active = null;
    this.layout();
    if (top) this.node.scrollTop = 0;
    else this.hold(anchor);
    this.render();
  }

  /** Appends the next entries. */
  append(items, total) {
    const known = this.items.length ? this.items.at(-1).id : "~";
    const { scrollTop, clientHeight, scrollHeight } = this.node;
    const end = scrollTop > 0 && scrollTop + clientHeight >= scrollHeight - 2; // new day titles make the list higher
    this.items.push(...items.filter((item) => item.id < known));
    this.total = items.length ? Math.max(total, this.items.length) : this.items.length;
    this.layout();
    if (end) this.node.scrollTop = this.node.scrollHeight;
    this.render();
  }

  /** Removes entries and returns them; a neighbour becomes the active row. */
  take(ids) {
    const gone = new Set(ids);
    const at = this.index(this.active);
    const next = gone.has(this.active) && (this.items.slice(at).find((item) => !gone.has(item.id)) ?? this.items.slice(0, at).findLast((item) => !gone.has(item.id)));
    const taken = this.items.filter((item) => gone.has(item.id));
    const focused = this.focused;
    if (next !== false) this.active = next?.id ?? null;
    this.set(this.items.filter((item) => !gone.has(item.id)), this.total - taken.length);
    if (focused) this.focus();
    return taken;
  }

  /** Inserts entries, ordered by id. */
  put(items) {
    const here = new Set(this.items.map((item) => item.id));
    const fresh = items.filter((item) => !here.has(item.id));
    this.set([...this.items, ...fresh].sort((a, b) => (a.id < b.id ? 1 : -1)), this.total + fresh.length);
  }

  index(id) {
    return this.items.findIndex((item) => item.id === id);
  }

  /** Updates one drawn row, or all of them. */
  repaint(id) {
    for (const [key, node] of this.nodes) if (id === undefined || key === id) this.paint(node, node.item);
  }

  // -- layout -----------------------------------------------------------------------------------------------------------

  measure() {
    const style = getComputedStyle(this.node);
    const [row, head] = ["--row", "--head"].map((name) => parseFloat(style.getPropertyValue(name)) || 100);
    if (row !== this.row || head !== this.head) {
      const anchor = this.anchor();
      this.row = row;
      this.head = head;
      this.layout();
      this.hold(anchor);
    }
    this.render();
  }

  /** Computes the tops of all rows; the first row of a day has the day's title above it. */
  layout() {
    let top = 0;
    let day = null;
    this.tops = this.items.map((item) => {
      item.day ??= dayNumber(item.at);
      item.first = item.day !== day;
      if (item.first) top += this.head;
      day = item.day;
      top += this.row;
      return top - this.row;
    });
    this.loaded = top;
    const rest = Math.min(this.total - this.items.length, REST) * this.row;
    Object.assign(this.rest.style, { top: `${top}px`, height: `${rest}px` });
    this.sheet.style.height = `${top + rest}px`;
    this.node.setAttribute("aria-rowcount", String(this.total));
  }

  /** The index of the row at this height, or of the nearest. */
  at(height) {
    let [low, high] = [0, this.tops.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.tops[middle] <= height) low = middle;
      else high = middle - 1;
    }
    return Math.max(low, 0);
  }

  anchor() {
    if (!this.items.length || this.node.scrollTop <= 0) return null;
    const from = this.at(this.node.scrollTop);
    return this.items.slice(from, from + 40).map((item, index) => [item.id, this.tops[from + index] - this.node.scrollTop]);
  }

  hold(anchor) {
    const places = new Map(this.items.map((item, index) => [item.id, index]));
    const kept = anchor?.find(([id]) => places.has(id));
    if (kept) this.node.scrollTop = this.tops[places.get(kept[0])] - kept[1];
  }

  get atTop() {
    return this.node.scrollTop < 8;
  }

  // -- drawing ---------------------------------------------------------------------------------------------------------

  soon() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.render();
    });
  }

  /** Draws the visible rows and removes the others. The active row stays: it may have the focus. */
  render() {
    const { scrollTop, clientHeight } = this.node;
    if (!clientHeight || !this.row) return;
    const wanted = new Map();
    if (this.items.length) {
      const [from, to] = [this.at(scrollTop - MARGIN), this.at(scrollTop + clientHeight + MARGIN)];
      for (let index = from; index <= to; index++) wanted.set(this.items[index].id, index);
      const active = this.index(this.active ?? this.items[0].id);
      wanted.set(this.items[active].id, active);
    }
    for (const [id, node] of this.nodes) {
      if (wanted.has(id)) {
        node.setAttribute("aria-rowindex", String(wanted.get(id) + 1)); // all of them, before `after` reads it
        continue;
      }
      this.nodes.delete(id);
      node.day?.remove();
      node.remove();
    }
    for (const [id, index] of [...wanted].sort((a, b) => a[1] - b[1])) this.place(id, index);
    this.name(scrollTop);
    const bottom = scrollTop + clientHeight + MARGIN;
    if (this.items.length < this.total && bottom > this.loaded) this.more(Math.ceil((bottom - this.loaded) / this.row));
  }

  place(id, index) {
    const item = this.items[index];
    let node = this.nodes.get(id);
    if (!node) {
      node = this.draw(item);
      this.sheet.insertBefore(node, this.after(index));
      this.nodes.set(id, node);
    }
    node.item = item;
    node.style.top = `${this.tops[index]}px`;
    node.setAttribute("aria-rowindex", String(index + 1));
    node.tabIndex = id === (this.active ?? this.items[0].id) ? 0 : -1;
    if (item.first && !node.day) {
      node.day = element("div", "history-day", dayName(item.at));
      node.day.setAttribute("role", "presentation");
      node.before(node.day);
    } else if (!item.first && node.day) {
      node.day.remove();
      node.day = null;
    }
    if (node.day) node.day.style.top = `${this.tops[index] - this.head}px`;
    this.paint(node, item);
  }

  /** The drawn row after an index: the order in the document is that of the list. */
  after(index) {
    let [next, found] = [Infinity, this.rest];
    for (const node of this.nodes.values()) {
      const at = Number(node.getAttribute("aria-rowindex")) - 1;
      if (at > index && at < next) [next, found] = [at, node.day ?? node];
    }
    return found;
  }

  /** Keeps the day of the topmost row visible. */
  name(scrollTop) {
    const item = this.items[this.at(scrollTop + this.head)];
    this.label.hidden = !item || scrollTop > this.loaded;
    const words = item ? dayName(item.at) : "";
    if (this.label.textContent !== words) this.label.textContent = words;
  }

  // -- the active row --------------------------------------------------------------------------------------------------

  get focused() {
    return this.node.contains(document.activeElement);
  }

  /** Scrolls to the active row and focuses it. */
  focus() {
    const id = this.active ?? this.items[0]?.id;
    if (id) this.go(this.index(id));
  }

  /** Focuses the active row without scrolling. */
  refocus() {
    this.nodes.get(this.active ?? this.items[0]?.id)?.focus({ preventScroll: true });
  }

  /** Makes the row of this index active, scrolls to it and focuses it. */
  go(index) {
    if (!this.items.length) return;
    const place = Math.min(Math.max(index, 0), this.items.length - 1);
    this.active = this.items[place].id;
    const top = this.tops[place] - this.head; // covered by the day's title
    if (top < this.node.scrollTop) this.node.scrollTop = place ? top : 0;
    const bottom = this.tops[place] + this.row - this.node.clientHeight;
    if (bottom > this.node.scrollTop) this.node.scrollTop = bottom;
    this.render();
    this.nodes.get(this.active)?.focus({ preventScroll: true });
  }

  /** Rows per page, for Page Up and Page Down. */
  get page() {
    return Math.max(1, Math.floor((this.node.clientHeight - this.head) / this.row));
  }
}
