// @ts-check
// The texts of the page, embedded in it in every language. The first that the browser prefers is used.

const held = document.querySelector("#tdw-strings");
const { language = "auto", languages = {} } = held ? JSON.parse(held.textContent) : {};
const wanted = language === "auto" ? navigator.languages.map((one) => one.split("-")[0]) : [language];
const chosen = wanted.find((one) => one in languages) ?? "en";
const words = { ...languages.en, ...languages[chosen] };

/** The language of the page, as a tag. */
export const locale = chosen;

/** The text of a key with `{name}` replaced by values; the key itself if there is none. */
export function say(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (all, name) => (Object.hasOwn(values, name) ? inside(String(values[name])) : all));
}

/** A number in the page's language, with this many decimal places. */
export function formatNumber(value, places = 0) {
  return value.toLocaleString(locale, { minimumFractionDigits: places, maximumFractionDigits: places });
}

/** A value for use in a sentence: direction marks are escaped, right-to-left text is isolated. */
export function inside(value) {
  const plain = value.replace(/[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/g, (sign) => `\\u{${sign.charCodeAt(0).toString(16)}}`);
  return /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/.test(plain) ? `\u2068${plain}\u2069` : plain;
}
