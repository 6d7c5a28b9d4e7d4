// @ts-check
// <tdw-settings>: a form made from the JSON schema of the settings. Changes are saved immediately; errors appear beside the field.

import { showError, showNotice } from "../base/notice.js";
import { button, element } from "../base/parts.js";
import { confirmed } from "../base/popover.js";
import { say } from "../base/strings.js";
import { picker } from "./picker.js";
import { restartButton, waiting } from "./restart.js";
import { switches } from "./switches.js";

const URL = "api/v1/settings";
const SAVED_MS = 2500;

class Settings extends HTMLElement {
  saving = Promise.resolve();

  connectedCallback() {
    if (this.wired) return;
    this.wired = true;
    document.addEventListener("tdw:view", ({ detail }) => detail === "settings" && void this.load());
    if (document.body.dataset.view === "settings") void this.load();
  }

  async load() {
    const [answer, checkpoints] = await Promise.all([call("GET", URL), request("GET", "api/v1/checkpoints")]);
    this.checkpoints = (checkpoints.answer ?? []).map(({ name }) => name);
    if (answer) this.draw(answer);
  }

  draw({ values, schema, changeable, restart, file, outdated, soon, restartable }) {
    this.schema = schema;
    this.restart = restart; // names of settings that take effect after a restart
    const row = (name) => this.row(name, values[name], changeable.includes(name));
    const names = Object.keys(schema.properties);
    const fixed = names.filter((name) => !changeable.includes(name));
    const hint = element("p", "hint");
    const [before, after = ""] = say("settings.only_file", { file: "\u0000" }).split("\u0000");
    hint.append(before, element("code", "", file), after);
    this.replaceChildren(
      element("header", "page-head", element("h2", "", say("page.settings")), element("p", "", say("settings.at_once"))),
      element("div", "restart-place"),
      element("form", "settings", ...names.filter((name) => changeable.includes(name)).map(row)),
      part("settings.history", this.cleaner()),
      ...(restartable ? [part("settings.restart_part", element("div", "cleaner", element("p", "hint", say("settings.restart_help")), restartButton()))] : []),
      ...(fixed.length ? [part("settings.fixed", hint, element("div", "settings", ...fixed.map(row)))] : []),
    );
    this.offer({ outdated, soon, restartable });
    this.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  }

  /** Says on top whether something waits for a restart. */
  offer(state) {
    const bar = waiting(state);
    this.querySelector(".restart-place").replaceChildren(...(bar ? [bar] : []));
  }

  /** A setting: its name, control, help and error. */
  row(name, value, free) {
    const kind = { ...kinds(this.schema.properties[name], this.schema), ...this.special(name, value) };
    const words = (key, otherwise) => translated(`setting.${name}.${key}`, otherwise);
    const id = `setting-${name}`;
    const control = CONTROLS[kind.type](kind, value, words);
    const field = control.matches("input, select, textarea") ? control : control.querySelector("input, select");
    Object.assign(field, { id, disabled: !free });
    const fault = element("p", "fault");
    const help = element("p", "help", words("help", kind.description ?? ""));
    Object.assign(help, { id: `${id}-help` });
    Object.assign(fault, { id: `${id}-fault`, hidden: true });
    field.setAttribute("aria-describedby", `${help.id} ${fault.id}`);
    if (this.restart.includes(name) && free) help.append(" ", element("em", "", say("settings.restart")));
    const label = element("label", "", words("label", plain(name)));
    label.htmlFor = id;
    const mark = element("span", "saved");
    mark.setAttribute("role", "status");
    const row = element("div", `setting ${kind.type}`, label, element("div", "value", control, mark), help, fault);
    field.addEventListener("change", () => void this.save(name, control.read, row));
    return row;
  }

  /** Settings with a control of their own: a checkpoint is chosen from those that are there, quick settings from the fields. */
  special(name, value) {
    if (name === "model" && this.checkpoints.length) return { type: "choice", enum: [...new Set([...this.checkpoints, value])] };
    if (name === "quick_settings") return { type: "fields" };
    if (name === "disabled") return { type: "switches" };
    return {};
  }

  /** Saves one change after another: sent side by side, an earlier one could arrive last and undo the later one. */
  save(name, read, row) {
    this.saving = this.saving.then(() => this.store(name, read, row));
    return this.saving;
  }

