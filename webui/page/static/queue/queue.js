// @ts-check
// <tdw-queue>: the jobs that run, wait or ended recently, this browser's first.

import { ENDED, feed } from "../base/feed.js";
import { notifySwitch } from "../base/notify.js";
import { button, element } from "../base/parts.js";
import { Experiments } from "./experiments.js";
import { QueueItem } from "./queue-item.js";
import { say } from "../base/strings.js";

const RECENT = 20; // ended jobs shown before "Show more"

class Queue extends HTMLElement {
  connectedCallback() {
    if (this.groups) return;
    this.items = new Map();
    this.lost = element("p", "queue-lost", say("jobs.lost"));
    this.lost.setAttribute("role", "status");
    this.stuck = element("p", "queue-lost");
    this.empty = element("div", "queue-empty", element("h3", "", say("jobs.empty")), element("p", "", say("jobs.empty.about")));
    this.groups = [new Group("now"), new Group("recent")];
    this.experiments = new Experiments();
    const head = element("header", "queue-head", element("h2", "", say("jobs.title")), (this.sum = element("span", "queue-sum")), notifySwitch());
    this.sum.setAttribute("role", "status");
    this.append(element("div", "queue-page", head, this.lost, this.stuck, this.empty, ...this.groups.map((group) => group.node), this.experiments.node));
    this.more = () => this.show();
    for (const group of this.groups) group.node.addEventListener("tdw:more", this.more);
    feed.addEventListener("change", () => this.show());
    document.addEventListener("tdw:view", () => (this.show(), this.experiments.ask()));
    this.show();
    this.experiments.ask();
  }

  /** Updates the number in the navigation, and the lists while they are visible: there may be hundreds of jobs. */
  show() {
    this.count();
    if (document.body.dataset.view !== "queue") return;
    const jobs = [...feed.jobs.values()];
    this.classList.toggle("shared", jobs.some((job) => !job.client_is_you)); // only then it matters whose they are
    const [now, recent] = this.groups;
    now.show(jobs.filter((job) => !ENDED.includes(job.state)), (job) => this.draw(job));
    recent.show(jobs.filter((job) => ENDED.includes(job.state)).reverse(), (job) => this.draw(job));
    for (const [id, item] of this.items) if (!item.node.isConnected) this.items.delete(id);
    this.stuck.hidden = !feed.stuck;
    this.stuck.textContent = say(feed.stuck === 1 ? "jobs.threads.one" : "jobs.threads.many", { n: feed.stuck });
    this.lost.hidden = feed.connected || !feed.source;
    this.empty.hidden = jobs.length > 0;
  }

  /** The node of a job, up to date. */
  draw(job) {
    if (!this.items.has(job.id)) this.items.set(job.id, new QueueItem(job.id));
    const item = this.items.get(job.id);
    item.show(job);
    return item.node;
  }

  /** Reports to the navigation how many run or wait. */
  count() {
    const active = feed.active();
    const running = active.filter((job) => job.state === "running").length;
    const words = active.length ? say("jobs.sum", { running, waiting: active.length - running }) : "";
    if (this.sum.textContent !== words) this.sum.textContent = words;
    if (this.counted === active.length) return;
    this.counted = active.length;
    this.dispatchEvent(new CustomEvent("tdw:count", { bubbles: true, detail: { count: active.length, view: "queue" } }));
  }
}

/** A part of the list with its title and a limit on its jobs until "Show more" is pressed. */
class Group {
  constructor(kind) {
    this.shown = kind === "recent" ? RECENT : Infinity;
    this.list = element("ol", "queue-list");
    this.more = button("", () => {
      this.shown += 3 * RECENT;
      this.node.dispatchEvent(new CustomEvent("tdw:more"));
    });
    this.more.className = "queue-more";
    this.node = element("section", `queue-group queue-${kind}`, element("h3", "", say(`jobs.${kind}`)), this.list, this.more);
    this.node.setAttribute("aria-label", say(`jobs.${kind}`));
  }

  show(jobs, draw) {
    order(this.list, jobs.slice(0, this.shown).map(draw));
    this.node.hidden = !jobs.length;
    this.more.hidden = jobs.length <= this.shown;
    this.more.textContent = say("jobs.more", { n: jobs.length - this.shown });
  }
}

/** Makes these the children in this order; those in place are not touched, so that they keep the focus. */
function order(list, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...list.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, index) => {
    if (list.children[index] !== node) list.insertBefore(node, list.children[index] ?? null);
  });
}

customElements.define("tdw-queue", Queue);
