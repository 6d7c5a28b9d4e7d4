// @ts-check
// <tdw-ready>, above Generate: settings in folds that differ from the preset, as chips that can be removed; constructs that an
// option would make act; why nothing can be made. And Generate's own words.

import { changes } from "./changes.js";
import { plan } from "./plan.js";
import { button, element } from "../base/parts.js";
import { nameOfField, worded } from "../base/names.js";
import { shown } from "../base/shown.js";
import { formatNumber, say } from "../base/strings.js";

class Ready extends HTMLElement {
  connectedCallback() {
    if (this.chips) return;
    this.chips = element("div", "chips");
    this.chips.setAttribute("role", "group");
    this.chips.setAttribute("aria-label", say("page.chips"));
    this.hints = element("div", "hints");
    this.hints.setAttribute("role", "status");
    this.append(this.hints, this.chips);
    const bar = document.querySelector("#bar"); // what gets the focus scrolls so far that it is not behind it
    if (bar) new ResizeObserver(() => document.documentElement.style.setProperty("--bar", `${bar.getBoundingClientRect().height}px`)).observe(bar);
    shown.watch(() => this.mark());
    plan.addEventListener("change", () => this.plan());
  }

  mark() {
    const chips = changes().filter(({ fold }) => fold).map((change) => this.chip(change));
    this.fill(this.chips, chips);
  }

  chip({ path, label, value, whole }) {
    const on = value === say("page.on");
    const remove = button("×", () => shown.set(path, shown.preset.find(([name]) => name === path)[1]));
    remove.setAttribute("aria-label", say("page.chip_remove", { label }));
    const node = element("span", "chip", element("bdi", "", label), ...(on ? [] : [element("span", "", ": "), element("bdi", "", value)]), remove);
    node.dataset.path = path;
    if (whole !== value && !/[\p{Cc}\p{Cf}\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/u.test(whole)) node.title = whole; // a tooltip isolates no direction
    return node;
  }

  plan() {
    const hints = plan.off.map(({ path, text }) => {
      const node = element("p", "", element("span", "", say("page.would_act", { text, label: nameOfField(path) })));
      node.append(button(say("page.turn_on"), () => shown.set(path, true)));
      return node;
    });
    if (!plan.error && plan.texts > 1) hints.unshift(element("p", "cost", element("span", "", plan.cost)));
    if (plan.error) hints.unshift(element("p", "reason", element("span", "", worded(plan.error))));
    this.fill(this.hints, hints);
    name();
  }

  /** Draws nodes only if they differ, so that focus stays. */
  fill(place, nodes) {
    const key = nodes.map((node) => `${node.className}${node.textContent}`).join("\n");
    if (place.dataset.key === key) return;
    place.dataset.key = key;
    place.replaceChildren(...nodes);
  }
}

/** Writes on Generate how many texts it will make, and whether it can. */
export function name() {
  const generate = document.querySelector("#generate");
  if (!generate) return;
  const words = plan.texts === 1 || plan.error ? say("page.generate") : say("page.generate_count", { count: formatNumber(plan.texts) });
  const text = [...generate.childNodes].findLast((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
  if (text && text.textContent.trim() !== words) text.textContent = words;
  generate.setAttribute("aria-disabled", String(Boolean(plan.error)));
}

customElements.define("tdw-ready", Ready);
