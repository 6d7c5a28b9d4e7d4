// @ts-check
// <tdw-extensions>: each extension with its hooks and their order, the traceback of those that failed, and those of third
// parties, which can be added, updated, pinned, disabled and removed.

import { button, copied, element } from "../base/parts.js";
import { confirmed } from "../base/popover.js";
import { say } from "../base/strings.js";
import { waiting } from "../settings/restart.js";
import { settingsNow } from "../settings/settings.js";
import { adder, asked, fault, pictures, shownPlan } from "./adding.js";
import { settings } from "./own-settings.js";

class Extensions extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.closest(".view").tabIndex = 0; // so that arrow keys scroll it: it may hold nothing else to focus
    this.drawn = JSON.parse(this.dataset.extensions || "[]");
    this.draw({ extensions: [] });
    document.addEventListener("tdw:view", ({ detail }) => detail === "extensions" && void this.load());
    if (document.body.dataset.view === "extensions") void this.load();
  }

  async load() {
    const { answer } = await asked("GET", "");
    if (!answer) return;
    this.restartable = (await settingsNow())?.restartable ?? false;
    const state = JSON.stringify(answer);
    if (state !== this.state) this.draw(answer); // what is open and read stays
    this.state = state;
    this.querySelector(".adder")?.remove();
    this.append(adder(answer.refusal, (list) => this.draw(list)));
  }

  /** All cards; `told` is what the server knows now beside what the page was drawn with. */
  draw({ extensions: told, outdated = false, soon = false, refusal = "" }) {
    this.refusal = refusal;
    const facts = new Map(told.map((one) => [one.name, one]));
    const names = new Set(this.drawn.map((one) => one.name));
    const all = [...this.drawn, ...told.filter((one) => !names.has(one.name)).map((one) => ({ ...one, hooks: [] }))];
    const failed = all.filter((one) => one.error);
    const counts = [say("extensions.loaded_count", { number: this.drawn.length - failed.length })];
    if (failed.length) counts.push(say("extensions.failed_count", { number: failed.length }));
    const cards = [...failed, ...all.filter((one) => !one.error)].map((one) => this.card(one, facts.get(one.name)));
    const bar = waiting({ outdated, soon, restartable: this.restartable });
    const parts = [
      element("header", "page-head", element("h2", "", say("page.extensions")), element("p", "", counts.join(", "))),
      ...(bar ? [bar] : []),
      element("div", "cards", ...cards),
      ...(all.length ? [] : [element("p", "none", say("extensions.none"))]),
    ];
    const open = new Set([...this.querySelectorAll("details[open]")].map((one) => one.dataset.key));
    for (const old of [...this.children]) if (!old.matches(".adder")) old.remove();
    this.prepend(...parts);
    for (const one of this.querySelectorAll("details")) one.open = open.has(one.dataset.key);
  }

  card(one, facts) {
    const node = one.error ? broken(one) : loaded(one, facts?.state ?? "loaded");
    for (const trace of facts?.faults ?? []) node.insertBefore(traceback(trace, "extensions.fault"), node.lastChild);
    if (facts) node.lastChild.before(...pictures(encodeURIComponent(one.name), facts.screenshots, one.name));
    if (facts?.restart) node.append(element("p", "hint", say("extensions.needs_restart")));
    if (facts && !this.refusal) node.append(facts.origin === "installed" ? this.managed(facts) : this.switched(facts));
    if (facts?.settings) node.append(settings(facts));
    return node;
  }

  /** Turning a built-in extension off and on. */
  switched(facts) {
    const node = element("div", "managed switched");
    const press = button(say(facts.enabled ? "extensions.disable" : "extensions.enable"), async () => {
      const { answer, error } = await asked("PATCH", `/${encodeURIComponent(facts.name)}`, { enabled: !facts.enabled });
      if (error) return node.append(fault(error));
      this.draw(answer);
    });
    press.setAttribute("aria-label", `${press.textContent}: ${facts.title}`);
    node.append(element("div", "choices", press));
    return node;
  }

  /** What can be done with an installed extension. */
  managed(facts) {
    const place = element("div", "plan-place");
    const path = `/${encodeURIComponent(facts.name)}`;
    const act = (key, method, sent) => button(say(`extensions.${key}`), async () => {
      const { answer, error } = await asked(method, path, sent);
      if (error) return place.replaceChildren(fault(error));
      this.draw(answer);
    });
    const update = button(say("extensions.update"), () => shownPlan(place, { update: facts.name }, (list) => this.draw(list), update));
    const remove = button(say("extensions.remove"), async () => {
      const sure = say("extensions.remove_sure", { name: facts.name });
      if (!(await confirmed(sure, say("extensions.remove_yes"), say("extensions.add_no")))) return;
      const { answer, error } = await asked("DELETE", path);
      if (error) return place.replaceChildren(fault(error));
      this.draw(answer);
    });
    remove.className = "danger";
    const buttons = [
      ...(facts.pinned ? [act("release", "PATCH", { pinned: false })] : [update, act("pin", "PATCH", { pinned: true })]),
      ...(facts.earlier.length ? [act("back", "PATCH", { back: true })] : []),
      act(facts.enabled ? "disable" : "enable", "PATCH", { enabled: !facts.enabled }),
      remove,
    ];
    const from = say("extensions.from", { address: facts.address, revision: facts.revision.slice(0, 12) });
    const licence = facts.licence ? say("extensions.licence", { licence: facts.licence }) : say("extensions.no_licence");
    return element("div", "managed", element("p", "hint", element("bdi", "", `${from} ${licence}`)), element("div", "choices", ...buttons), place);
  }
}

