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

// Gradio opens a dropdown's list a moment after every key but Escape, Tab too, when focus may have left already: then it stays.
document.addEventListener("focusout", ({ target }) => {
  if (!isDropdown(target)) return;
  setTimeout(() => {
    const open = document.activeElement !== target && target.getAttribute("aria-expanded") === "true";
    if (open) target.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
  }, 50);
});
