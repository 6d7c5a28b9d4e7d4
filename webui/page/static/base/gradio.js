// @ts-check
// Everything that depends on Gradio's markup and globals, apart from base/start.js and the style sheets. See webui/page/gradio_internals.py.

const NAME = "[data-testid=block-info]"; // the element with a control's label
const HELP = ".info-text";

/** Elements beside which a control's help is shown: its label, an icon button, a checkbox with its label. */
export const NAMED = `${NAME}, .tool, .kind-checkbox label`;

/** The title of the page; document.title is set later. */
export const title = () => window.gradio_config.title;

/** The root of the page, which carries Gradio's style. */
export const root = () => document.querySelector(".gradio-container");

/** The block of a field's control ("steps", "<extension>.<option>"); null if it is not on the page or not drawn yet. */
export function block(path) {
  return document.getElementById(`field-${path.replaceAll(".", "-")}`);
}

/** The field of a control's block. */
export function pathOf(control) {
  return control.id.replace("field-", "").replace("-", ".");
}

/** The block of a control around an element; with help alone if `helpful`. */
export function blockAround(element, helpful = false) {
  return element?.closest?.(helpful ? `.block:has(${HELP})` : ".block") ?? null;
}

/** The element with the label of a block. */
export const nameOf = (control) => control?.querySelector(NAME) ?? null;

/** The help of a block, "" if it has none. */
export const helpOf = (control) => control?.querySelector(HELP)?.textContent.trim() ?? "";

/** The fold around a block, or the fold of a path's extension or of the further parameters. */
export const foldOf = (control) => control?.closest(".fold") ?? null;
export const foldFor = (path) => document.getElementById(path.includes(".") ? `extension-${path.split(".")[0]}` : "more");

/** Opens or closes a fold. Gradio draws the controls in it when it is first opened. */
export function toggle(fold) {
  fold?.querySelector(":scope > button")?.click();
}

/** The choices of a field's dropdown as [name, value], as they were when the page came; null if it has none.
 *  @param {string} path @returns {[string, unknown][] | null} */
export function choicesOf(path) {
  const found = window.gradio_config?.components.find(({ props }) => props.elem_id === `field-${path.replaceAll(".", "-")}`);
  return found?.props.choices ?? null;
}

/** @param {EventTarget | null} target @returns {target is HTMLInputElement} */
const isDropdown = (target) => target instanceof HTMLInputElement && target.role === "combobox";

// What stands in a dropdown is selected when it is opened, so that what is typed takes its place and finds a choice: Gradio puts the
// cursor behind it, and "nothingtemperature" is none.
document.addEventListener("focusin", ({ target }) => {
  if (!isDropdown(target)) return;
  const select = () => target.selectionStart === target.selectionEnd && target.select();
  select();
  target.addEventListener("click", select, { once: true }); // the press that opened it put the cursor somewhere
  target.addEventListener("blur", () => target.removeEventListener("click", select), { once: true });
});

/** What was typed into a dropdown becomes the choice whose name, or the first part of it ("Temperature" of "Temperature · temperature"),
 *  it is in any case; Gradio compares whole names. @param {HTMLInputElement} input @returns {boolean} whether there is such a choice */
function completed(input) {
  const control = blockAround(input);
  const names = (control && choicesOf(pathOf(control)))?.map(([name]) => name) ?? [];
  const typed = input.value.trim().toLowerCase();
  const found = names.find((name) => name.toLowerCase() === typed) ?? names.find((name) => name.toLowerCase().startsWith(`${typed} · `));
  if (typed && found && found !== input.value) {
    input.value = found;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
  return Boolean(found);
}

document.addEventListener("blur", ({ target }) => isDropdown(target) && completed(target), true);
// Enter takes the first choice of the list where what was typed is none itself: Gradio takes what was typed.
document.addEventListener("keydown", (event) => {
  const { target } = event;
  if (event.key !== "Enter" || !event.isTrusted || !isDropdown(target) || target.getAttribute("aria-expanded") !== "true") return;
  if (!target.value.trim() || target.getAttribute("aria-activedescendant") || completed(target)) return;
  target.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
}, true);

// A list that scrolls could take the focus that Tab moves on, and lose it when it closes.
document.addEventListener("keydown", ({ key, target }) => {
  if (key !== "Tab" || !isDropdown(target)) return;
  const list = document.getElementById(target.getAttribute("aria-controls") ?? "");
  for (const one of list ? [list, ...list.querySelectorAll("ul")] : []) if (one instanceof HTMLElement) one.tabIndex = -1;
}, true);

// Gradio opens a dropdown's list a moment after every key but Escape, Tab too, when focus may have left already: then it stays.
document.addEventListener("focusout", ({ target }) => {
  if (!isDropdown(target)) return;
  setTimeout(() => {
    const open = document.activeElement !== target && target.getAttribute("aria-expanded") === "true";
    if (open) target.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
  }, 50);
});
