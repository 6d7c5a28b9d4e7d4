// @ts-check
// A saved file dropped on the page, or its JSON pasted, restores every parameter. Anything else is refused in a sentence.

import { showError, showNotice } from "../base/notice.js";
import { button, element, origin } from "../base/parts.js";
import { shown } from "../base/shown.js";
import { say } from "../base/strings.js";
import { restoreTexts, wholeTexts } from "./restore-texts.js";

const LARGEST = 1_000_000; // bytes; a saved text with its trace is far smaller
const LARGEST_TABLE = 50_000_000; // bytes of an exported table
const MOST_TEXTS = 8; // of a file that are shown
const listed = (names) => names.join(", ");

/** Shows the parameters of a saved text, request or preset in the controls; `text` is its JSON. */
async function restore(text, name = "") {
  let stored;
  try {
    stored = JSON.parse(text);
  } catch {
    return showError(name ? say("page.restore_no_json", { name }) : say("page.restore_not_saved"));
  }
  const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(slim(stored)) };
  const reply = await fetch("api/v1/restore", init).catch(() => null);
  const answer = await reply?.json().catch(() => null);
  if (!reply?.ok) return showError(answer?.error?.message ?? say("page.no_answer"));
  await shown.drawn;
  const unknown = Object.keys(answer.unknown);
  const { labels } = document.querySelector("tdw-canvas");
  const sentences = Object.entries(answer.missing).map(([field, name]) => say("page.restored_missing", { label: labels[field]?.[0] ?? field, name }));
  if (unknown.length) sentences.unshift(say("page.restored_unknown", { names: listed(unknown) }));
  shown.undoable([say("page.restored"), ...sentences].join(" "));
  document.dispatchEvent(new CustomEvent("tdw:use", { detail: { request: answer.request, keepSeed: true } }));
  if (!Array.isArray(stored?.texts) || !stored.texts.length) return showText(stored, answer.request);
  try {
    await restoreTexts(stored);
  } catch (error) {
    showText({ parts: wholeTexts(stored) }, answer.request);
    showError(error.message);
  }
}

/** Shows the text of a saved file on the canvas, if there is one in it. */
function showText(stored, request) {
  const parts = stored?.parts?.length ? stored.parts : [stored];
  if (!Array.isArray(parts)) return;
  for (const part of parts.slice(0, MOST_TEXTS).reverse()) {
    if (typeof part?.text !== "string" || !part.text) continue;
    try {
      document.querySelector("tdw-canvas").show({ ...part, request: part.request ?? request });
    } catch {
      // what it says of how it was made cannot be read; its parameters are restored all the same
    }
  }
}

/** The request in an exported table; no script of the file runs, and nothing that it names is fetched. */
function requestIn(html) {
  return new DOMParser().parseFromString(html, "text/html").getElementById("request")?.textContent ?? "";
}

/** A saved text without what restoring does not need: with its trace it may exceed the server's limit. */
function slim(stored) {
  if (stored === null || typeof stored !== "object" || Array.isArray(stored)) return stored;
  return { ...stored, trace: undefined, tokens: undefined, pieces: undefined, parts: undefined, texts: undefined };
}

/** Whether a text looks like a saved text; pasted prompts rarely do. */
function isSaved(text) {
  if (!/^\s*\{[^]*\}\s*$/.test(text)) return false;
  try {
    const { request, provenance, prompt } = JSON.parse(text);
    return typeof (request ?? provenance) === "object" || typeof prompt === "string";
  } catch {
    return false;
  }
}

const cover = element("div", "drop-here", element("p", "", say("page.drop_here")));
cover.hidden = true;
document.body.append(cover);

const files = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(/** @type {"dragenter"} */ (name), (event) => {
    if (!files(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    cover.hidden = false;
  }, true);
}
document.addEventListener("dragleave", (event) => (cover.hidden = event.relatedTarget === null || cover.hidden), true);
document.addEventListener("drop", (event) => {
  if (!files(event)) return;
  event.preventDefault();
  event.stopPropagation();
  cover.hidden = true;
  const [file, ...more] = event.dataTransfer.files;
  if (file) void read(file, more.length);
}, true);

async function read(file, more) {
  if (more) return showError(say("page.restore_one"));
  const table = /\.html?$/i.test(file.name);
  if (file.size > (table ? LARGEST_TABLE : LARGEST)) return showError(say("page.restore_large", { name: file.name }));
  const text = await file.text();
  await restore(table ? requestIn(text) : text, file.name);
}

document.addEventListener("paste", (event) => {
  const text = event.clipboardData?.getData("text/plain") ?? "";
  const field = /** @type {HTMLInputElement | null} */ (origin(event).closest?.("input, textarea, [contenteditable]"));
  const [file] = event.clipboardData?.files ?? [];
  if (!field && file) return void read(file, 0);
  if (!text.trim() || !isSaved(text)) return !field && text.trim().startsWith("{") ? showError(say("page.restore_not_saved")) : undefined;
  if (field?.value) return showNotice({ sentence: say("page.restore_offer"), label: say("page.restore"), undo: () => void restore(text) });
  event.preventDefault();
  void restore(text);
}, true);

/**
 * <tdw-unknown>: what the controls hold without showing it: fields that only missing extensions know, and a canvas to
 * start from. Both are sent along until they are discarded.
 */
class Unknown extends HTMLElement {
  connectedCallback() {
    shown.watch(() => this.show(shown.get("unknown") || "{}", shown.get("canvas") || ""));
  }

  show(unknown, canvas) {
    const held = unknown + canvas;
    if (held === this.held) return;
    this.held = held;
    const names = Object.keys(JSON.parse(unknown));
    const { trace = [], tokens = [] } = JSON.parse(canvas || "{}");
    const line = (sentence, discard) => element("div", "", element("span", "", sentence), button(say("page.unknown_discard"), discard));
    const lines = names.length ? [line(say("page.unknown", { names: listed(names) }), () => shown.set("unknown", "{}"))] : [];
    if (canvas) lines.push(line(say("page.unknown_canvas", { changes: trace.length, tokens: tokens.length }), () => shown.set("canvas", "")));
    this.replaceChildren(...lines);
  }
}

/** <tdw-open-file>: a button to open a saved file. */
class OpenFile extends HTMLElement {
  connectedCallback() {
    const input = element("input");
    Object.assign(input, { type: "file", accept: ".json,application/json,.html,text/html", hidden: true });
    input.addEventListener("change", () => (input.files[0] && void read(input.files[0], 0), (input.value = "")));
    this.replaceChildren(input, button(say("page.open_file"), () => input.click()));
  }
}

customElements.define("tdw-unknown", Unknown);
customElements.define("tdw-open-file", OpenFile);
