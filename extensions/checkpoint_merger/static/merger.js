// @ts-check
// <merger-view>: makes a checkpoint of two or three: the form with the formula, progress, and the recipes of those that were merged.

import { button, call, element, formatNumber, say, whenVisible } from "webui";

const PERIOD = 700; // ms between two looks at a merge, while the view is visible
const words = (key, values = {}) => say(`extension.checkpoint_merger.${key}`, values);
const ask = (route, sent = {}) => call(`checkpoint_merger/${route}`, sent);
const SPARSE = ["ties", "dare"]; // methods that drop a part of a difference

class Merger extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.visible = false;
    this.form = this.makeForm();
    this.bar = element("div", "bar", element("i"));
    this.bar.setAttribute("role", "progressbar");
    this.bar.setAttribute("aria-label", words("tab"));
    this.status = element("p", "facts");
    this.status.setAttribute("role", "status");
    this.cancel = button(words("cancel"), () => void this.act(() => ask("cancel")));
    this.progress = element("section", "merging", this.bar, this.status, this.cancel);
    this.progress.hidden = true;
    this.list = element("section", "part");
    this.append(element("header", "page-head", element("h2", "", words("tab")), element("p", "", words("intro"))), this.form, this.progress, this.list);
    whenVisible("checkpoint_merger", (visible) => {
      this.visible = visible;
      if (visible) void this.act(async () => (await this.read(), await ask("state")));
    });
  }

  makeForm() {
    const select = () => element("select");
    const text = (attributes) => Object.assign(element("input"), { type: "text", ...attributes });
    const number = (attributes) => Object.assign(element("input"), { type: "number", ...attributes });
    this.fields = {
      method: select(), a: select(), b: select(), c: select(),
      weight: Object.assign(element("input"), { type: "range", min: "0", max: "1", step: "0.05", value: "0.5" }),
      density: number({ min: "0.01", max: "1", step: "0.01", value: "0.5" }),
      seed: number({ min: "0", step: "1", value: "0" }),
      layers: text({ placeholder: "0-3=0.2,7=0.8", maxLength: 500 }),
      out: text({ maxLength: 100 }),
    };
    this.formula = element("p", "formula");
    this.exact = number({ min: "-10", max: "10", step: "any", value: "0.5" });
    this.exact.setAttribute("aria-label", words("field.weight"));
    const { weight } = this.fields;
    weight.addEventListener("input", () => (this.exact.value = weight.value));
    this.exact.addEventListener("input", () => (weight.value = this.exact.value));
    this.fault = Object.assign(element("p", "fault"), { hidden: true });
    this.fault.setAttribute("role", "alert");
    this.begin = Object.assign(element("button", "strong", words("merge")), { type: "submit" });
    this.rows = Object.fromEntries(Object.entries(this.fields).map(([key, input]) => [key, row(key, input)]));
    weight.after(this.exact);
    this.fields.method.addEventListener("change", () => this.suit());
    const form = element("form", "merger-form", ...Object.values(this.rows), this.fault, element("footer", "", this.begin));
    this.rows.method.append(this.formula);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.act(() => ask("start", this.values()));
    });
    return form;
  }

  values() {
    const { method, a, b, c, density, seed, layers, out } = this.fields;
    const sparse = SPARSE.includes(method.value);
    return {
      method: method.value, a: a.value, b: b.value, c: this.rows.c.hidden ? null : c.value || null,
      weight: Number(this.exact.value), layers: layers.value.trim(), out: out.value.trim(),
      ...(sparse ? { density: Number(density.value) } : {}), ...(method.value === "dare" ? { seed: Number(seed.value) } : {}),
    };
  }

  /** Shows the fields that the method has a use for, and its formula. */
  suit() {
    const { method } = this.fields;
    const chosen = this.methods.find((one) => one.name === method.value);
    this.formula.textContent = chosen?.about ?? "";
    this.rows.c.hidden = chosen?.third === false;
    this.form.classList.toggle("pair", this.rows.c.hidden);
    this.rows.density.hidden = !SPARSE.includes(method.value);
    this.rows.seed.hidden = method.value !== "dare";
  }

  /** Reads what can be merged, and what was. */
  async read() {
    const { checkpoints, methods, merged } = await ask("options");
    this.methods = methods;
    const { method, a, b, c } = this.fields;
    if (!method.options.length) method.replaceChildren(...methods.map(({ name }) => Object.assign(element("option", "", words(`method.${name}`)), { value: name })));
    for (const [index, select] of [a, b, c].entries()) {
      const before = select.value;
      const names = select === c ? ["", ...checkpoints] : checkpoints;
      select.replaceChildren(...names.map((name) => Object.assign(element("option", "", name || words("no_third")), { value: name })));
      select.value = names.includes(before) && before ? before : select === c ? "" : (checkpoints[index] ?? checkpoints[0] ?? "");
    }
    this.suit();
    this.list.replaceChildren(element("h3", "", words("merged")), ...(merged.length ? merged.map(recipe) : [element("p", "hint", words("none"))]));
  }

  /** Does something whose answer is the state of the merge, and follows it while somebody looks. */
  async act(work) {
    clearTimeout(this.timer);
    this.say("");
    try {
      this.show(await work());
    } catch (error) {
      this.say(error.message);
    }
  }

  show({ state, done, error }) {
    const running = state === "running";
    const was = this.running;
    this.running = running;
    this.begin.disabled = running;
    this.progress.hidden = state === "none";
    this.cancel.hidden = !running;
    const share = state === "done" ? 1 : done;
    /** @type {HTMLElement} */ (this.bar.firstChild).style.width = `${100 * share}%`;
    this.bar.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    this.status.textContent = words(`state.${state === "none" ? "done" : state}`, { percent: Math.round(100 * share) });
    if (error) this.say(error);
    if (was && state === "done") {
      this.fields.out.value = "";
      this.dispatchEvent(new CustomEvent("tdw:rescanned", { bubbles: true, detail: {} }));
      void this.read().catch((failure) => this.say(failure.message));
    }
    if (running && this.visible) this.timer = setTimeout(() => void this.act(() => ask("state")), PERIOD);
  }

  say(sentence) {
    this.fault.hidden = !sentence;
    this.fault.replaceChildren(element("bdi", "", sentence));
  }
}

function row(key, input) {
  input.id = `merger-${key}`;
  const label = Object.assign(element("label", "", words(`field.${key}`)), { htmlFor: input.id });
  return element("div", `field ${key}`, label, element("span", "", input), element("small", "", words(`help.${key}`)));
}

/** A merged checkpoint with how it was made. */
function recipe({ name, recipe: { method, weight, parents = [], layers = [], density, seed } }) {
  const facts = [words(`method.${method}`), words("at_weight", { weight: formatNumber(weight, 2) })];
  if (SPARSE.includes(method)) facts.push(words("at_density", { density: formatNumber(density, 2) }));
  if (method === "dare") facts.push(words("at_seed", { seed }));
  if (layers.length) facts.push(layers.map(([layer, one]) => `${layer}: ${formatNumber(one, 2)}`).join(", "));
  const from = parents.map(([parent, print], index) => element("li", "", element("b", "", "ABC"[index]), element("bdi", "", parent), element("code", "", print)));
  return element("article", "recipe", element("h4", "", element("bdi", "", name)), element("p", "facts", facts.join(" · ")), element("ol", "", ...from));
}

customElements.define("merger-view", Merger);
