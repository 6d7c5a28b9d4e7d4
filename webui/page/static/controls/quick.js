// @ts-check
// <tdw-quick>: the row on top with the controls that the settings name. They are moved there from their usual place.

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

  /** Moves the controls of these fields here, in this order; unknown fields are skipped. */
  async arrange(paths) {
    const turn = (this.turn = {}); // a newer call stops an older one that still waits
    for (const [block, mark] of this.places) mark.replaceWith(block);
    this.places.clear();
    for (const path of paths) {
      const block = await this.block(path);
      if (turn !== this.turn) return;
      if (!block || block.closest("#writing, #top, tdw-quick")) continue;
      const mark = document.createComment(path);
      block.replaceWith(mark);
      this.places.set(block, mark);
      this.append(block);
    }
  }

  /** The control of a field. Gradio draws a fold's controls when it is first opened: it is opened and closed for that. */
  async block(path) {
    const find = () => document.getElementById(`field-${path.replaceAll(".", "-")}`);
    const fold = document.getElementById(path.includes(".") ? `extension-${path.split(".")[0]}` : "more");
    if (find() || !fold) return find();
    const opener = fold.querySelector(":scope > button");
    opener.click();
    for (let left = 60; left && !find(); left -= 1) await new Promise((done) => setTimeout(done, 50));
    opener.click();
    return find();
  }
}

customElements.define("tdw-quick", Quick);
