// @ts-check
// Adding extensions of third parties: the form, and what is shown before any of their code runs.

import { button, element } from "../base/parts.js";
import { say } from "../base/strings.js";

/** {answer} or {error}, a sentence.
 *  @param {string} method @param {string} path @param {object} [sent] */
export async function asked(method, path, sent) {
  const init = { method, ...(sent && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(sent) }) };
  const reply = await fetch(`api/v1/extensions${path}`, init).catch(() => null);
  const answer = await reply?.json().catch(() => null);
  return reply?.ok ? { answer } : { error: answer?.error?.message ?? say("page.no_answer") };
}

/** The form with the address of an extension. `changed` gets the list of extensions after one was added.
 *  @param {string} refusal @param {(list: any) => void} changed */
export function adder(refusal, changed) {
  const section = element("section", "adder", element("h3", "", say("extensions.add")));
  if (refusal) {
    section.append(element("p", "hint", refusal));
    return section;
  }
  const address = field("extensions.address", "https://");
  const ref = field("extensions.ref", "");
  const look = button(say("extensions.look"), () => {});
  look.type = "submit";
  const place = element("div", "plan-place");
  const form = element("form", "add", address.label, ref.label, look);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await shownPlan(place, { address: address.input.value, ref: ref.input.value }, changed, look);
  });
  section.append(element("p", "hint", say("extensions.add_help")), form, place);
  return section;
}

/** Fetches a plan and shows it in `place`, with the buttons that carry it out or drop it. */
export async function shownPlan(place, sent, changed, press) {
  place.replaceChildren(element("p", "hint", say("extensions.looking")));
  place.setAttribute("aria-live", "polite");
  press.disabled = true;
  const { answer, error } = await asked("POST", "/look", sent);
  press.disabled = false;
  if (error) return place.replaceChildren(fault(error));
  if (!answer.plan) return place.replaceChildren(element("p", "hint", say("extensions.up_to_date")));
  const yes = button(say("extensions.add_yes"), async () => {
    yes.disabled = no.disabled = true;
    const { answer: list, error } = await asked("POST", "/add", { plan: answer.plan });
    if (error) return place.replaceChildren(fault(error));
    place.replaceChildren();
    changed(list);
  });
  const no = button(say("extensions.add_no"), () => place.replaceChildren());
  yes.className = "danger";
  place.replaceChildren(plan(answer, yes, no));
  yes.scrollIntoView({ block: "nearest" });
}

function plan(one, ...buttons) {
  const title = element("h4", "", element("bdi", "", one.name), ` ${one.version}`);
  const facts = [
    one.instead && say("extensions.instead", { version: one.instead }),
    one.licence ? say("extensions.licence", { licence: one.licence }) : say("extensions.no_licence"),
    one.requirements.length ? say("extensions.requirements", { names: one.requirements.join(", ") }) : say("extensions.no_requirements"),
    Object.keys(one.packages).length && say("extensions.installs", { names: Object.entries(one.packages).map((pair) => pair.join(" ")).join(", ") }),
    say("extensions.from", { address: one.address, revision: one.revision.slice(0, 12) }),
    ...one.notes,
  ].filter(Boolean);
  const list = element("ul", "facts", ...facts.map((text) => element("li", "", element("bdi", "", text))));
  const about = one.description ? [element("p", "", element("bdi", "", one.description))] : [];
  const shown = pictures(`plans/${encodeURIComponent(one.plan)}`, one.screenshots, one.name);
  return element("article", "card plan", title, ...about, ...shown, list, element("p", "runs", say("extensions.runs")), element("div", "choices", ...buttons));
}

/** The screenshots of an extension, each a link to the whole picture.
 *  @param {string} path @param {number} number @param {string} name */
export function pictures(path, number, name) {
  if (!number) return [];
  const strip = element("div", "pictures");
  for (let index = 0; index < number; index++) {
    const [link, image] = [element("a"), element("img")];
    link.href = image.src = `api/v1/extensions/${path}/screenshots/${index}`;
    Object.assign(link, { target: "_blank", rel: "noopener" });
    Object.assign(image, { alt: say("extensions.screenshot", { name, number: index + 1 }), loading: "lazy" });
    link.append(image);
    strip.append(link);
  }
  return [strip];
}

function field(key, placeholder) {
  const input = element("input");
  Object.assign(input, { type: "text", placeholder, spellcheck: false, autocomplete: "off" });
  return { input, label: element("label", "", say(key), input) };
}

export function fault(sentence) {
  const node = element("p", "fault", sentence);
  node.setAttribute("role", "alert");
  return node;
}
