// @ts-check
// Below each rule: what is wrong with it, or a text that matches. In finished texts: their parts in colours.

import { block, call, element, say, shown, whenFinished } from "webui";

const FIELDS = ["preset", "regex", "choices", "json_schema", "grammar", "depth", "gaps"];
const CHECKED = FIELDS.filter((field) => field !== "depth");
const PAUSE = 400; // milliseconds without a key
const SLOW = 1000; // milliseconds until a check is said to take long
const words = (key, values = {}) => say(`extension.constraints.${key}`, values);

let asked = ""; // the options of the last answer, or of the question under way
let asking = new AbortController(); // of that question
let timer = 0;
let answer = {};

/** The options as the controls show them. */
function options() {
  const found = {};
  for (const field of FIELDS) {
    const value = shown.get(`constraints.${field}`);
    if (value !== undefined && value !== null && value !== "") found[field] = value;
  }
  return found;
}

shown.watch(look);
document.addEventListener("focusin", (event) => /** @type {Element} */ (event.target).closest("#extension-constraints") && say_all());

function look() {
  clearTimeout(timer);
  if (JSON.stringify(options()) !== asked) timer = setTimeout(ask, PAUSE);
}

/** One question at a time: what takes long to compile is given up, there and here, as soon as something else is typed. */
async function ask() {
  const sent = options();
  if (JSON.stringify(sent) === asked) return;
  asked = JSON.stringify(sent);
  asking.abort();
  const { signal } = (asking = new AbortController());
  const set = CHECKED.filter((field) => sent[field] && sent[field] !== "none");
  const say_of_each = (said) => {
    answer = Object.fromEntries(set.map((field) => [field, said]));
    say_all();
  };
  const slow = setTimeout(say_of_each, SLOW, { checking: true }); // which field it is about is known with the answer
  try {
    answer = set.length ? (await call("constraints/check", { options: sent }, signal)).rules : {};
    say_all();
  } catch (error) {
    if (!signal.aborted) say_of_each({ wrong: error.message });
  }
  clearTimeout(slow);
}

/** Shows the answer below the controls, which Gradio draws when their fold is opened. */
function say_all() {
  for (const field of CHECKED) {
    const control = block(`constraints.${field}`);
    if (!control) continue;
    const { wrong, example, depth, checking } = answer[field] ?? {};
    let line = control.querySelector(".rule-check");
    if (!line) {
      if (wrong === undefined && example === undefined && !checking) continue;
      line = control.appendChild(element("p", "rule-check"));
      line.setAttribute("role", "status");
    }
    line.classList.toggle("refused", wrong !== undefined);
    if (wrong !== undefined) line.replaceChildren(element("bdi", "", wrong));
    else if (checking) line.replaceChildren(words("checking"));
    else if (example === undefined) line.replaceChildren();
    else {
      const text = element("code", "", element("bdi", "", example === "" ? words("nothing") : example));
      line.replaceChildren(words("example"), " ", text, depth === undefined ? "" : ` ${words("depth", { depth })}`);
    }
  }
}

// Ranges of the browser, so that the text's own elements stay as they are.
const looks = typeof CSS !== "undefined" && CSS.highlights ? CSS.highlights : null;

whenFinished(async (node, request, result) => {
  const rule = request?.constraints;
  if (!looks || !rule || !result.extras?.constraints?.valid) return;
  const { parts } = await call("constraints/parts", { options: rule, text: result.text, gaps: result.gaps ?? [] });
  const leading = result.text.length - node.textContent.length; // blanks that are not shown
  let at = -leading;
  forget();
  for (const [text, kind] of parts) {
    if (kind) mark(node, Math.max(0, at), at + text.length, kind.replace(" ", "-"));
    at += text.length;
  }
});

/** What is coloured: node of a text, highlight, range. A range keeps the page's part that it lies in. */
let coloured = /** @type {[HTMLElement, any, Range][]} */ ([]);
let most = 1000; // ranges until those of texts that are gone are looked for

function forget() {
  if (coloured.length < most) return;
  const there = coloured.filter(([node]) => node.isConnected);
  for (const [node, highlight, range] of coloured) if (!node.isConnected) highlight.delete(range);
  coloured = there;
  most = Math.max(1000, 2 * there.length);
}

/** Colours the characters from `start` to `end` of what a node shows. */
function mark(node, start, end, kind) {
  const range = new Range();
  const walk = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
  let at = 0;
  let begun = false;
  for (let text = walk.nextNode(); text; text = walk.nextNode()) {
    const length = text.textContent.length;
    if (!begun && start < at + length) {
      range.setStart(text, start - at);
      begun = true;
    }
    if (begun && end <= at + length) {
      range.setEnd(text, end - at);
      const name = `constraint-${kind}`;
      if (!looks.has(name)) looks.set(name, new Highlight());
      looks.get(name).add(range);
      coloured.push([node, looks.get(name), range]);
      return;
    }
    at += length;
  }
}
