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

/** The entries for a result. */
export const resultActions = (request, result) => added.map((make) => make(request, result)).filter((entry) => entry !== null);
