// @ts-check
// The button "Styles" below the prompts: which styles are used, saving the prompts as one, deleting.

import { addPromptTool, button, call, element, popover, promptAreas, fieldOf, say, showNotice, shown } from "webui";

const NAMES = "styles.names";
const words = (key, values = {}) => say(`extension.styles.${key}`, values);

const opener = button(words("title"), () => {});
opener.className = "prompt-tool";
const [, panel] = popover(opener, "styles", fill);
addPromptTool(opener, panel);
shown.watch(() => {
  const count = used().length;
  opener.textContent = count ? words("used", { count }) : words("title");
});

/** Names of the styles that are used, in their order. @returns {string[]} */
function used() {
  return String(shown.get(NAMES) ?? "").split("\n").filter((name) => name.trim());
}

/** What the prompt and the negative prompt hold. */
function typed() {
  const texts = Object.fromEntries([...promptAreas()].map((area) => [fieldOf(area), area.value]));
  return { prompt: texts.prompt ?? "", negative_prompt: texts["guidance.negative_prompt"] ?? "" };
}

async function fill() {
  panel.replaceChildren(element("h3", "", words("title")));
  await change("list", {});
}

/** Calls the extension and shows the styles that there are then. */
async function change(route, sent) {
  try {
    const { styles } = await call(`styles/${route}`, sent);
    show(styles);
    return true;
  } catch (error) {
    const place = panel.querySelector("[role=alert]") ?? panel.appendChild(Object.assign(element("p"), { role: "alert" }));
    place.replaceChildren(element("bdi", "", error.message));
    return false;
  }
}

function show(styles) {
  const name = Object.assign(element("input"), { type: "text", maxLength: 80, placeholder: words("name") });
  name.setAttribute("aria-label", words("name"));
  const form = element("form", "", name, Object.assign(button(words("save"), () => {}), { type: "submit", className: "strong" }));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const saved = name.value.trim();
    if (await change("save", { name: saved, ...typed() })) showNotice({ sentence: words("saved", { name: saved }) });
  });
  const list = styles.map(line);
  panel.replaceChildren(
    element("h3", "", words("title")),
    ...(list.length ? [element("ul", "", ...list)] : [element("p", "hint", words("none"))]),
    element("h3", "", words("new")),
    form,
    element("p", "hint", words("hint")),
  );
}

function line({ name, prompt, negative_prompt: negative }) {
  const box = Object.assign(element("input"), { type: "checkbox", checked: used().includes(name) });
  box.addEventListener("change", () => {
    const names = used().filter((one) => one !== name);
    shown.set(NAMES, [...names, ...(box.checked ? [name] : [])].join("\n"));
  });
  const about = [prompt, negative && `− ${negative}`].filter(Boolean).join(" ");
  const label = element("label", "", box, element("span", "", element("bdi", "", name), element("small", "", element("bdi", "", about))));
  const gone = button("×", () => change("delete", { name }));
  gone.setAttribute("aria-label", words("delete", { name }));
  return element("li", "", label, gone);
}
