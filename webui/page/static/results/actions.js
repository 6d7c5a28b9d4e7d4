// @ts-check
// Entries that extensions add to the menu of a finished text.

/** @type {((request: any, result: any) => [string, () => void] | null)[]} */
const added = [];

/**
 * Adds an entry to the menu "More" of finished texts: `make(request, result)` gives its words and what a press does, or null
 * where there is none. The request is as it was asked for: null where the preset gave the value.
 * @param {(request: any, result: any) => [string, () => void] | null} make
 */
export function addResultAction(make) {
  added.push(make);
}

/** @type {((node: HTMLElement, request: any, result: any) => void)[]} */
const looks = [];

/**
 * Calls `look(node, request, result)` for each finished text that the page shows from now on; `node` is the element with the
 * text, which stays as it is: what is added to the look is added by ranges (CSS.highlights) or beside it.
 * @param {(node: HTMLElement, request: any, result: any) => void} look
 */
export function whenFinished(look) {
  looks.push(look);
}

/** A finished text is shown. */
export const shownFinished = (node, request, result) => looks.forEach((look) => look(node, request, result));

/** The entries for a result. */
export const resultActions = (request, result) => added.map((make) => make(request, result)).filter((entry) => entry !== null);
