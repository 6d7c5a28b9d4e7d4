// @ts-check
// Calls of the HTTP API with JSON.

import { client } from "./client.js";
import { say } from "./strings.js";

/** What the API answers to a POST of `sent`. An Error with the server's sentence if it refuses; the AbortError of `signal`.
 *  @param {string} path @param {object} sent @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function post(path, sent, signal) {
  const headers = { "Content-Type": "application/json", "X-TDW-Client": client };
  let reply, answer;
  try {
    reply = await fetch(`api/v1/${path}`, { method: "POST", headers, body: JSON.stringify(sent), signal });
    answer = await reply.json();
  } catch (error) {
    throw signal?.aborted ? error : new Error(say("page.no_answer"));
  }
  if (!reply.ok) throw new Error(answer.error.message);
  return answer;
}

/** What an extension's route answers, call("<extension>/<route>", {...}). As `post`: with a `signal` it can be given up.
 *  @param {string} route @param {object} sent @param {AbortSignal} [signal] */
export const call = (route, sent, signal) => post(`extensions/${route}`, sent, signal);
