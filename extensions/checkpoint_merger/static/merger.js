// @ts-check
// <merger-view>: makes a checkpoint of two or three: the form with the formula, progress, and the recipes of those that were merged.

import { button, call, element, formatNumber, say, whenVisible } from "webui";

const PERIOD = 700; // ms between two looks at a merge, while the view is visible
const words = (key, values = {}) => say(`extension.checkpoint_merger.${key}`, values);
const ask = (route, sent = {}) => call(`checkpoint_merger/${route}`, sent);
const SPARSE = ["ties", "dare"]; // methods that drop a part of a difference
const BEGIN = { bake: "bake", extract: "extract", prune: "prune" }; // words of the button, where it is no merge
const CHOICES = { what: ["width", "layers"], choice: ["importance", "random"] };

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
      method: select(), a: select(), b: select(), c: select(), lora: select(),
      weight: Object.assign(element("input"), { type: "range", min: "0", max: "1", step: "0.05", value: "0.5" }),
      density: number({ min: "0.01", max: "1", step: "0.01", value: "0.5" }),
      rank: number({ min: "1", max: "1024", step: "1", value: "16" }),
      what: select(), remove: number({ min: "0.01", max: "0.99", step: "0.01", value: "0.25" }),
      choice: select(), data: text({ placeholder: "stories.txt", maxLength: 4000 }),
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
    this.begin = Object.assign(element("button", "strong", words("begin.merge")), { type: "submit" });
    this.rows = Object.fromEntries(Object.entries(this.fields).map(([key, input]) => [key, row(key, input)]));
    weight.after(this.exact);
    for (const [key, values] of Object.entries(CHOICES)) {
      this.fields[key].replaceChildren(...values.map((value) => Object.assign(element("option", "", words(`${key}.${value}`)), { value })));
    }
    for (const input of [this.fields.method, this.fields.choice]) input.addEventListener("change", () => this.suit());
    const form = element("form", "merger-form", ...Object.values(this.rows), this.fault, element("footer", "", this.begin));
    this.rows.method.append(this.formula);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.act(() => ask("start", this.values()));
    });
    return form;
  }

  /** What the shown fields say. */
  values() {
    const numbers = { weight: this.exact, density: this.fields.density, seed: this.fields.seed, rank: this.fields.rank, remove: this.fields.remove };
    const said = {};
    for (const [key, input] of Object.entries(this.fields)) {
      if (this.rows[key].hidden) continue;
      said[key] = key in numbers ? Number(numbers[key].value) : input.value.trim() || null;
    }
    return said;
  }

  /** Shows the fields that the method has a use for, and its formula. */
  suit() {
    const method = this.fields.method.value;
    const chosen = this.methods.find((one) => one.name === method);
    const fields = chosen?.fields ?? [];
    this.formula.textContent = chosen ? words(`formula.${method}`) : "";
    for (const key of ["b", "c", "weight", "layers", "lora", "rank", "what", "remove", "choice", "data"]) this.rows[key].hidden = !fields.includes(key);
    this.form.classList.toggle("pair", fields.includes("b") && !fields.includes("c"));
    this.form.classList.toggle("alone", !fields.includes("b"));
    this.rows.density.hidden = !SPARSE.includes(method);
    this.rows.seed.hidden = method !== "dare" && !(fields.includes("choice") && this.fields.choice.value === "random");
    this.begin.textContent = words(`begin.${BEGIN[method] ?? "merge"}`);
    this.rows.out.querySelector("label").textContent = words(method === "extract" ? "field.out_lora" : "field.out");
    this.rows.out.querySelector("small").textContent = words(method === "extract" ? "help.out_lora" : "help.out");
    this.fault.hidden = true;
  }

  /** Reads what can be merged, and what was. */
  async read() {
    const { checkpoints, model, loras, methods, merged, paths } = await ask("options");
    const first = [model, ...checkpoints.filter((name) => name !== model)].filter((name) => checkpoints.includes(name)); // A is the default checkpoint
    this.methods = methods;
    const { method, a, b, c, lora, data } = this.fields;
    fill(lora, loras);
    data.disabled = !paths;
    if (!method.options.length) method.replaceChildren(...methods.map(({ name }) => Object.assign(element("option", "", words(`method.${name}`)), { value: name })));
    for (const [index, select] of [a, b, c].entries()) {
      const before = select.value;
      const names = select === c ? ["", ...checkpoints] : checkpoints;
      select.replaceChildren(...names.map((name) => Object.assign(element("option", "", name || words("no_third")), { value: name })));
      select.value = names.includes(before) && before ? before : select === c ? "" : (first[index] ?? first[0] ?? "");
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

  show({ state, done, said, error }) {
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
    if (said && state === "done") this.status.textContent = said;
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

/** Puts these names into a select; the one that was chosen stays. */
function fill(select, names) {
  const before = select.value;
  select.replaceChildren(...names.map((name) => Object.assign(element("option", "", name), { value: name })));
  if (names.includes(before)) select.value = before;
}

/** A checkpoint with how it was made. */
function recipe({ name, recipe: { method, weight, parents = [], layers = [], density, seed, lora, what, choice, bounds } }) {
  const facts = [words(`method.${method}`)];
  if (bounds) {
    const nats = Object.fromEntries(Object.entries(bounds).map(([key, value]) => [key, formatNumber(value, 3)]));
    facts.push(words(`what.${what}`), words("removed", { percent: Math.round(100 * weight) }), words(`choice.${choice}`), words("bounds", nats));
  } else facts.push(words("at_weight", { weight: formatNumber(weight, 2) }));
  if (lora) facts.push(lora[0]);
  if (SPARSE.includes(method)) facts.push(words("at_density", { density: formatNumber(density, 2) }));
  if (method === "dare") facts.push(words("at_seed", { seed }));
  if (layers.length) facts.push(layers.map(([layer, one]) => `${layer}: ${formatNumber(one, 2)}`).join(", "));
  const from = parents.map(([parent, print], index) => element("li", "", element("b", "", "ABC"[index]), element("bdi", "", parent), element("code", "", print)));
  return element("article", "recipe", element("h4", "", element("bdi", "", name)), element("p", "facts", facts.join(" · ")), element("ol", "", ...from));
}

customElements.define("merger-view", Merger);
