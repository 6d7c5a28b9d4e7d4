// @ts-check
// The button "LoRA" below the prompts: cards of the LoRAs in models/loras, to search, and to insert their tags.

import { addPromptTool, button, call, element, formatNumber, isPrompt, popover, promptAreas, replaceText, say, shown } from "webui";

const TAG = /<lora:[^<>:\n]+(?::[^<>\n]*)?>/g;
const MB = 1e6, KB = 1e3;
const words = (key, values = {}) => say(`extension.lora.${key}`, values);

const opener = button(words("title"), () => {});
opener.className = "prompt-tool";
const [, panel] = popover(opener, "loras", fill);
addPromptTool(opener, panel);
shown.watch(() => {
  const count = [...promptAreas()].flatMap((area) => area.value.match(TAG) ?? []).length;
  opener.textContent = count ? words("used", { count }) : words("title");
});

let last = /** @type {HTMLTextAreaElement | null} */ (null); // the prompt that was written in last
document.addEventListener("focusin", (event) => {
  const target = /** @type {Element} */ (event.target);
  if (isPrompt(target)) last = target;
});

/** Puts a tag at the end of the prompt that was written in last, as if it were typed. */
function insert(tag) {
  const area = last?.isConnected ? last : promptAreas()[0];
  if (!area) return;
  const end = area.value.trimEnd().length;
  panel.hidePopover();
  replaceText(area, end, area.value.length, end ? ` ${tag}` : tag);
}

/** Puts trigger words before the prompt, where LoRAs are trained to find them. */
function insertTrigger(words) {
  const area = last?.isConnected ? last : promptAreas()[0];
  if (!area) return;
  panel.hidePopover();
  replaceText(area, 0, 0, area.value.trim() ? `${words}, ` : words);
}

async function fill() {
  panel.setAttribute("aria-label", words("title"));
  if (!panel.firstChild) panel.append(element("h3", "", words("title")));
  try {
    const { loras, model } = await call("lora/list", { model: shown.get("model") ?? null });
    show(loras, model);
  } catch (error) {
    panel.replaceChildren(element("h3", "", words("title")), Object.assign(element("p", "fault", element("bdi", "", error.message)), { role: "alert" }));
  }
}

function show(loras, model) {
  const head = element("header", "", element("h3", "", words("title")), element("span", "", words("count", { count: loras.length })));
  if (!loras.length) return panel.replaceChildren(head, element("p", "hint", words("none")));
  const search = Object.assign(element("input"), { type: "text", maxLength: 200, placeholder: words("search") });
  search.setAttribute("aria-label", words("search"));
  const ordered = [...loras].sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true })); // 9 before 10
  const cards = ordered.map((one) => ({ one, node: card(one, model), text: [one.name, one.base, one.about, ...one.tags, ...one.triggers].join("\n").toLowerCase() }));
  const nothing = element("p", "hint", words("no_match"));
  let tag = "";
  const filter = () => {
    const parts = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { one, node, text } of cards) {
      node.hidden = !parts.every((part) => text.includes(part)) || Boolean(tag && !one.tags.includes(tag));
      count += Number(!node.hidden);
    }
    nothing.hidden = count > 0;
  };
  search.addEventListener("input", filter);
  const tags = [...new Set(loras.flatMap((one) => one.tags))].sort();
  const chips = ["", ...tags].map((name) => {
    const chip = button(name || words("all"), () => {
      tag = name;
      for (const other of chips) other.setAttribute("aria-pressed", String(other === chip));
      filter();
    });
    chip.setAttribute("aria-pressed", String(!name));
    return chip;
  });
  panel.replaceChildren(head, search, ...(tags.length ? [element("div", "tags", ...chips)] : []), element("div", "lora-cards", ...cards.map(({ node }) => node)), nothing);
  filter();
}

function card(one, model) {
  const tag = `<lora:${one.name}:1>`;
  const name = button("", () => insert(tag));
  name.className = "name";
  name.append(element("bdi", "", one.name));
  name.title = words("insert", { tag });
  if (one.error) return element("article", "faulty", Object.assign(element("strong"), { textContent: one.name }), element("p", "fault", element("bdi", "", one.error)));
  const badge = element("span", "base", element("bdi", "", one.base ? words("base", { base: one.base }) : words("base_unknown")));
  if (one.base && !same(one.base, model)) badge.classList.add("other");
  const triggers = one.triggers.map((trigger) => {
    const node = button(trigger, () => insertTrigger(trigger));
    node.title = words("insert_trigger", { words: trigger });
    return node;
  });
  const size = one.size < MB / 10 ? `${formatNumber(one.size / KB, 1)} kB` : `${formatNumber(one.size / MB, 1)} MB`;
  const facts = words(one.modules === 1 ? "facts_one" : "facts", { rank: one.rank || "?", modules: one.modules, size });
  return element(
    "article", "", name, badge,
    ...(one.about ? [element("p", "about", element("bdi", "", one.about))] : []),
    ...(one.preview ? [element("p", "preview", element("bdi", "", one.preview))] : []),
    ...(triggers.length || one.tags.length ? [element("div", "words", ...triggers, ...one.tags.map((label) => element("span", "", label)))] : []),
    element("footer", "", element("span", "", facts), fits(one)),
  );
}

/** Whether a LoRA's base, as its author wrote it, is this checkpoint: names of hubs have their owner before them. */
const same = (base, model) => base.split("/").at(-1).toLowerCase() === model.split("/").at(-1).toLowerCase();

/** Asks how much of a LoRA the chosen checkpoint has. */
function fits(one) {
  const answer = element("div", "answer");
  const node = element("details", "", element("summary", "", words("details")), answer);
  node.addEventListener("toggle", async () => {
    if (!node.open) return;
    answer.replaceChildren(words("reading"));
    try {
      const found = await call("lora/fit", { name: one.name, model: shown.get("model") ?? null });
      const lines = [words("fits", found)];
      if (found.unmatched.length) lines.push(words("unmatched", { names: found.unmatched.join(", ") }));
      lines.push(words("hash", found), ...found.notes);
      answer.replaceChildren(...lines.map((line) => element("p", "", element("bdi", "", line))));
    } catch (error) {
      answer.replaceChildren(element("p", "fault", element("bdi", "", error.message)));
    }
  });
  return node;
}
