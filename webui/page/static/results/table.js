// @ts-check
// The texts of a job as a table: axes, text and metrics as columns; sorted, filtered, saved as files.

import { post } from "../base/call.js";
import { callJob } from "../base/jobs.js";
import { valueOfAxis, worded } from "../base/names.js";
import { showError } from "../base/notice.js";
import { button, element, menu, send } from "../base/parts.js";
import { say } from "../base/strings.js";
import { SIMILAR, compare, counts, number, similarity, title } from "./columns.js";
import { diff } from "./diff.js";
import { vote } from "./votes.js";

const SHOWN = 200; // rows that are drawn at once
const ACROSS = 24; // ... as columns
const DRAW_MS = 200; // between two drawings while texts arrive
const PAUSE_MS = 1500; // between two questions for the metrics of a job that runs
const BUSY = 10; // they take at most this share of the time
const HIDDEN = "tdw.columns"; // the metrics that nobody wants to see
const FORMATS = ["html", "csv", "jsonl", "markdown"];

/** Dispatches "change" when it has other metrics. */
export class ResultTable extends EventTarget {
  /** `axes`: those of each cell by its id; `open` shows the text of a cell. */
  constructor(job, axes, open) {
    super();
    this.job = job;
    this.axes = axes;
    this.open = open;
    this.names = [...new Set([...axes.values()].flatMap((list) => list.map(([name]) => name)))];
    this.metrics = { names: [], rows: new Map() };
    this.sorted = { column: "", order: 0 };
    this.limit = SHOWN;
    this.pinned = null; // the id of the cell that the others are compared with
    this.across = false; // whether texts are columns
    this.filter = element("input");
    Object.assign(this.filter, { type: "search", placeholder: say("table.filter") });
    this.filter.setAttribute("aria-label", say("table.filter"));
    this.filter.addEventListener("input", () => this.draw());
    this.wrap = button(say("table.wrap"), () => this.wrapped(this.wrap.getAttribute("aria-pressed") !== "true"));
    this.turn = button(say("table.transpose"), () => this.transpose(!this.across));
    this.turn.setAttribute("aria-pressed", "false");
    this.count = element("span", "table-count");
    this.count.setAttribute("role", "status");
    this.failed = element("p", "row-note");
    this.failed.hidden = true;
    this.body = element("tbody");
    this.head = element("tr");
    const table = element("table", "results", element("thead", "", this.head), this.body);
    this.more = button(say("table.more"), () => ((this.limit += this.across ? ACROSS : SHOWN), this.draw()));
    const box = element("div", "table-box", table, this.more);
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", say("canvas.table"));
    const saved = menu(say("table.save"), () => FORMATS.map((name) => [say(`table.save.${name}`), () => this.save(name)]));
    this.votes = button(say("table.vote"), () => vote(this));
    this.votes.title = say("table.vote.about");
    this.goOn = menu(say("table.continue"), () => this.ways());
    this.hidden = new Set(JSON.parse(localStorage.getItem(HIDDEN) ?? "[]"));
    this.shown = menu(say("table.columns"), () => this.switches());
    this.scoring = null; // how many bounds are computed, of how many
    this.bound = button(say("table.bound"), () => void this.score());
    this.bound.title = say("table.bound.about");
    this.bar = element("div", "table-bar", this.filter, this.wrap, this.turn, this.shown, this.bound, this.votes, this.goOn, saved, this.count);
    this.node = element("div", "results-table", this.bar, this.failed, box);
    this.wrapped(false);
  }

  /** The experiment that keeps these texts, or null. */
  get experiment() {
    return this.job.last?.experiment ?? null;
  }

  /** How the experiment can go on. */
  ways() {
    const names = [["missing", null], ["failed", null], ["controls", "controls"]];
    return names.map(([name, from]) => [say(`table.continue.${name}`), () => void this.resume(name, from)]);
  }

