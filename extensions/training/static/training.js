// @ts-check
// <training-view>: makes a LoRA from a text: the form, and each run with its curve, its samples, stop and resume.

import { button, call, element, formatNumber, open, say, whenVisible } from "webui";

const PIECE = 200_000; // characters of a text that are sent at once
const KINDS = ["lora", "full", "soft-prompt", "qlora"];
const PERIOD = 1500; // ms between two looks at a run, while the view is visible
const words = (key, values = {}) => say(`extension.training.${key}`, values);
const ask = (route, sent = {}) => call(`training/${route}`, sent);

class Training extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.visible = false;
    this.shown = new Map(); // the node of each run by name
    const about = element("p", "", words("intro"));
    this.form = this.makeForm();
    this.list = element("section", "part", element("h3", "", words("runs")));
    this.none = element("p", "hint", words("none"));
    this.list.append(this.none);
    this.append(element("header", "page-head", element("h2", "", words("tab")), about), this.form, this.list);
    whenVisible("training", (visible) => {
      this.visible = visible;
      if (visible) void this.look();
    });
  }

  makeForm() {
    const file = Object.assign(element("input"), { type: "file", accept: ".txt,.jsonl,text/plain" });
    const path = Object.assign(element("input"), { type: "text", placeholder: "poems.txt" });
    const name = Object.assign(element("input"), { type: "text", maxLength: 100 });
    const trigger = Object.assign(element("input"), { type: "text", maxLength: 200, placeholder: words("trigger_hint") });
    const steps = Object.assign(element("input"), { type: "number", min: "1", max: "1000000", value: "400" });
    const sample = Object.assign(element("input"), { type: "text", maxLength: 500, placeholder: words("sample_hint") });
    this.model = element("select");
    const kind = element("select");
    kind.replaceChildren(...KINDS.map((one) => Object.assign(element("option", "", words(`kind.${one}`)), { value: one })));
    this.fields = { kind, file, path, name, trigger, steps, sample };
    file.addEventListener("change", () => {
      const chosen = file.files?.[0];
      if (chosen && !name.value) name.value = chosen.name.replace(/\.[^.]*$/, "").replace(/[^\w .+-]/g, "").trim();
    });
    this.fault = Object.assign(element("p", "fault"), { hidden: true });
    this.fault.setAttribute("role", "alert");
    this.begin = Object.assign(element("button", "strong", words("start")), { type: "submit" });
    this.pathRow = row("path", path);
    const form = element(
      "form", "training-form", row("file", file), this.pathRow, row("name", name), row("trigger", trigger), row("sample", sample),
      row("steps", steps), row("model", this.model), row("kind", kind), this.fault, element("footer", "", this.begin, element("p", "hint", words("how_long"))),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.start();
    });
    return form;
  }

  async start() {
    const { kind, file, path, name, trigger, steps, sample } = this.fields;
    this.say("");
    this.begin.disabled = true;
    try {
      const chosen = file.files?.[0];
      if (chosen) await this.send(chosen, name.value.trim(), kind.value);
      await ask("start", {
        name: name.value.trim(), kind: kind.value, path: chosen ? null : path.value.trim() || null, trigger: trigger.value.trim(),
        steps: Number(steps.value) || 0, sample: sample.value.trim() || trigger.value.trim(), model: this.model.value || null,
      });
      for (const input of [file, path, name, trigger, sample]) input.value = "";
      await this.look();
      this.list.scrollIntoView({ block: "nearest" });
    } catch (error) {
      this.say(error.message);
    } finally {
      this.begin.disabled = false;
    }
  }

  /** Sends a text in pieces: the server takes no large bodies. */
  async send(file, name, kind) {
    const text = await file.text();
    const signs = Array.from({ length: Math.ceil(text.length / PIECE) || 1 }, (_, index) => text.slice(index * PIECE, (index + 1) * PIECE));
    for (let index = 0; index < signs.length - 1; index++) {
      if (!/[\ud800-\udbff]$/.test(signs[index])) continue; // a character of two units stays whole
      signs[index + 1] = signs[index].at(-1) + signs[index + 1];
      signs[index] = signs[index].slice(0, -1);
    }
    for (const [index, piece] of signs.entries()) {
      this.begin.textContent = words("sending", { percent: Math.round((100 * index) / signs.length) });
      await ask("upload", { name, kind, file: file.name, text: piece, more: index > 0 });
    }
    this.begin.textContent = words("start");
  }

  say(sentence) {
    this.fault.hidden = !sentence;
    this.fault.replaceChildren(element("bdi", "", sentence));
    this.begin.textContent = words("start");
  }

  /** Reads the runs, and again while one is under way and somebody looks. */
  async look() {
    clearTimeout(this.timer);
    let busy = false;
    try {
      const { runs, models, model, autoregressive, paths } = await ask("runs");
      this.pathRow.hidden = !paths;
      this.standard = model;
      if (this.model.options.length !== models.length + autoregressive.length) {
        const chosen = this.model.value || model;
        const option = (value, label) => Object.assign(element("option", "", label), { value, selected: value === chosen });
        const adapted = autoregressive.map((one) => option(one, words("adapts", { name: one.slice(one.indexOf("/") + 1) })));
        this.model.replaceChildren(...models.map((one) => option(one, one)), ...adapted);
      }
      this.none.hidden = runs.length > 0;
      busy = runs.some((one) => one.state === "running");
      for (const [name, node] of this.shown) if (!runs.some((one) => one.name === name)) (node.remove(), this.shown.delete(name));
      for (const one of runs) {
        const known = this.shown.get(one.name);
        const key = JSON.stringify(one);
        if (known?.dataset.key === key) continue;
        if (one.ready && known && !JSON.parse(known.dataset.key || "{}").ready) {
          this.dispatchEvent(new CustomEvent("tdw:rescanned", { bubbles: true, detail: {} })); // a checkpoint came
        }
        const full = await ask("run", { name: one.name });
        const node = this.draw(full);
        node.dataset.key = key;
        if (known) known.replaceWith(node);
        else this.none.after(node);
        this.shown.set(one.name, node);
      }
    } catch (error) {
      this.say(error.message);
      busy = true; // the server may come back
    }
    if (busy && this.visible) this.timer = setTimeout(() => void this.look(), PERIOD);
  }

  draw(run) {
    const title = element("h4", "", element("bdi", "", run.name), element("span", `state ${run.state}`, words(`state.${run.state}`)));
    const node = element("article", "run", title);
    const share = run.steps ? Math.min(1, run.step / run.steps) : 0;
    const bar = element("div", "bar", Object.assign(element("i"), {}));
    /** @type {HTMLElement} */ (bar.firstChild).style.width = `${100 * share}%`;
    bar.setAttribute("role", "progressbar");
    bar.setAttribute("aria-label", run.name);
    bar.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    const facts = [words(`kind.${run.kind}`), words("step", { step: run.step, steps: run.steps || "…" })];
    if (run.best !== null) facts.push(words("bounds", { before: formatNumber(run.without, 3), best: formatNumber(run.best, 3) }));
    const left = run.state === "running" ? timeLeft(run) : "";
    if (left) facts.push(left);
    if (run.ready && run.kind === "full") facts.push(words("choose"));
    else if (run.model && run.model !== this.standard) facts.push(words("for", { name: run.model }));
    node.append(bar, element("p", "facts", facts.join(" · ")));
    if (run.error) node.append(element("p", "fault", element("bdi", "", run.error)));
    if (run.log.filter((line) => "loss" in line).length > 1) node.append(curve(run));
    const samples = run.log.filter((line) => line.sample);
    if (samples.length) {
      const items = samples.slice(-6).reverse().map((line) => element("li", "", element("small", "", words("at_step", { step: line.step })), element("p", "", element("bdi", "", line.sample))));
      node.append(element("details", "samples", element("summary", "", words("samples")), element("ol", "", ...items)));
      /** @type {HTMLDetailsElement} */ (node.lastChild).open = this.shown.get(run.name)?.querySelector("details")?.open ?? true;
    }
    node.append(element("footer", "", ...this.acts(run)));
    return node;
  }

  acts(run) {
    const act = (label, route) => button(words(label), async (event) => {
      event.target.disabled = true;
      try {
        await ask(route, { name: run.name });
      } catch (error) {
        this.say(error.message);
      }
      const known = this.shown.get(run.name);
      if (known) known.dataset.key = "";
      await this.look();
    });
    const acts = [];
    if (run.state === "running") acts.push(act("stop", "stop"));
    if (run.state === "stopped" || run.state === "failed") acts.push(act("resume", "resume"));
    if (run.ready && run.kind !== "full") {
      const tag = run.kind === "soft-prompt" ? "" : `<lora:${run.name}:1>`;
      const prompt = [run.trigger, tag].filter(Boolean).join(" ");
      acts.push(button(words("try"), () => {
        open("write");
        this.dispatchEvent(new CustomEvent("tdw:write", { bubbles: true, detail: { text: prompt } }));
      }));
    }
    if (run.state !== "running") acts.push(act("forget", "forget"));
    return acts;
  }
}

