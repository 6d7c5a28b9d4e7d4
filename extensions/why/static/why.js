// @ts-check
// "With and without…", in the menu of a text and below the prompts: chooses what the same seed is written without.

import { addPromptTool, addResultAction, button, call, currentRequest, element, generate, nameOfField, say, showError } from "webui";

const words = (key, values = {}) => say(`extension.why.${key}`, values);

const opener = button(words("action"), async () => {
  const { request, error } = await currentRequest();
  if (error) showError(error);
  else ask(request);
});
opener.className = "prompt-tool";
addPromptTool(opener);
addResultAction((request) => [words("action"), () => ask(request)]);

/** Shows what the texts of a request can be written without; a press on one of them writes them. */
async function ask(request) {
  const dialog = element("dialog", "sheet ask why");
  const list = element("div", "why-choices", element("p", "hint", words("waiting")));
  const hint = element("p", "hint", words("hint"), ...(request.seed === -1 ? [" ", words("seed")] : []));
  dialog.append(element("h3", "", words("heading")), list, hint, element("footer", "", button(words("cancel"), () => dialog.close())));
  dialog.setAttribute("aria-label", words("heading"));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.querySelector(".gradio-container").append(dialog);
  dialog.showModal();
  try {
    const { choices } = await call("why/list", { request });
    list.replaceChildren(...(choices.length ? choices.map((one) => line(one, request, dialog)) : [element("p", "hint", words("none"))]));
    list.querySelector("button")?.focus();
  } catch (error) {
    list.replaceChildren(element("p", "refused", element("bdi", "", error.message)));
  }
}

function line({ line: without, path, text }, request, dialog) {
  const label = element("bdi", "", text || nameOfField(path));
  const node = button("", () => {
    dialog.close();
    generate({ ...request, count: 1, why: { without: [without] } }, "changes");
  });
  node.className = "whole";
  const value = path.split(".").reduce((part, name) => part?.[name], request);
  node.append(label, element("small", "", element("bdi", "", text ? nameOfField(path) : short(value))));
  return node;
}

function short(value) {
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
