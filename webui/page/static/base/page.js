// @ts-check
// Connects Gradio's controls, the canvas and the views: window.tdw, which Gradio's events call, and the events tdw:*.

import "../canvas/canvas.js";
import "../extensions/extensions.js";
import "./help.js";
import "../history/history.js";
import "./keys.js";
import "../models/models.js";
import "../controls/presets.js";
import "../prompts/completions.js";
import "../prompts/marks.js";
import "../prompts/preview.js";
import "../prompts/tools.js";
import "../queue/queue.js";
import "../controls/faults.js";
import "../controls/quick.js";
import "../controls/ready.js";
import "../controls/repeat.js";
import "../controls/restore.js";
import "../controls/sampler-options.js";
import "../controls/settle.js";
import "../settings/settings.js";
import "../controls/tokens.js";
import { askReset } from "../controls/changes.js";
import { plan } from "../controls/plan.js";
import { keep } from "../controls/prompt-history.js";
import { away } from "./away.js";
import { client } from "./client.js";
import { block, foldOf, nameOf, pathOf, title, toggle } from "./gradio.js";
import { showError, showNotice } from "./notice.js";
import { element, origin } from "./parts.js";
import { confirmed } from "./popover.js";
import { shown } from "./shown.js";
import { say, locale } from "./strings.js";
import { open } from "./views.js";

const canvas = () => document.querySelector("tdw-canvas");
const press = (button) => document.getElementById(button)?.click();
const waiting = []; // for `gathered`
const ACKNOWLEDGED_MS = 3000; // until Gradio has passed on a press; past that nothing will come of it
let taken = 0; // the timer of a press that Gradio has not passed on yet
let sending = false; // whether a request was sent and has no answer yet
let kept = 0; // presses of Generate meanwhile
let sure = false; // whether the cost of what is sent was confirmed
let refusedValues; // what the controls showed when the request was refused
let refusal = ""; // the sentence that it was refused with