  /** Goes on with the experiment as a new job; `from`: with the request that the controls show. */
  async resume(name, from) {
    const request = from ? await window.tdw.request() : {};
    if (request.error) return showError(request.error);
    const asked = { request: request.request ?? null, writes: from ? "missing" : name };
    try {
      const { id } = await post(`experiments/${this.experiment}/resume`, asked);
      send(this.node, "watch", { job: id });
    } catch (error) {
      showError(error.message);
    }
  }

  /** A switch for each metric: whether it is a column. */
  switches() {
    const metrics = this.metrics.names.map((name) => `metric ${name}`);
    return metrics.map((column) => [title(column), () => this.hide(column, !this.hidden.has(column)), !this.hidden.has(column)]);
  }

  hide(column, on) {
    if (on) this.hidden.add(column);
    else this.hidden.delete(column);
    localStorage.setItem(HIDDEN, JSON.stringify([...this.hidden]));
    if (on && this.sorted.column === column) this.sorted = { column: "", order: 0 };
    this.draw();
  }

  /** Asks for the bounds of the texts, which cost model calls, or stops computing them. */
  async score() {
    const method = this.scoring ? "DELETE" : "POST";
    if (await callJob(this.job.id, method, "/bounds")) this.again();
  }

  /** Whether there are texts without a bound. */
  get unscored() {
    return [...this.job.rows].some(([id, row]) => row.result?.complete && this.metrics.rows.get(id)?.bound === undefined);
  }

  /** Pins a cell, that the others are compared with it; the one that is pinned is taken off. */
  pin(id) {
    this.pinned = this.pinned === id ? null : id;
    this.words = this.pinned && counts(this.text(this.pinned));
    this.alike = new Map();
    if (!this.pinned && this.sorted.column === SIMILAR) this.sorted = { column: "", order: 0 };
    this.draw();
    this.node.querySelector(`[data-cell="${CSS.escape(id)}"] .pin`)?.focus();
  }

  transpose(on) {
    this.across = on;
    this.limit = on ? ACROSS : SHOWN;
    this.turn.setAttribute("aria-pressed", String(on));
    this.node.toggleAttribute("data-across", on);
    this.draw();
  }

  text(id) {
    return this.job.rows.get(id)?.result?.text.trim() ?? "";
  }

  /** The texts changed, or the table is shown again. */
  changed() {
    if (!this.node.isConnected || this.node.hidden || this.drawing) return;
    const draw = () => {
      this.drawing = 0;
      const began = performance.now();
      this.draw();
      this.pause = Math.max(DRAW_MS, BUSY * (performance.now() - began));
      void this.measure();
    };
    if (this.pause) this.drawing = setTimeout(draw, this.pause);
    else draw();
  }

  /** Whether its metrics are on the page, here or in the chart. */
  get seen() {
    return this.node.isConnected && this.job.views?.value !== "texts";
  }

  /** Asks for the metrics, now or once the last answer is old enough. */
  async measure() {
    if (this.asking || this.timer || this.complete) return;
    this.asking = true;
    const began = performance.now();
    const ended = this.job.over;
    try {
      const reply = await fetch(`api/v1/jobs/${encodeURIComponent(this.job.id)}/table`);
      const answer = await reply.json();
      if (reply.ok) this.take(answer);
      else this.say(answer.error.message);
      this.complete = ended && !this.scoring;
    } catch {
      this.say(say("jobs.unanswered"));
    }
    this.asking = false;
    if (this.complete) return;
    const pause = Math.max(PAUSE_MS, BUSY * (performance.now() - began));
    this.timer = setTimeout(() => ((this.timer = 0), this.seen && void this.measure()), pause);
  }

