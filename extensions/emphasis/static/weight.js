// @ts-check
// Ctrl+Up and Ctrl+Down in a prompt: the weight of the selection, or of the word or group at the cursor, by 0.1.

import { isPrompt, replaceText } from "webui";

const STEP = 0.1;
const MOST = 10; // in the syntax mode safe
const NUMBER = /:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*$/;
const WORD = /[\p{L}\p{N}\p{M}_'’-]/u;
const OUTSIDE = /[()]/;

document.addEventListener("keydown", (event) => {
  const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  const area = /** @type {any} */ (event.target);
  if (!way || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey || !isPrompt(area)) return;
  event.preventDefault();
  event.stopPropagation(); // a list that is open keeps the other arrows
  change(area, way);
}, true);

/** @param {HTMLTextAreaElement} area */
function change(area, way) {
  const { value: text, selectionStart: from, selectionEnd: to } = area;
  const found = group(text, from, to) ?? plain(text, from, to);
  if (!found) return;
  const { start, end, inner, weight } = found; // text[start:end] is replaced; inner: where its words begin and end
  const words = text.slice(...inner);
  const next = Math.min(MOST, Math.max(0, Number((weight + way * STEP).toFixed(2))));
  const made = next === 1 ? words : `(${words}:${next})`;
  if (made === text.slice(start, end)) return; // Ctrl+Z would have nothing to take back
  const moved = start + (next === 1 ? 0 : 1) - inner[0];
  const within = (place) => Math.min(Math.max(place, inner[0]), inner[1]) + moved;
  replaceText(area, start, end, made, [within(from), within(to)]);
}

/** The group that is selected, as a whole or its words, or the innermost one around the cursor. */
function group(text, from, to) {
  for (let start = from; start >= 0; start -= 1) {
    if (text[start] !== "(" || text[start - 1] === "\\") continue;
    const end = closing(text, start);
    const number = end === null ? null : NUMBER.exec(text.slice(start + 1, end));
    if (!number || end === null || end + 1 < to || (from === start && to === start)) continue;
    const inner = [start + 1, start + 1 + number.index];
    const whole = from <= inner[0] && to >= inner[1];
    if (from === to || whole) return { start, end: end + 1, inner, weight: Number(number[1]) };
  }
  return null;
}

/** Where the bracket that opens at `start` is closed; null if it is not. */
function closing(text, start) {
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    if (text[at - 1] === "\\") continue;
    if (text[at] === "(") depth += 1;
    if (text[at] === ")") depth -= 1;
    if (!depth) return at;
  }
  return null;
}

/** The selection without the blanks around it and with whole words, or the word at the cursor. In the syntax mode safe a
 *  digit before the colon is no weight: then there is none. */
function plain(text, from, to) {
  let [start, end] = [from, to];
  while (start < end && /\s/.test(text[start])) start += 1;
  while (end > start && /\s/.test(text[end - 1])) end -= 1;
  while (start > 0 && WORD.test(text[start - 1])) start -= 1;
  while (end < text.length && WORD.test(text[end])) end += 1;
  const words = text.slice(start, end);
  if (!words || (from === to && OUTSIDE.test(words)) || /\d$/.test(words)) return null;
  return { start, end, inner: [start, end], weight: 1 };
}
