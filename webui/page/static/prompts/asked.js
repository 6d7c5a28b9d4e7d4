// @ts-check
// What the API is asked about a prompt that is being typed.

import { post } from "../base/call.js";
import { shown } from "../base/shown.js";
import { fieldOf } from "./fields.js";

/** What the controls show, as far as it says something, with this text in a field. */
function request(field, text) {
  const values = {};
  shown.preset.forEach(([path], index) => put(values, path, shown.values[index]));
  put(values, field, text);
  return values;
}

function put(values, path, value) {
  if (value === undefined || value === null || (value === "" && !path.endsWith("prompt"))) return;
  const [name, option] = path.split(".");
  if (option === undefined) values[name] = value;
  else (values[name] ??= {})[option] = value;
}

/** Asks about the text of a prompt's area: "prompts/marks", or "prompts/complete" with {cursor}.
 *  @param {string} path @param {HTMLTextAreaElement} area @param {object} more @param {AbortSignal} signal */
export function ask(path, area, more, signal) {
  const field = fieldOf(area);
  return post(path, { request: request(field, area.value), field, ...more }, signal);
}