function row(key, input) {
  input.id = `training-${key}`;
  const label = Object.assign(element("label", "", words(`field.${key}`)), { htmlFor: input.id });
  return element("div", "field", label, input, element("small", "", words(`help.${key}`)));
}

/** How long a run will take, from the pace of its last lines. */
function timeLeft({ log, step, steps }) {
  const lines = log.filter((line) => line.time && "loss" in line).slice(-12);
  if (lines.length < 2) return "";
  const pace = (lines.at(-1).time - lines[0].time) / Math.max(1, lines.at(-1).step - lines[0].step);
  return words("left", { minutes: formatNumber((pace * (steps - step)) / 60, 1) });
}

/** The losses as a curve, and the bounds on the held-out rows as points. */
function curve({ log, steps, name }) {
  const [width, height, edge] = [640, 180, 34];
  const losses = log.filter((line) => "loss" in line).map((line) => [line.step, line.loss]);
  const bounds = log.filter((line) => "held_out" in line).map((line) => [line.step, line.held_out]);
  const values = [...losses, ...bounds].map(([, value]) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (step) => edge + ((width - edge - 8) * step) / Math.max(steps || 0, losses.at(-1)[0]);
  const y = (value) => 10 + ((height - 34) * (high - value)) / Math.max(high - low, 1e-6);
  const path = (points) => points.map(([step, value], index) => `${index ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, class: "curve", role: "img", "aria-label": words("curve", { name }) });
  for (const value of [low, (low + high) / 2, high]) {
    svg.append(shape("line", { x1: edge, x2: width - 8, y1: y(value), y2: y(value), class: "grid-line" }));
    svg.append(Object.assign(shape("text", { x: edge - 6, y: y(value) + 4, "text-anchor": "end" }), { textContent: formatNumber(value, 1) }));
  }
  svg.append(shape("path", { d: path(losses), class: "loss" }), shape("path", { d: path(bounds), class: "bound" }));
  for (const [step, value] of bounds) svg.append(shape("circle", { cx: x(step), cy: y(value), r: 3, class: "bound" }));
  const last = Object.assign(shape("text", { x: width - 8, y: height - 6, "text-anchor": "end" }), { textContent: words("step_axis", { steps: steps || losses.at(-1)[0] }) });
  svg.append(last);
  const key = element("p", "key", element("span", "loss", words("loss")), element("span", "bound", words("held_out")));
  return element("figure", "", /** @type {any} */ (svg), key);
}

function shape(name, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  return node;
}

customElements.define("training-view", Training);
