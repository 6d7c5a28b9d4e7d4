// @ts-check
// <tdw-history>: the saved texts, to search, read, replay, compare, mark and delete. Its state is in the address.

import { Bar, Confirm } from "./history-bar.js";
import { Filters, NONE } from "./history-filters.js";
import { Actions } from "./history-actions.js";
import { List } from "./history-list.js";
import { Reader } from "./history-reader.js";
import { row, show } from "./history-row.js";
import * as store from "./history-store.js";
import { button, element, origin } from "../base/parts.js";
import { say } from "../base/strings.js";

const PEEK = 5000; // ms between two polls for new texts while the view is visible
const PAGE = [50, 500]; // fewest and most entries of one request
const DAY = /^\d{4}-\d\d-\d\d$/;

export class HistoryView extends HTMLElement {
  connectedCallback() {
    if (this.list) return;
    this.all = 0; // texts in all, whatever the filters
    this.newest = ""; // the newest id that was loaded
    this.visible = false;
    this.keeps = true; // whether new texts are saved
    this.broken = ""; // why the list could not be loaded
    this.retry = () => {};
    this.filters = new Filters(() => this.filtered());
    this.list = new List({ draw: row, paint: (node, item) => this.paint(node, item), more: (wanted) => this.more(wanted) });
    const actions = (this.actions = new Actions(this));
    this.reader = new Reader({
      close: () => actions.close(),
      favourite: (id, on) => actions.favourite([id], on),
      remove: (id) => actions.delete([id]),
      gone: (id) => this.list.take([id]).length && this.update(),
    });
    this.bar = new Bar({
      clear: () => this.filters.clear(),
      removeAll: () => this.confirm.ask(this.all),
      favourite: () => actions.favourite([...actions.selected], !this.allFavourites),
      remove: () => actions.delete([...actions.selected]),
      compare: () => actions.compare(),
      none: () => actions.select([]),
    });
    this.confirm = new Confirm(() => actions.deleteAll());
    this.notice = element("p", "history-notice");
    this.pill = button("", () => this.showNew());
    this.pill.className = "history-pill";
    this.placeholder = element("div", "history-blank");
    this.notice.hidden = this.pill.hidden = this.placeholder.hidden = true;
    const box = element("div", "history-box", this.pill, this.list.node, this.placeholder);
    this.append(element("div", "history-side", this.filters.node, this.bar.node, this.notice, box), this.reader.node, this.confirm.node);
    this.wire();
  }

