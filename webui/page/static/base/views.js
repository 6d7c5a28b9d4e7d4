// @ts-check
// The views of the page (write, history, ...): one is visible at a time, named by the address; the others keep their state.

import { say } from "./strings.js";

const VIEWS = /** @type {HTMLMetaElement} */ (document.querySelector("meta[name=tdw-views]"))?.content.split(" ") ?? ["write"];
const style = document.createElement("style"); // shows the view: Gradio may draw it after this module has run
document.head.append(style);

/** Shows a view, as an entry in the browser's history. */
export function open(view) {
  if (current() === view) return;
  location.hash = view;
  follow(); // now, not with the event: the caller may need the view to be visible
}

/** The view in the address. */
export function current() {
  const named = location.hash.slice(1).split("?")[0]; // the state of a view follows the question mark
  return VIEWS.includes(named) ? named : "write";
}

function follow() {
  const view = current();
  if (document.body.dataset.view !== view) {
    document.body.dataset.view = view;
    style.textContent = view === "write" ? "" : `.gradio-container.gradio-container #view-${view}.view.view { display: block; }`;
    document.dispatchEvent(new CustomEvent("tdw:view", { detail: view }));
  }
  mark();
}

/** Calls `act(visible)` now and whenever a view is entered or left. */
export function whenVisible(view, act) {
  let before;
  const changed = () => document.body.dataset.view === view !== before && act((before = !before));
  before = document.body.dataset.view === view;
  document.addEventListener("tdw:view", changed);
  act(before);
}

/** Marks the current view in the navigation, which Gradio may draw after this module has run. */
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
