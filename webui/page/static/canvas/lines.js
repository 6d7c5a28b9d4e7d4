// @ts-check
// Where the lines of a text end while words still settle in it. No part of the page is touched here: widths in, lines out.
//
// A position that is open is a bar whose width can be squeezed and stretched within limits. A line keeps its positions
// as long as its words and bars can fill it, so a decided word stays in its line while its neighbours change; the last
// word moves down only when the bars cannot give way any more, and the next comes up only when it surely has room. Where
// nothing is open, that is the ordinary way of filling lines, so the finished text does not jump. The limits are narrow: where
// bars give way much, lines are held that must move all the more later. benchmarks/line_jumps.py counts how often words move.

const LEAST = 0.75; // how far bars may be squeezed so that a word stays where it is ...
const MOST = 1.15; // ... and stretched
const TIGHT = 0.9; // the same where only a bar would move
const LOOSE = 1.1;
export const EXPECTED = 2; // em; a token and its blank: short ones are decided first, so those still open are longer than the mean
const WIDE = /\p{scx=Han}|\p{scx=Hira}|\p{scx=Kana}/u; // between these a line may end anywhere
const WIDTHS = [0.74, 1.14, 0.54, 1.43, 0.89, 1.28, 0.64, 1.68, 1.04, 0.44, 1.33, 0.85]; // of 1 on average; words, roughly

/** The width of an open position's bar, of 1 on average. */
export function barWidth(column) {
  return WIDTHS[(column * 7 + (column >> 3) * 5) % WIDTHS.length];
}

/**
 * Lines for `cells`, one per position: {blank, width, open, breaks, joined}: the width of the blank before it, its own, whether
 * it is open, how many line ends the text itself has before it, whether it cannot be parted from the position before.
 * `before` are the columns that began lines the last time (null: begin anew). Gives {starts, widths, lines}: the columns
 * before which a line is to be forced, the width of every open position, the number of lines.
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

/** Where every position stands in lines that were settled: {x, line}. */
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

/** What cannot be parted: a word of several tokens is one unit, an open position is one by itself. */
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

/** Widths of the bars: as they are if the line ends about where text would, else squeezed or stretched. */
function stretched(lines, width) {
  const widths = new Map();
  lines.forEach((line, i) => {
    const words = extent(line.units, 0);
    const bars = extent(line.units, 1) - words;
    const next = lines[i + 1];
    const short = next && !next.forced ? Math.min(0.5 * extent([next.units[0]], 1), 0.1 * width) : Infinity; // ragged, as text is
    let factor = 1;
    if (words + bars > width) factor = Math.max((width - words) / bars, LEAST);
    else if (words + bars < width - short) factor = Math.min((width - short - words) / bars, MOST);
    for (const cell of line.units.flat()) if (cell.masked) widths.set(cell.column, cell.width * factor);
  });
  return widths;
}

/** What `settle` wants to know of every position of a text. A remasked position keeps the width of the word that stood there. */
export function cellsOf(known, measure, size, remasked = new Map()) {
  const space = measure(" ");
  let breaks = 0; // line ends of what stood before
  let last = ""; // what stood before, as far as it shows
  return known.map(([text], column) => {
    if (text === null) {
      const width = remasked.has(column) ? Math.max(measure(remasked.get(column).trim()), 0.5 * size) : barWidth(column) * (EXPECTED * size - space);
      const cell = { blank: column && !breaks ? space : 0, width, masked: true, breaks, joined: false };
      [breaks, last] = [0, null];
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
    if (text) last = text;
    return cell;
  });
}
