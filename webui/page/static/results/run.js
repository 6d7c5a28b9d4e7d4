// @ts-check
// The run that made a text: the state of every position after every step, derived from the trace.

import { feed } from "../base/feed.js";

/** The Result with pieces and trace, read from the server if it came without them; the same Result if there is none. */
export async function withTrace(result) {
  if (result.trace?.length) return result;
  const { job } = result.provenance ?? {};
  const stored = feed.jobs.has(job) ? (await read(`api/v1/jobs/${encodeURIComponent(job)}`))?.result : null;
  const found = [stored, ...(stored?.parts ?? [])].find((part) => part?.id === result.id && part.trace?.length);
  return found ?? (await read(`api/v1/history/${encodeURIComponent(result.id)}`)) ?? result;
}

async function read(address) {
  const reply = await fetch(address).catch(() => null);
  return reply?.ok ? reply.json() : null;
}

export class Run {
  /** `known` ([text, confidence, step] per position) is used where a result has no trace; then no remasking is known. */
  constructor(result, known = []) {
    const trace = (result.trace ?? []).map((entry) => (Array.isArray(entry) ? entry : Object.values(entry)));
    const pieces = result.pieces ?? [];
    const columns = trace.map(([, column]) => column + 1);
    this.length = Math.max(pieces.length, known.length, ...columns, 0);
    this.columns = Array.from({ length: this.length }, () => []); // per position its changes, [step, text, confidence]
    if (trace.length) for (const [step, column, token, text, confidence] of trace) this.columns[column].push([step, token === null ? null : text, confidence]);
    else known.forEach(([text, confidence, step], column) => text !== null && this.columns[column].push([step, text, confidence]));
    this.columns.forEach((changes, column) => {
      changes.sort((a, b) => a[0] - b[0]);
      const piece = pieces[column] ?? null;
      if (piece === null) return;
      if (!changes.length) changes.push([0, piece, null]); // given by the prompt
      else if (changes.at(-1)[1] !== null) changes.at(-1)[1] = piece; // a character of several tokens belongs to the last
    });
    this.steps = Math.max(0, ...this.columns.map((changes) => changes.at(-1)?.[0] ?? 0));
    this.end = endOf(this.at(this.steps), result.text ?? "");
  }

  /** The positions after a step: [text or null if masked, confidence, step of the last change]. */
  at(step) {
    return this.columns.map((changes) => {
      const last = changes.findLast((change) => change[0] <= step);
      return last && last[1] !== null ? [last[1], last[2], last[0]] : [null, null, last?.[0] ?? 0];
    });
  }

  /** Per position its place in the order of commits, from 1; null where nothing was committed. */
  order() {
    const last = this.at(this.steps).map(([text, confidence, step], column) => ({ text, confidence, step, column }));
    const committed = last.filter((one) => one.text !== null && one.step > 0);
    committed.sort((a, b) => a.step - b.step || b.confidence - a.confidence || a.column - b.column);
    const places = new Array(this.length).fill(null);
    committed.forEach((one, index) => (places[one.column] = index + 1));
    return places;
  }
}

/** The column where the text ends: positions after an end-of-text token are committed but not part of it. */
function endOf(known, text) {
  const wanted = text.trimStart();
  let read = "";
  for (let column = 0; column < known.length; column++) {
    if (known[column][0] === "" && read.trimStart() === wanted) return column;
    if (known[column][0] !== null) read += known[column][0];
    else if (column === 0 || known[column - 1][0] !== null) read += "…";
  }
  return known.length;
}
