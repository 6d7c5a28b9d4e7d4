// @ts-check
// One job: its state and progress, and its rows as a list, as a table of cells, as a grid of two axes, or as a table of results.

import { feed } from "../base/feed.js";
import { nameOfAxis, preparingBy, titled, valueOfAxis, worded } from "../base/names.js";
import { choice, element } from "../base/parts.js";
import { Changed } from "../results/changed.js";
import { Chart } from "../results/chart.js";
import { Run } from "../results/run.js";
import { ResultTable } from "../results/table.js";
import { Brief, Row, showResult } from "./row.js";
import { formatNumber, inside, say } from "../base/strings.js";

const TABLE_ROWS = 64; // more are shown as a table of results first
const MOST_ROWS = 512; // more are only in the table: a page of so many boards would not react
const LIVE_ROWS = 8; // more are thumbnails: a page of 256 boards would lag
const LIVE_CELLS = 16; // of a grid, whose cells look alike: all of them or none
export const ENDED = ["done", "failed", "cancelled"];

export class Job {
  constructor(id) {
    this.id = id;
    this.state = "queued";
    this.restored = false; // whether it was begun before the page was loaded
    this.wanted = ""; // the view to show once it is done
    this.lost = false; // whether its stream ended before it did
    /** @type {Map<string, any> | null} Row, or Brief if there are very many */
    this.rows = null;
    this.status = element("span", "job-state");
    this.status.setAttribute("role", "status");
    this.meta = element("span", "job-meta");
    this.bar = element("div", "job-bar", element("i"));
    this.bar.setAttribute("role", "progressbar");
    this.bar.setAttribute("aria-label", say("canvas.progress"));
    this.bar.setAttribute("aria-valuemin", "0");
    this.bar.setAttribute("aria-valuemax", "100");
    this.error = element("p", "job-error");
    this.error.hidden = true;
    this.body = element("div", "job-body");
    this.prompt = element("bdi", "job-prompt");
    const head = element("header", "job-head", this.prompt, this.status, this.meta);
    this.node = element("section", "job", head, this.bar, this.error, this.body, legend());
    this.node.setAttribute("aria-label", say("canvas.texts"));
    this.setStatus(say("canvas.sending"));
  }

  /** Shows the prompt on top; that there is none once that is `known`. */
  named(prompt, known) {
    const words = (prompt ?? "").trim();
    if (this.prompt.textContent && !this.prompt.classList.contains("none")) return;
    this.prompt.classList.toggle("none", !words);
    this.prompt.textContent = words || (known ? say("jobs.unprompted") : "");
  }

  /** A job that has ended, from its saved results. */
  static of(id, results) {
    const job = new Job(id);
    const cells = Object.fromEntries(results.map((result, index) => [String(index), ended(result)]));
    const seconds = Math.max(...results.map(({ statistics }) => Number(statistics?.seconds) || 0));
    const state = results.every(({ complete }) => complete) ? "done" : "cancelled";
    job.update({ state, cells, seconds, progress: 1, position: 0, error: null, loading: null, preparing: null }, true);
    return job;
  }

  /** The results that there are. */
  get results() {
    return [...(this.rows?.values() ?? [])].flatMap((row) => row.result ?? []);
  }

  /** Applies an update of the server; the first of a connection is a snapshot. */
  update(update, snapshot) {
    this.state = update.state;
    this.rows ??= this.layout(update.cells);
    for (const [id, cell] of Object.entries(update.cells)) this.rows.get(id)?.update(cell, !snapshot);
    const first = [...this.rows.values()].find((row) => row.result)?.result.request;
    this.named(feed.jobs.get(this.id)?.prompt || first?.prompt, feed.jobs.has(this.id) || Boolean(first));
    this.seed = this.rows.size === 1 && first ? say("canvas.compare.seed", { seed: first.seed }) : "";
    if (ENDED.includes(update.state) && update.error && ![...this.rows.values()].some((row) => row.failed)) {
      this.error.textContent = worded(update.error);
      this.error.hidden = false;
    }
    this.describe(update);
    this.table?.changed();
    this.chart?.changed();
    if (!this.over || !this.changed) return;
    if (this.wanted) this.show(this.wanted);
    else if (!this.changed.node.hidden) this.compare();
    this.wanted = "";
  }

  /** Whether no more changes come. */
  get over() {
    return ENDED.includes(this.state);
  }

  /** Shows the texts themselves, what changed between them, or them as a table of results or a chart. */
  show(view) {
    this.views.value = view;
    this.body.hidden = view !== "texts";
    if (this.changed) this.changed.node.hidden = view !== "changes";
    if (view === "changes") this.compare();
    this.table.node.hidden = view !== "table";
    this.chart.node.hidden = view !== "chart";
    if (view === "chart") void this.table.measure();
    this.table.changed();
    this.chart.changed();
  }

  /** Marks what changed from the first text to each other one. */
  compare() {
    this.changed.show([...this.rows.values()].map((row) => [row.name.textContent, row.result ?? null]));
  }