  take({ metrics, rows, failed, scoring }) {
    this.scoring = scoring;
    this.bound.textContent = scoring ? say("table.bound.stop", { done: scoring[0], all: scoring[1] }) : say("table.bound");
    this.metrics = { names: metrics, rows: new Map(rows.map((row) => [row.cell, row.metrics])) };
    this.say(Object.values(failed).join(" "));
    this.draw();
    this.dispatchEvent(new Event("change"));
  }

  /** Asks for the metrics again: there are other ones. */
  again() {
    this.complete = false;
    void this.measure();
  }

  say(sentence) {
    this.failed.textContent = worded(sentence);
    this.failed.hidden = !sentence;
  }

  wrapped(on) {
    this.wrap.setAttribute("aria-pressed", String(on));
    this.node.toggleAttribute("data-wrap", on);
  }

  get columns() {
    const alike = this.pinned ? [SIMILAR] : [];
    const metrics = this.metrics.names.map((name) => `metric ${name}`).filter((column) => !this.hidden.has(column));
    return [...this.names.map((name) => `axis ${name}`), "text", ...alike, ...metrics];
  }

  /** What a cell is sorted by in a column: quick, for it is asked of all texts. */
  key(id, column) {
    if (column === "text") return this.job.rows.get(id).sentence ?? this.text(id);
    if (column === SIMILAR) {
      if (!this.job.rows.get(id)?.result) return "";
      if (!this.alike.has(id)) this.alike.set(id, similarity(this.words, this.text(id)));
      return this.alike.get(id);
    }
    const name = column.slice(column.indexOf(" ") + 1);
    if (column.startsWith("metric ")) return this.metrics.rows.get(id)?.[name] ?? "";
    return this.axis(id, name)?.[1] ?? "";
  }

  /** An axis of a cell, [name, value, label]. */
  axis(id, name) {
    return (this.axes.get(id) ?? []).find(([one]) => one === name);
  }

  /** What a cell shows in a column, and what it is sorted by. */
  value(id, column) {
    const key = this.key(id, column);
    if (column === "text") return { key, shown: key || (this.job.rows.get(id).state === "running" ? say("canvas.generating") : "") };
    if (column.startsWith("metric ")) return { key, shown: typeof key === "boolean" ? say(key ? "table.yes" : "table.no") : key === "" ? "" : number(key) };
    const name = column.slice(column.indexOf(" ") + 1);
    const axis = this.axis(id, name);
    return { key, shown: axis ? valueOfAxis(...axis) : "" };
  }

  /** Whether a filter's words occur in what a cell shows; a number is compared as it is written everywhere. */
  holds(id, columns, wanted) {
    return columns.some((column) => {
      const shown = column.startsWith("metric ") ? String(this.key(id, column)) : this.value(id, column).shown;
      return shown.toLowerCase().includes(wanted);
    });
  }

  draw() {
    const { columns } = this;
    const wanted = this.filter.value.trim().toLowerCase();
    let ids = [...this.job.rows.keys()];
    if (wanted) ids = ids.filter((id) => this.holds(id, columns, wanted));
    const { column, order } = this.sorted;
    if (order) {
      const keys = new Map(ids.map((id) => [id, this.key(id, column)]));
      ids.sort((a, b) => order * compare(keys.get(a), keys.get(b)));
    }
    this.count.textContent = say("table.count", { shown: ids.length, all: this.job.rows.size });
    this.heads(columns);
    const ranges = new Map(columns.filter((one) => one.startsWith("metric ")).map((one) => [one, this.range(one)]));
    const shown = ids.slice(0, this.limit);
    if (this.across) this.body.replaceChildren(...this.turned(shown, columns, ranges));
    else this.body.replaceChildren(...shown.map((id) => this.row(id, columns, ranges)));
    this.more.hidden = ids.length <= this.limit;
    this.votes.hidden = this.goOn.hidden = !this.experiment || !this.job.over;
    this.shown.hidden = !this.metrics.names.length;
    this.bound.hidden = !this.job.over || (!this.scoring && !this.unscored);
  }

