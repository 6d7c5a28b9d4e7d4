// Joins Gradio's controls and the canvas: shortcuts, the sentence about bad input, marks, examples, and what Gradio's events call.

import "./canvas.js";
import { complain, tell } from "./notice.js";
import { say } from "./strings.js";
import { open } from "./views.js";

const MODULES = document.querySelector("#tdw-modules")?.textContent.split(" ").filter(Boolean) ?? [];
const CLIENT = "tdw.client"; // this browser's name for its own jobs
const canvas = () => document.querySelector("tdw-canvas");
const title = document.title;

const tdw = {
  question: "", // what the next press of the hidden button "fill" sends
  client: client(),

  /** Generate was pressed: the server is asked now. */
  pressed() {
    complain("");
    document.body.dataset.tdw = "sending";
  },

  /** The server's answer to Generate. */
  answered(answer) {
    if (answer?.job) {
      start(answer.job);
      const place = document.querySelector("#desk-right"); // on a phone a part of the page, on a desk it scrolls by itself
      place.scrollTo({ top: 0, behavior: "instant" });
      if (matchMedia("(max-width: 900px)").matches) place.scrollIntoView({ block: "start", behavior: calm() });
    } else {
      settle();
      complain(answer?.error ?? say("page.no_answer"));
    }
  },

  /** After a reload: the job this browser looked at last, if the server still knows it. */
  resume(answer) {
    if (answer?.job && !canvas().job) start(answer.job);
  },

  interrupt: () => void canvas().interrupt(),

  /** Where text can be sent: every control of several lines, as [{field, label}]. */
  targets: () =>
    [...document.querySelectorAll(":is(.kind-lines, .kind-list):has(textarea)")].map((block) => ({
      field: block.id.replace("field-", "").replaceAll("-", "."),
      label: block.querySelector("[data-testid=block-info]")?.textContent.trim() ?? block.id,
    })),

  /** The seed of the newest text, or "draw one". */
  seed: () => canvas().lastRequest?.seed ?? -1,

  /** Shows on an extension's accordion whether its options are at their defaults. */
  mark(name, values, defaults) {
    const changed = values.some((value, index) => JSON.stringify(value) !== JSON.stringify(defaults[index]));
    document.getElementById(`extension-${name}`)?.toggleAttribute("data-changed", changed);
  },
};

function start(job) {
  const place = canvas();
  if (!place.wired) {
    place.wired = true;
    place.addEventListener("change", settle);
    place.addEventListener("use", (event) => use(event.detail));
  }
  place.follow(job);
}

/** This browser's id, made once. */
function client() {
  let id = localStorage.getItem(CLIENT);
  if (!id) {
    id = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    localStorage.setItem(CLIENT, id);
  }
  return id;
}

/** All controls show this request. */
function use(request, keepSeed = true) {
  tdw.question = JSON.stringify(keepSeed ? request : { ...request, seed: -1 });
  document.querySelector("#fill").click();
  open("write");
}

/** Submits a whole request, whatever the controls show, and follows its job. */
async function generate(request) {
  tdw.pressed();
  open("write");
  const headers = { "Content-Type": "application/json", "X-TDW-Client": tdw.client };
  try {
    const reply = await fetch("api/v1/jobs", { method: "POST", headers, body: JSON.stringify(request) });
    const told = await reply.json();
    tdw.answered(reply.ok ? { job: told.id } : { error: told.error.message });
  } catch {
    tdw.answered(null);
  }
}

/** What parts of the page ask of it, from wherever they stand. */
const EVENTS = {
  "tdw:use": ({ request, keepSeed }) => use(request, keepSeed),
  "tdw:write": ({ field, text }) => (open("write"), write(text, field)),
  "tdw:watch": ({ job }) => (open("write"), start(job)),
  "tdw:say": tell,
  "tdw:complain": ({ sentence }) => complain(sentence),
  "tdw:generate": ({ request }) => void generate(request),
};
for (const [name, act] of Object.entries(EVENTS)) document.addEventListener(name, (event) => act(event.detail));

/** Makes buttons and window title say what the canvas does. */
function settle() {
  const job = canvas().job;
  const running = canvas().running;
  document.body.dataset.tdw = running ? "running" : "idle";
  document.title = running && job.rows ? `${job.bar.getAttribute("aria-valuenow")} % – ${title}` : title;
  document.querySelector("#generate")?.setAttribute("aria-disabled", String(running));
}

function calm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
}

/** Puts a text into a control as if the user typed it; a folded one is opened. */
function write(text, field = "prompt") {
  const block = document.getElementById(`field-${field.replaceAll(".", "-")}`);
  const area = block?.querySelector("textarea, input");
  if (!area) return complain(say("page.no_field", { field }));
  const fold = block.closest(".fold")?.querySelector(":scope > button[aria-expanded=false], :scope > button:not(.open)");
  if (fold && !block.checkVisibility()) fold.click();
  area.value = text;
  area.dispatchEvent(new Event("input", { bubbles: true }));
  area.focus();
}

document.addEventListener("click", (event) => {
  const example = event.target.closest?.(".example");
  if (example) write(example.textContent);
  const busy = ["sending", "running"].includes(document.body.dataset.tdw);
  if (busy && event.target.closest?.("#generate")) event.stopImmediatePropagation();
}, true);

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    document.querySelector("#generate")?.click();
  } else if (event.key === "Escape" && !document.querySelector("[role=listbox], [popover]:popover-open, dialog[open]")) {
    tdw.interrupt();
  }
}, true);

/** Numbers that may be empty are text boxes: the arrow keys and the phone's keyboard treat them as numbers all the same. */
function number(event) {
  const box = event.target.closest?.(".kind-number");
  const [, , step = 1] = canvas().labels[box?.id.replace("field-", "").replace("-", ".")] ?? [];
  const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  if (!box || event.target.type !== "text" || !way) return;
  event.preventDefault();
  event.target.value = String(Number(((Number(event.target.value) || 0) + way * step).toFixed(4)));
  event.target.dispatchEvent(new Event("input", { bubbles: true }));
}

document.addEventListener("keydown", number);
document.addEventListener("focusin", ({ target }) => {
  if (target.type === "text" && target.closest(".kind-number")) target.inputMode = "decimal";
});

const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
document.body.append(tip);

/** What a control is for, beside its name. */
document.addEventListener("pointerover", ({ target }) => {
  const name = target.closest?.("[data-testid=block-info], .tool");
  const help = name?.matches(".tool") ? name.textContent : name?.closest(".block")?.querySelector(".info-text")?.textContent ?? "";
  tip.hidden = !help;
  if (tip.hidden) return;
  tip.textContent = help;
  const box = name.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${Math.max(8, box.top - tip.offsetHeight - 6)}px`;
});

/** Words in the reader's language, in markup that Python made: <tdw-say key="page.write">. */
class Said extends HTMLElement {
  connectedCallback() {
    this.textContent = say(this.getAttribute("key"));
  }
}
customElements.define("tdw-say", Said);

window.tdw = tdw;
for (const module of MODULES) import(`./${module}`);
if (window.tdwResumed) tdw.resume(window.tdwResumed);
