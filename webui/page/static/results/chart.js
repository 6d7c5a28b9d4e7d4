// @ts-check
// A metric along an axis as a chart: means with 95 % intervals over the other axes. Drawn here as SVG: it is circles, lines and
// ticks, works offline, and needs no library.

import { valueOfAxis } from "../base/names.js";
import { download, element, button } from "../base/parts.js";
import { formatNumber, inside, say } from "../base/strings.js";
import { number, title } from "./columns.js";

const [NARROWEST, WIDEST] = [320, 860];
const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [380, 64, 20, 16, 52];
const MOST_LINES = 8;
const HUES = [255, 30, 145, 320, 85, 195, 285, 5];
// Student's t, 97.5 %, for 1 to 30 degrees of freedom
const T = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042];

export class Chart {
  /** `table`: the ResultTable whose axes and metrics are drawn. */
  constructor(table) {
    this.table = table;
    this.metric = select(say("chart.metric"), () => this.draw());
    this.along = select(say("chart.along"), () => this.draw());
    this.by = select(say("chart.by"), () => this.draw());
    this.place = element("div", "chart-place");
    this.note = element("p", "chart-note");
    const saved = button(say("chart.save"), () => this.save());
    const bar = element("div", "table-bar chart-bar", this.metric.node, this.along.node, this.by.node, saved);
    this.node = element("div", "results-chart", bar, this.place, this.note);
    this.node.hidden = true;
  }

  /** Whether there is something to draw. */
  get possible() {
    return this.table.names.length > 0;
  }

  changed() {
    if (!this.node.hidden && this.node.isConnected) this.draw();
  }

  draw() {
    const { names, metrics } = this.table;
    const last = [...names].reverse();
    this.metric.fill(metrics.names.map((name) => [name, title(`metric ${name}`)]), metrics.names.find((name) => name.includes(".") && this.varies(name)) ?? metrics.names[0]);
    this.along.fill(last.map((name) => [name, title(`axis ${name}`)]));
    const others = last.filter((name) => name !== this.along.value && name !== "seed");
    this.by.fill([["", say("chart.none")], ...others.map((name) => [name, title(`axis ${name}`)])], others[0] ?? "");
    const lines = this.lines();
    this.place.hidden = false; // its width is read
    this.place.replaceChildren(...(lines.some((line) => line.points.length) ? [this.picture(lines), legend(lines)] : []));
    const most = Math.max(0, ...lines.flatMap((line) => line.points.map((point) => point.n)));
    this.place.hidden = !this.place.firstChild;
    this.note.textContent = !this.place.firstChild ? say("chart.nothing") : most > 1 ? say("chart.intervals", { n: most }) : say("chart.single");
  }

  /** Whether a metric is not the same for all texts. */
  varies(name) {
    return new Set([...this.table.metrics.rows.values()].map((row) => row[name])).size > 1;
  }

  /** For each line the mean of the metric, its interval and the number of texts at each value of the axis. */
  lines() {
    const { axes, metrics } = this.table;
    const lines = new Map();
    for (const [id, list] of axes) {
      const value = metrics.rows.get(id)?.[this.metric.value];
      const at = list.find(([name]) => name === this.along.value);
      if (value === undefined || !at) continue;
      const line = list.find(([name]) => name === this.by.value);
      const label = line ? valueOfAxis(...line) : "";
      if (!lines.has(label)) lines.set(label, new Map());
      const places = lines.get(label);
      const key = JSON.stringify(at[1]);
      if (!places.has(key)) places.set(key, { value: at[1], label: valueOfAxis(...at), numbers: [] });
      places.get(key).numbers.push(Number(value));
    }
    return [...lines].slice(0, MOST_LINES).map(([label, places]) => ({ label, points: [...places.values()].map(summed) }));
  }

  picture(lines) {
    const all = lines.flatMap((line) => line.points);
    const numeric = all.every(({ value }) => typeof value === "number");
    const labels = [...new Map(all.map(({ value, label }) => [JSON.stringify(value), { value, label }])).values()];
    if (numeric) labels.sort((a, b) => a.value - b.value);
    const place = new Map(labels.map(({ value }, index) => [JSON.stringify(value), index]));
    const [least, greatest] = numeric ? [labels[0].value, labels.at(-1).value] : [0, labels.length - 1];
    const span = greatest - least || 1;
    const width = Math.max(NARROWEST, Math.min(WIDEST, this.place.clientWidth - 24));
    const inner = width - LEFT - RIGHT;
    const pad = numeric ? 16 : inner / (2 * labels.length);
    const x = (value) => LEFT + pad + ((numeric ? value : place.get(JSON.stringify(value))) - least) / span * (inner - 2 * pad) + (greatest === least ? (inner - 2 * pad) / 2 : 0);
    const whole = all.every(({ low, high }) => Number.isInteger(low) && Number.isInteger(high)); // half a word is none
    const steps = ticks(Math.min(...all.map(({ low }) => low)), Math.max(...all.map(({ high }) => high)), whole);
    const y = (value) => HEIGHT - BOTTOM - ((value - steps[0]) / (steps.at(-1) - steps[0])) * (HEIGHT - TOP - BOTTOM);
    const picture = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", class: "chart", "font-size": 13, "font-family": "system-ui, sans-serif" });
    picture.setAttribute("aria-label", `${this.metric.label}, ${this.along.label}`);
    for (const step of steps) {
      picture.append(svg("line", { x1: LEFT, x2: width - RIGHT, y1: y(step), y2: y(step), stroke: "currentColor", "stroke-opacity": 0.14 }));
      picture.append(words(formatNumber(step, places(steps)), { x: LEFT - 8, y: y(step) + 4, "text-anchor": "end" }));
    }
    const every = Math.ceil(labels.length / 12);
    labels.forEach(({ value, label }, index) => {
      if (index % every === 0) picture.append(words(cut(label, Math.max(6, Math.floor(90 / Math.min(12, labels.length)))), { x: x(value), y: HEIGHT - BOTTOM + 20, "text-anchor": "middle" }));
    });
    picture.append(words(this.along.label, { x: LEFT + inner / 2, y: HEIGHT - 8, "text-anchor": "middle", "font-weight": 600 }));
    const gap = numeric ? Math.min(...labels.slice(1).map(({ value }, index) => x(value) - x(labels[index].value))) : Infinity;
    const apart = Math.min(6, gap / (2 * lines.length)); // several are a little apart, so that their intervals can be seen
    lines.forEach(({ points }, index) => picture.append(...drawn(points, index, (index - (lines.length - 1) / 2) * apart, x, y, numeric)));
    return picture;
  }