const tdw = {
  payload: "", // what the next press of a hidden button sends ("fill", "merge")
  raw: [], // what the next press of the hidden button "put" shows in the controls

  /** This browser's id and language, sent with every request. */
  get browser() {
    return `${client} ${locale}${sure ? " confirmed" : ""}`;
  },

  /** Generate was pressed: the request is sent now. */
  submitting() {
    clearTimeout(taken);
    showError("");
    sending = true;
    document.body.dataset.tdw = "sending";
  },

  /** The server's answer to Generate. */
  submitted(answer) {
    sure = sending = false;
    if (answer?.job) {
      keep(shown.get("prompt"));
      ran();
      watch(answer.job);
      if (kept) (kept--, press("generate"));
    } else {
      kept = 0;
      showState();
      refuse(answer?.error ?? say("page.no_answer"));
    }
  },

  /** The server answered with an error of its own, or to a page that is older than its last start. */
  failed(handler) {
    if (handler === "plan") return plan.answer(null);
    const error = say("page.failed");
    if (handler === "gather") return tdw.gathered({ error });
    if (handler === "submit") unanswered();
    showError(error);
    // Refused before it came to Gradio, such as behind a proxy with another host name: the API says why.
    fetch("api/v1/tokens", { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"text": ""}' })
      .then(async (reply) => reply.status === 403 && showError((await reply.json()).error.message))
      .catch(() => {});
  },

  /** The server's answer to a request that is to be shown in the controls: empty, or the sentence of a refusal. */
  refused(answer) {
    if (answer?.error) showError(answer.error);
  },

  /** After a reload: shows the jobs of before, and restores the controls. */
  resume(answer) {
    canvas().addEventListener("change", showState); // adding it twice has no effect
    void canvas().restore().then(() => answer?.job && !canvas().job && start(answer.job));
    requestAnimationFrame(() => shown.restoreDraft());
  },

  // A key may be pressed before these are drawn.
  interrupt: () => (document.querySelector("tdw-repeat")?.turn(false), void canvas()?.interrupt()),
  interruptAll: () => (document.querySelector("tdw-repeat")?.turn(false), void canvas()?.interruptAll()),
  write: () => open("write"),

  /** The seed of the newest text; -1 if there is none. */
  seed: () => canvas().lastRequest?.seed ?? -1,

  /** The controls show these values now. */
  changed: (values) => shown.take(values),

  /** Reset was pressed. */
  reset: () => void askReset(),

  /** What Generate would do now. */
  planned(answer) {
    plan.answer(answer);
    const mended = plan.current && !plan.error && plan.values !== refusedValues;
    if (mended && document.querySelector("#alert span")?.textContent === refusal) showError(""); // not what is about a file, say
  },

  /** The request that the controls show, as {request} or {error}. */
  request: () => new Promise((resolve) => (waiting.push(resolve), press("gather"))),
  gathered: (answer) => waiting.splice(0).forEach((resolve) => resolve(answer)),

  /** Shows a part of a request in its controls; the others stay. */
  merge(part) {
    tdw.payload = JSON.stringify(part);
    press("merge");
  },

  /** The controls that text can be sent to: those of several lines, as [{field, label}]. */
  targets: () =>
    [...document.querySelectorAll(":is(.kind-lines, .kind-list):has(textarea)")].map((control) => ({
      field: pathOf(control),
      label: nameOf(control)?.textContent.trim() ?? control.id,
    })),
};

function start(job) {
  const place = canvas();
  place.addEventListener("change", showState); // adding it twice has no effect
  place.follow(job);
}

/** Follows a job and scrolls to its texts. */
function watch(job) {
  start(job);
  const place = document.querySelector("#desk-right"); // it scrolls by itself, except on a phone
  place.scrollTo({ top: 0, behavior: "instant" });
  if (matchMedia("(max-width: 900px)").matches) place.scrollIntoView({ block: "start", behavior: scrollBehavior() });
}

/** Shows a request in the controls. */
function use(request, keepSeed = true) {
  tdw.payload = JSON.stringify(keepSeed ? request : { ...request, seed: -1 });
  press("fill");
  open("write");
}

/** Submits a whole request, whatever the controls show, and follows its job; `view` is how it is shown once it is done. */
async function generate(request, view = "") {
  tdw.submitting();
  open("write");
  const headers = { "Content-Type": "application/json", "X-TDW-Client": client };
  try {
    const reply = await fetch("api/v1/jobs", { method: "POST", headers, body: JSON.stringify(request) });
    const answer = await reply.json();
    tdw.submitted(reply.ok ? { job: answer.id } : { error: answer.error.message });
    if (reply.ok) canvas().job.wanted = view;
  } catch {
    tdw.submitted(null);
  }
}

/** Applies changed settings. Another language needs a reload; the controls keep their values. */
function settings({ theme, palette, quick_settings: quick, language, notify_after }) {
  const { look, applyLook } = window.tdwStart;
  const before = look.language ?? "auto";
  look.notify_after = notify_after;
  applyLook({ theme, palette });
  document.querySelector("tdw-quick")?.arrange(quick ?? []);
  if (language && language !== before) location.reload();
}

/** What the page does on events of its parts. @type {Record<string, (detail: any) => void>} */
const EVENTS = {
  "tdw:use": ({ request, keepSeed }) => use(request, keepSeed),
  "tdw:write": ({ field, text }) => (open("write"), write(text, field)),
  "tdw:watch": ({ job }) => (open("write"), watch(job)),
  "tdw:notice": showNotice,
  "tdw:error": ({ sentence }) => showError(sentence),
  "tdw:generate": ({ request, view }) => void generate(request, view),
  "tdw:settings": settings,
  "tdw:count": ({ view, count }) => showCount(view, count),
  "tdw:rescanned": () => press("rescan"),
};
for (const [name, act] of Object.entries(EVENTS)) document.addEventListener(name, (/** @type {any} */ event) => act(event.detail));

/** Shows a number beside the name of a view; 0 is hidden. */
function showCount(view, count) {
  const place = document.querySelector(`#views a[data-view="${view}"] .count`);
  if (!place) return;
  place.textContent = String(count);
  place.hidden = !count;
}

/** Shows the state of the canvas on buttons and in the window's title. */
function showState() {
  const job = canvas().job;
  const { current, active } = canvas();
  document.body.dataset.tdw = sending ? "sending" : current ? "running" : "idle";
  document.title = current?.rows ? `${current.bar.getAttribute("aria-valuenow")} % – ${title()}` : title();
  if (!sending) document.querySelector("tdw-repeat")?.ended(active.length, job?.state);
}

function scrollBehavior() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
}

