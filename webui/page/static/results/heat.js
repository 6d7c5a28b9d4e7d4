// @ts-check
// The heat map: words shaded by confidence, by the step that committed them, or by their place in the order.

import { choice, element } from "../base/parts.js";
import { say } from "../base/strings.js";

const KINDS = ["confidence", "step", "order"];

export class Heat {
  constructor(board, run) {
    this.board = board;
    this.run = run;
    this.places = run.order();
    board.places = this.places; // for the tip
    this.kinds = choice(say("canvas.heat"), KINDS.map((kind) => [kind, say(`canvas.heat.${kind}`)]), (kind) => this.show(kind));
    this.scale = element("span", "heat-scale");
    this.node = element("div", "heat-bar", this.kinds, this.scale);
    this.show("confidence");
  }

  /** Shades every word by a kind of value: "confidence", "step" or "order". */
  show(kind) {
    this.kinds.value = kind;
    const { node, known, nodes } = this.board;
    node.dataset.heat = kind;
    const most = Math.max(1, ...this.places.map((place) => place ?? 0));
    known.forEach(([text, confidence, step], column) => {
      const place = this.places[column];
      const share = { confidence, step: step / Math.max(1, this.run.steps), order: place / most }[kind];
      const word = nodes[column].show;
      if (text === null || confidence === null || !word.textContent.trim()) return;
      word.style.setProperty("--heat", `${Math.round(100 * share)}%`);
      word.dataset.level = String(Math.min(4, Math.floor(share * 5)));
      word.dataset.number = kind === "confidence" ? "" : String(kind === "step" ? step : place);
    });
    const [low, high] = {
      confidence: ["0 %", "100 %"],
      step: [say("canvas.heat.from", { step: 1 }), say("canvas.heat.to", { step: this.run.steps })],
      order: [say("canvas.heat.first"), say("canvas.heat.last", { place: most })],
    }[kind];
    const bar = element("i", "heat-ramp");
    this.scale.replaceChildren(element("span", "", low), bar, element("span", "", high));
    this.scale.dataset.heat = kind;
  }

  leave() {
    delete this.board.node.dataset.heat;
    this.board.places = null;
  }
}