  wire() {
    this.filters.box.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown" && event.key !== "Enter") return;
      event.preventDefault();
      this.list.focus();
    });
    document.addEventListener("keydown", (event) => {
      const writing = origin(event).closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]");
      if (event.key !== "/" || !this.visible || writing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.filters.box.focus();
      this.filters.box.select();
    });
    addEventListener("resize", () => this.visible && this.fit());
    addEventListener("hashchange", () => this.arrive());
    addEventListener("popstate", () => this.arrive());
    new IntersectionObserver(([{ isIntersecting }]) => this.visibleChanged(isIntersecting)).observe(this);
    setInterval(() => this.visible && !document.hidden && this.peek(), PEEK);
  }

  /** Fills the height below the page's head. */
  fit() {
    const frame = this.closest("#view-history");
    frame?.style.setProperty("--above", `${frame.getBoundingClientRect().top + scrollY}px`);
  }

  // -- the address -----------------------------------------------------------------------------------------------------

  /** The view became visible or hidden. */
  visibleChanged(visible) {
    const came = visible && !this.visible;
    this.visible = visible;
    if (visible) this.fit();
    if (!came) return;
    const first = !this.asking;
    this.arrive(true);
    if (first && !this.asking) this.load(true);
    store.keeping().then((keeps) => {
      this.keeps = keeps;
      this.update();
    });
    if (first) return;
    if (this.list.atTop && !this.actions.selected.size) this.load(true);
    else this.peek();
  }

  /** Applies the address. `back`: coming from another view, an address without filters means the state before. */
  arrive(back = false) {
    const [, view, rest = ""] = location.hash.match(/^#(\w*)(?:\?(.*))?$/) ?? [];
    if (view !== "history" || !this.visible) return;
    const given = new URLSearchParams(rest);
    if (back && this.asking && !rest) return this.address();
    const texts = Object.fromEntries(Object.keys(NONE).map((name) => [name, given.get(name) ?? ""]));
    const state = { ...texts, favourite: given.get("favourite") === "1" };
    for (const name of ["since", "until"]) if (!DAY.test(texts[name])) state[name] = "";
    if (!this.asking || JSON.stringify(state) !== JSON.stringify(this.filters.state)) {
      this.filters.set(state);
      this.load(true);
    }
    const open = given.get("open");
    if (open && open !== this.actions.opened) this.actions.show(open);
    else if (!open && this.actions.opened) this.actions.hide();
  }

  /** Writes the state into the address; `push`: as an entry for the browser's Back. */
  address(push = false) {
    const { favourite, ...state } = this.filters.state;
    const text = store.query({ ...state, favourite: favourite && "1", open: this.actions.opened }).toString();
    const hash = `#history${text && `?${text}`}`;
    if (push) history.pushState({ opened: true }, "", hash);
    else history.replaceState(history.state, "", hash);
  }

  // -- loading ---------------------------------------------------------------------------------------------------------

  filtered() {
    this.address();
    this.actions.select([]);
    this.load(true);
  }

  /** Loads the first page. The newest request wins. */
  async load(top = false) {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    this.bar.busy(true);
    try {
      const answer = await store.page(this.filters.state, { signal: asking.signal });
      if (asking !== this.asking) return;
      this.all = answer.all;
      this.newest = answer.items[0]?.id ?? "";
      this.filters.offer(answer);
      this.pill.hidden = true;
      this.broken = "";
      this.list.set(answer.items, answer.total, top);
      this.list.repaint();
    } catch (error) {
      if (asking !== this.asking) return;
      this.fail(error, () => this.load(true));
    }
    this.known = true;
    this.bar.busy(false);
    this.update();
  }

  /** Loads the next entries. */
  async more(wanted) {
    const asking = this.asking;
    if (!asking || this.loading === asking || this.broken) return;
    this.loading = asking;
    const limit = Math.min(Math.max(wanted, PAGE[0]), PAGE[1]);
    try {
      const answer = await store.page(this.filters.state, { before: this.list.items.at(-1)?.id ?? "", limit, signal: asking.signal });
      if (asking !== this.asking) return;
      this.loading = null;
      this.list.append(answer.items, answer.total);
    } catch (error) {
      if (asking !== this.asking) return;
      this.loading = null;
      this.fail(error, () => {
        this.broken = "";
        this.list.render();
        this.update();
      });
    }
  }

  /** Shows why the list could not be loaded, with a button to retry; the loaded entries stay. */
  fail(error, retry) {
    this.broken = error.message;
    this.retry = retry;
    this.update();
  }

  /** Loads all results of the search, as far as possible. */
  async loadAll() {
    const asking = this.asking;
    while (asking === this.asking && !this.broken && this.list.items.length < this.list.total) {
      if (this.loading === asking) await new Promise((resolve) => setTimeout(resolve, 10));
      else await this.more(PAGE[1]);
    }
    return asking === this.asking;
  }

  /** Polls for new texts, and announces them without moving the list. */
  async peek() {
    const asking = this.asking;
    if (!asking || this.peeking) return;
    this.peeking = true;
    try {
      const answer = await store.page(this.filters.state, {});
      if (asking !== this.asking) return;
      this.filters.offer(answer);
      const fresh = answer.items.filter((item) => item.id > this.newest).length;
      this.all = answer.all;
      if (this.broken) this.retry();
      else if (fresh && !this.list.items.length) this.load(true);
      else if (fresh) {
        const words = fresh < PAGE[0] ? store.counted("history.new", fresh) : say("history.new.many", { n: `${PAGE[0]}+` });
        if (this.pill.textContent !== words) this.pill.textContent = words;
        this.pill.hidden = false;
      }
      this.update();
    } catch {
      // the next poll or action reports it
    } finally {
      this.peeking = false;
    }
  }

  /** Loads the new texts and goes to the top. */
  async showNew() {
    await this.load(true);
    this.list.go(0);
  }

  // -- state -----------------------------------------------------------------------------------------------------------

  /** Whether all selected texts are favourites. */
  get allFavourites() {
    return this.list.items.every((item) => item.favourite || !this.actions.selected.has(item.id));
  }

  paint(node, item) {
    show(node, item, { selected: this.actions.selected.has(item.id), opened: item.id === this.actions.opened, search: this.filters.state.search });
  }

  update() {
    const { list, filters, actions } = this;
    this.dataset.shows = actions.opened ? "entry" : "list";
    if (!this.known && !this.broken) return;
    this.bar.show({ found: list.total, all: this.all, filtered: filters.any, selected: actions.selected.size, favourites: this.allFavourites });
    filters.node.hidden = !this.all && !filters.any && !this.broken;
    const rows = list.items.length > 0;
    const words = this.broken ? "broken" : rows ? (this.keeps ? "" : "off") : this.all ? "none" : this.keeps ? "empty" : "off";
    const key = [words, rows, this.broken, actions.lost].join(" ");
    if (key === this.drawn) return; // a button in it may have the focus
    this.drawn = key;
    this.notice.hidden = !rows || !words;
    this.placeholder.hidden = rows;
    const again = button(say("history.retry"), () => this.retry());
    if (rows) this.notice.replaceChildren(...(this.broken ? [this.broken, " ", again] : [say("history.off.short")]));
    else this.placeholder.replaceChildren(...this.nothing(words, again));
  }

  /** The content in place of an empty list. */
  nothing(words, again) {
    const { lost } = this.actions;
    const back = lost > 0 && button(store.counted("history.restore", lost), () => this.actions.undoAll());
    const act = { broken: again, none: button(say("history.clear"), () => this.filters.clear()) }[words] ?? back;
    const title = this.broken || say(words === "none" ? "history.none.found" : `history.${words}`);
    const about = this.broken ? "" : say(`history.${words}.about`);
    return [element("h2", "", title), element("p", "", about), ...(act ? [act] : [])];
  }
}

customElements.define("tdw-history", HistoryView);
