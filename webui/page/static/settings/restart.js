// @ts-check
// Restarting the program from the page: offered where something waits for it. The page follows by itself.

import { post } from "../base/call.js";
import { feed } from "../base/feed.js";
import { showError } from "../base/notice.js";
import { button, element } from "../base/parts.js";
import { confirmed } from "../base/popover.js";
import { say } from "../base/strings.js";

/** A bar that says that changes wait for the jobs to end or for a restart, with the button if the page may restart the program;
 *  null if nothing waits.
 *  @param {{outdated: boolean, soon: boolean, restartable: boolean}} state */
export function waiting({ outdated, soon, restartable }) {
  const busy = soon && feed.active().length > 0;
  if (!outdated && !soon) return null;
  const words = [];
  if (soon) words.push(say(busy ? "settings.soon_busy" : "settings.soon"));
  if (outdated) words.push(say(restartable ? "settings.outdated" : "settings.outdated_by_hand"));
  const bar = element("div", "restart-bar", element("p", "", words.join(" ")));
  bar.setAttribute("role", "status");
  if (restartable && (outdated || busy)) bar.append(restartButton());
  return bar;
}

/** The button. Asks first where jobs would be interrupted. */
export function restartButton() {
  const press = button(say("settings.restart_now"), async () => {
    const jobs = feed.active().length;
    const sure = jobs === 1 ? say("settings.restart_sure_one") : say("settings.restart_sure", { number: jobs });
    if (jobs && !(await confirmed(sure, say("settings.restart_now"), say("settings.restart_no")))) return;
    press.disabled = true;
    const gone = returned();
    try {
      await post("restart", { confirm: true });
    } catch (error) {
      press.disabled = false;
      return showError(error.message);
    }
    press.textContent = say("settings.restarting");
    await gone;
    location.reload(); // controls and scripts of other extensions; drafts and results are kept
  });
  return press;
}

/** Resolves when the server went away and is there again. */
function returned() {
  return new Promise((resolve) => {
    let away = false;
    feed.addEventListener("change", () => {
      if (!feed.connected) away = true;
      else if (away) resolve(undefined);
    });
  });
}
