// @ts-check
// The bar above the list: the number of texts, or actions on the selected ones; and the dialog before all are deleted.

import { button, element } from "../base/parts.js";
import { formatNumber, say } from "../base/strings.js";
import { counted } from "./history-store.js";

export class Bar {
  /** Each action is called when its button is pressed: clear, removeAll, favourite, remove, compare, none. */
  constructor(actions) {
    const press = (name) => button(say(`history.${name}`), () => actions[name]());
    this.count = element("span", "history-count");
    this.count.setAttribute("role", "status");
    this.clear = press("clear");
    this.removeAll = press("removeAll");
    this.favourite = button("", () => actions.favourite());
    this.remove = press("remove");
    this.compare = press("compare");
    this.none = button("×", () => actions.none());
    this.none.setAttribute("aria-label", say("history.none"));
    this.none.title = say("history.none");
    this.found = element("span", "history-acts", this.clear, this.removeAll);
    this.chosen = element("span", "history-acts", this.compare, this.favourite, this.remove, this.none);
    this.chosen.setAttribute("role", "group");
    this.node = element("div", "history-line", this.count, this.found, this.chosen);
  }

  busy(on) {
    this.node.setAttribute("aria-busy", String(on));
  }

  /** `selected`: how many; `favourites`: whether all of them are favourites. */
  show({ found, all, filtered, selected, favourites }) {
    const words = selected
      ? counted("history.selected", selected)
      : filtered
        ? say("history.found", { n: formatNumber(found), all: formatNumber(all) })
        : counted("history.count", all);
    if (this.count.textContent !== words) this.count.textContent = words;
    this.node.hidden = !all && !filtered;
    this.node.classList.toggle("selecting", selected > 0);
    this.found.hidden = selected > 0;
    this.chosen.hidden = !selected;
    this.clear.hidden = !filtered;
    this.removeAll.hidden = !all;
    this.compare.hidden = selected !== 2;
    this.favourite.textContent = say(favourites ? "history.favourite.remove" : "history.favourite.add");
  }
}

/** The dialog before everything is deleted; the question and the button name the number. */
export class Confirm {
  constructor(act) {
    this.title = element("h2");
    this.title.id = "history-confirm";
    this.yes = button("", () => (this.node.close(), act()));
    this.yes.className = "history-yes";
    const no = button(say("history.keep"), () => this.node.close());
    no.autofocus = true;
    this.node = element("dialog", "history-dialog", this.title, element("p", "", say("history.confirm.about")), element("div", "", no, this.yes));
    this.node.setAttribute("aria-labelledby", this.title.id);
    this.node.addEventListener("click", (event) => event.target === this.node && this.node.close());
  }

  ask(all) {
    this.title.textContent = counted("history.confirm", all);
    this.yes.textContent = counted("history.confirm.yes", all);
    this.node.showModal();
  }
}
