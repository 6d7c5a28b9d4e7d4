// @ts-check
// The extensions on and off, as a setting: the names of those that are off.

import { element } from "../base/parts.js";
import { say } from "../base/strings.js";

/** The control of a list of extensions that are off. It dispatches `change` at its first box; `read()` gives the names.
 *  @param {string[]} off */
export function switches(off) {
  const drawn = JSON.parse(document.querySelector("tdw-extensions")?.getAttribute("data-extensions") || "[]");
  const names = [...new Set([...drawn.map(({ name }) => name), ...off])].map((name) => ({ name, title: titled(name, drawn) }));
  names.sort((a, b) => a.title.localeCompare(b.title));
  const boxes = names.map(({ name }) => {
    const box = element("input");
    Object.assign(box, { type: "checkbox", value: name, checked: !off.includes(name) });
    return box;
  });
  for (const box of boxes.slice(1)) box.addEventListener("change", () => boxes[0].dispatchEvent(new Event("change")));
  const lines = names.map(({ title }, index) => element("label", "", boxes[index], element("bdi", "", title)));
  const node = element("div", "switches", ...lines);
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", say("setting.disabled.label"));
  return Object.assign(node, { read: () => boxes.filter((box) => !box.checked).map((box) => box.value) });
}

function titled(name, drawn) {
  const key = `extension.${name}.title`;
  return say(key) === key ? drawn.find((one) => one.name === name)?.title ?? name : say(key);
}