  /** A line for each column, with the texts side by side. */
  turned(ids, columns, ranges) {
    const lines = columns.map((column) => {
      const head = element("th", "head", element("bdi", "", title(column)));
      head.scope = "row";
      return element("tr", "", head);
    });
    for (const id of ids) [...this.row(id, columns, ranges).children].forEach((cell, index) => lines[index].append(cell));
    return lines;
  }

  heads(columns) {
    const drawn = columns.join("\n");
    if (drawn !== this.drawn) {
      this.drawn = drawn;
      this.head.replaceChildren(...columns.map((column) => {
        const head = element("th", "", button(title(column), () => this.sort(column)));
        head.scope = "col";
        head.dataset.column = column;
        return head;
      }));
    }
    for (const head of /** @type {Iterable<HTMLElement>} */ (this.head.children)) {
      const order = head.dataset.column === this.sorted.column ? this.sorted.order : 0;
      head.setAttribute("aria-sort", ["descending", "none", "ascending"][order + 1]);
    }
  }

  sort(column) {
    const order = column === this.sorted.column ? { 1: -1, "-1": 0, 0: 1 }[this.sorted.order] : 1;
    this.sorted = { column, order };
    this.draw();
  }

  row(id, columns, ranges) {
    const tr = element("tr");
    tr.dataset.state = this.job.rows.get(id).state;
    tr.dataset.cell = id;
    tr.toggleAttribute("data-pinned", id === this.pinned);
    for (const column of columns) {
      const { key, shown } = this.value(id, column);
      const axis = column.startsWith("axis ");
      const cell = element(axis ? "th" : "td", axis ? "axis" : column === "text" ? "words" : "metric");
      if (axis) cell.scope = "row";
      if (column === "text" && this.job.rows.get(id).result) {
        const opener = button("", () => this.open(id));
        opener.append(this.marked(id, shown));
        opener.className = "opener";
        opener.title = say("canvas.open");
        const pin = button(id === this.pinned ? "◆" : "◇", () => this.pin(id));
        pin.className = "pin";
        pin.title = say("table.pin");
        pin.setAttribute("aria-label", say("table.pin"));
        pin.setAttribute("aria-pressed", String(id === this.pinned));
        cell.dataset.cell = id;
        cell.append(pin, opener);
      } else cell.append(element("bdi", "", shown));
      const range = ranges.get(column);
      if (range && typeof key === "number" && range[1] > range[0]) {
        cell.style.setProperty("--heat", `${Math.round((100 * (key - range[0])) / (range[1] - range[0]))}%`);
      }
      tr.append(cell);
    }
    return tr;
  }

  /** A text with what the pinned one lacks marked. */
  marked(id, shown) {
    if (!this.pinned || id === this.pinned || !shown) return element("bdi", "", shown || say("table.empty"));
    const pieces = diff(this.text(this.pinned), this.text(id)).filter(([kind]) => kind !== "gone");
    return element("bdi", "", ...pieces.map(([kind, text]) => (kind === "new" ? element("ins", "", text) : text)));
  }

  /** The smallest and largest number of a column. */
  range(column) {
    let [low, high] = [Infinity, -Infinity];
    for (const id of this.job.rows.keys()) {
      const key = this.key(id, column);
      if (typeof key !== "number") continue;
      low = Math.min(low, key);
      high = Math.max(high, key);
    }
    return [low, high];
  }

  /** Saves the table as a file that the server writes. */
  async save(format) {
    const link = element("a");
    link.href = `api/v1/jobs/${encodeURIComponent(this.job.id)}/export/${format}`;
    const reply = await fetch(link.href).catch(() => null);
    if (!reply?.ok) return showError(say("jobs.unanswered"));
    link.href = URL.createObjectURL(await reply.blob());
    link.download = /filename="([^"]+)"/.exec(reply.headers.get("content-disposition") ?? "")?.[1] ?? "texts";
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }
}
