// @ts-check
// The difference of two texts by words: Myers' greedy algorithm (1986), white space as words of its own.

const FARTHEST = 1000; // differences after which the rest counts as replaced: time grows with their square

/** The words and white space of a text; punctuation marks are words of their own. */
export function words(text) {
  return text.match(/\s+|[\p{L}\p{N}\p{M}'’]+|[^\s\p{L}\p{N}\p{M}]/gu) ?? [];
}

/** The difference from `before` to `after`: a list of [kind, text] with kind "same", "gone" or "new". */
export function diff(before, after) {
  const [a, b] = [words(before), words(after)];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let [endA, endB] = [a.length, b.length];
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) [endA, endB] = [endA - 1, endB - 1];
  const middle = walked(a.slice(start, endA), b.slice(start, endB));
  return merged([...a.slice(0, start).map(same), ...middle, ...a.slice(endA).map(same)]);
}

function same(word) {
  return ["same", word];
}

/** The shortest edit script from `a` to `b`. */
function walked(a, b) {
  const most = Math.min(a.length + b.length, FARTHEST);
  const reach = new Map([[1, 0]]); // per diagonal, the furthest index in `a`
  const history = [];
  for (let d = 0; d <= most; d++) {
    history.push(new Map(reach));
    for (let k = -d; k <= d; k += 2) {
      let x = k === -d || (k !== d && reach.get(k - 1) < reach.get(k + 1)) ? reach.get(k + 1) : reach.get(k - 1) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x += 1;
      reach.set(k, x);
      if (x >= a.length && x - k >= b.length) return traced(a, b, history);
    }
  }
  return [...a.map((word) => ["gone", word]), ...b.map((word) => ["new", word])];
}

/** Traces the edit script back through the furthest indices of every number of differences. */
function traced(a, b, history) {
  let [x, y] = [a.length, b.length];
  const steps = [];
  for (let d = history.length - 1; d >= 0; d--) {
    const reach = history[d];
    const k = x - y;
    const from = k === -d || (k !== d && reach.get(k - 1) < reach.get(k + 1)) ? k + 1 : k - 1;
    const [left, top] = d ? [reach.get(from), reach.get(from) - from] : [0, 0];
    while (x > left && y > top && a[x - 1] === b[y - 1]) {
      steps.push(["same", a[x - 1]]);
      [x, y] = [x - 1, y - 1];
    }
    if (!d) break;
    steps.push(x === left ? ["new", b[y - 1]] : ["gone", a[x - 1]]);
    [x, y] = [left, top];
  }
  return steps.reverse();
}

/** Merges neighbours of one kind; a replaced stretch is first all "gone", then all "new". */
function merged(steps) {
  const pieces = [];
  let run = { gone: "", new: "" };
  const flush = () => {
    for (const kind of ["gone", "new"]) if (run[kind]) pieces.push([kind, run[kind]]);
    run = { gone: "", new: "" };
  };
  for (const [index, [kind, word]] of steps.entries()) {
    const between = kind === "same" && !word.trim() && (run.gone || run.new) && steps[index + 1]?.[0] !== "same" && steps[index + 1];
    if (between) [run.gone, run.new] = [run.gone + word, run.new + word]; // a space between replaced words is not a match
    else if (kind !== "same") run[kind] += word;
    else {
      flush();
      if (pieces.at(-1)?.[0] === "same") pieces.at(-1)[1] += word;
      else pieces.push(["same", word]);
    }
  }
  flush();
  return pieces;
}
