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
  const box = name.getBoundingClientRect();
  const column = tabbed && document.querySelector("#desk-left")?.getBoundingClientRect();
  if (column?.width && control?.closest("#desk-left") && column.right + tip.offsetWidth + 16 < document.documentElement.clientWidth) {
    Object.assign(tip.style, { left: `${column.right + 8}px`, top: `${box.top}px` }); // beside the controls: it covers none
    return;
  }
  tip.style.left = `${Math.max(8, Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8))}px`;
  const above = box.top - tip.offsetHeight - 6;
  tip.style.top = `${above >= 8 ? above : box.bottom + 6}px`;
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
