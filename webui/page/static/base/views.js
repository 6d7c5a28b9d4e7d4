// @ts-check
// The views of the page (write, history, ...): one is seen at a time, the address names it, the others keep their state.

import { say } from "./strings.js";

export const VIEWS = ["write", "history", "queue", "extensions", "settings"];

/** Shows a view; the way back leads to the one before. */
export function open(view) {
  if (current() === view) return;
  location.hash = view;
  follow(); // now, not with the event: what comes next may need the view to be seen
}

/** The view that the address names. */
export function current() {
  const named = location.hash.slice(1).split("?")[0]; // a view may keep its own state behind the question mark
  return VIEWS.includes(named) ? named : "write";
}

function follow() {
  const view = current();
  if (document.body.dataset.view !== view) {
    document.body.dataset.view = view;
    document.dispatchEvent(new CustomEvent("tdw:view", { detail: view }));
  }
  mark();
}

/** Tells in the navigation where we are; Gradio may draw it after this module has run. */
function mark() {
  for (const link of document.querySelectorAll("#views a")) {
    if (link.dataset.view === document.body.dataset.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

class Navigation extends HTMLElement {
  connectedCallback() {
    this.setAttribute("role", "navigation");
    this.setAttribute("aria-label", say("page.views"));
    mark();
  }
}

addEventListener("hashchange", follow);
follow();
customElements.define("tdw-views", Navigation);