  /** Shows one of the texts with everything that can be done with it. */
  open(id) {
    const row = this.rows.get(id);
    this.show("texts");
    if (row instanceof Brief) {
      this.body.replaceChildren(showResult(row.result));
      this.body.scrollIntoView({ block: "center", behavior: "instant" });
      return;
    }
    row.expand();
    for (const other of this.rows.values()) other.node.toggleAttribute("data-opened", other === row);
    row.node.scrollIntoView({ block: "center", behavior: "instant" });
  }

  /** Whether it ended without anything to show: it was interrupted before it began. */
  get empty() {
    return this.state === "cancelled" && ![...(this.rows?.values() ?? [])].some((row) => row.result || row.failed);
  }

  /** Shows its place in the queue; `known` is the job as the queue lists it. */
  wait({ prompt, position }) {
    this.named(prompt, true);
    this.node.dataset.state = "queued";
    this.setStatus(position ? say("canvas.waiting.behind", { count: position }) : say("canvas.waiting"));
  }

  /** Shows state, progress and cost; `update` defaults to the last one, for a change outside the job. */
  describe(update = this.last) {
    if (!update || !this.rows) return;
    this.last = update;
    const { state, progress, position, seconds } = update;
    const loading = update.loading ?? (state === "queued" && !position ? feed.loading : null);
    const rows = [...this.rows.values()];
    const texts = say(rows.length === 1 ? "canvas.text" : "canvas.texts.count", { count: rows.length });
    const failed = rows.filter((row) => row.state === "failed").length;
    const committed = rows.reduce((sum, row) => sum + row.committed, 0);
    const speed = seconds > 0 && committed ? say("canvas.cost.speed", { speed: formatNumber(committed / seconds, committed / seconds < 10 ? 1 : 0) }) : "";
    const slowest = rows.filter((row) => row.state === "running" && row.steps).sort((a, b) => a.step / a.steps - b.step / b.steps)[0];
    const left = state === "running" && progress > 0.02 ? (seconds / progress) * (1 - progress) : 0;
    const preparing = loading
      ? say("canvas.loading", { checkpoint: loading.checkpoint, percent: Math.round(100 * loading.done) })
      : update.preparing
      ? preparingBy(update.preparing)
      : say("canvas.preparing");
    this.setStatus(
      {
        queued: loading ? preparing : position ? say("canvas.waiting.behind", { count: position }) : say("canvas.waiting"),
        running: slowest && !update.preparing ? say("canvas.generating") : preparing,
        done: failed ? say("canvas.done.partly", { failed, texts }) : say("canvas.done"),
        failed: say("canvas.failed"),
        cancelled: say("canvas.cancelled"),
      }[state],
    );
    const time = say("canvas.seconds", { seconds: formatNumber(seconds, 1) });
    const parts = ENDED.includes(state)
      ? [texts, this.seed, time, rows.length > 1 && speed]
      : [slowest && say("canvas.step", { step: slowest.step, steps: slowest.steps }), speed, left >= 1.5 && say("canvas.left", { seconds: Math.round(left) })];
    this.meta.textContent = parts.filter(Boolean).join(" · ");
    const percent = Math.round(100 * progress);
    this.bar.firstChild.style.width = `${percent}%`;
    this.bar.setAttribute("aria-valuenow", String(percent));
    this.node.dataset.state = state;
  }

  /** Sets the state that screen readers announce, if it changed. */
  setStatus(words) {
    if (this.status.textContent !== words) this.status.textContent = words;
  }

  /** Makes the rows and arranges them by the cells' axes. */
  layout(cells) {
    const rows = new Map();
    const entries = Object.entries(cells);
    if (entries.length > MOST_ROWS) {
      for (const [id] of entries) rows.set(id, new Brief());
      this.node.dataset.rows = "many";
      this.body.append(element("p", "row-note", say("table.choose")));
      this.tabulate(entries);
      return rows;
    }
    const spanned = (axes) => axes.filter(([name]) => name !== "seed");
    const names = [...new Set(entries.flatMap(([, cell]) => spanned(cell.axes).map(([name]) => name)))];
    const all = [...new Set(entries.flatMap(([, cell]) => cell.axes.map(([name]) => name)))];
    entries.forEach(([id, cell], index) => {
      const title = entries.length === 1 ? "" : cell.axes.map(titled).join(" · ") || say("canvas.numbered", { number: index + 1 });
      const row = new Row(title);
      if (names.length ? entries.length > LIVE_CELLS : index >= LIVE_ROWS) row.compact();
      rows.set(id, row);
    });
    this.node.dataset.rows = entries.length === 1 ? "one" : "many";
    if (entries.length > 1) this.tabulate(entries);
    if (!names.length) this.body.append(...placed([...rows.values()]));
    else this.body.append(...facets(names, entries, rows) ?? facets(all, entries, rows) ?? [scrolled(table(entries, rows))]);
    return rows;
  }

