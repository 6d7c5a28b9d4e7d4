// @ts-check
// Line breaking for a text of which positions are still masked. Pure functions: widths in, lines out.
//
// A masked position is a bar whose width can shrink and stretch within limits. A line keeps its positions as long as
// its words and bars can fill it, so a committed word stays in its line while its neighbours change; the last word moves
// down only when the bars cannot shrink any more, and the next moves up only when it has room. Without masked positions
// this is ordinary line filling, so the finished text does not jump. The limits are narrow: wide ones keep lines that
// must move all the more later. benchmarks/line_jumps.py counts how often words move.

const LEAST = 0.75; // how far bars may shrink so that a word keeps its line ...
const MOST = 1.15; // ... and stretch
const TIGHT = 0.9; // the same where only a bar would change lines
const LOOSE = 1.1;
export const EXPECTED = 2; // em; a token and its space: short ones are committed first, so masked ones are longer than the mean
const WIDE = /\p{scx=Han}|\p{scx=Hira}|\p{scx=Kana}/u; // a line may break between any two of these
const WIDTHS = [0.74, 1.14, 0.54, 1.43, 0.89, 1.28, 0.64, 1.68, 1.04, 0.44, 1.33, 0.85]; // 1 on average, roughly as words vary

/** The relative width of a masked position's bar, 1 on average. */
export function barWidth(column) {
  return WIDTHS[(column * 7 + (column >> 3) * 5) % WIDTHS.length];
}

/**
 * Lines for `cells`, one per position: {blank, width, masked, breaks, joined}: the width of the space before it, its own
 * width, whether it is masked, the line breaks in the text before it, whether it belongs to the word before it.
 * `before`: the columns that started lines the last time (null: start anew). Returns {starts, widths, lines}: the columns
 * that start a line without a line break in the text, the width of every masked position, the number of lines.
 */
export function settle(cells, width, before) {
  const lines = before ? continued(cells, before) : filled(cells, width);
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    while (line.units.length > 1 && extent(line.units, line.units.at(-1)[0].masked ? TIGHT : LEAST) > width) {
      if (!lines[i + 1] || lines[i + 1].forced) lines.splice(i + 1, 0, { units: [], forced: false });
      lines[i + 1].units.unshift(line.units.pop());
    }
    while (lines[i + 1] && !lines[i + 1].forced) {
      const [first] = lines[i + 1].units;
      if (first && extent([...line.units, first], first[0].masked ? LOOSE : MOST) > width) break;
      if (first) line.units.push(lines[i + 1].units.shift());
      if (!lines[i + 1].units.length) lines.splice(i + 1, 1);
    }
  }
  const starts = new Set(lines.filter((line, i) => i && !line.forced).map((line) => line.units[0][0].column));
  const empty = cells.reduce((sum, cell) => sum + Math.max(0, cell.breaks - 1), 0);
  return { starts, widths: stretched(lines, width), lines: lines.length + empty };
}

/** The place {x, line} of every position in lines made by `settle`. */
export function positions(cells, { starts, widths }) {
  let [x, line] = [0, 0];
  return cells.map((cell, column) => {
    const begins = starts.has(column);
    if (cell.breaks || begins) [x, line] = [0, line + cell.breaks + Number(begins)];
    if (column && !begins) x += cell.blank;
    const place = { x, line };
    x += widths.get(column) ?? cell.width;
    return place;
  });
}

/** What a line must not break: a word of several tokens is one unit, a masked position is one by itself. */
function units(cells) {
  const all = [];
  cells.forEach((cell, column) => {
    const one = { ...cell, column };
    if (cell.joined && all.length && !cell.breaks) all.at(-1).push(one);
    else all.push([one]);
  });
  return all;
}

function extent(line, factor) {
  let sum = 0;
  line.forEach((unit, i) => unit.forEach((cell, j) => (sum += (i || j || cell.breaks ? cell.blank : 0) + cell.width * (cell.masked ? factor : 1))));
  return sum;
}

function filled(cells, width) {
  const lines = [];
  let used = 0;
  for (const unit of units(cells)) {
    const more = extent([unit], 1);
    const { breaks, blank } = unit[0];
    if (!lines.length || breaks || used + blank + more > width) {
      lines.push({ units: [], forced: breaks > 0 || !lines.length });
      used = 0;
    }
    used += more + (lines.at(-1).units.length ? blank : 0);
    lines.at(-1).units.push(unit);
  }
  return lines;
}

function continued(cells, before) {
  const lines = [];
  for (const unit of units(cells)) {
    const { breaks, column } = unit[0];
    if (!lines.length || breaks || before.has(column)) lines.push({ units: [], forced: breaks > 0 || !lines.length });
    lines.at(-1).units.push(unit);
  }
  return lines;
}

/** Widths of the bars: unchanged if the line ends about where text would, else shrunk or stretched. */
function stretched(lines, width) {
  const widths = new Map();
  lines.forEach((line, i) => {
    const words = extent(line.units, 0);
    const bars = extent(line.units, 1) - words;
    const next = lines[i + 1];
    const short = next && !next.forced ? Math.min(0.5 * extent([next.units[0]], 1), 0.1 * width) : Infinity; // ragged, like text
    let factor = 1;
    if (words + bars > width) factor = Math.max((width - words) / bars, LEAST);
    else if (words + bars < width - short) factor = Math.min((width - short - words) / bars, MOST);
    for (const cell of line.units.flat()) if (cell.masked) widths.set(cell.column, cell.width * factor);
  });
  return widths;
}

/** The input of `settle` for a text. A remasked position keeps the width of its former word. */
export function cellsOf(known, measure, size, remasked = new Map()) {
  const space = measure(" ");
  let breaks = 0; // line breaks at the end of the position before
  let last = ""; // the text before; null after a masked position
  let indented = false; // whether a space before the next masked position would be seen
  return known.map(([text], column) => {
    if (text === null) {
      const width = remasked.has(column) ? Math.max(measure(remasked.get(column).trim()), 0.5 * size) : barWidth(column) * (EXPECTED * size - space);
      const cell = { blank: indented ? space : 0, width, masked: true, breaks, joined: false };
      [breaks, last, indented] = [0, null, true];
      return cell;
    }
    const blank = column ? text.match(/^\s*/)[0] : "";
    const word = column ? text.slice(blank.length) : text.trimStart();
    const own = blank.split("\n").length - 1;
    const free = blank || last === null || /[\s-]$/.test(last) || (word && (WIDE.test(word[0]) || WIDE.test(last.at(-1) ?? "")));
    const cell = {
      blank: measure(blank.slice(blank.lastIndexOf("\n") + 1)),
      width: measure(word.slice(word.lastIndexOf("\n") + 1)),
      masked: false,
      breaks: breaks + own,
      joined: !free && !own,
    };
    breaks = word.split("\n").length - 1;
    if (text) [last, indented] = [text, !text.endsWith("\n")];
    return cell;
  });
}
