// @ts-check
// Notifies that a long job has ended while the page is hidden. Permission is requested only when the switch is pressed.

import { feed } from "./feed.js";
import { element } from "./parts.js";
import { say } from "./strings.js";

const STORE = "tdw.notify";
const LONG = 20; // seconds, if the settings have none

const possible = () => "Notification" in window && window.isSecureContext;
const wanted = () => possible() && Notification.permission === "granted" && localStorage.getItem(STORE) === "on";

/** The switch, with a line about why it is unavailable. */
export function notifySwitch() {
  const box = element("input");
  box.type = "checkbox";
  box.setAttribute("role", "switch");
  box.id = "queue-notify";
  const label = element("label", "switch", box, element("i"), element("span", "", say("jobs.notify")));
  const about = element("small", "queue-notify-about");
  about.setAttribute("role", "status");
  const node = element("div", "queue-notify", label, about);
  const show = () => {
    box.checked = wanted();
    box.disabled = !possible();
    const refused = possible() && Notification.permission === "denied";
    about.textContent = !possible() ? say("jobs.notify.impossible") : refused ? say("jobs.notify.refused") : "";
    label.title = say("jobs.notify.about", { seconds: after() });
  };
  box.addEventListener("change", async () => {
    if (box.checked && Notification.permission === "default") await Notification.requestPermission();
    localStorage.setItem(STORE, box.checked ? "on" : "off");
    show();
  });
  show();
  return node;
}

function after() {
  return window.tdwStart?.look.notify_after ?? LONG;
}

function notify(job) {
  const notification = new Notification(say(`jobs.notify.${job.state}`), { body: job.prompt || say("jobs.unprompted"), tag: job.id });
  notification.addEventListener("click", () => {
    window.focus();
    document.dispatchEvent(new CustomEvent("tdw:watch", { detail: { job: job.id } }));
    notification.close();
  });
}

feed.addEventListener("change", (/** @type {CustomEvent} */ event) => {
  if (!document.hidden || !wanted()) return;
  for (const job of event.detail.ended) if (job.client_is_you && job.state !== "cancelled" && job.seconds >= after()) notify(job);
});
