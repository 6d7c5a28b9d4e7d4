// @ts-check
// <tdw-extensions>: each extension with its hooks and their order, and the traceback of those that failed to load.

import { button, copied, element } from "../base/parts.js";
import { say } from "../base/strings.js";

class Extensions extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.closest(".view").tabIndex = 0; // so that arrow keys scroll it: it may hold nothing else to focus
    const all = JSON.parse(this.dataset.extensions || "[]");
    const failed = all.filter((one) => one.error);
    const counts = [say("extensions.loaded_count", { number: all.length - failed.length })];
    if (failed.length) counts.push(say("extensions.failed_count", { number: failed.length }));
    this.append(
      element("header", "page-head", element("h2", "", say("page.extensions")), element("p", "", counts.join(", "))),
      element("div", "cards", ...[...failed, ...all.filter((one) => !one.error)].map((one) => (one.error ? broken(one) : loaded(one)))),
    );
    if (!all.length) this.append(element("p", "none", say("extensions.none")));
  }
}

function card(one, state, ...nodes) {
  const words = (key, otherwise) => (say(`extension.${one.name}.${key}`) === `extension.${one.name}.${key}` ? otherwise : say(`extension.${one.name}.${key}`));
  const title = element("h3", "", element("bdi", "", words("title", one.title ?? one.name)));
  title.append(element("span", `state ${state}`, say(`extensions.${state}`)));
  const about = words("about", one.about ?? "");
  const node = element("article", `card ${state}`, title, ...(about ? [element("p", "", about)] : []), ...nodes);
  const folder = element("code", "", `extensions/${one.name}`);
  node.append(element("footer", "", folder, ...(one.version ? [element("span", "", say("extensions.version", { version: one.version }))] : [])));
  return node;
}

function loaded(one) {
  const rows = one.hooks.map(([hook, order, [place, all]]) =>
    element("tr", "", element("th", "", element("code", "", hook)), element("td", "", say("extensions.place", { place, all })), element("td", "", String(order))));
  if (!rows.length) return card(one, "loaded");
  const heads = ["hook", "turn", "order"].map((key) => element("th", "", say(`extensions.${key}`)));
  return card(one, "loaded", element("table", "", element("thead", "", element("tr", "", ...heads)), element("tbody", "", ...rows)));
}

function broken(one) {
  const lines = one.error.trim().split("\n");
  const copy = button(say("extensions.copy"), async () => {
    await copied(one.error);
    copy.textContent = say("extensions.copied");
  });
  const details = element("details", "", element("summary", "", say("extensions.traceback")), element("pre", "", one.error), copy);
  return card(one, "failed", element("p", "reason", lines.at(-1)), details);
}

customElements.define("tdw-extensions", Extensions);
