// @ts-check
// The form that downloads a checkpoint: a repository or a named source, what it offers, agreement, progress.

import { feed } from "../base/feed.js";
import { button, element, send } from "../base/parts.js";
import { say } from "../base/strings.js";
import { bytes } from "./model-facts.js";

/** The form as an element; `downloads` of the feed are shown below it. */
export function downloader() {
  const field = element("input");
  field.type = "text";
  field.placeholder = say("models.download.example");
  field.setAttribute("aria-label", say("models.download.repository"));
  field.autocomplete = "off";
  field.spellcheck = false;
  const ask = element("button", "", say("models.download.look"));
  const line = element("form", "models-ask", field, ask);
  const offer = element("div", "models-offer");
  offer.setAttribute("role", "status");
  const list = element("ul", "models-downloads");
  const named = element("ul", "models-sources");
  const node = element("details", "models-download", element("summary", "", say("models.download.title")), line, named, offer, list);

  line.addEventListener("submit", (event) => {
    event.preventDefault();
    const repository = field.value.trim();
    if (repository) void look(repository);
    else field.focus();
  });
  node.addEventListener("toggle", () => node.open && !named.childNodes.length && void sources());

  /** Lists what can be asked for besides repositories. */
  async function sources() {
    const [found] = await call("downloads/sources", undefined, "GET");
    named.replaceChildren(...(found ?? []).map(({ name, title, license, size }) => {
      const one = button(title, () => {
        field.value = name;
        void look(name);
      });
      return element("li", "", element("span", "", say("models.download.source"), " "), one, element("span", "models-state", ` ${bytes(size)} · ${license}`));
    }));
  }

  async function look(repository) {
    ask.disabled = true;
    offer.replaceChildren(element("p", "", say("models.download.looking")));
    const [found, error] = await call("downloads/offer", { repository });
    ask.disabled = false;
    offer.replaceChildren(...(found ? agreement(found) : [element("p", "models-why", error)]));
    offer.querySelector("button")?.focus();
  }

  function agreement(found) {
    const facts = element("dl");
    const named = { license: found.license, "download.size": bytes(found.size), family: found.family, ...(found.denoises && { commit: found.commit.slice(0, 12) }) };
    for (const [key, value] of Object.entries(named)) facts.append(element("div", "", element("dt", "", say(`models.${key}`)), element("dd", "", element("bdi", "", value))));
    const agree = button(say("models.download.agree", { size: bytes(found.size) }), async () => {
      agree.disabled = true;
      const { repository, commit, size } = found;
      const [, error] = await call("downloads", { repository, commit, size });
      offer.replaceChildren(...(error ? [element("p", "models-why", error)] : []));
    });
    agree.className = "models-agree";
    const later = found.denoises ? [] : [element("p", "", say("models.download.adapt"))];
    return [element("h4", "", element("bdi", "", found.denoises ? found.repository : found.name)), facts, ...later, agree];
  }

  function show() {
    const key = JSON.stringify(feed.downloads);
    if (list.dataset.key === key) return;
    list.dataset.key = key;
    list.replaceChildren(...feed.downloads.map(item).reverse());
    if (feed.downloads.some(({ state }) => state === "running")) node.open = true;
  }

  function item({ id, repository, name, denoises, done, state, error, size }) {
    const percent = Math.round(100 * done);
    const bar = element("div", "models-bar", element("i"));
    /** @type {HTMLElement} */ (bar.firstChild).style.width = `${percent}%`;
    const words = say(`models.download.${state}`, { percent, size: bytes(size) });
    const one = element("li", "", element("bdi", "", denoises ? repository : name), element("span", "models-state", words));
    one.dataset.state = state;
    if (state === "running") one.append(bar, button(say("models.download.stop"), () => call(`downloads/${id}`, undefined, "DELETE")));
    if (error) one.append(element("p", "models-why", error));
    if (state === "done" && !denoises) one.append(element("p", "", say("models.download.adapt")));
    return one;
  }

  async function call(path, body, method = "POST") {
    try {
      const reply = await fetch(`api/v1/${path}`, { method, headers: { "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
      const said = await reply.json();
      return reply.ok ? [said, null] : [null, said.error.message];
    } catch {
      send(node, "error", { sentence: say("jobs.unanswered") });
      return [null, say("jobs.unanswered")];
    }
  }

  feed.addEventListener("change", show);
  return node;
}
