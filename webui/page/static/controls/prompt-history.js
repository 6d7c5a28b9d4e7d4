// @ts-check
// Alt+Up and Alt+Down in the prompt: the prompts that were generated from before, as Ctrl+Z can take back.

import { fieldOf, isPrompt, replaceText } from "../prompts/fields.js";

const STORE = "tdw.prompts";
const KEPT = 50;

let place = -1; // in the list, the newest first; -1: what is being written
let written = "";

/** @returns {string[]} */
const list = () => JSON.parse(localStorage.getItem(STORE) ?? "[]");

/** Keeps a prompt that was generated from. */
export function keep(prompt) {
  place = -1;
  if (!prompt?.trim()) return;
  localStorage.setItem(STORE, JSON.stringify([prompt, ...list().filter((one) => one !== prompt)].slice(0, KEPT)));
}

document.addEventListener("keydown", (event) => {
  const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  const area = /** @type {any} */ (event.target);
  if (!way || !event.altKey || event.ctrlKey || event.shiftKey || event.metaKey || !isPrompt(area) || fieldOf(area) !== "prompt") return;
  event.preventDefault();
  const prompts = list();
  if (area.value !== (prompts[place] ?? written)) place = -1; // it was changed since
  if (place === -1) written = area.value;
  let next = place + way;
  if (way > 0 && prompts[next] === area.value) next += 1; // what is there already
  if (next < -1 || next >= prompts.length) return;
  place = next;
  replaceText(area, 0, area.value.length, place === -1 ? written : prompts[place]);
});