  async store(name, read, row) {
    const [mark, fault] = [row.querySelector(".saved"), row.querySelector(".fault")];
    const field = row.querySelector("input, select, textarea");
    const { answer, error } = field.checkValidity() ? await request("PATCH", URL, { [name]: read() }) : { error: field.validationMessage };
    fault.hidden = !error;
    fault.textContent = error ?? "";
    field.setAttribute("aria-invalid", String(Boolean(error)));
    if (error) return;
    mark.textContent = say("settings.saved");
    setTimeout(() => (mark.textContent = ""), SAVED_MS);
    this.offer(answer);
    document.dispatchEvent(new CustomEvent("tdw:settings", { detail: answer.values }));
  }

  /** A button that deletes the whole history after a question; the notice can undo it. */
  cleaner() {
    const clean = button(say("settings.delete_history"), async () => {
      const all = (await call("GET", "api/v1/history?limit=1"))?.all;
      if (all === undefined) return;
      if (!all) return showNotice({ sentence: say("settings.history_empty") });
      if (!(await confirmed(counted("settings.delete_sure", all), say("settings.delete_yes"), say("settings.delete_no")))) return;
      const gone = await call("DELETE", "api/v1/history?confirm=all");
      if (!gone) return;
      changedHistory();
      showNotice({ sentence: counted("settings.deleted", gone.deleted), undo: async () => (await call("POST", "api/v1/history/restore")) && changedHistory() });
    });
    clean.className = "danger";
    return element("div", "cleaner", element("p", "hint", say("settings.delete_help")), clean);
  }
}

/** Controls by the type in the schema: each an element with `read()`. */
const CONTROLS = {
  boolean: (_, value) => {
    const box = element("input");
    Object.assign(box, { type: "checkbox", checked: value });
    box.setAttribute("role", "switch");
    return Object.assign(box, { read: () => box.checked });
  },
  choice: (kind, value, words) => {
    const select = element("select", "choice");
    for (const one of kind.enum) {
      const option = element("option", "", words(String(one), String(one)));
      Object.assign(option, { value: JSON.stringify(one), selected: one === value });
      select.append(option);
    }
    return Object.assign(select, { read: () => JSON.parse(select.value) });
  },
  number: (kind, value) => {
    const box = element("input");
    const [min, max] = [kind.minimum ?? "", kind.maximum ?? ""];
    Object.assign(box, { type: "number", min, max, step: kind.whole ? 1 : "any", value: value ?? "" });
    return Object.assign(box, { read: () => (box.value === "" ? null : Number(box.value)) });
  },
  list: (_, value) => {
    const area = element("textarea");
    Object.assign(area, { value: (value ?? []).join("\n"), rows: Math.max(2, (value ?? []).length), spellcheck: false });
    return Object.assign(area, { read: () => area.value.split("\n").map((line) => line.trim()).filter(Boolean) });
  },
  fields: (_, value) => picker(value ?? []),
  switches: (_, value) => switches(value ?? []),
  text: (_, value) => {
    const box = element("input");
    Object.assign(box, { type: "text", value: value ?? "", spellcheck: false });
    return Object.assign(box, { read: () => box.value });
  },
};

/** A property of the schema with its references followed, and `type` as one of CONTROLS. */
function kinds(property, schema) {
  const inner = property.$ref ? schema.$defs[property.$ref.split("/").pop()] : property.anyOf?.find(({ type }) => type !== "null") ?? property;
  const whole = inner.type === "integer";
  const type = inner.enum ? "choice" : { boolean: "boolean", integer: "number", number: "number", array: "list" }[inner.type] ?? "text";
  return { ...inner, ...property, type, whole, enum: inner.enum };
}

function part(key, ...nodes) {
  return element("section", "part", element("h3", "", say(key)), ...nodes);
}

/** The text of a key, or `otherwise`. */
function translated(key, otherwise) {
  const words = say(key);
  return words === key ? otherwise : words;
}

/** The singular or plural text of a key. */
function counted(key, number) {
  return number === 1 ? say(`${key}_one`) : say(key, { number });
}

function plain(name) {
  return name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");
}

function changedHistory() {
  document.dispatchEvent(new CustomEvent("tdw:history"));
}

/** The settings as the server has them now; null if it does not answer. */
export async function settingsNow() {
  return (await request("GET", URL)).answer ?? null;
}

/** Calls the server: {answer} or {error}, a sentence. */
async function request(method, url, body) {
  const init = { method, ...(body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }) };
  const reply = await fetch(url, init).catch(() => null);
  const answer = await reply?.json().catch(() => null);
  return reply?.ok ? { answer } : { error: answer?.error?.message ?? say("page.no_answer") };
}

/** As `sent`; an error is answer at once, and null is the answer. */
async function call(method, url) {
  const { answer, error } = await request(method, url);
  if (error) showError(error);
  return answer ?? null;
}

customElements.define("tdw-settings", Settings);
