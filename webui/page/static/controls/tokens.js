// @ts-check
// <tdw-tokens>: the tokens of the prompt out of the model's length, and whether the answer still fits.

import { shown } from "../base/shown.js";
import { say } from "../base/strings.js";

const PAUSE_MS = 350; // after the last key
const AGAIN_MS = 2000; // after a request without an answer

class Tokens extends HTMLElement {
  connectedCallback() {
    this.setAttribute("role", "status");
    this.look = () => this.changed();
    shown.watch(this.look);
  }

  disconnectedCallback() {
    shown.watchers.delete(this.look);
  }

  changed() {
    this.length = Number(shown.get("length")) || 0;
    const asked = JSON.stringify({ text: shown.get("prompt") ?? "", model: shown.get("model") || null, template: shown.get("template") || "auto" });
    if (asked === this.asked) return this.draw();
    this.asked = asked;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.count(asked), this.counted ? PAUSE_MS : 0);
  }

  async count(asked) {
    const headers = { "Content-Type": "application/json" };
    const reply = await fetch("api/v1/tokens", { method: "POST", headers, body: asked }).catch(() => null);
    if (asked !== this.asked) return; // a newer request is running
    if (!reply || reply.status >= 500) this.timer = setTimeout(() => this.count(asked), AGAIN_MS);
    this.counted = reply?.ok ? await reply.json() : null;
    this.draw();
  }

  draw() {
    const { prompt_tokens: used = 0, max_length: all = 0 } = this.counted ?? {};
    const left = Math.max(0, all - used);
    const over = this.length > left;
    this.dataset.over = String(Boolean(all) && over);
    let words = "";
    if (all) words = over ? say("page.tokens_over", { used, all, left, length: this.length }) : say("page.tokens", { used, all, left });
    if (this.textContent !== words) this.textContent = words;
  }
}

customElements.define("tdw-tokens", Tokens);
