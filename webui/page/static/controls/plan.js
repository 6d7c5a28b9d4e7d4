// @ts-check
// What Generate would do with what the controls show: how many texts, why not, and what in the prompts would act if it were on.

import { feed } from "../base/feed.js";
import { shown } from "../base/shown.js";
import { formatNumber, say } from "../base/strings.js";

const PAUSE_MS = 350; // after the last change
const AGAIN_MS = 2000; // after a question without an answer

class Plan extends EventTarget {
  texts = 1;
  forwards = 0; // model calls, at most
  /** @type {number | null} roughly; null while nothing has been measured */
  seconds = null;
  confirm = false; // whether so many texts have to be confirmed
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

  /** A job ended: what its model calls took changes the estimate. */
  again() {
    if (this.current && this.texts > 1) this.press();
  }

  press() {
    if (this.waiting) return; // `answer` asks again
    this.asked = this.waiting = this.values;
    document.getElementById("plan")?.click();
  }

  /** What it costs in words. */
  get cost() {
    const parts = [say("page.cost.texts", { texts: formatNumber(this.texts) }), say("page.cost.forwards", { forwards: formatNumber(this.forwards) })];
    if (this.seconds !== null) parts.push(say("page.cost.seconds", { time: duration(this.seconds) }));
    return parts.join(" · ");
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
    const { texts = this.texts, forwards = 0, seconds = null, confirm = false } = answer;
    Object.assign(this, { texts, forwards, seconds, confirm, error: answer.error ?? "", off: answer.off ?? [], current: true });
    this.dispatchEvent(new Event("change"));
  }
}

function duration(seconds) {
  for (const [unit, size] of /** @type {[string, number][]} */ ([["hours", 3600], ["minutes", 60]])) {
    if (seconds >= 2 * size) return say(`page.cost.${unit}`, { n: Math.round(seconds / size) });
  }
  return say("page.cost.s", { n: Math.max(1, Math.round(seconds)) });
}

export const plan = new Plan();
shown.watch(() => plan.ask());
feed.addEventListener("change", (/** @type {any} */ { detail }) => detail?.ended.length && plan.again());
