// @ts-check
// The id of this browser, sent with its jobs. Made once.

const CLIENT = "tdw.client";

function made() {
  const id = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  localStorage.setItem(CLIENT, id);
  return id;
}

export const client = localStorage.getItem(CLIENT) || made();
