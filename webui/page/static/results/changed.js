// @ts-check
// The texts of a job below each other, each with its changed words against the first one.

import { diff } from "./diff.js";
import { element } from "../base/parts.js";
import { say } from "../base/strings.js";

export class Changed {
  constructor() {
    this.node = element("div", "changed");
  }

  /** `texts`: [title, result or null] of every text, the first one is what the others are compared with. */
  show(texts) {
    const [first, ...others] = texts;
    const legend = element("p", "compare-legend", element("del", "", say("canvas.changes.gone")), element("ins", "", say("canvas.changes.new")));
    this.node.replaceChildren(section(first[0], say("canvas.changes.first"), first[1]?.text), ...others.map(([title, result]) => other(title, first[1], result)), legend);
  }
}

/** A text with its differences from the first one marked. */
function other(title, first, result) {
  if (!first || !result) return section(title, say("canvas.changes.none"));
  const pieces = diff(first.text.trimStart(), result.text.trimStart());
  const count = (kind) => pieces.filter(([what]) => what === kind).reduce((sum, [, text]) => sum + (text.match(/[\p{L}\p{N}]+/gu) ?? []).length, 0);
  const changed = Math.max(count("gone"), count("new"));
  const about = changed ? say("canvas.changes.words", { count: changed, of: count("same") + count("gone") }) : say("canvas.changes.same");
  const node = section(title, about, "");
  node.lastChild.append(...pieces.map(([kind, text]) => (kind === "same" ? text : element(kind === "gone" ? "del" : "ins", "", text))));
  return node;
}

function section(title, about, text) {
  const node = element("section", "", element("header", "", element("h4", "", element("bdi", "", title)), element("span", "", about)));
  if (text !== undefined) node.append(element("div", "text", text.trimStart()));
  return node;
}
