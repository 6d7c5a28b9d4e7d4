// @ts-check
// <tdw-preview>: a button that shows what the model is given: the prompts as extensions have rewritten them.

import { post } from "../base/call.js";
import { nameOfExtension, worded } from "../base/names.js";
import { button, element } from "../base/parts.js";
import { popover } from "../base/popover.js";
import { say } from "../base/strings.js";

class Preview extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    const opener = button(say("prompts.preview"), () => {});
    opener.className = "prompt-tool";
    this.append(...popover(opener, "preview", fill));
  }
}

/** @param {HTMLElement} panel */
async function fill(panel) {
  const heading = element("h3", "", say("prompts.preview"));
  panel.replaceChildren(heading);
  panel.setAttribute("aria-busy", "true");
  try {
    const { request, error } = await window.tdw.request();
    if (error) throw new Error(error);
    const { texts, shown } = await post("prompts/preview", request);
    heading.textContent = texts === 1 ? say("prompts.preview_one") : say("prompts.preview_many", { number: texts });
    panel.append(element("ol", "", ...shown.map((one) => item(one, texts > 1))));
    if (texts > shown.length) panel.append(element("p", "hint", say("prompts.preview_first", { number: shown.length })));
    if (request.seed === -1) panel.append(element("p", "hint", say("prompts.preview_seed")));
  } catch (error) {
    panel.append(element("p", "refused", element("bdi", "", worded(error.message))));
  } finally {
    panel.removeAttribute("aria-busy");
  }
}

function item({ axes, seed, prompts, answer, answer_from: from, notes, error }, several) {
  const node = element("li");
  if (several) node.append(element("small", "", element("bdi", "", [...axes, ...(axes.some((axis) => axis.startsWith("seed ")) ? [] : [`seed ${seed}`])].join(" · "))));
  for (const [name, text] of Object.entries(prompts)) {
    const label = name === "main" ? [] : [element("b", "", name === "negative" ? say("prompts.negative") : name), " "];
    node.append(element("p", "", ...label, text ? element("bdi", "", text) : element("em", "", say("prompts.nothing"))));
  }
  if (answer !== null) node.append(element("p", "", element("b", "", from ? say("prompts.answer_from", { name: nameOfExtension(from) }) : say("prompts.answer")), " ", element("bdi", "", answer)));
  for (const note of notes) node.append(element("p", "note", element("bdi", "", note)));
  if (error) node.append(element("p", "refused", element("bdi", "", worded(error))));
  return node;
}

customElements.define("tdw-preview", Preview);
