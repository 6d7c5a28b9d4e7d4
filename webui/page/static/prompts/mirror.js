// @ts-check
// The text of a text area once more, over it and transparent: what can be underlined, and places of its characters on the
// screen, which a text area does not have.

import { element } from "../base/parts.js";

/** What the mirror has to have in common with the text area for its lines to be the same. */
const SAME = [
  "fontFamily", "fontSize", "fontWeight", "fontStyle", "fontStretch", "fontVariant", "fontFeatureSettings", "fontKerning", "letterSpacing",
  "wordSpacing", "lineHeight", "textIndent", "textTransform", "textAlign", "direction", "tabSize", "wordBreak", "overflowWrap", "hyphens",
  "paddingTop", "paddingRight", "paddingBottom", "paddingLeft",
];

export class Mirror {
  /** @param {HTMLTextAreaElement} area */
  constructor(area) {
    this.area = area;
    this.text = element("div");
    this.node = element("div", "prompt-mirror", this.text);
    this.node.setAttribute("aria-hidden", "true");
    area.after(this.node);
    new ResizeObserver(() => this.place()).observe(area);
    area.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.place();
  }

  /** Puts the mirror over the text area. */
  place() {
    const style = getComputedStyle(this.area);
    for (const name of SAME) this.text.style[name] = style[name];
    const { offsetLeft, offsetTop, clientLeft, clientTop, clientWidth, clientHeight } = this.area;
    const box = { left: offsetLeft + clientLeft, top: offsetTop + clientTop, width: clientWidth, height: clientHeight };
    for (const [name, pixels] of Object.entries(box)) this.node.style[name] = `${pixels}px`;
    this.scrolled();
  }

  scrolled() {
    this.node.scrollTop = this.area.scrollTop;
    this.node.scrollLeft = this.area.scrollLeft;
  }

  /** Shows a text in pieces, each [text, effect, index of its mark]; without an effect it is not underlined. */
  show(pieces) {
    const nodes = pieces.map(([text, effect, index]) => {
      if (!effect) return document.createTextNode(text);
      const span = element("span", "", text);
      span.dataset.effect = effect;
      span.dataset.mark = String(index);
      return span;
    });
    this.text.replaceChildren(...nodes, "\u200b"); // so that a last empty line has a height
    this.scrolled();
  }

  /** The mark at a place of the screen: its index, or null. */
  markAt(x, y) {
    for (const span of this.text.querySelectorAll("span")) {
      for (const box of span.getClientRects()) {
        if (x >= box.left - 1 && x <= box.right + 1 && y >= box.top - 2 && y <= box.bottom + 4) return Number(span.dataset.mark);
      }
    }
    return null;
  }

  /** The box of the first line of the text from `start` on, on the screen. */
  box(start, end) {
    const range = document.createRange();
    this.#put(range, "setStart", start);
    this.#put(range, "setEnd", Math.max(start, end));
    const [first] = range.getClientRects();
    return first ?? range.getBoundingClientRect();
  }

  #put(range, name, at) {
    let left = at;
    for (const node of this.text.childNodes) {
      const inside = node.firstChild ?? node;
      const { length } = inside.textContent;
      if (left <= length) return range[name](inside, left);
      left -= length;
    }
    range[name](this.text, this.text.childNodes.length);
  }
}