  save() {
    const picture = /** @type {Element | null} */ (this.place.firstChild)?.cloneNode(true);
    if (!picture) return;
    const copy = /** @type {Element} */ (picture);
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("style", "color:#222;background:#fff");
    download(`${this.metric.value}.svg`, "image/svg+xml", new XMLSerializer().serializeToString(copy));
  }
}

/** Line, intervals and marks of one line of the chart, which is shifted to the side by so much. */
function drawn(points, index, shift, x, y, numeric) {
  const colour = colourOf(index);
  const sorted = numeric ? [...points].sort((a, b) => a.value - b.value) : points;
  const at = sorted.map((point) => [x(point.value) + shift, y(point.mean)]);
  const nodes = [svg("polyline", { points: at.map((one) => one.join(",")).join(" "), fill: "none", stroke: colour, "stroke-width": 2, "stroke-opacity": 0.7 })];
  sorted.forEach((point, i) => {
    const [left, top] = at[i];
    const group = svg("g", { stroke: colour, "stroke-width": 2, fill: colour });
    if (point.n > 1) for (const [x1, y1, x2, y2] of [[left, y(point.low), left, y(point.high)], [left - 5, y(point.low), left + 5, y(point.low)], [left - 5, y(point.high), left + 5, y(point.high)]]) group.append(svg("line", { x1, y1, x2, y2 }));
    group.append(mark(index, left, top));
    const tip = svg("title", {});
    tip.textContent = `${point.label}: ${number(point.mean)}${point.n > 1 ? ` (${number(point.low)} – ${number(point.high)}, n = ${point.n})` : ""}`;
    group.append(tip);
    nodes.push(group);
  });
  return nodes;
}

/** A circle, a square, a triangle or a diamond: lines are not told apart by colour alone. */
function mark(index, x, y) {
  const shapes = [
    () => svg("circle", { cx: x, cy: y, r: 4.5 }),
    () => svg("rect", { x: x - 4.5, y: y - 4.5, width: 9, height: 9 }),
    () => svg("polygon", { points: `${x},${y - 6} ${x + 5.5},${y + 4} ${x - 5.5},${y + 4}` }),
    () => svg("polygon", { points: `${x},${y - 6} ${x + 6},${y} ${x},${y + 6} ${x - 6},${y}` }),
  ];
  return shapes[index % shapes.length]();
}

function legend(lines) {
  const items = lines.map(({ label }, index) => {
    const sample = svg("svg", { viewBox: "0 0 16 16", width: 16, height: 16, fill: colourOf(index), "aria-hidden": "true" });
    sample.append(mark(index, 8, 8));
    return element("span", "", sample, element("bdi", "", inside(label)));
  });
  const node = element("p", "chart-legend", ...items);
  node.hidden = lines.length < 2 && !lines[0]?.label;
  return node;
}

/** Mean, number and 95 % interval of the mean at one value of the axis. */
function summed({ value, label, numbers }) {
  const n = numbers.length;
  const mean = numbers.reduce((sum, one) => sum + one, 0) / n;
  const variance = n > 1 ? numbers.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (n - 1) : 0;
  const half = n > 1 ? (T[n - 2] ?? 1.96) * Math.sqrt(variance / n) : 0;
  return { value, label, n, mean, low: mean - half, high: mean + half };
}

/** Round numbers from below the least to above the greatest, about seven; whole ones if `whole`. */
function ticks(low, high, whole) {
  if (high - low < 1e-9) [low, high] = [low - 0.5, high + 0.5];
  const rough = (high - low) / 6;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(whole ? 1 : 0, unit * [1, 2, 5, 10].find((one) => one * unit >= rough));
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

function places(steps) {
  return Math.max(0, Math.min(6, -Math.floor(Math.log10(steps[1] - steps[0]) + 1e-9)));
}

function colourOf(index) {
  return `oklch(0.62 0.14 ${HUES[index % HUES.length]})`;
}

function cut(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function words(text, attributes) {
  const node = svg("text", { fill: "currentColor", ...attributes });
  node.textContent = text;
  return node;
}

function svg(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  return node;
}

/** A labelled list of choices that keeps what is chosen when it is filled again. */
function select(label, changed) {
  const list = element("select");
  list.addEventListener("change", changed);
  return {
    node: element("label", "chart-choice", element("span", "", label), list),
    get value() {
      return list.value;
    },
    get label() {
      return list.selectedOptions[0]?.textContent ?? "";
    },
    fill(options, standard) {
      const key = JSON.stringify(options);
      if (key === list.dataset.key) return;
      const chosen = list.options.length ? list.value : standard;
      list.dataset.key = key;
      list.replaceChildren(...options.map(([value, text]) => Object.assign(element("option", "", text), { value })));
      if (options.some(([value]) => value === chosen)) list.value = chosen;
    },
  };
}
