// @ts-check
// <tdw-quick>: the row on top with the controls that the settings name. They are moved there from their usual place.

import { block, foldFor, toggle } from "../base/gradio.js";
import { say } from "../base/strings.js";

export class Quick extends HTMLElement {
  /** block: a comment node in its usual place @type {Map<HTMLElement, Comment>} */
  places = new Map();

  connectedCallback() {
    this.setAttribute("role", "group");
    this.setAttribute("aria-label", say("page.quick"));
    this.wait(100);
  }

  /** Gradio draws its parts one by one: the controls may appear after this. */
  wait(left) {
    if (document.querySelector("#field-seed input")) this.arrange(window.tdwStart.look.quick_settings ?? []);
    else if (left) setTimeout(() => this.wait(left - 1), 50);
  }

  /** Moves the controls of these fields here, in this order; unknown fields are skipped. Until then the row has its height
   * already (data-quick), so that nothing moves when they come. */
  async arrange(paths) {
    const turn = (this.turn = {}); // a newer call stops an older one that still waits
    for (const [control, mark] of this.places) mark.replaceWith(control);
    this.places.clear();
    for (const path of paths) {
      const control = await this.drawn(path);
      if (turn !== this.turn) return;
      if (!control || control.closest("#writing, #top, tdw-quick")) continue;
      const mark = document.createComment(path);
      control.replaceWith(mark);
      this.places.set(control, mark);
      this.append(control);
    }
    document.documentElement.toggleAttribute("data-quick", this.places.size > 0);
  }

  /** The control of a field. Gradio draws a fold's controls when it is first opened: it is opened and closed for that. */
  async drawn(path) {
    const fold = foldFor(path);
    if (block(path) || !fold) return block(path);
    toggle(fold);
    for (let left = 60; left && !block(path); left -= 1) await new Promise((done) => setTimeout(done, 50));
    toggle(fold);
    return block(path);
  }
}

customElements.define("tdw-quick", Quick);
