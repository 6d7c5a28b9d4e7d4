// @ts-check
// The text areas of prompts: which they are, and how a script changes their text so that Ctrl+Z takes it back.

import { pathOf } from "../base/gradio.js";

const PROMPTS = "#writing .block.kind-lines textarea";

/** The text areas of the prompt and of what stands under it, such as a negative prompt.
 *  @returns {NodeListOf<HTMLTextAreaElement>} */
export const promptAreas = () => document.querySelectorAll(PROMPTS);

/** Whether an element is the text area of a prompt. @param {Element} target @returns {target is HTMLTextAreaElement} */
export const isPrompt = (target) => Boolean(target?.matches?.(PROMPTS));

/** The field of a prompt's text area: "prompt", or "<extension>.<option>". @param {HTMLTextAreaElement} area */
export const fieldOf = (area) => pathOf(area.closest(".block"));

/** Replaces area.value[start:end] (in JavaScript's units) as if it were typed, and selects `selected` ([start, end]) or puts
 *  the cursor behind the new text.
 *  @param {HTMLTextAreaElement} area @param {[number, number]} [selected] */
export function replaceText(area, start, end, text, selected = [start + text.length, start + text.length]) {
  area.focus();
  area.setSelectionRange(start, end);
  const done = text ? document.execCommand("insertText", false, text) : start === end || document.execCommand("delete");
  if (!done) {
    area.setRangeText(text, start, end); // a browser without that command: Ctrl+Z does not take it back
    area.dispatchEvent(new Event("input", { bubbles: true }));
  }
  area.setSelectionRange(...selected);
}
