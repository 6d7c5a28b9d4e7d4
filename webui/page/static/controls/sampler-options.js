// @ts-check
// <tdw-sampler-options>: shows the options of the chosen sampler and hides those of all others.

import { block } from "../base/gradio.js";
import { shown } from "../base/shown.js";

export class SamplerOptions extends HTMLElement {
  connectedCallback() {
    /** The fields of each sampler's options. @type {Record<string, string[]>} */
    this.options = JSON.parse(this.dataset.options ?? "{}");
    shown.watch(() => this.draw());
  }

  draw() {
    const mine = this.options[shown.get("sampler")] ?? [];
    for (const path of Object.values(this.options).flat()) {
      block(path)?.toggleAttribute("data-acts", mine.some((field) => field === path || path.startsWith(`${field}.`)));
    }
  }
}

customElements.define("tdw-sampler-options", SamplerOptions);
