// @ts-check
// The experiments that are kept: jobs of several texts, which go on after a restart of the server.

import { post } from "../base/call.js";
import { feed } from "../base/feed.js";
import { showError } from "../base/notice.js";
import { button, element, send } from "../base/parts.js";
import { confirmed } from "../base/popover.js";
import { locale, say } from "../base/strings.js";

const SHOWN = 10;
const day = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });

export class Experiments {
  constructor() {
    this.list = element("ol", "queue-list");
    this.more = button("", () => ((this.limit += 5 * SHOWN), this.draw()));
    this.more.className = "queue-more";
    this.limit = SHOWN;
    this.found = [];
    this.node = element("section", "queue-group queue-experiments", element("h3", "", say("experiments.title")), this.list, this.more);
    this.node.setAttribute("aria-label", say("experiments.title"));
    this.node.hidden = true;
    feed.addEventListener("change", (/** @type {any} */ { detail }) => detail?.ended.length && this.ask());
  }

  /** Asks for the list, if it can be seen. */
  ask() {
    if (document.body.dataset.view !== "queue" || this.asking) return;
    this.asking = true;
    void this.fetched().finally(() => (this.asking = false));
  }

  async fetched() {
    const reply = await fetch("api/v1/experiments").catch(() => null);
    if (!reply?.ok) return;
    this.found = await reply.json();
    this.draw();
  }

  draw() {
    this.list.replaceChildren(...this.found.slice(0, this.limit).map((one) => this.item(one)));
    this.node.hidden = !this.found.length;
    this.more.hidden = this.found.length <= this.limit;
    this.more.textContent = say("jobs.more", { n: this.found.length - this.limit });
  }

  item(one) {
    const prompt = element("bdi", one.prompt ? "queue-prompt" : "queue-prompt none", one.prompt || say("jobs.unprompted"));
    const facts = [say("experiments.done", { done: one.done, texts: one.texts })];
    if (one.failed) facts.push(say("experiments.failed", { failed: one.failed }));
    facts.push(day.format(new Date(1000 * one.created)));
    const what = element("div", "queue-what", prompt, element("div", "queue-meta", element("span", "queue-facts", facts.join(" · "))));
    const acts = [
      ...(one.running ? [this.act("open", one, () => this.watch(one.running))] : []),
      ...(!one.running && one.done ? [this.act("open", one, () => this.resume(one, "nothing"))] : []),
      ...(!one.running && one.done + one.failed < one.texts ? [this.act("resume", one, () => this.resume(one, "missing"))] : []),
      ...(!one.running && one.failed ? [this.act("retry", one, () => this.resume(one, "failed"))] : []),
      ...(one.running ? [] : [this.act("delete", one, () => this.remove(one))]),
    ];
    const node = element("li", "queue-item", what, element("div", "queue-acts", ...acts));
    node.dataset.experiment = one.id;
    return node;
  }

  act(name, one, press) {
    const node = button(say(`experiments.${name}`), () => void press());
    node.dataset.act = name;
    node.setAttribute("aria-label", `${node.textContent}: ${one.prompt || say("jobs.unprompted")}`);
    return node;
  }

  async resume(one, writes) {
    try {
      this.watch((await post(`experiments/${one.id}/resume`, { writes })).id);
    } catch (error) {
      showError(error.message);
    }
  }

  watch(job) {
    send(this.node, "watch", { job });
  }

  async remove(one) {
    if (!(await confirmed(say("experiments.delete.ask"), say("experiments.delete"), say("page.cost.no")))) return;
    const reply = await fetch(`api/v1/experiments/${one.id}`, { method: "DELETE" }).catch(() => null);
    if (!reply?.ok) showError((await reply?.json().catch(() => null))?.error?.message ?? say("jobs.unanswered"));
    this.ask();
  }
}