/** Enters a text into a control as if it was typed; a fold around it is opened. */
function write(text, field = "prompt") {
  const control = block(field);
  const area = /** @type {HTMLInputElement} */ (control?.querySelector("textarea, input"));
  if (!area) return showError(say("page.no_field", { field }));
  if (!area.checkVisibility()) toggle(foldOf(control));
  area.value = text;
  area.dispatchEvent(new Event("input", { bubbles: true }));
  area.focus();
}

document.addEventListener("click", (event) => {
  const example = origin(event).closest?.(".example");
  if (example) write(example.textContent);
  if (!origin(event).closest?.("#generate")) return;
  const refused = away() ? say("page.away") : plan.current && plan.error;
  if (refused) refuse(refused);
  const costly = !refused && !sure && plan.current && plan.confirm;
  if (costly) void askCost();
  if (!refused && !costly && sending && event.detail < 2) kept++; // sent after the answer; not the second press of a double click
  if (refused || costly || sending) return event.stopImmediatePropagation();
  clearTimeout(taken);
  taken = setTimeout(() => tdw.failed("submit"), ACKNOWLEDGED_MS);
}, true);

/** No answer to the request that was sent will come. */
function unanswered() {
  clearTimeout(taken);
  sure = sending = false;
  kept = 0;
  showState();
}

/** Shows why the request cannot be made; it goes once the controls show one that can. */
function refuse(sentence) {
  refusedValues = plan.values;
  refusal = sentence;
  showError(sentence);
}

/** Generates after a question that says what so many texts cost. */
async function askCost() {
  if (!(await confirmed(say("page.cost.ask", { cost: plan.cost }), say("page.cost.yes"), say("page.cost.no")))) return;
  sure = true;
  press("generate");
}

document.addEventListener("tdw:away", (/** @type {any} */ { detail: gone }) => {
  if (gone && sending) unanswered();
  if (!gone) showError("");
});

/** From the first run on the examples are folded. */
function ran() {
  localStorage.setItem("tdw.ran", "yes");
  document.body.dataset.ran = "";
}
if (localStorage.getItem("tdw.ran")) document.body.dataset.ran = "";
document.addEventListener("click", (event) => {
  if (origin(event).closest?.("#guide .fold-examples")) document.body.toggleAttribute("data-examples");
});

/** The link that leads past the controls. */
const skip = element("a", "skip", say("page.skip"));
skip.href = "#write";
skip.addEventListener("click", (event) => {
  event.preventDefault();
  open("write");
  const place = document.querySelector("#desk-right");
  place.tabIndex = -1;
  place.focus();
});
document.body.prepend(skip);

/** <tdw-words key="page.write">: the text of a key in markup made by Python; its own content if there is none. */
class Words extends HTMLElement {
  connectedCallback() {
    const key = this.getAttribute("key");
    const words = say(key);
    if (words !== key) this.textContent = words;
  }
}
customElements.define("tdw-words", Words);

window.tdw = tdw;
if (window.tdwShown) tdw.changed(window.tdwShown); // Gradio sent it before this script ran
if (window.tdwResumed) tdw.resume(window.tdwResumed);
