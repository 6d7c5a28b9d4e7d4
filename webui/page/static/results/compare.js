// @ts-check
// Two texts side by side, differences marked. `choose` collects the two, `compare` shows them.

import { diff } from "./diff.js";
import { isHidden, nameOfField, nameOfValue, titled } from "../base/names.js";
import { button, element, flat, shortened } from "../base/parts.js";
import { say } from "../base/strings.js";

/** Chooses a result for comparison: the first waits for a second. `near` is its node. */
export function choose(result, near) {
  const place = host();
  const first = place.first;
  if (!first) place.wait(result, near);
  else {
    place.forget();
    if (first.id !== result.id) compare(first, result);
    else place.wait(result, near);
  }
}

/** Shows two results side by side in a dialog, with the differences marked. */
export function compare(a, b) {
  host().forget();
  const dialog = element("dialog", "compare");
  const close = button("×", () => dialog.close());
  close.setAttribute("aria-label", say("canvas.compare.close"));
  const pieces = diff(a.text.trimStart(), b.text.trimStart());
  const head = element("header", "", element("h2", "", say("canvas.compare.title")), element("span", "compare-sum", summed(pieces)), close);
  const sides = element("div", "compare-sides", side(a, pieces, "gone"), side(b, pieces, "new"));
  const legend = element("p", "compare-legend", element("del", "", say("canvas.compare.gone")), element("ins", "", say("canvas.compare.new")));
  dialog.append(head, sides, legend, ...differing(a.request ?? {}, b.request ?? {}));
  dialog.setAttribute("aria-label", say("canvas.compare.title"));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** One of the texts, with what the other lacks marked. */
function side(result, pieces, kind) {
  const tag = { gone: "del", new: "ins" }[kind];
  const text = element("div", "text");
  for (const [what, words] of pieces) if (what === "same" || what === kind) text.append(what === "same" ? words : element(tag, "", words));
  const { request, provenance } = result;
  const facts = [provenance?.checkpoint, say("canvas.compare.seed", { seed: request?.seed ?? "?" }), ...(result.axes ?? []).filter(([name]) => name !== "seed").map(titled)];
  const title = element("h3", "", element("bdi", "", facts.filter(Boolean).join(" · ")));
  const prompt = element("p", "compare-prompt", element("bdi", "", request?.prompt ?? ""));
  return element("section", "", title, prompt, text);
}

/** The fields whose values differ between two requests, as a list; nothing if there are none. */
function differing(a, b) {
  const [one, other] = [new Map(flat(a)), new Map(flat(b))];
  const list = element("dl", "compare-fields");
  for (const path of new Set([...one.keys(), ...other.keys()])) {
    const values = [one.get(path), other.get(path)].map((value, at) => nameOfValue(path, shortened(value), (field) => [one, other][at].get(field)));
    if (values[0] === values[1] || path === "count" || isHidden(path)) continue;
    const [del, ins] = [element("del", "", element("bdi", "", values[0])), element("ins", "", element("bdi", "", values[1]))];
    list.append(element("dt", "", element("bdi", "", nameOfField(path))), element("dd", "", del, " ", ins));
  }
  return list.firstChild ? [element("h3", "compare-heading", say("canvas.compare.fields")), list] : [];
}

/** The share of words that are equal. */
function summed(pieces) {
  const count = (kind) => pieces.filter(([what]) => what === kind).reduce((sum, [, text]) => sum + (text.match(/[\p{L}\p{N}]+/gu) ?? []).length, 0);
  const [same, gone, fresh] = ["same", "gone", "new"].map(count);
  const percent = Math.round((200 * same) / Math.max(1, 2 * same + gone + fresh));
  return say("canvas.compare.shared", { percent });
}

/** <tdw-compare>: holds the first text until the second is chosen, and says so at the bottom of the page. */
export class Compare extends HTMLElement {
  wait(result, near) {
    this.forget();
    this.first = result;
    this.near = near;
    near?.setAttribute("data-chosen", "");
    const words = element("span", "", say("canvas.compare.waiting"));
    this.replaceChildren(words, button(say("canvas.compare.cancel"), () => this.forget()));
    this.setAttribute("role", "status");
  }

  forget() {
    this.near?.removeAttribute("data-chosen");
    this.first = this.near = null;
    this.replaceChildren();
  }
}

customElements.define("tdw-compare", Compare);

function host() {
  const there = document.querySelector("tdw-compare");
  if (!there) document.body.append(element("tdw-compare"));
  return there ?? document.querySelector("tdw-compare");
}
