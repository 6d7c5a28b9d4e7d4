// @ts-check
// The help of a control beside its name: on hover, when it is reached by Tab, on a touch of its name.

import { NAMED, blockAround, helpOf } from "./gradio.js";
import { element, origin } from "./parts.js";
import { say } from "./strings.js";

const tip = element("div", "tip");
tip.setAttribute("role", "tooltip");
tip.id = "help";
tip.hidden = true;
document.body.append(tip);
const FIELDS = "input:not([type=hidden]), textarea, select, #generate";
const TOUCH_MS = 700; // focus and scrolling within this time after a touch do not hide it
let tabbed = false;
let touched = 0;
let hovered = /** @type {Element | null | undefined} */ (null);
const elsewhere = () => performance.now() - touched > TOUCH_MS && show(null);

/** Shows the help of the control of `name` (its name element, or an icon button); null hides it. */
function show(name) {
  const control = blockAround(name);
  const help = name?.matches(".tool") ? name.textContent : helpOf(control);
  tip.hidden = !help;
  if (tip.hidden) return;
  const changed = control?.hasAttribute("data-changed") ? [element("small", "", say("page.changed_from", { value: control.dataset.standard }))] : [];
  tip.replaceChildren(help, ...changed);
  tip.classList.remove("unseen");
  const box = name.getBoundingClientRect();
  if (tabbed) return placeFree(box, control);
  tip.style.left = `${Math.max(8, Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8))}px`;
  const above = box.top - tip.offsetHeight - 6;
  tip.style.top = `${above >= 8 ? above : box.bottom + 6}px`;
}

/** Where it covers no field, for those who go through the controls by keyboard: beside the column of controls, above or below the name,
 *  or right of the control. If there is no such place it is not seen, and still read out. */
function placeFree(box, control) {
  const [width, height] = [tip.offsetWidth, tip.offsetHeight];
  const column = control?.closest("#desk-left") && document.querySelector("#desk-left").getBoundingClientRect();
  const whole = (control ?? tip).getBoundingClientRect();
  const left = Math.max(8, Math.min(box.left, document.documentElement.clientWidth - width - 8));
  const places = [[left, box.top - height - 6], [left, whole.bottom + 6], [whole.right + 8, box.top]];
  if (column) places.unshift([column.right + 8, box.top]);
  const fields = [...document.querySelectorAll(FIELDS)].filter((field) => field.checkVisibility()).map((field) => field.getBoundingClientRect());
  /** @typedef {number[]} Place */
  const inside = (/** @type {Place} */ [x, y]) => x >= 0 && y >= 0 && x + width <= document.documentElement.clientWidth && y + height <= innerHeight;
  const free = (/** @type {Place} */ [x, y]) => !fields.some((field) => x < field.right && x + width > field.left && y < field.bottom && y + height > field.top);
  const place = places.find((one) => inside(one) && free(one));
  tip.classList.toggle("unseen", !place);
  if (place) Object.assign(tip.style, { left: `${place[0]}px`, top: `${place[1]}px` });
}

document.addEventListener("pointerover", (event) => {
  hovered = origin(event).closest?.(NAMED);
  show(hovered);
});
document.addEventListener("pointerdown", (event) => {
  tabbed = false;
  if (event.pointerType !== "touch") return;
  touched = performance.now();
  show(origin(event).closest?.(NAMED));
});
document.addEventListener("keydown", ({ key }) => {
  tabbed = key === "Tab";
  if (key === "Escape") show(null);
});
document.addEventListener("focusin", (event) => {
  if (!tabbed) return;
  const target = origin(event);
  show(target.matches(".tool") ? target : blockAround(target, true)?.querySelector(NAMED));
  if (!tip.hidden) target.setAttribute("aria-describedby", tip.id);
});
document.addEventListener("focusout", elsewhere);
// No event tells that the same name still lies under the pointer after something scrolled.
document.addEventListener("scroll", () => (hovered?.matches(":hover") ? show(hovered) : elsewhere()), true);
