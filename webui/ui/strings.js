// The words of the page. They come with it, in every language there is; the first the reader prefers is taken.

const held = document.querySelector("#tdw-strings");
const { language = "auto", languages = {} } = held ? JSON.parse(held.textContent) : {};
const wanted = language === "auto" ? navigator.languages.map((one) => one.split("-")[0]) : [language];
const chosen = wanted.find((one) => one in languages) ?? "en";
const words = { ...languages.en, ...languages[chosen] };

/** The language the page speaks, as a tag. */
export const speech = chosen;

/** The words for a key, `{name}` replaced by values; the key itself if there are none. */
export function say(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}
