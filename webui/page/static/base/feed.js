// @ts-check
// All jobs and the loaded checkpoint, from one event stream for the whole page: queue, model bar and notifications read it.

import { client } from "./client.js";

export const ENDED = ["done", "failed", "cancelled"];

const AGAIN_MS = 1500; // after a connection that was refused

class Feed extends EventTarget {
  jobs = new Map(); // id: the job as the server lists it, oldest first
  loading = null; // {checkpoint, done} that is being loaded
  wanted = []; // checkpoints waiting to be loaded
  loaded = null; // the checkpoint in memory
  stuck = 0; // threads of abandoned jobs that have not returned
  downloads = []; // checkpoints being downloaded, and the last ones that ended
  checkpoints = -1; // version of the list of checkpoints
  edition = ""; // changes when the extensions have changed: this page was drawn with others
  connected = false;
  source = null;

  /** Connects. A hidden page without active jobs of its own disconnects: browsers limit the connections to a server. */
  start() {
    if (!document.hidden || this.active().some((job) => job.client_is_you)) this.listen();
    document.addEventListener("visibilitychange", () => (document.hidden ? this.pause() : this.listen()));
  }

  /** The jobs that are running or waiting. */
  active() {
    return [...this.jobs.values()].filter((job) => !ENDED.includes(job.state));
  }

  listen() {
    if (this.source && this.source.readyState !== EventSource.CLOSED) return;
    const source = new EventSource(`api/v1/jobs/events?client=${encodeURIComponent(client)}`);
    this.source = source;
    let snapshot = true;
    source.addEventListener("open", () => (snapshot = true));
    source.addEventListener("queue", (event) => {
      this.apply(JSON.parse(event.data), snapshot);
      snapshot = false;
    });
    source.addEventListener("error", () => {
      this.connected = false;
      this.changed();
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.listen(), AGAIN_MS);
    });
  }

  pause() {
    if (this.active().some((job) => job.client_is_you)) return;
    this.source?.close();
    this.source = null;
  }

  /** Applies an event; the first of a connection is a snapshot. */
  apply({ jobs, gone, loading, wanted, loaded, stuck, checkpoints, edition, downloads }, snapshot) {
    if (this.edition && this.edition !== edition) return location.reload(); // drafts and results are kept
    this.edition = edition;
    const before = this.jobs;
    this.jobs = new Map(snapshot ? [] : before);
    for (const id of gone) this.jobs.delete(id);
    for (const job of jobs) this.jobs.set(job.id, job);
    Object.assign(this, { loading, wanted, loaded, stuck, checkpoints, downloads, connected: true });
    const ended = jobs.filter((job) => ENDED.includes(job.state) && before.has(job.id) && !ENDED.includes(before.get(job.id).state));
    this.changed(ended);
    if (document.hidden) this.pause();
  }

  /** Makes everything that shows jobs look again; `ended`: jobs that have just ended. */
  changed(ended = []) {
    this.dispatchEvent(new CustomEvent("change", { detail: { ended } }));
  }
}

export const feed = new Feed();
feed.start();
