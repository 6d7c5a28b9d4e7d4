// @ts-check
// Keyboard shortcuts: Ctrl+Enter generates, Escape closes what is open and then interrupts, ? lists them; arrows in numbers.

import { pathOf } from "./gradio.js";
import { element, origin } from "./parts.js";
import { popover } from "./popover.js";
import { say } from "./strings.js";

const OPEN = "[role=listbox], [role=menu], [popover]:popover-open, dialog[open]"; // what Escape closes first
/** [keys, words] @type {[string[], string][]} */
const KEYS = [
  [["Ctrl", "Enter"], "page.key_generate"],
  [["Esc"], "page.key_escape"],
  [["Alt", "↑"], "page.key_prompts"],
  [["Tab"], "page.key_tab"],
  [["↑", "↓"], "page.key_arrows"],
  [["Ctrl", "Space"], "prompts.key_complete"],
  [["?"], "page.key_help"],
];

document.addEventListener("keydown", (event) => {
  const typing = origin(event).closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    if (document.querySelector("dialog[open]")) return;
    event.preventDefault();
    event.stopImmediatePropagation(); // Enter ticks a checkbox and takes an entry of a list
    if (event.repeat) return;
    window.tdw.write();
    document.querySelector("#generate")?.click();
  } else if (event.key === "Escape" && !document.querySelector(OPEN)) {
    window.tdw.interrupt();
  } else if (event.key === "?" && !typing) {
    event.preventDefault();
    document.querySelector("tdw-keys button")?.click();
  }
}, true);

/** Arrow keys for numbers that may be empty, which are text boxes. */
function number(event) {
  const field = origin(event);
  const box = field.closest?.(".kind-number");
  const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  if (!box || field.type !== "text" || !way || event.ctrlKey) return;
  const { labels } = document.querySelector("tdw-canvas");
  const [, , step = 1] = labels[pathOf(box)] ?? [];
  event.preventDefault();
  field.value = String(Number(((Number(field.value.replace(say("page.decimal"), ".")) || 0) + way * step).toFixed(4)));
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

document.addEventListener("keydown", number);
document.addEventListener("focusin", (event) => {
  const target = origin(event);
  if (target.type === "text" && target.closest(".kind-number")) target.inputMode = "decimal";
});

/** <tdw-keys>: the button with the question mark that lists the shortcuts. */
class Keys extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    const opener = element("button", "", "?");
    opener.type = "button";
    opener.setAttribute("aria-label", say("page.keyboard"));
    this.append(...popover(opener, "keys", (panel) => panel.replaceChildren(element("h3", "", say("page.keyboard")), list())));
  }
}

function list() {
  const rows = KEYS.map(([keys, text]) => {
    const names = keys.flatMap((key, index) => [...(index && keys.length === 2 && key !== "↓" ? ["+"] : []), element("kbd", "", nameOfKey(key))]);
    return element("div", "", element("dt", "", ...names), element("dd", "", say(text)));
  });
  return element("dl", "", ...rows);
}

function nameOfKey(key) {
  return { Ctrl: say("page.key.ctrl"), Enter: say("page.key.enter"), Space: say("page.key.space") }[key] ?? key;
}

customElements.define("tdw-keys", Keys);
