// @ts-check
// The fields that stand on top of the page: chosen from a list, taken away and moved by buttons.

import { nameOfField } from "../base/names.js";
import { button, element } from "../base/parts.js";
import { say } from "../base/strings.js";

const NEVER = ["prompt", "model", "unknown", "canvas"]; // have a place of their own, or no control

/** The control of a list of fields. It dispatches `change` at its select; `read()` gives the paths.
 *  @param {string[]} paths */
export function picker(paths) {
  const select = element("select", "choice");
  const chosen = element("ul");
  const node = Object.assign(element("div", "picker", chosen, select), { read: () => [...paths] });
  select.addEventListener("change", (event) => {
    if (!select.value) return; // ours, for the form
    event.stopImmediatePropagation();
    put([...paths, select.value]);
  });

  function put(next) {
    paths = next;
    draw();
    select.dispatchEvent(new Event("change"));
  }

  function draw() {
    const known = Object.keys(document.querySelector("tdw-canvas")?.labels ?? {});
    const free = known.filter((path) => !paths.includes(path) && !NEVER.includes(path)).map((path) => /** @type {[string, string]} */ ([nameOfField(path), path]));
    free.sort((a, b) => a[0].localeCompare(b[0]));
    select.replaceChildren(new Option(say("settings.quick_add"), ""), ...free.map(([name, path]) => new Option(name, path)));
    select.value = "";
    chosen.replaceChildren(...paths.map((path, index) => {
      const name = nameOfField(path);
      const tool = (sign, key, act) => {
        const one = button(sign, act);
        one.setAttribute("aria-label", say(key, { name }));
        return one;
      };
      const front = index ? [tool("↑", "settings.quick_before", () => put([...paths.slice(0, index - 1), path, paths[index - 1], ...paths.slice(index + 1)]))] : [];
      return element("li", "", element("bdi", "", name), ...front, tool("×", "settings.quick_remove", () => put(paths.filter((one) => one !== path))));
    }));
  }

  draw();
  return node;
}
