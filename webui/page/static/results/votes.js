// @ts-check
// Blind votes: two texts of an experiment side by side without what made them; which is better is kept with the experiment.

import { post } from "../base/call.js";
import { showError } from "../base/notice.js";
import { button, element } from "../base/parts.js";
import { formatNumber, say } from "../base/strings.js";

const KEYS = { 1: "a", 2: "b", 0: "same" };

/** Shows pairs of a table's texts until it is closed; those with the fewest votes first. */
export function vote(table) {
  const ids = [...table.job.rows.keys()].filter((id) => table.text(id));
  if (ids.length < 2) return showError(say("table.vote.few"));
  const seen = new Map(ids.map((id) => [id, 0]));
  const dialog = element("dialog", "compare votes");
  const close = button("×", () => dialog.close());
  close.setAttribute("aria-label", say("table.vote.close"));
  const sum = element("span", "compare-sum");
  sum.setAttribute("role", "status");
  const texts = ["a", "b"].map((name) => element("section", "", element("h3", "", name.toUpperCase()), element("div", "text")));
  const acts = Object.entries(KEYS).map(([key, name]) => button(say(`table.vote.${name}`, { key }), () => void give(name)));
  dialog.append(
    element("header", "", element("h2", "", say("table.vote.title")), sum, close),
    element("div", "compare-sides", ...texts),
    element("footer", "", ...[acts[1], acts[0], acts[2]]),
  );
  dialog.setAttribute("aria-label", say("table.vote.title"));
  dialog.addEventListener("keydown", ({ key }) => KEYS[key] && void give(KEYS[key]));
  dialog.addEventListener("close", () => (dialog.remove(), table.again()));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());

  let pair = [];
  let given = 0;
  let sending = false;

  function next() {
    const order = shuffled(ids).sort((a, b) => seen.get(a) - seen.get(b));
    const [first] = order;
    const other = order.find((id) => id !== first && table.text(id) !== table.text(first)) ?? order[1];
    pair = shuffled([first, other]);
    texts.forEach((node, index) => (node.lastChild.textContent = table.text(pair[index])));
    sum.textContent = say("table.vote.count", { count: formatNumber(given) });
  }

  async function give(better) {
    if (sending) return;
    sending = true;
    try {
      await post(`experiments/${table.experiment}/votes`, { job: table.job.id, a: pair[0], b: pair[1], better });
      for (const id of pair) seen.set(id, seen.get(id) + 1);
      given += 1;
      next();
    } catch (error) {
      dialog.close();
      showError(error.message);
    }
    sending = false;
  }

  next();
  document.body.append(dialog);
  dialog.showModal();
}

function shuffled(list) {
  return list.map((one) => /** @type {[number, any]} */ ([Math.random(), one])).sort(([a], [b]) => a - b).map(([, one]) => one);
}
