// @ts-check
// <tdw-canvas>: follows a job by server-sent events and shows it.

import { ENDED, Job } from "./job.js";
import { feed } from "../base/feed.js";
import { interrupt } from "../base/jobs.js";
import { element } from "../base/parts.js";
import { say } from "../base/strings.js";

const KEPT = 12; // jobs that are shown, the current one included
const STORE = "tdw.job";

export class Canvas extends HTMLElement {
  connectedCallback() {
    if (this.jobs) return;
    this.jobs = [];
    this.labels = JSON.parse(this.dataset.labels || "{}");
    this.append(this.blank());
    feed.addEventListener("change", () => this.job?.state === "queued" && this.job.describe()); // a checkpoint is loaded
  }

  get job() {
    return this.jobs[0];
  }

  get running() {
    return Boolean(this.job && this.source && !ENDED.includes(this.job.state));
  }

  /** The request of the newest text. */
  get lastRequest() {
    const rows = this.jobs.flatMap((job) => [...(job.rows?.values() ?? [])]);
    return rows.find((row) => row.result)?.result.request;
  }

  /** Follows a job and shows it above the earlier ones. */
  follow(id) {
    if (this.job?.id === id && this.source) return; // without a source the connection was lost: follow it again
    this.source?.close();
    localStorage.setItem(STORE, id);
    this.querySelector(".blank")?.remove();
    const again = this.jobs.findIndex((job) => job.id === id); // an earlier job that is opened again
    if (again >= 0) this.jobs.splice(again, 1)[0].node.remove();
    this.jobs.unshift(new Job(id));
    this.prepend(this.job.node);
    for (const old of this.jobs.splice(KEPT)) old.node.remove();
    this.jobs.slice(1).forEach((job) => job.node.classList.add("earlier"));
    this.listen(this.job);
  }

  /** Stops the job before its next model call; committed tokens stay. */
  async interrupt() {
    if (this.running) await interrupt(this.job.id);
  }

  listen(job) {
    const source = new EventSource(`api/v1/jobs/${encodeURIComponent(job.id)}/events`);
    this.source = source;
    let snapshot = true; // the browser reconnects by itself, and gets a snapshot again
    source.addEventListener("open", () => (snapshot = true));
    source.addEventListener("update", (event) => {
      job.update(JSON.parse(event.data), snapshot);
      snapshot = false;
      if (ENDED.includes(job.state)) source.close();
      this.changed(job);
    });
    source.addEventListener("error", () => {
      if (ENDED.includes(job.state)) return;
      const lost = source.readyState === EventSource.CLOSED;
      job.setStatus(say(lost ? "canvas.lost" : "canvas.reconnecting"));
      if (lost) this.source = null;
      this.changed(job);
    });
    this.changed(job);
  }

  changed(job) {
    this.dispatchEvent(new CustomEvent("change", { detail: job }));
  }

  /** The content before the first text: masks. */
  blank() {
    const widths = [9, 5, 12, 7, 4, 10, 6, 13, 5, 8, 11, 4, 7, 9, 6, 12, 5, 8, 10, 4, 7, 11, 6, 9, 5, 13];
    const noise = widths.map((width, index) => {
      const bar = element("i", "mask");
      bar.style.width = `${width / 3}em`;
      bar.style.opacity = String(1 - index / 30);
      return bar;
    });
    const words = element("p", "", say("canvas.blank"));
    return element("div", "blank", element("div", "text", ...noise), words);
  }
}

customElements.define("tdw-canvas", Canvas);
