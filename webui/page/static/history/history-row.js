// @ts-check
// One row of the history: the beginning of the text, its prompt, checkpoint, seed and extensions.

import { nameOfExtension, worded } from "../base/names.js";
import { element } from "../base/parts.js";
import { say } from "../base/strings.js";
import { moment, time } from "./history-store.js";

/** A row for `show` to fill. The list's one listener handles clicks, by `data-act`. */
export function row(item) {
  const node = element("div", "history-row");
  node.setAttribute("role", "row");
  const pick = element("input");
  pick.type = "checkbox";
  pick.tabIndex = -1;
  pick.setAttribute("aria-label", say("history.select"));
  const favourite = element("button", "history-favourite");
  favourite.type = "button";
  favourite.tabIndex = -1;
  favourite.dataset.act = "favourite";
  const when = element("time", "", time(item.at));
  when.dateTime = new Date(item.at).toISOString();
  when.title = moment(item.at);
  const failed = item.error && element("b", "history-failed", say("history.failed"));
  const state = failed || (!item.complete && say("history.unfinished"));
  const facts = [state, item.checkpoint, say("history.seed", { seed: item.seed }), item.extensions.map(nameOfExtension).join(", ")];
  const about = element("p", "history-about", when, ...facts.filter(Boolean).flatMap((fact) => [" · ", element("bdi", "", fact)]));
  const parts = { text: element("p", "history-text"), prompt: element("p", "history-prompt") };
  const cell = (className, ...children) => {
    const box = element("div", className, ...children);
    box.setAttribute("role", "gridcell");
    return box;
  };
  const side = cell("history-pick", pick); // clickable as a whole
  side.dataset.act = "pick";
  node.append(side, cell("history-what", parts.prompt, parts.text, about), cell("history-mark", favourite));
  return Object.assign(node, { pick, favourite, parts });
}

/** Updates a row: whether it is selected, opened, a favourite, and the marked search words. */
export function show(node, item, { selected, opened, search }) {
  node.setAttribute("aria-selected", String(selected));
  node.pick.checked = selected;
  node.classList.toggle("opened", opened);
  if (opened) node.setAttribute("aria-current", "true");
  else node.removeAttribute("aria-current");
  node.favourite.setAttribute("aria-pressed", String(item.favourite));
  node.favourite.setAttribute("aria-label", say("history.favourite"));
  if (node.search === search) return;
  node.search = search;
  const text = item.text.trim() || worded(item.error ?? "");
  node.parts.text.replaceChildren(...marked(text || say("history.nothing"), search));
  node.parts.text.classList.toggle("none", !text || !item.text.trim());
  node.parts.prompt.replaceChildren(...marked(item.prompt.trim() || say("history.unprompted"), search));
  node.parts.prompt.classList.toggle("none", !item.prompt.trim());
}

/** A text as nodes, the search words marked. */
function marked(text, search) {
  const words = search.split(/\s+/).filter(Boolean);
  if (!words.length) return [text];
  const any = new RegExp(`(${words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "giu");
  return text.split(any).map((part, index) => (index % 2 ? element("mark", "", part) : part));
}
