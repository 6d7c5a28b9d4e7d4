// @ts-check
// What Generate would do with what the controls show: how many texts, why not, and what in the prompts would act if it were on.

import { shown } from "../base/shown.js";

const PAUSE_MS = 350; // after the last change
const AGAIN_MS = 2000; // after a question without an answer

class Plan extends EventTarget {
  texts = 1;
  error = ""; // why nothing can be made: one sentence
  /** @type {{path: string, text: string}[]} */
  off = [];
  current = false; // whether the answer is about what the controls show now

  /** The controls changed. */
  ask() {
    const values = JSON.stringify(shown.values);
    if (values === this.values) return;
    this.values = values;
    this.current = false;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.press(), this.asked ? PAUSE_MS : 0);
  }

  press() {
    if (this.waiting) return; // `answer` asks again
    this.asked = this.waiting = this.values;
    document.getElementById("plan")?.click();
  }

  /** The server's answer; null: it did not answer. */
  answer(answer) {
    const about = this.waiting;
    this.waiting = null;
    if (about !== this.values) return this.press();
    if (!answer) {
      this.timer = setTimeout(() => this.press(), AGAIN_MS);
      return;
    }
    Object.assign(this, { texts: answer.texts ?? this.texts, error: answer.error ?? "", off: answer.off ?? [], current: true });
    this.dispatchEvent(new Event("change"));
  }
}

export const plan = new Plan();
shown.watch(() => plan.ask());
