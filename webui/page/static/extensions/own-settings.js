// @ts-check
// The settings of one extension: a form in its card. Secrets are written, never read.

import { button, element } from "../base/parts.js";
import { say } from "../base/strings.js";
import { asked, fault } from "./adding.js";

/** @param {{name: string}} one */
export function settings(one) {
  const form = element("form", "own-settings");
  const details = element("details", "", element("summary", "", say("extensions.settings")), form);
  details.dataset.key = `settings ${one.name}`;
  const path = `/${encodeURIComponent(one.name)}/settings`;
  details.addEventListener("toggle", async () => {
    if (!(/** @type {HTMLDetailsElement} */ (details).open)) return;
    const { answer, error } = await asked("GET", path);
    if (error) form.replaceChildren(fault(error));
    else fill(answer);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  return details;

  function fill({ schema, values, set }) {
    const rows = Object.entries(schema.properties).map(([name, kind]) => row(one.name, name, kind, values[name], set.includes(name)));
    const said = element("p", "hint");
    said.setAttribute("role", "status");
    const save = button(say("extensions.save"), async () => {
      const changes = Object.fromEntries(rows.filter((one) => one.changed()).map((one) => [one.name, one.read()]));
      const { answer, error } = await asked("PATCH", path, changes);
      if (error) return said.replaceChildren(fault(error));
      fill(answer);
      form.append(element("p", "hint", say("extensions.saved")));
    });
    form.replaceChildren(...rows.map((one) => one.node), save, said);
  }
}

/** A setting as a control: {node, name, read, changed}. */
function row(extension, name, kind, value, set) {
  const words = (key, otherwise) => {
    const path = `field.${extension}.${name}.${key}`;
    return say(path) === path ? otherwise : say(path);
  };
  const input = element("input");
  const type = kind.secret ? "password" : { boolean: "checkbox", integer: "number", number: "number" }[kind.type] ?? "text";
  Object.assign(input, { type, spellcheck: false, autocomplete: "off" });
  if (type === "checkbox") input.checked = value;
  else if (type === "number") Object.assign(input, { value, step: kind.type === "integer" ? 1 : "any", min: kind.minimum ?? "", max: kind.maximum ?? "" });
  else if (kind.secret) input.placeholder = set ? say("extensions.secret_set") : "";
  else input.value = value ?? "";
  const before = type === "checkbox" ? input.checked : input.value;
  const now = () => (type === "checkbox" ? input.checked : input.value);
  const read = () => (type === "number" ? Number(input.value) : now());
  const label = element("label", "", element("span", "", words("label", kind.title ?? name)), input);
  return { name, read, changed: () => now() !== before, node: element("div", "own", label, element("p", "hint", words("help", kind.description ?? ""))) };
}
