// @ts-check
// A panel below a button, closed by Escape or a press elsewhere; on a phone it is at the bottom.

import { root } from "./gradio.js";
import { button, element } from "./parts.js";

const GAP = 6;

/** [opener, panel]: `fill(panel)` draws the panel each time it opens. Put both into the page, side by side. */
export function popover(opener, className, fill) {
  const panel = element("div", `sheet ${className}`);
  panel.popover = "auto";
  opener.popoverTargetElement = panel;
  opener.setAttribute("aria-haspopup", "dialog");
  let filled;
  panel.addEventListener("beforetoggle", ({ newState }) => newState === "open" && (filled = fill(panel)));
  panel.addEventListener("toggle", async ({ newState }) => {
    opener.setAttribute("aria-expanded", String(newState === "open"));
    if (newState !== "open") return;
    place(opener, panel);
    await filled; // its content may come from the server
    place(opener, panel);
  });
  return [opener, panel];
}

function place(opener, panel) {
  const box = opener.getBoundingClientRect();
  const { clientWidth, clientHeight } = document.documentElement;
  if (clientWidth <= 900) return panel.removeAttribute("style");
  const below = box.bottom + GAP + panel.offsetHeight <= clientHeight;
  const top = below ? box.bottom + GAP : Math.max(8, clientHeight - panel.offsetHeight - 8);
  Object.assign(panel.style, { top: `${top}px`, left: `${Math.max(8, Math.min(box.left, clientWidth - panel.offsetWidth - 8))}px` });
}

/** Asks for confirmation in a dialog, with `more` below the sentence. Resolves to the answer, a boolean. */
export function confirmed(sentence, label, no, ...more) {
  const dialog = element("dialog", "sheet ask");
  const answer = new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes")));
  const yes = button(label, () => dialog.close("yes"));
  yes.className = "strong";
  dialog.append(element("p", "", sentence), ...more, element("footer", "", button(no, () => dialog.close("no")), yes));
  root().append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
  return answer;
}
