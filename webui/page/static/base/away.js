// @ts-check
// Says that the server does not answer, until it does again.

import { feed } from "./feed.js";
import { element } from "./parts.js";
import { say } from "./strings.js";

const PATIENCE_MS = 1000; // a restart of the stream alone takes less
const bar = element("div", "away");
bar.setAttribute("role", "status");
document.body.append(bar);
let timer = 0;

/** Whether the server is known to be away. */
export const away = () => Boolean(bar.textContent);

function show(gone) {
  if (gone === away()) return;
  bar.textContent = gone ? say("page.away") : "";
  document.dispatchEvent(new CustomEvent("tdw:away", { detail: gone }));
}

feed.addEventListener("change", () => {
  if (feed.connected || !feed.source) {
    clearTimeout(timer);
    timer = 0;
    show(false);
  } else timer ||= setTimeout(() => show(true), PATIENCE_MS);
});
