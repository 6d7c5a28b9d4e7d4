// @ts-check
// Requests for scripts of extensions: what the controls show, and one to be generated.

/** The request that the controls show, or the sentence of a refusal. @returns {Promise<{request?: any, error?: string}>} */
export const currentRequest = () => window.tdw.request();

/** Generates a whole request, whatever the controls show. `view`: how the job is shown once it is done, "texts", "changes" or
 *  "table". @param {object} request @param {string} [view] */
export function generate(request, view) {
  document.dispatchEvent(new CustomEvent("tdw:generate", { detail: { request, view } }));
}
