// Joins Gradio's controls and the canvas: shortcuts, the sentence about bad input, marks, examples, and what Gradio's events call.

import "./canvas.js";

const canvas = () => document.querySelector("tdw-canvas");
const title = document.title;

const tdw = {
  question: "", // what the next press of the hidden button "fill" sends

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
      complain(answer?.error ?? "The server did not answer; is it still running?");
    }
  },

  /** After a reload: the job this browser looked at last, if the server still knows it. */
  resume(answer) {
    if (answer?.job && !canvas().job) start(answer.job);
  },

  interrupt: () => void canvas().interrupt(),

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
    place.addEventListener("use", (event) => {
      tdw.question = JSON.stringify(event.detail);
      document.querySelector("#fill").click();
    });
  }
  place.follow(job);
}

/** Makes buttons and window title say what the canvas does. */
function settle() {
  const job = canvas().job;
  const running = canvas().running;
  document.body.dataset.tdw = running ? "running" : "idle";
  document.title = running && job.rows ? `${job.bar.getAttribute("aria-valuenow")} % – ${title}` : title;
  document.querySelector("#generate")?.setAttribute("aria-disabled", String(running));
}

/** Shows one sentence until it is dismissed or Generate is pressed again; "" takes it away. */
function complain(sentence) {
  const place = document.querySelector("#alert");
  if (!place) return;
  const text = document.createElement("span");
  text.textContent = sentence;
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "×";
  close.setAttribute("aria-label", "Dismiss");
  close.addEventListener("click", () => complain(""));
  place.replaceChildren(...(sentence ? [text, close] : []));
  place.hidden = !sentence;
}

function calm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
}

/** Types a text into the prompt as if the user did. */
function write(text) {
  const area = document.querySelector("#field-prompt textarea");
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
  } else if (event.key === "Escape" && !document.querySelector("[role=listbox]")) {
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

window.tdw = tdw;
if (window.tdwResumed) tdw.resume(window.tdwResumed);
