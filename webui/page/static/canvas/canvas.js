// @ts-check
// <tdw-canvas>: follows jobs by server-sent events and shows them, the newest on top.

import { ENDED, Job } from "./job.js";
import { feed } from "../base/feed.js";
import { interrupt } from "../base/jobs.js";
import { element } from "../base/parts.js";
import { say } from "../base/strings.js";

const KEPT = 12; // ended jobs that are shown
const STREAMS = 2; // of jobs at the same time: browsers limit the connections to a server
const STORE = "tdw.job"; // the newest one, whose request the controls show after a reload
const BOARD = "tdw.board"; // [job, its results' ids] of all, the newest first

export class Canvas extends HTMLElement {
  /** The streams of the jobs that are followed. @type {Map<Job, EventSource>} */
  sources = new Map();

  connectedCallback() {
    if (this.jobs) return;
    this.jobs = [];
    this.labels = JSON.parse(this.dataset.labels || "{}");
    this.append(this.blank());
    feed.addEventListener("change", () => {
      this.advance();
      for (const job of this.jobs) if (job.state === "queued") job.describe(); // a checkpoint is loaded
    });
  }

  /** The newest job. */
  get job() {
    return this.jobs[0];
  }

  /** The jobs that run or wait, the oldest first. */
  get active() {
    return this.jobs.filter((job) => !ENDED.includes(job.state) && !job.lost).reverse();
  }

  /** The job that runs, or else the next one. */
  get current() {
    return this.active.find(({ state }) => state === "running") ?? this.active[0];
  }

  get running() {
    return this.active.length > 0;
  }

  /** The request of the newest text. */
  get lastRequest() {
    const rows = this.jobs.flatMap((job) => [...(job.rows?.values() ?? [])]);
    return rows.find((row) => row.result)?.result.request;
  }

  /** Follows a job and shows it above the others. */
  follow(id) {
    if (this.job?.id === id && !this.job.lost) return; // a connection that was lost is made again
    localStorage.setItem(STORE, id);
    this.querySelector(".blank")?.remove();
    const again = this.jobs.find((job) => job.id === id); // a job that is opened again
    if (again) this.drop(again);
    this.jobs.unshift(new Job(id));
    this.prepend(this.job.node);
    this.jobs.filter(({ state }) => ENDED.includes(state)).slice(KEPT - 1).forEach((old) => this.drop(old));
    this.jobs.slice(1).forEach((job) => job.node.classList.add("earlier"));
    this.advance();
    this.changed(this.job);
    this.keep();
  }

  /** Writes down what is shown, for `restore`. */
  keep() {
    const board = this.jobs.map((job) => [job.id, job.results.map(({ id }) => id)]);
    localStorage.setItem(BOARD, JSON.stringify(board));
  }

  /** After a reload: shows the jobs that were shown before. Those that the server does not know any more come from the
   *  history. */
  async restore() {
    const board = JSON.parse(localStorage.getItem(BOARD) ?? "[]");
    const reply = await fetch("api/v1/jobs").catch(() => null);
    const known = new Set(((await reply?.json().catch(() => null)) ?? []).map(({ id }) => id));
    for (const [id, results] of board.reverse()) {
      if (this.jobs.some((job) => job.id === id)) continue;
      if (known.has(id)) this.place(new Job(id));
      else {
        const found = (await Promise.all(results.map(stored))).filter(Boolean);
        if (found.length) this.place(Job.of(id, found));
      }
    }
    this.advance();
  }

  /** Puts a job of before a reload below those that were begun since, above older ones. */
  place(job) {
    const since = this.jobs.filter((one) => !one.restored);
    const after = since.at(-1)?.node;
    job.restored = true;
    this.querySelector(".blank")?.remove();
    if (after) after.after(job.node);
    else this.prepend(job.node);
    this.jobs.splice(since.length, 0, job);
    this.jobs.forEach((one, index) => one.node.classList.toggle("earlier", index > 0));
    this.changed(job);
  }

  /** Shows a saved text above the others, as if it had just been made. */
  show(result) {
    const job = Job.of(`saved-${result.id ?? ""}`, [result]);
    const again = this.jobs.find(({ id }) => id === job.id);
    if (again) this.drop(again);
    this.querySelector(".blank")?.remove();
    this.jobs.unshift(job);
    this.prepend(job.node);
    this.jobs.forEach((one, index) => one.node.classList.toggle("earlier", index > 0));
    this.changed(job);
    this.keep();
  }

  /** Opens the streams of jobs that have begun; one that waits behind another of this page needs none yet. */
  advance() {
    for (const job of this.active) {
      if (this.sources.has(job)) continue;
      const known = feed.jobs.get(job.id);
      if (!this.sources.size || (known && known.state !== "queued" && this.sources.size < STREAMS)) this.listen(job);
      else if (known) job.wait(known);
    }
  }

  /** Takes a job off the page; it goes on. */
  drop(job) {
    this.sources.get(job)?.close();
    this.sources.delete(job);
    this.jobs = this.jobs.filter((one) => one !== job);
    job.node.remove();
    this.job?.node.classList.remove("earlier");
    if (!this.job) this.append(this.blank());
  }

  /** Stops the job that runs before its next model call; committed tokens stay. */
  async interrupt() {
    if (this.current) await interrupt(this.current.id);
  }

  /** Stops every job of this page. */
  async interruptAll() {
    for (const job of [...this.active].reverse()) await interrupt(job.id); // the running one last, so that none begins
  }

  listen(job) {
    const source = new EventSource(`api/v1/jobs/${encodeURIComponent(job.id)}/events`);
    this.sources.set(job, source);
    let snapshot = true; // the browser reconnects by itself, and gets a snapshot again
    source.addEventListener("open", () => (snapshot = true));
    source.addEventListener("update", (event) => {
      job.update(JSON.parse(event.data), snapshot);
      snapshot = false;
      if (ENDED.includes(job.state)) this.close(job);
      if (ENDED.includes(job.state)) this.keep();
      if (job.empty && this.jobs.length > 1) this.drop(job); // interrupted before it began: there is nothing to show
      this.changed(job);
    });
    source.addEventListener("error", () => {
      if (ENDED.includes(job.state)) return;
      job.lost = source.readyState === EventSource.CLOSED;
      job.setStatus(say(job.lost ? "canvas.lost" : "canvas.reconnecting"));
      if (job.lost) this.close(job);
      this.changed(job);
    });
    this.changed(job);
  }

  close(job) {
    this.sources.get(job)?.close();
    this.sources.delete(job);
    this.advance();
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

/** A saved text by its id; null if it is not there any more. */
async function stored(id) {
  const reply = await fetch(`api/v1/history/${encodeURIComponent(id)}`).catch(() => null);
  return reply?.ok ? await reply.json().catch(() => null) : null;
}

customElements.define("tdw-canvas", Canvas);
