// @ts-check
// The columns of a table of texts: their names, what a cell shows in one, what it is sorted by.

import { words } from "./diff.js";
import { nameOfAxis } from "../base/names.js";
import { formatNumber, say } from "../base/strings.js";

export function title(column) {
  const name = column.slice(column.indexOf(" ") + 1);
  if (column === "text") return say("canvas.column");
  if (column === SIMILAR) return say("table.similarity");
  if (column.startsWith("axis ")) return nameOfAxis(name);
  const key = `metric.${name}`;
  const words = say(key);
  return words === key ? name.slice(name.indexOf(".") + 1) : words;
}

export function number(value) {
  return Number.isInteger(value) ? formatNumber(value) : formatNumber(value, 2);
}

export function compare(a, b) {
  const [one, two] = [a, b].map((value) => (typeof value === "boolean" ? Number(value) : value));
  if (typeof one === "number" && typeof two === "number") return one - two;
  if ((one === "") !== (two === "")) return one === "" ? 1 : -1; // what has no value comes last
  return String(one).localeCompare(String(two));
}

/** The column that is there while a text is pinned. */
export const SIMILAR = "metric similarity";

/** How alike two texts are, 0 to 1: twice the words that they share, each as often as both have it, divided by all their
 *  words (Dice). The words of the first are counted already. */
export function similarity(counted, text) {
  const left = new Map(counted);
  const own = wordsOf(text);
  let shared = 0;
  for (const word of own) {
    const there = left.get(word) ?? 0;
    if (there) shared += 1;
    left.set(word, Math.max(0, there - 1));
  }
  const all = own.length + [...counted.values()].reduce((sum, n) => sum + n, 0);
  return all ? (2 * shared) / all : 1;
}

/** How often each word is in a text. */
export function counts(text) {
  const found = new Map();
  for (const word of wordsOf(text)) found.set(word, (found.get(word) ?? 0) + 1);
  return found;
}

function wordsOf(text) {
  return words(text.toLowerCase()).filter((word) => word.trim());
}
