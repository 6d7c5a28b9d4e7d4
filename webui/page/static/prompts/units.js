// @ts-check
// The API counts characters (code points), a browser counts units of UTF-16.

const PAIRED = /[\ud800-\udfff]/;

/** How many characters are in the first `units` of a text. @param {string} text @param {number} units */
export function charactersBefore(text, units) {
  return PAIRED.test(text) ? [...text.slice(0, units)].length : units;
}

/** A function from a number of characters to the units that they are. @param {string} text @returns {(characters: number) => number} */
export function unitsOf(text) {
  if (!PAIRED.test(text)) return (characters) => characters;
  const at = [0];
  for (const character of text) at.push(at.at(-1) + character.length);
  return (characters) => at[Math.min(characters, at.length - 1)];
}
