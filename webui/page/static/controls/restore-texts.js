// @ts-check
// The texts of an exported table: with its request they are the experiment, which goes on here as if it had been made here.

import { post } from "../base/call.js";

const BYTES = 500_000; // of the texts in one call: the server takes bodies of a mebibyte

/** Restores an experiment and shows it. An Error with the server's sentence if it refuses. */
export async function restoreTexts({ request, seed, texts }) {
  const { id } = await post("experiments", { request, seed: seed ?? null });
  for (const some of parts(texts)) await post(`experiments/${id}/texts`, { texts: some });
  const job = await post(`experiments/${id}/resume`, { writes: "nothing" });
  document.dispatchEvent(new CustomEvent("tdw:watch", { detail: { job: job.id } }));
}

/** The texts as saved ones, each with its whole request. */
export function wholeTexts({ request, texts }) {
  return texts.map(({ result }) => ({ ...result, request: { ...request, ...result?.request } }));
}

/** The texts in calls that the server accepts; of a text that is too large alone the trace is left out. */
function* parts(texts) {
  const measure = new TextEncoder();
  let [some, size] = [[], 0];
  for (let text of texts) {
    let own = measure.encode(JSON.stringify(text)).length;
    if (own > BYTES) {
      text = { ...text, result: { ...text.result, trace: [], pieces: [] } };
      own = measure.encode(JSON.stringify(text)).length;
    }
    if (some.length && size + own > BYTES) {
      yield some;
      [some, size] = [[], 0];
    }
    some.push(text);
    size += own;
  }
  if (some.length) yield some;
}
