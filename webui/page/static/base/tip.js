// @ts-check
// The tooltip of a word on a board: token, confidence, step. By mouse, touch and arrow keys.

import { element, visible } from "./parts.js";
import { say } from "./strings.js";

const WAYS = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 };

export class Tip {
  constructor(board) {
    this.board = board;
    /** @type {HTMLElement | null} */
    this.node = null;
    const { node } = board;
    node.addEventListener("pointerover", ({ target }) => this.show(target.closest(".at")));
    node.addEventListener("pointerleave", ({ pointerType }) => pointerType !== "touch" && this.show(null)); // a touch that ends also "leaves"
    document.addEventListener("pointerdown", this.away);
    node.addEventListener("focus", () => node.matches(":focus-visible") && this.go(0, 1));
    node.addEventListener("blur", () => this.show(null));
    node.addEventListener("keydown", (event) => {
      const here = board.nodes.findIndex((at) => at.node === this.here);
      const columns = board.nodes.length;
      const [from, way] = { Home: [0, 1], End: [columns - 1, -1] }[event.key] ?? [here + WAYS[event.key], WAYS[event.key]];
      if (!way || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      if (/^Arrow(Up|Down)$/.test(event.key)) this.line(way);
      else this.go(from, way);
    });
  }

  /** A press elsewhere hides the tooltip; removes itself once the board is gone. */
  away = ({ target }) => {
    if (!this.board.node.isConnected) document.removeEventListener("pointerdown", this.away);
    if (this.here && !this.board.node.contains(target)) this.show(null);
  };

  /** Shows the first word from a column on, in a direction. */
  go(from, way) {
    for (let column = from; this.board.nodes[column]; column += way) if (this.word(column)) return this.show(this.board.nodes[column].node);
  }

  /** Shows the word above or below. */
  line(way) {
    const now = this.here?.querySelector(".word")?.getBoundingClientRect();
    if (!now) return this.go(0, 1);
    const far = ({ left, top }) => 20 * Math.abs(top - now.top) + Math.abs(left - now.left);
    const words = this.board.nodes.filter((_, column) => this.word(column)).map((at) => [at.node, at.show.getBoundingClientRect()]);
    const beyond = words.filter(([, box]) => way * (box.top - now.top) > now.height / 2);
    const [nearest] = beyond.sort((a, b) => far(a[1]) - far(b[1]));
    if (nearest) this.show(nearest[0]);
  }

  word(column) {
    return this.board.known[column][0] !== null && this.board.nodes[column].show.textContent.trim();
  }

  show(at) {
    const column = this.board.nodes.findIndex((one) => one.node === at);
    this.here?.removeAttribute("data-here");
    if (!at || !this.word(column)) {
      this.here = null;
      this.node?.remove();
      return;
    }
    this.here = at;
    at.setAttribute("data-here", "");
    const [text, confidence, step] = this.board.known[column];
    const place = this.board.places?.[column] ?? null;
    const parts = [confidence === null ? say("canvas.given") : say("canvas.confidence", { percent: Math.round(confidence * 100), step })];
    if (place !== null) parts.push(say("canvas.order", { place }));
    this.node ??= element("div", "tip");
    this.node.setAttribute("role", "status");
    this.node.replaceChildren(element("b", "", element("bdi", "", `“${visible(text)}”`)), element("br"), parts.join(", "));
    if (!this.node.isConnected) this.board.node.after(this.node);
    const box = this.board.nodes[column].show.getBoundingClientRect();
    const left = Math.min(box.left, document.documentElement.clientWidth - this.node.offsetWidth - 8);
    const above = box.top - this.node.offsetHeight - 6;
    Object.assign(this.node.style, { left: `${Math.max(8, left)}px`, top: `${above < 8 ? box.bottom + 6 : above}px` });
  }
}
