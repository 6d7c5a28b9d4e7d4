// @ts-check
// <tdw-tokens>: the tokens of the prompts out of the model's length, whether the answer still fits, and words that are new to the
// checkpoint.

import { nameOfField } from "../base/names.js";
import { element } from "../base/parts.js";
import { shown } from "../base/shown.js";
import { say } from "../base/strings.js";
import { fieldOf, promptAreas } from "../prompts/fields.js";

const FEW = 6; // words that are named
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
    const common = { model: shown.get("model") || null, template: shown.get("template") || "auto" };
    const texts = [["prompt", String(shown.get("prompt") ?? "")]];
    for (const area of promptAreas()) if (fieldOf(area) !== "prompt" && area.value.trim()) texts.push([fieldOf(area), area.value]);
    const asked = JSON.stringify(texts.map(([path, text]) => [path, { ...common, text }]));
    if (asked === this.asked) return this.draw();
    this.asked = asked;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.count(asked), this.counted ? PAUSE_MS : 0);
  }

  /** Counts the prompt and each other one, such as the negative prompt: the longest has to leave room for the answer. */
  async count(asked) {
    const headers = { "Content-Type": "application/json" };
    const replies = await Promise.all(JSON.parse(asked).map(([, body]) => fetch("api/v1/tokens", { method: "POST", headers, body: JSON.stringify(body) }).catch(() => null)));
    if (asked !== this.asked) return; // a newer request is running
    if (replies.some((reply) => !reply || reply.status >= 500)) this.timer = setTimeout(() => this.count(asked), AGAIN_MS);
    const read = await Promise.all(replies.map((reply) => (reply?.ok ? reply.json() : null)));
    this.counted = read.every(Boolean) ? JSON.parse(asked).map(([path], index) => [path, read[index]]) : null;
    this.draw();
  }

  draw() {
    const [[, main] = ["", { prompt_tokens: 0, max_length: 0, new_words: [] }], ...others] = this.counted ?? [];
    const { prompt_tokens: used, max_length: all, new_words: fresh } = main;
    const left = Math.max(0, all - Math.max(used, ...others.map(([, { prompt_tokens: tokens }]) => tokens)));
    const over = this.length > left;
    this.dataset.over = String(Boolean(all) && over);
    const also = others.map(([path, { prompt_tokens: tokens }]) => say("page.tokens_also", { name: nameOfField(path), used: tokens }));
    let words = "";
    if (all) words = [say("page.tokens_used", { used, all }), ...also].join(", ") + (over ? say("page.tokens_over", { left, length: this.length }) : say("page.tokens", { left }));
    const few = fresh.length > FEW ? [...fresh.slice(0, FEW), "…"] : fresh;
    const key = words + few.join();
    if (this.drawn === key) return;
    this.drawn = key;
    this.replaceChildren(words, ...(fresh.length ? [element("span", "new-words", " ", say("page.new_words", { words: few.join(", ") }))] : []));
  }
}

customElements.define("tdw-tokens", Tokens);
