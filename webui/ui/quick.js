// <tdw-quick>: the strip on top with the controls that the settings name. They are moved there, and back when they are not.

import { say } from "./strings.js";

class Quick extends HTMLElement {
  connectedCallback() {
    this.places ??= new Map(); // block: the mark in its usual place
    this.setAttribute("role", "group");
    this.setAttribute("aria-label", say("page.quick"));
    this.wait(100);
  }

  /** Gradio draws its parts one by one: the controls may come after this. */
  wait(left) {
    if (document.querySelector("#field-seed input")) this.arrange(window.tdwStart.look.quick_settings ?? []);
    else if (left) setTimeout(() => this.wait(left - 1), 50);
  }

  /** Shows the controls of these fields here, in this order; those that are not on the page are left out. */
  arrange(paths) {
    for (const [block, mark] of this.places) mark.replaceWith(block);
    this.places.clear();
    for (const path of paths) {
      const block = document.getElementById(`field-${path.replaceAll(".", "-")}`);
      if (!block || block.closest("#writing, #top")) continue;
      const mark = document.createComment(path);
      block.replaceWith(mark);
      this.places.set(block, mark);
      this.append(block);
    }
    this.toggleAttribute("data-empty", !this.places.size);
  }
}

customElements.define("tdw-quick", Quick);
