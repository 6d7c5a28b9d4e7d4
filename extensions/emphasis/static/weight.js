// @ts-check
// Ctrl+Up and Ctrl+Down in a prompt: the weight of the selection, or of the word or group at the cursor, by 0.1.

import { isPrompt, replaceText } from "webui";

const STEP = 0.1;
const MOST = 10; // in the syntax mode safe
const NUMBER = /:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*$/;
const LONGEST = 200; // characters of a word, or of what ends a group
const OUTSIDE = /[()]/;
// what a bracket within would break: code between backticks, tags, gaps
const CLOSED = /```[^]*?(?:```|$)|<[A-Za-z]\w*:[^<>\n]*>|\[\[(?:[A-Za-z_]\w*:)?(?:\.\.\.|…)?\d*\]\]|(?<!\w)_{4,}(?!\w)/g;
const CLOSING = { ")": "(", "]": "[", "}": "{" };

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
  /** @type {[number, number]} the words of a selection stay selected */
  const ends = from === to ? [within(from), within(to)] : [inner[0] + moved, inner[1] + moved];
  replaceText(area, start, end, made, ends);
}

/** The group that is selected, as a whole or its words, or the innermost one around the cursor. */
function group(text, from, to) {
  let found = null;
  for (const [start, end] of pairs(text)) {
    if (start > from || end + 1 < to || (from === to && start === from)) continue;
    const near = Math.max(start + 1, end - LONGEST);
    const number = NUMBER.exec(text.slice(near, end));
    if (!number || (found && found.start > start)) continue;
    const inner = [start + 1, near + number.index];
    const whole = from <= inner[0] && to >= inner[1];
    if (from === to || whole) found = { start, end: end + 1, inner, weight: Number(number[1]) };
  }
  return found;
}

/** Where round brackets open and close, in one pass: a text may have thousands. */
function pairs(text) {
  const found = [];
  const open = [];
  for (let at = 0; at < text.length; at += 1) {
    if (text[at - 1] === "\\") continue;
    if (text[at] === "(") open.push(at);
    else if (text[at] === ")" && open.length) found.push([open.pop(), at]);
  }
  return found;
}

/** The selection without the blanks around it and with whole words, or the word at the cursor; none where brackets around
 *  it would break something, and where it ends in a digit, before which in the syntax mode safe no weight stands. */
function plain(text, from, to) {
  let [start, end] = [from, to];
  while (start < end && /\s/.test(text[start])) start += 1;
  while (end > start && /\s/.test(text[end - 1])) end -= 1;
  const before = /[\p{L}\p{N}\p{M}_'’-]+$/u.exec(text.slice(Math.max(0, start - LONGEST), start));
  const after = /^[\p{L}\p{N}\p{M}_'’-]+/u.exec(text.slice(end, end + LONGEST));
  start -= before?.[0].length ?? 0;
  end += after?.[0].length ?? 0;
  const words = text.slice(start, end);
  if (!words || (from === to && OUTSIDE.test(words)) || /\d$/.test(words) || !balanced(words)) return null;
  for (const one of text.matchAll(CLOSED)) {
    const [first, last] = [one.index, one.index + one[0].length];
    const within = one[0].startsWith("<") && start <= first && last <= end; // a tag is taken out of the words
    if (first < end && start < last && !within) return null;
  }
  return { start, end, inner: [start, end], weight: 1 };
}

/** Whether every bracket in the words has its other one there, and no bar separates options. */
function balanced(words) {
  const open = [];
  for (let at = 0; at < words.length; at += 1) {
    const sign = words[at];
    if (words[at - 1] === "\\") continue;
    if ("([{".includes(sign)) open.push(sign);
    else if (sign in CLOSING && open.pop() !== CLOSING[sign]) return false;
    else if (sign === "|" && !open.length) return false;
  }
  return !open.length;
}
