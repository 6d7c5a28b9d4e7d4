// @ts-check
// <tdw-repeat>, beside Interrupt: generates again whenever all jobs of this page are done, until Interrupt; stops all of them.

import { showNotice } from "../base/notice.js";
import { button, element } from "../base/parts.js";
import { shown } from "../base/shown.js";
import { say } from "../base/strings.js";

export class Repeat extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.switch = button("", () => this.turn(!this.on));
    this.switch.className = "tool repeat";
    this.switch.append(element("span", "", say("page.repeat")));
    this.all = button("", () => void window.tdw.interruptAll());
    this.all.className = "all";
    this.all.hidden = true;
    this.append(this.all, this.switch);
    this.turn(false);
  }

  turn(on) {
    this.on = on;
    this.switch.setAttribute("aria-pressed", String(on));
    if (!on) return;
    if (Number(shown.get("seed")) === -1) showNotice({ sentence: say("page.repeat_on") });
    else showNotice({ sentence: say("page.repeat_seed"), label: say("page.dice"), undo: () => shown.set("seed", -1) });
  }

  /** The jobs of this page changed: `left` run or wait, `state` is that of the one that ended last. */
  ended(left, state) {
    this.all.hidden = left < 2;
    this.all.textContent = say("page.interrupt_all", { count: left });
    if (!this.on || left) return;
    if (state === "done") document.querySelector("#generate")?.click();
    else this.turn(false);
  }
}

customElements.define("tdw-repeat", Repeat);