  /** Adds the table of results, and what switches to it. */
  tabulate(entries) {
    this.table = new ResultTable(this, new Map(entries.map(([id, cell]) => [id, cell.axes])), (id) => this.open(id));
    this.chart = new Chart(this.table);
    this.table.addEventListener("change", () => this.chart.changed());
    const few = entries.length <= TABLE_ROWS;
    const kinds = ["texts", ...(few ? ["changes"] : []), "table", ...(this.chart.possible ? ["chart"] : [])];
    const names = kinds.map((name) => /** @type {[string, string]} */ ([name, say(`table.view.${name}`)]));
    this.views = choice(say("table.views"), names, (view) => this.show(view));
    this.views.classList.add("job-views");
    this.meta.after(this.views);
    this.body.after(this.table.node, this.chart.node);
    if (few) {
      this.changed = new Changed();
      this.changed.node.hidden = true;
      this.body.after(this.changed.node);
    }
    this.views.value = few ? "texts" : "table";
    this.body.hidden = !few;
    this.table.node.hidden = few;
  }
}

/** A saved result as the server would report its cell. */
function ended(result) {
  const run = new Run(result);
  const changes = run.at(run.steps).map(([text, confidence, step], column) => [column, text, confidence, step]);
  const { complete, axes = [], error = null } = result;
  return { axes, state: complete ? "done" : "cancelled", length: run.length, steps: run.steps, step: run.steps, changes, result, error: error ? String(error) : null };
}

/** Rows below each other, then the thumbnails as a gallery. */
function placed(rows) {
  const [live, small] = [rows.slice(0, LIVE_ROWS), rows.slice(LIVE_ROWS)];
  const gallery = element("div", "gallery", ...small.map((row) => row.node));
  return [...live.map((row) => row.node), ...(small.length ? [gallery] : [])];
}

/** A table with one cell of the job per row, its axes first. */
function table(entries, rows) {
  const names = [...new Set(entries.flatMap(([, cell]) => cell.axes.map(([name]) => name)))];
  const node = element("table", "cells");
  node.append(element("thead", "", line("th", [...names.map(nameOfAxis), say("canvas.column")])));
  const body = element("tbody");
  for (const [id, cell] of entries) {
    const axes = names.map((name) => cell.axes.find((axis) => axis[0] === name));
    const labels = axes.map((axis) => (axis ? valueOfAxis(...axis) : ""));
    const tr = line("th", labels);
    tr.append(element("td", "", rows.get(id).node));
    body.append(tr);
  }
  node.append(body);
  return node;
}

/** The two innermost axes as a grid, one for each combination of the others' values; null if that is no grid. */
function facets(names, entries, rows) {
  if (names.length < 2) return null;
  const [down, across] = names.slice(-2);
  const outer = names.slice(0, -2);
  const groups = new Map();
  for (const entry of entries) {
    const key = outer.map((name) => titled(entry[1].axes.find((axis) => axis[0] === name) ?? [name, null, ""])).join(" · ");
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(entry);
  }
  const nodes = [...groups].map(([key, some]) => {
    const node = grid(down, across, some, rows);
    if (!node) return null;
    const box = scrolled(node);
    return key ? element("section", "facet", element("h4", "", key), box) : box;
  });
  return nodes.includes(null) ? null : nodes;
}

/** Two axes as a grid, or null if several cells share a place, or places are empty: lines of a file need not be a grid. */
function grid(down, across, entries, rows) {
  const found = (cell, name) => cell.axes.find((axis) => axis[0] === name) ?? [name, null, ""];
  const key = (cell, name) => String(found(cell, name)[2]);
  const places = new Map(entries.map(([id, cell]) => [JSON.stringify([key(cell, down), key(cell, across)]), id]));
  const values = (name) => new Map(entries.map(([, cell]) => [key(cell, name), titled(found(cell, name))]));
  const [lines, columns] = [values(down), values(across)];
  if (places.size < entries.length || places.size < lines.size * columns.size) return null;
  const node = element("table", "cells crossed");
  node.append(element("thead", "", line("th", ["", ...columns.values()])));
  const body = element("tbody");
  for (const [value, name] of lines) {
    const tr = line("th", [name]);
    for (const column of columns.keys()) {
      tr.append(element("td", "", rows.get(places.get(JSON.stringify([value, column]))).node));
    }
    body.append(tr);
  }
  node.append(body);
  return node;
}

function line(tag, texts) {
  return element("tr", "", ...texts.map((text) => element(tag, "", inside(text))));
}

function scrolled(node) {
  const box = element("div", "cells-box", node);
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", say("canvas.table"));
  return box;
}

/** The legend of bars and shades; folded on a phone. */
function legend() {
  const shades = [0, 2, 4].map((level) => element("span", `word confidence-${level}`, say(`canvas.legend.confidence.${level}`)));
  const item = (sample, words) => element("span", "", sample, words);
  const items = [
    item(element("i", "mask"), say("canvas.legend.masked")),
    item(element("i", "dot"), say("canvas.legend.committed")),
    element("span", "shades", ...shades),
    item(element("i", "mask remasked"), say("canvas.legend.remasked")),
  ];
  const node = element("details", "legend", element("summary", "", say("canvas.legend")), element("div", "", ...items));
  node.open = !matchMedia("(max-width: 900px)").matches;
  return node;
}
