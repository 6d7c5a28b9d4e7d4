// @ts-check
// What else was likely where a token was committed: a panel below the text, for the token that was chosen.

import { button, element, visible } from "../base/parts.js";
import { formatNumber, say } from "../base/strings.js";

export const KEPT = 5; // tokens that the page asks for with each committed one

/**
 * The panel of a position. `known` is what stands there, [text, confidence, step]; `again` makes the text again with its
 * alternatives, `close` puts the panel away.
 * @param {any} result with its trace @param {number} column @param {[string | null, number | null, number]} known
 * @param {() => void} again @param {() => void} close
 */
export function panel(result, column, [text, confidence, step], again, close) {
  const heading = say("canvas.alternatives.of", { token: visible((text ?? "").trim()), step });
  const shut = button("×", close);
  shut.setAttribute("aria-label", say("canvas.alternatives.close"));
  const node = element("section", "alternatives", element("header", "", element("h4", "", heading), shut));
  node.setAttribute("aria-label", say("canvas.alternatives"));
  const found = alternatives(result, column, step);
  if (confidence === null) node.append(element("p", "", say("canvas.given")));
  else if (!found.length) {
    const more = button(say("canvas.alternatives.again"), again);
    more.className = "again-with";
    node.append(element("p", "", say("canvas.alternatives.none")), more);
  } else node.append(list(found, text, confidence));
  return node;
}

/** What was likely when the token of a step was committed: [text, probability], the likeliest first. */
function alternatives({ trace = [], alternatives: kept = [] }, column, step) {
  const entry = trace.findIndex((change) => change[0] === step && change[1] === column && change[2] !== null);
  return (kept[entry] ?? []).map(([, text, probability]) => [text, probability]);
}

/** The tokens with their probabilities; the committed one is among them, though it was not one of the likeliest. */
function list(found, text, confidence) {
  const there = found.some(([other, probability]) => other === text && Math.abs(probability - confidence) < 1e-4);
  const rows = [...found.map(([other, probability]) => [other, probability, other === text]), ...(there ? [] : [[text, confidence, true]])];
  const most = Math.max(...rows.map(([, probability]) => probability), 1e-9);
  return element("ol", "", ...rows.map(([other, probability, committed]) => {
    const bar = element("i");
    bar.style.width = `${((100 * probability) / most).toFixed(1)}%`;
    const percent = probability >= 0.0995 ? Math.round(100 * probability) : formatNumber(100 * probability, 1);
    const word = element("bdi", "", other.trim() ? `“${visible(other.trim())}”` : say("canvas.alternatives.empty"));
    const row = element("li", "", word, element("span", "bar", bar), element("span", "share", say("canvas.percent", { percent })));
    if (committed) row.setAttribute("aria-current", "true");
    return row;
  }));
}
