// @ts-check
// Below each rule: what is wrong with it, or a text that matches. In finished texts: their parts in colours.

import { block, call, element, say, shown, whenFinished } from "webui";

const FIELDS = ["preset", "regex", "choices", "json_schema", "grammar", "depth", "gaps"];
const CHECKED = FIELDS.filter((field) => field !== "depth");
const PAUSE = 400; // milliseconds without a key
const SLOW = 1000; // milliseconds until a check is said to take long
const words = (key, values = {}) => say(`extension.constraints.${key}`, values);

let asked = ""; // the options of the last answer, or of the question under way
let timer = 0;
let busy = false;
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

/** One question at a time: an expression that takes long to read does not pile up. */
async function ask() {
  const sent = options();
  if (busy || JSON.stringify(sent) === asked) return;
  asked = JSON.stringify(sent);
  busy = true;
  const rules = CHECKED.some((field) => sent[field] && sent[field] !== "none");
  const slow = setTimeout(() => { // which field it is about is known with the answer
    answer = Object.fromEntries(CHECKED.filter((field) => sent[field] && sent[field] !== "none").map((field) => [field, { checking: true }]));
    say_all();
  }, SLOW);
  try {
    answer = rules ? (await call("constraints/check", { options: sent })).rules : {};
  } catch (error) {
    answer = { regex: { wrong: error.message } };
  }
  clearTimeout(slow);
  busy = false;
  say_all();
  look();
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
  const { parts } = await call("constraints/parts", { options: rule, text: result.text });
  const leading = result.text.length - node.textContent.length; // blanks that are not shown
  let at = -leading;
  for (const [text, kind] of parts) {
    if (kind) mark(node, Math.max(0, at), at + text.length, kind.replace(" ", "-"));
    at += text.length;
  }
});

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
      return;
    }
    at += length;
  }
}
