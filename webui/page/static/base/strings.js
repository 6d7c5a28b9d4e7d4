// @ts-check
// The words of the page. They come with it, in every language there is; the first the reader prefers is taken.

const held = document.querySelector("#tdw-strings");
const { language = "auto", languages = {} } = held ? JSON.parse(held.textContent) : {};
const wanted = language === "auto" ? navigator.languages.map((one) => one.split("-")[0]) : [language];
const chosen = wanted.find((one) => one in languages) ?? "en";
const words = { ...languages.en, ...languages[chosen] };

/** The language the page speaks, as a tag. */
export const locale = chosen;

/** The words for a key, `{name}` replaced by values; the key itself if there are none. */
export function say(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (all, name) => (Object.hasOwn(values, name) ? inside(String(values[name])) : all));
}

/** A number in the reader's language, with so many decimal places. */
export function formatNumber(value, places = 0) {
  return value.toLocaleString(locale, { minimumFractionDigits: places, maximumFractionDigits: places });
}

/** A value as it can stand in a sentence: signs that would turn the words behind it are written out, Hebrew and Arabic are isolated. */
export function inside(value) {
  const plain = value.replace(/[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/g, (sign) => `\\u{${sign.charCodeAt(0).toString(16)}}`);
  return /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/.test(plain) ? `\u2068${plain}\u2069` : plain;
}