function card(one, state, ...nodes) {
  const words = (key, otherwise) => (say(`extension.${one.name}.${key}`) === `extension.${one.name}.${key}` ? otherwise : say(`extension.${one.name}.${key}`));
  const title = element("h3", "", element("bdi", "", words("title", one.title ?? one.name)));
  title.append(element("span", `state ${state}`, say(["restart", "soon"].includes(state) ? `extensions.${state}_state` : `extensions.${state}`)));
  const about = words("about", one.about ?? "");
  const node = element("article", `card ${state}`, title, ...(about ? [element("p", "", about)] : []), ...nodes);
  const folder = element("code", "", `extensions/${one.name}`);
  node.append(element("footer", "", folder, ...(one.version ? [element("span", "", say("extensions.version", { version: one.version }))] : [])));
  return node;
}

function loaded(one, state) {
  const rows = one.hooks.map(([hook, order, [place, all]]) =>
    element("tr", "", element("th", "", element("code", "", hook)), element("td", "", say("extensions.place", { place, all })), element("td", "", String(order))));
  if (!rows.length) return card(one, state);
  const heads = ["hook", "turn", "order"].map((key) => element("th", "", say(`extensions.${key}`)));
  const table = element("table", "", element("thead", "", element("tr", "", ...heads)), element("tbody", "", ...rows));
  const hooks = element("details", "", element("summary", "", say("extensions.hooks", { number: rows.length })), table);
  hooks.dataset.key = `hooks ${one.name}`;
  return card(one, state, hooks);
}

function broken(one) {
  const lines = one.error.trim().split("\n");
  return card(one, "failed", element("p", "reason", lines.at(-1)), traceback(one.error, "extensions.traceback"));
}

/** A traceback that opens, with a button that copies it. */
function traceback(text, key) {
  const copy = button(say("extensions.copy"), async () => {
    await copied(text);
    copy.textContent = say("extensions.copied");
  });
  const last = text.trim().split("\n").at(-1) ?? "";
  const node = element("details", "", element("summary", "", say(key, { reason: last })), element("pre", "", text), copy);
  node.dataset.key = `${key} ${text}`;
  return node;
}

customElements.define("tdw-extensions", Extensions);
