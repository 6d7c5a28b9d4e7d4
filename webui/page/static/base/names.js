// @ts-check
// Names for people: of a field, of an extension, of a value.

import { formatNumber, inside, say } from "./strings.js";

const canvas = () => document.querySelector("tdw-canvas");
const titles = () => JSON.parse(canvas()?.dataset.titles || "{}");

/** A field's name, by its path such as "extension.option"; with its extension's where another field has the same name.
 *  @param {string} path @returns {string} */
export const nameOfField = (path) => window.tdwStart.nameOfField(path);

/** An extension's title. @param {string} name @returns {string} */
export function nameOfExtension(name) {
  const key = `extension.${name}.title`;
  const said = say(key);
  return said === key ? titles()[name] ?? name : said;
}

/** A sentence of the server for people: an extension that it begins with has its title. @param {string} sentence */
export function worded(sentence) {
  const [, name, rest] = /^([a-z]\w*): (.+)$/s.exec(sentence) ?? [];
  return name && name in titles() ? `${nameOfExtension(name)}: ${rest}` : sentence;
}

/** What an extension computes for a job, in the extension's words if it has any.
 *  @param {{extension: string, stage: string, done: number, most: number}} preparing */
export function preparingBy({ extension, stage, done, most }) {
  const key = `extension.${extension}.preparing.${stage}`;
  const values = { done: formatNumber(done), most: formatNumber(most) };
  return say(say(key) === key ? "canvas.preparing.by" : key, { ...values, extension: nameOfExtension(extension) });
}

/** Whether a field of an extension that is here has no control: what it holds is its own business.
 *  @param {string} path */
export function isHidden(path) {
  const { labels = {} } = canvas() ?? {};
  return path.includes(".") && !labels[path] && path.split(".")[0] in titles();
}

const named = new Map(); // by path: what names the values of a field

/** For fields whose values mean something only together with another field, as the values of an axis: `name(value, get)` is what
 *  people read, where `get` gives the value of another field beside it.
 *  @param {string} path @param {(value: any, get: (path: string) => any) => string} name */
export const nameValues = (path, name) => void named.set(path, name);

/** A value of a field: a choice or a switch by its name, anything else as it is, "empty" if there is none. `get` gives the
 *  fields beside it. @param {string} path @param {any} value @param {(path: string) => any} [get] */
export function nameOfValue(path, value, get = () => undefined) {
  if (value === null || value === undefined || value === "" || (Array.isArray(value) && !value.length)) return say("page.empty");
  const key = `field.${path}.${value}`; // a choice
  const words = say(key);
  if (words !== key) return words;
  const own = named.get(path);
  if (own) return own(value, get);
  if (canvas()?.labels?.[path]?.[3]) return nameOfField(value);
  if (typeof value === "boolean") return say(value ? "page.on" : "page.off");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** An axis of a job's texts: a field by its name, or else as the extension that made it calls it. @param {string} name @returns {string} */
export function nameOfAxis(name) {
  const named = nameOfField(name);
  if (named !== name) return inside(named);
  const last = /^[\w.]+$/.test(name) ? name.slice(name.lastIndexOf(".") + 1) : name;
  return inside(last.charAt(0).toUpperCase() + last.slice(1));
}

/** A value of an axis with the axis's name; an option of the prompt matrix has that in its label. @param {[string, any, string]} axis */
export function titled([name, value, label]) {
  const text = valueOfAxis(name, value, label);
  if (String(label).endsWith(` ${name}`)) return text;
  const known = typeof value === "string" && nameOfField(name) !== name; // an axis that is no field has words of its own: "Without nothing"
  const choice = known && text !== inside(value) && nameOfValue(name, value) !== value; // "Sampler: Random order"
  return `${nameOfAxis(name)}${choice ? ":" : ""} ${text}`;
}

/** What a value of an axis is called, without the axis's name, which its label begins with. */
export function valueOfAxis(name, value, label) {
  const last = name.slice(name.lastIndexOf(".") + 1);
  const text = String(label);
  if (value === null && text === `${last} preset`) return say("canvas.preset");
  const named = nameOfField(name) === name ? "" : nameOfValue(name, value);
  const choice = typeof value === "boolean" || (typeof value === "string" && named !== value && value !== "");
  return inside(choice && named ? named : text.startsWith(`${last} `) ? text.slice(last.length + 1) : text);
}
