// @ts-check
// Small parts of the page: elements, buttons, menus, copy and download, the list of a result's parameters.

import { isHidden, nameOfExtension, nameOfField, nameOfValue } from "./names.js";
import { formatNumber, say } from "./strings.js";

const LONG_LIST = 24; // entries of a list that is not shown in full

/** An element with a class and children; strings become text nodes, never markup. */
export function element(tag, className = "", ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

export function button(label, press) {
  const node = element("button", "", label);
  node.type = "button";
  node.addEventListener("click", press);
  return node;
}

/** Buttons of which exactly one is pressed; `options` is a list of [value, label]. Setting `.value` does not call `take`. */
export function choice(name, options, take) {
  const node = element("div", "choice");
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", name);
  const buttons = new Map(options.map(([value, label]) => [value, button(label, () => take(value))]));
  node.append(...buttons.values());
  Object.defineProperty(node, "value", {
    get: () => [...buttons].find(([, one]) => one.getAttribute("aria-pressed") === "true")?.[0] ?? null,
    set: (value) => buttons.forEach((one, key) => one.setAttribute("aria-pressed", String(key === value))),
  });
  node.value = options[0][0];
  return node;
}

/** The element an event came from; `?.closest` where it may be the document.
 *  @param {Event} event @returns {HTMLElement & HTMLInputElement} */
export function origin(event) {
  return /** @type {any} */ (event.target);
}

/** A button with a menu below it. `list` gives [label, act] pairs when it is opened; null is a line between them. With a third
 *  value, whether it is checked, an entry is a switch: the menu stays open. */
export function menu(label, list) {
  const opener = button(label, () => (opener.nextSibling ? close() : open()));
  const node = element("span", "menu", opener);
  opener.setAttribute("aria-haspopup", "menu");
  opener.setAttribute("aria-expanded", "false");
  const outside = (event) => node.contains(event.target) || close();

  function open(last = false) {
    const items = list().map((entry) => (entry ? item(...entry) : element("hr")));
    const box = element("div", "menu-items", ...items);
    box.setAttribute("role", "menu");
    node.append(box);
    node.dataset.side = box.getBoundingClientRect().right > document.documentElement.clientWidth - 8 ? "left" : "right";
    if (box.getBoundingClientRect().bottom > visibleBottom() - 8 && node.getBoundingClientRect().top > box.offsetHeight) node.dataset.up = "";
    const hidden = box.getBoundingClientRect().bottom - (visibleBottom() - 8);
    if (hidden > 0) box.scrollIntoView({ block: "end", behavior: "instant" }); // its scroll margin is the bar's height
    opener.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", outside, true);
    const usable = [...box.querySelectorAll("[role^=menuitem]")];
    usable.at(last ? -1 : 0)?.focus();
  }

  function close() {
    node.querySelector(".menu-items")?.remove();
    delete node.dataset.up;
    opener.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside, true);
  }

  function item(words, act, checked) {
    const one = button(words, () => {
      if (checked === undefined) {
        opener.focus();
        close();
      } else one.setAttribute("aria-checked", String((checked = !checked)));
      act();
    });
    one.setAttribute("role", checked === undefined ? "menuitem" : "menuitemcheckbox");
    if (checked !== undefined) one.setAttribute("aria-checked", String(checked));
    one.tabIndex = -1;
    return one;
  }

  node.addEventListener("focusout", (event) => event.relatedTarget && !node.contains(event.relatedTarget) && close());
  node.addEventListener("keydown", (event) => {
    const items = [...node.querySelectorAll("[role^=menuitem]")];
    const here = items.indexOf(document.activeElement);
    const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Escape" && items.length) {
      opener.focus();
      close();
    } else if (to !== undefined) {
      if (items.length) items.at(to % items.length).focus();
      else open(event.key === "ArrowUp");
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return node;
}

/** The lowest visible y: on a phone the bar with Generate covers the bottom of the window. */
function visibleBottom() {
  const bar = document.querySelector("#bar")?.getBoundingClientRect();
  return bar?.height && bar.bottom >= innerHeight - 1 && bar.top > innerHeight / 2 ? bar.top : innerHeight;
}

/** Copies a text, also where the page is not a secure context and the clipboard's API is missing. */
export async function copied(text) {
  if (navigator.clipboard) return await navigator.clipboard.writeText(text);
  const area = element("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** Downloads a file. */
export function download(name, type, content) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Dispatches an event tdw:`name` that page.js handles. */
export function send(node, name, detail) {
  node.dispatchEvent(new CustomEvent(`tdw:${name}`, { bubbles: true, detail }));
}

/** A text with invisible characters and direction marks escaped. */
export function visible(text) {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (sign) => {
    return { "\n": "↵", "\t": "⇥" }[sign] ?? `\\u{${sign.codePointAt(0).toString(16)}}`;
  });
}

/** The parameters of a result: every field that is not at its default, then the cost. */
export function parameters(result) {
  const list = element("dl");
  const labels = JSON.parse(document.querySelector("tdw-canvas")?.dataset.labels || "{}");
  const add = (names, value, mark = "") => {
    const cell = element("dd", "", element("bdi", "", String(value)));
    if (mark) cell.append(element("small", "", mark));
    list.append(element("div", "", element("dt", "", ...[names].flat().flatMap((name, index) => [index ? ": " : "", element("bdi", "", name)])), cell));
  };
  const whole = new Map(flat(result.request));
  for (const [path, value] of whole) {
    const [, standard] = labels[path] ?? [path, null];
    const same = JSON.stringify(value) === JSON.stringify(standard);
    if (isHidden(path) || value === null || value === "" || (same && path !== "seed") || path === "count") continue;
    add(nameOfField(path), nameOfValue(path, shortened(value), (field) => whole.get(field)), result.preset?.includes(path) ? say("canvas.preset") : "");
  }
  for (const [extension, values] of Object.entries(result.extras ?? {})) {
    for (const [name, value] of Object.entries(values)) add([nameOfExtension(extension), name], value);
  }
  const { forwards = 0, tokens = 0, prompt_tokens = 0, seconds = 0 } = result.statistics ?? {};
  const each = formatNumber(tokens / Math.max(forwards, 1), 1);
  const from = result.provenance;
  add(say("canvas.prompt"), say("canvas.prompt.value", { tokens: prompt_tokens }));
  add(say("canvas.generated"), say("canvas.generated.value", { tokens, forwards, each }));
  add(say("canvas.time"), say("canvas.seconds", { seconds: formatNumber(seconds, 2) }));
  if (from) add(say("canvas.made"), `${from.checkpoint} ${from.fingerprint}, ${from.family}, ${from.device} ${from.dtype}`);
  return list;
}

/** A value; a long list, such as a trace, as its number of entries. */
export function shortened(value) {
  return Array.isArray(value) && value.length > LONG_LIST ? say("canvas.entries", { count: value.length }) : value;
}

/** [path, value] of every field, an extension's options as "extension.option". */
export function* flat(request, prefix = "") {
  for (const [name, value] of Object.entries(request)) {
    const nested = value !== null && typeof value === "object" && !Array.isArray(value);
    if (nested) yield* flat(value, `${prefix}${name}.`);
    else yield [prefix + name, value];
  }
}
