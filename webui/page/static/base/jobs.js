// @ts-check
// Interrupting and abandoning jobs, for the canvas and the queue.

import { client } from "./client.js";
import { ENDED, feed } from "./feed.js";
import { showError, showNotice } from "./notice.js";
import { confirmed } from "./popover.js";
import { say } from "./strings.js";

const STUCK_MS = 5000; // a job that still runs this long after Interrupt can be abandoned
const interrupts = new Map(); // job id: when Interrupt was pressed

/** Calls the server about a job; shows the sentence of a refusal, and returns null then. */
export async function callJob(id, method, path = "") {
  try {
    const reply = await fetch(`api/v1/jobs/${encodeURIComponent(id)}${path}`, { method, headers: { "X-TDW-Client": client } });
    const answer = await reply.json();
    if (reply.ok) return answer;
    showError(answer.error.message);
  } catch {
    showError(say("jobs.unanswered"));
  }
  return null;
}

/** Stops a job before its next model call. If it does not react, the page offers to abandon it. */
export async function interrupt(id) {
  const answer = await callJob(id, "DELETE");
  if (answer?.state !== "running" || interrupts.has(id)) return;
  interrupts.set(id, performance.now());
  const sentence = say("jobs.stuck");
  const stuck = () => runs(id) && showNotice({ sentence, label: say("jobs.abandon"), undo: () => void abandon(id) });
  setTimeout(() => (feed.changed(), stuck()), STUCK_MS);
  feed.changed();
}

/** "interrupting" while a running job has not reacted to Interrupt, "stuck" after STUCK_MS, else "". */
export function interruption(id) {
  if (!interrupts.has(id) || !runs(id)) return "";
  return performance.now() - interrupts.get(id) < STUCK_MS ? "interrupting" : "stuck";
}

/** Ends a job that does not react, after a question: it fails, and the jobs behind it go on. */
export async function abandon(id) {
  if (!(await confirmed(say("jobs.abandon.confirm"), say("jobs.abandon"), say("jobs.abandon.wait")))) return;
  if (runs(id)) await callJob(id, "POST", "/abandon");
}

function runs(id) {
  return feed.jobs.has(id) && !ENDED.includes(feed.jobs.get(id).state);
}
