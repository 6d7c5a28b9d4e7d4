// @ts-check
// The details of a checkpoint as a list, and the checkpoints that cannot be used.

import { element } from "../base/parts.js";
import { say, locale } from "../base/strings.js";

const DEMONSTRATION = 20_000_000; // parameters up to which a model can show how it works, not more

/** "12.3 M": parameters if they are known, else bytes. */
export function size({ parameters, size }) {
  return parameters ? scaled(parameters, ["", "K", "M", "B", "T"]) : bytes(size);
}

export function bytes(count) {
  return scaled(count, ["B", "kB", "MB", "GB", "TB"]);
}

/** The details of a checkpoint, its state first. */
export function details(entry, standing) {
  const name = element("bdi", "", entry.name);
  const state = element("p", "models-status", standing.words);
  state.setAttribute("role", "status");
  const bar = element("div", "models-bar", element("i"));
  bar.hidden = standing.state !== "loading";
  bar.firstChild.style.width = `${standing.percent}%`;
  const reason = entry.error ?? (standing.state === "failed" ? entry.failed : "");
  const why = element("p", "models-why", reason ?? "");
  why.hidden = !reason;
  const list = element("dl");
  const facts = [
    ["family", entry.family],
    ["parameters", entry.parameters && `${size(entry)} (${entry.parameters.toLocaleString(locale)})`],
    ["size", entry.size && bytes(entry.size)],
    ["license", entry.license],
  ];
  for (const [key, value] of facts) if (value) list.append(element("div", "", element("dt", "", say(`models.${key}`)), element("dd", "", element("bdi", "", String(value)))));
  const cautions = Object.entries(entry.cautions ?? {}).filter(([name]) => !name.includes("=")); // those are at their choice
  const sentences = [...Object.values(entry.refused ?? {}), ...cautions.map(([, why]) => why)];
  const cannot = element("ul", "models-cannot", ...sentences.map((sentence) => element("li", "", sentence)));
  const limits = sentences.length ? [element("h4", "", say("models.cannot")), cannot] : [];
  const node = element("div", "", element("h3", "", name), state, bar, why, list, ...limits);
  node.dataset.state = standing.state;
  if (entry.parameters && entry.parameters < DEMONSTRATION) list.before(element("p", "models-small", say("models.small")));
  return [node];
}

/** The checkpoints that cannot be used, each with its reason; nothing if there are none. */
export function refused(entries) {
  const bad = entries.filter((entry) => entry.error || entry.failed);
  if (!bad.length) return [];
  const items = bad.map(({ name, error, failed }) => element("li", "", element("bdi", "", name), element("p", "", error ?? failed)));
  return [element("h3", "", say("models.unusable")), element("ul", "", ...items)];
}

function scaled(value, units) {
  let at = 0;
  while (value >= 999.5 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${value.toLocaleString(locale, { maximumSignificantDigits: 3 })} ${units[at]}`.trim();
}
