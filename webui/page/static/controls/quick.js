// @ts-check
// <tdw-quick>: the strip on top with the controls that the settings name. They are moved there, and back when they are not.

import { say } from "../base/strings.js";

export class Quick extends HTMLElement {
  /** block: the mark in its usual place @type {Map<HTMLElement, Comment>} */
  places = new Map();

  connectedCallback() {
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
  async arrange(paths) {
    const turn = (this.turn = {}); // a newer call ends an older one that still waits
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

  /** The control of a field. One in a fold that was never open is not drawn yet: the fold is opened and closed for it. */
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
