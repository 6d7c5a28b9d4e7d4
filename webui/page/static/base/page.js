// @ts-check
// Joins Gradio's controls, the canvas and the views: what Gradio's events call (window.tdw), and the events of the page's parts.

import "../canvas/canvas.js";
import "../extensions/extensions.js";
import "./help.js";
import "../history/history.js";
import "./keys.js";
import "../models/models.js";
import "../controls/presets.js";
import "../queue/queue.js";
import "../controls/quick.js";
import "../controls/restore.js";
import "../settings/settings.js";
import "../controls/tokens.js";
import { client } from "./client.js";
import { showError, showNotice } from "./notice.js";
import { origin } from "./parts.js";
import { shown } from "./shown.js";
import { say, locale } from "./strings.js";
import { open } from "./views.js";

const canvas = () => document.querySelector("tdw-canvas");
const press = (button) => document.getElementById(button)?.click();
const { title } = window.gradio_config; // document.title is set later
const waiting = []; // for what the controls say

const tdw = {
  payload: "", // what the next press of a hidden button sends ("fill", "merge")
  raw: [], // what the next press of the hidden button "put" puts into the controls

  /** Who asks: this browser's id and the language it is answered in. */
  get browser() {
    return `${client} ${locale}`;
  },

  /** Generate was pressed: the server is asked now. */
  submitting() {
    showError("");
    document.body.dataset.tdw = "sending";
  },

  /** The server's answer to Generate. */
  submitted(answer) {
    if (answer?.job) {
      watch(answer.job);
    } else {
      showState();
      showError(answer?.error ?? say("page.no_answer"));
    }
  },

  /** After a reload: the job this browser looked at last, if the server still knows it, and what was typed. */
  resume(answer) {
    if (answer?.job && !canvas().job) start(answer.job);
    requestAnimationFrame(() => shown.redraft());
  },

  interrupt: () => void canvas()?.interrupt(), // a key may come before it is drawn
  write: () => open("write"),

  /** The seed of the newest text, or "draw one". */
  seed: () => canvas().lastRequest?.seed ?? -1,

  /** The controls show these values now. */
  changed: (values) => shown.take(values),

  /** The controls are about to show the preset. */
  resetting: () => shown.undoable(say("page.was_reset")),

  /** What the controls say, as {request} or {error}. */
  request: () => new Promise((resolve) => (waiting.push(resolve), press("gather"))),
  gathered: (answer) => waiting.splice(0).forEach((resolve) => resolve(answer)),

  /** The controls that a part of a request names show what it says. */
  merge(part) {
    tdw.payload = JSON.stringify(part);
    press("merge");
  },

  /** Where text can be sent: every control of several lines, as [{field, label}]. */
  targets: () =>
    [...document.querySelectorAll(":is(.kind-lines, .kind-list):has(textarea)")].map((block) => ({
      field: block.id.replace("field-", "").replaceAll("-", "."),
      label: block.querySelector("[data-testid=block-info]")?.textContent.trim() ?? block.id,
    })),
};

function start(job) {
  const place = canvas();
  place.addEventListener("change", showState); // adding it again does nothing
  place.follow(job);
}

/** Follows a job and brings its texts into sight. */
function watch(job) {
  start(job);
  const place = document.querySelector("#desk-right"); // on a phone a part of the page, on a desk it scrolls by itself
  place.scrollTo({ top: 0, behavior: "instant" });
  if (matchMedia("(max-width: 900px)").matches) place.scrollIntoView({ block: "start", behavior: scrollBehavior() });
}

/** All controls show this request. */
function use(request, keepSeed = true) {
  tdw.payload = JSON.stringify(keepSeed ? request : { ...request, seed: -1 });
  press("fill");
  open("write");
}

/** Submits a whole request, whatever the controls show, and follows its job. */
async function generate(request) {
  tdw.submitting();
  open("write");
  const headers = { "Content-Type": "application/json", "X-TDW-Client": client };
  try {
    const reply = await fetch("api/v1/jobs", { method: "POST", headers, body: JSON.stringify(request) });
    const answer = await reply.json();
    tdw.submitted(reply.ok ? { job: answer.id } : { error: answer.error.message });
  } catch {
    tdw.submitted(null);
  }
}

/** Settings were changed: what the browser acts upon. Another language needs the page anew; what was typed stays. */
function settings({ theme, palette, quick_settings: quick, language, notify_after }) {
  const { look, applyLook } = window.tdwStart;
  const before = look.language ?? "auto";
  look.notify_after = notify_after;
  applyLook({ theme, palette });
  document.querySelector("tdw-quick")?.arrange(quick ?? []);
  if (language && language !== before) location.reload();
}

/** What parts of the page ask of it, from wherever they stand. @type {Record<string, (detail: any) => void>} */
const EVENTS = {
  "tdw:use": ({ request, keepSeed }) => use(request, keepSeed),
  "tdw:write": ({ field, text }) => (open("write"), write(text, field)),
  "tdw:watch": ({ job }) => (open("write"), watch(job)),
  "tdw:notice": showNotice,
  "tdw:error": ({ sentence }) => showError(sentence),
  "tdw:generate": ({ request }) => void generate(request),
  "tdw:settings": settings,
  "tdw:count": ({ view, count }) => showCount(view, count),
  "tdw:rescanned": () => press("rescan"),
};
for (const [name, act] of Object.entries(EVENTS)) document.addEventListener(name, (/** @type {any} */ event) => act(event.detail));

/** A number beside a view's name, such as that of the jobs in the queue; 0 is not shown. */
function showCount(view, count) {
  const place = document.querySelector(`#views a[data-view="${view}"] .count`);
  if (!place) return;
  place.textContent = String(count);
  place.hidden = !count;
}

/** Makes buttons and window title say what the canvas does. */
function showState() {
  const job = canvas().job;
  const running = canvas().running;
  document.body.dataset.tdw = running ? "running" : "idle";
  document.title = running && job.rows ? `${job.bar.getAttribute("aria-valuenow")} % – ${title}` : title;
  document.querySelector("#generate")?.setAttribute("aria-disabled", String(running));
}

function scrollBehavior() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
}

/** Puts a text into a control as if the user typed it; a folded one is opened. */
function write(text, field = "prompt") {
  const block = document.getElementById(`field-${field.replaceAll(".", "-")}`);
  const area = /** @type {HTMLInputElement} */ (block?.querySelector("textarea, input"));
  if (!area) return showError(say("page.no_field", { field }));
  if (!area.checkVisibility()) block.closest(".fold")?.querySelector(":scope > button")?.click();
  area.value = text;
  area.dispatchEvent(new Event("input", { bubbles: true }));
  area.focus();
}

document.addEventListener("click", (event) => {
  const example = origin(event).closest?.(".example");
  if (example) write(example.textContent);
  const busy = ["sending", "running"].includes(document.body.dataset.tdw);
  if (busy && origin(event).closest?.("#generate")) event.stopImmediatePropagation();
}, true);

/** Words in the reader's language, in markup that Python made: <tdw-words key="page.write">; without words, what stands in it. */
class Words extends HTMLElement {
  connectedCallback() {
    const key = this.getAttribute("key");
    const words = say(key);
    if (words !== key) this.textContent = words;
  }
}
customElements.define("tdw-words", Words);

window.tdw = tdw;
if (window.tdwShown) tdw.changed(window.tdwShown); // Gradio told it before this was there
if (window.tdwResumed) tdw.resume(window.tdwResumed);
