// @ts-check
// Messages: errors beside Generate, and the notice at the bottom with its Undo.

import { worded } from "./names.js";
import { button, element } from "./parts.js";
import { say } from "./strings.js";

const SHOWN_MS = 8000;

const bar = element("div", "notice");
bar.setAttribute("role", "status");
bar.hidden = true;
document.body.append(bar);
let timer = 0;

/** Shows a sentence for a while; `undo` gets a button named `label`. While it is hovered or focused, it stays. */
export function showNotice({ sentence, undo = undefined, label = say("page.undo") }) {
  clearTimeout(timer);
  const text = element("span", "", worded(sentence));
  const close = button("×", hide);
  close.setAttribute("aria-label", say("page.dismiss"));
  close.className = "close";
  const back = undo && button(label, () => (hide(), undo()));
  bar.replaceChildren(text, ...(back ? [back] : []), close);
  bar.hidden = false;
  hideLater();
}

function hideLater() {
  clearTimeout(timer);
  timer = setTimeout(hide, SHOWN_MS);
}

function hide() {
  clearTimeout(timer);
  bar.hidden = true;
}

bar.addEventListener("pointerenter", () => clearTimeout(timer));
bar.addEventListener("focusin", () => clearTimeout(timer));
bar.addEventListener("pointerleave", hideLater);
bar.addEventListener("focusout", hideLater);

/** Shows an error until it is dismissed; "" hides it. In every view but the first it is a notice. */
export function showError(sentence) {
  const place = document.querySelector("#alert");
  if (sentence && (!place || document.body.dataset.view !== "write")) return showNotice({ sentence });
  if (!place) return;
  const close = button("×", () => showError(""));
  close.setAttribute("aria-label", say("page.dismiss"));
  place.replaceChildren(...(sentence ? [element("span", "", worded(sentence)), close] : []));
  place.hidden = !sentence;
  if (sentence) place.scrollIntoView({ block: "nearest" });
}
