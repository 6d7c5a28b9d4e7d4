// @ts-check
// The history's requests to the server, and dates and numbers in the page's language.

import { formatNumber, locale, say } from "../base/strings.js";

const ROOT = "api/v1/history";
const LATEST = 8.64e15; // ms since 1970: the latest that a Date can hold
const AT_ONCE = 6; // requests in flight when many texts are changed: a browser opens this many to one host

/** One page of the list: {items, total, all, checkpoints, extensions}. Empty filters are left out. Items get `at`, in ms. */
export async function page(filters, { before = "", limit = 50, signal = undefined } = {}) {
  const answer = await ask(`?${query({ ...filters, before, limit })}`, { signal });
  for (const item of answer.items) item.at = Math.min(parseInt(item.id.slice(0, 16), 16) / 1000, LATEST); // the list is sorted by it
  return answer;
}

/** A saved text, complete. */
export const read = (id) => ask(`/${encodeURIComponent(id)}`);

export const setFavourite = (id, favourite) => send(`/${encodeURIComponent(id)}`, "PATCH", { favourite });
export const remove = (id) => send(`/${encodeURIComponent(id)}`, "DELETE");
export const restore = (id) => send(`/${encodeURIComponent(id)}/restore`, "POST");
export const removeAll = () => send("?confirm=all", "DELETE");
export const restoreAll = () => send("/restore", "POST");

/** Whether new texts are saved; true if the server does not answer. */
export async function keeping() {
  try {
    const reply = await fetch("api/v1/settings");
    return !reply.ok || (await reply.json()).values?.keep_history !== false;
  } catch {
    return true;
  }
}

/** Calls `act` for many ids, AT_ONCE at a time. Returns the ids that failed and the first reason. */
export async function each(ids, act) {
  const waiting = [...ids];
  const failed = [];
  let reason = "";
  const work = async () => {
    while (waiting.length) {
      const id = waiting.shift();
      try {
        await act(id);
      } catch (error) {
        failed.push(id);
        reason ||= error.message;
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return { failed, reason };
}

/** Filters as a query string; empty ones are left out. */
export function query(values) {
  return new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value !== false && value != null));
}

function send(path, method, body) {
  return ask(path, { method, ...(body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }) });
}

/** An error of the server, as a sentence. `gone`: there is no such text. */
class Refusal extends Error {
  constructor(sentence, gone = false) {
    super(sentence);
    this.gone = gone;
  }
}

/** The answer as JSON. Throws a Refusal. */
async function ask(path, options) {
  let reply;
  try {
    reply = await fetch(ROOT + path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(say("history.unreachable"));
  }
  const answer = await reply.json().catch(() => null);
  if (reply.ok && answer) return answer;
  throw new Refusal(answer?.error?.message ?? say("history.unreachable"), reply.status === 404);
}

// -- in the page's language --------------------------------------------------------------------------------------------

const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" });
const whole = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "short" });
const near = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long" });
const far = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });

export const time = (at) => clock.format(at);

/** Date and time of a moment given in ms or as ISO; "" if it is invalid. */
export function moment(at) {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? "" : whole.format(date);
}

/** The local day of a moment as a number, equal for the same day only. */
export function dayNumber(at) {
  const date = new Date(at);
  return Math.round(Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) / 86_400_000);
}

/** "Today", "Yesterday", or the date. */
export function dayName(at) {
  const ago = dayNumber(at) - dayNumber(Date.now());
  const words = ago >= -1 && ago <= 0 ? relative.format(ago, "day") : (ago > -300 ? near : far).format(at);
  return words.charAt(0).toLocaleUpperCase(locale) + words.slice(1);
}

/** The singular or plural text of a key: `key.one` or `key.many`, with the number as `n`. */
export const counted = (key, n) => say(n === 1 ? `${key}.one` : `${key}.many`, { n: formatNumber(n) });
