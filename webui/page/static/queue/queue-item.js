// @ts-check
// One job in the queue: prompt, checkpoint, state, progress and actions.

import { ENDED, feed } from "../base/feed.js";
import { abandon, callJob, interrupt, interruption } from "../base/jobs.js";
import { preparingBy, worded } from "../base/names.js";
import { button, element } from "../base/parts.js";
import { say, locale } from "../base/strings.js";

const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" });

export class QueueItem {
  constructor(id) {
    this.id = id;
    this.prompt = element("bdi", "queue-prompt");
    this.state = element("span", "queue-state");
    this.facts = element("span", "queue-facts");
    this.whose = element("span", "queue-whose");
    this.error = element("p", "queue-error");
    this.bar = element("div", "queue-bar", element("i"));
    this.bar.setAttribute("role", "progressbar");
    this.bar.setAttribute("aria-valuemin", "0");
    this.bar.setAttribute("aria-valuemax", "100");
    this.open = this.act("open", () => this.ask("tdw:watch", { job: id }));
    this.stop = this.act("interrupt", () => interrupt(id));
    this.abandon = this.act("abandon", () => abandon(id));
    this.abandon.title = say("jobs.stuck");
    this.again = this.act("retry", () => this.retry());
    const what = element("div", "queue-what", this.prompt, element("div", "queue-meta", this.state, this.facts, this.whose), this.error, this.bar);
    this.node = element("li", "queue-item", what, element("div", "queue-acts", this.open, this.stop, this.abandon, this.again));
    this.node.dataset.job = id;
  }

  /** Shows the job as the server lists it; only changes touch the document. */
  show(job) {
    const over = ENDED.includes(job.state);
    const prompt = job.prompt || say("jobs.unprompted");
    setText(this.prompt, prompt);
    this.prompt.classList.toggle("none", !job.prompt);
    setText(this.state, state(job));
    const parts = facts(job).filter(Boolean);
    if (this.facts.textContent !== parts.join(" · ")) this.facts.replaceChildren(...parts.flatMap((fact, at) => [at ? " · " : "", element("bdi", "", fact)]));
    setText(this.error, worded(job.error ?? ""));
    this.error.hidden = !job.error;
    this.node.dataset.state = job.loading ? "loading" : job.state;
    this.node.dataset.mine = String(job.client_is_you);
    setText(this.whose, say(job.client_is_you ? "jobs.mine" : "jobs.others"));
    this.bar.hidden = job.state !== "running";
    const percent = Math.round(100 * (job.loading?.done ?? job.progress));
    this.bar.firstChild.style.width = `${percent}%`;
    this.bar.setAttribute("aria-valuenow", String(percent));
    this.bar.setAttribute("aria-label", say("jobs.progress", { prompt }));
    this.stop.hidden = over;
    this.abandon.hidden = interruption(this.id) !== "stuck";
    this.again.hidden = !over;
    for (const one of [this.open, this.stop, this.abandon, this.again]) one.setAttribute("aria-label", `${one.textContent}: ${prompt}`);
  }

  act(name, press) {
    const node = button(say(`jobs.${name}`), press);
    node.dataset.act = name;
    return node;
  }

  async retry() {
    const made = await callJob(this.id, "POST", "/retry");
    if (made) this.ask("tdw:watch", { job: made.id });
  }

  ask(name, detail) {
    this.node.dispatchEvent(new CustomEvent(name, { bubbles: true, detail }));
  }
}

function state({ id, state, position, loading, preparing, progress, seconds }) {
  if (interruption(id)) return say("jobs.state.interrupting");
  loading ??= state === "queued" && !position ? feed.loading : null;
  if (loading) return say("jobs.state.loading", { checkpoint: loading.checkpoint, percent: Math.round(100 * loading.done) });
  if (preparing) return preparingBy(preparing);
  if (state === "queued") return position > 1 ? say("jobs.state.queued.many", { n: position }) : say(position ? "jobs.state.queued.one" : "jobs.state.queued");
  return say(`jobs.state.${state}`, { percent: Math.round(100 * progress), time: duration(seconds) });
}

function facts(job) {
  const texts = job.texts === 1 ? say("jobs.texts.one") : say("jobs.texts.many", { n: job.texts });
  const rest = job.state === "running" && job.progress > 0.03 ? (job.seconds / job.progress) * (1 - job.progress) : 0;
  const at = ENDED.includes(job.state) ? clock.format(new Date(1000 * job.created)) : "";
  return [rest >= 1 && say("jobs.left", { time: duration(rest) }), texts, job.checkpoint, at];
}

function duration(seconds) {
  if (seconds < 10) return say("jobs.seconds", { n: seconds.toLocaleString(locale, { maximumFractionDigits: 1 }) });
  if (seconds < 90) return say("jobs.seconds", { n: Math.round(seconds) });
  return say("jobs.minutes", { n: Math.round(seconds / 60) });
}

function setText(node, words) {
  if (node.textContent !== words) node.textContent = words;
}
