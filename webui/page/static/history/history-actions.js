// @ts-check
// Actions in the history by mouse and keyboard: select, open, compare, mark as favourite, delete, restore.

import { say } from "../base/strings.js";
import * as store from "./history-store.js";

const NARROW = matchMedia("(max-width: 1099px)"); // here the opened text covers the list

export class Actions {
  /** @param {import("./history.js").HistoryView} view the view they act on */
  constructor(view) {
    this.view = view;
    this.selected = new Set(); // ids
    this.opened = null; // the id of the text in the reader
    this.pivot = null; // the id a range of selected rows starts at
    this.lost = 0; // texts that "delete all" deleted and that can be restored
    view.list.node.addEventListener("click", (event) => this.clicked(event));
    view.list.node.addEventListener("keydown", (event) => this.key(event));
    addEventListener("keydown", (event) => this.closeByEscape(event), true); // before the page's own Escape, which interrupts a job
  }

  get list() {
    return this.view.list;
  }

  // -- mouse and keyboard ----------------------------------------------------------------------------------------------

  clicked(event) {
    const node = event.target.closest(".history-row");
    if (!node) return;
    const act = event.target.closest("[data-act]")?.dataset.act;
    const { id } = node.item;
    if (act === "favourite") this.favourite([id], !node.item.favourite);
    else if (event.shiftKey) this.range(id);
    else if (act === "pick" || event.ctrlKey || event.metaKey) this.toggle(id);
    else this.open(id);
    this.list.active = id;
    this.list.render();
    if (!(NARROW.matches && this.opened)) this.list.refocus();
  }

  key(event) {
    const { list } = this;
    const item = event.target.closest(".history-row")?.item;
    if (!item || event.altKey) return;
    if (event.ctrlKey || event.metaKey) return event.key === "a" ? this.all(event) : undefined;
    const at = list.index(item.id);
    const way = { ArrowDown: 1, ArrowUp: -1, PageDown: list.page, PageUp: -list.page }[event.key];
    const act = {
      Home: () => list.go(0),
      End: async () => (await this.view.loadAll()) && list.go(Infinity),
      Enter: () => this.open(item.id, true),
      " ": () => this.toggle(item.id),
      Delete: () => this.delete(this.selected.size ? [...this.selected] : [item.id]),
      s: () => (this.selected.size ? this.favourite([...this.selected], !this.view.allFavourites) : this.favourite([item.id], !item.favourite)),
    }[event.key];
    if (!way && !act) return;
    event.preventDefault();
    if (act) return void act();
    if (event.shiftKey && Math.abs(way) === 1) {
      if (!this.selected.size) this.range(item.id);
      list.go(at + way);
      this.range(list.active);
    } else list.go(at + way);
  }

  /** Escape closes the opened text, then clears the selection. In this view it does not interrupt a job. */
  closeByEscape(event) {
    if (event.key !== "Escape" || !this.view.visible || document.querySelector("dialog[open], :popover-open")) return;
    event.stopPropagation();
    if (event.target.matches("[type=search]") && event.target.value) return; // the search box clears itself
    if (this.opened) this.close();
    else if (this.selected.size) this.select([]);
  }

  // -- selecting -------------------------------------------------------------------------------------------------------

  select(ids) {
    this.selected = new Set(ids);
    if (!this.selected.size) this.pivot = null;
    this.list.repaint();
    this.view.update();
  }

  /** Selects all results of the search. */
  async all(event) {
    event.preventDefault();
    if (await this.view.loadAll()) this.select(this.list.items.map((item) => item.id));
  }

  toggle(id) {
    const next = new Set(this.selected);
    if (!next.delete(id)) next.add(id);
    this.pivot = id;
    this.select(next);
  }

  /** Selects the range from the last selected row to this one. */
  range(id) {
    getSelection()?.removeAllRanges(); // shift-click also selects text
    const [from, to] = [this.list.index(this.pivot ?? this.list.active ?? id), this.list.index(id)];
    const pivot = this.pivot ?? this.list.items[from]?.id ?? id;
    const ids = this.list.items.slice(Math.max(0, Math.min(from, to)), Math.max(from, to) + 1).map((item) => item.id);
    this.select([...this.selected, ...ids]);
    this.pivot = pivot;
  }

  // -- reading ---------------------------------------------------------------------------------------------------------

  /** Opens a text; where it covers the list, the browser's Back closes it. */
  open(id, key = false) {
    const push = NARROW.matches && !this.opened;
    this.show(id);
    this.view.address(push);
    if (NARROW.matches) this.view.reader.back.focus();
    else if (key) this.list.refocus();
  }

  show(id) {
    this.opened = id;
    this.view.reader.open(id);
    this.list.repaint();
    this.view.update();
  }

  /** Shows the two selected texts side by side, the older one first. */
  async compare() {
    const ids = [...this.selected].sort();
    try {
      const [{ compare }, ...results] = await Promise.all([import("../results/compare.js"), ...ids.map(store.read)]);
      compare(...results);
    } catch (error) {
      this.error(error.gone ? say("history.gone") : error.message);
    }
  }

  /** Closes the opened text. */
  close() {
    if (history.state?.opened) return history.back(); // and `arrive` hides it
    this.hide();
    this.view.address();
  }

  hide() {
    this.opened = null;
    this.view.reader.empty();
    this.list.repaint();
    this.view.update();
    this.list.refocus();
  }

  // -- marking and deleting --------------------------------------------------------------------------------------------

  async favourite(ids, on) {
    this.mark(ids, on);
    const { failed, reason } = await store.each(ids, (id) => store.setFavourite(id, on));
    this.mark(failed, !on);
    if (reason) this.error(reason);
  }

  mark(ids, on) {
    const meant = new Set(ids);
    for (const item of this.list.items) if (meant.has(item.id)) item.favourite = on;
    if (meant.has(this.opened)) this.view.reader.mark(on);
    this.list.repaint();
    this.view.update();
  }

  /** Deletes texts; they leave the list immediately, and Undo restores them. */
  async delete(ids) {
    const asking = this.view.asking;
    const meant = new Set(ids);
    const taken = this.list.take(ids);
    if (meant.has(this.opened)) this.close();
    this.view.all -= ids.length;
    this.select([...this.selected].filter((id) => !meant.has(id)));
    const { failed, reason } = await store.each(ids, store.remove);
    const stay = new Set(failed);
    const gone = ids.filter((id) => !stay.has(id));
    if (failed.length) this.back(taken.filter((item) => stay.has(item.id)), failed.length, asking);
    if (reason) this.error(reason);
    if (gone.length) this.notice(store.counted("history.deleted", gone.length), () => this.undo(gone, taken, asking));
  }

  async undo(ids, taken, asking) {
    const { failed, reason } = await store.each(ids, store.restore);
    if (reason) this.error(reason);
    const back = new Set(ids);
    for (const id of failed) back.delete(id);
    this.back(taken.filter((item) => back.has(item.id)), back.size, asking);
  }

  /** Puts entries back into the list, or reloads the list if its filters have changed since. */
  back(items, count, asking) {
    this.view.all += count;
    if (asking !== this.view.asking || items.length < count) return this.view.load();
    this.list.put(items);
    this.view.update();
  }

  async deleteAll() {
    const [items, total, all] = [this.list.items, this.list.total, this.view.all];
    if (this.opened) this.close();
    this.select([]);
    try {
      this.view.all = 0;
      this.list.set([], 0, true);
      this.view.update();
      const { deleted } = await store.removeAll();
      this.lost = deleted;
      this.notice(store.counted("history.deleted", deleted), () => this.undoAll());
    } catch (error) {
      this.view.all = all;
      this.list.set(items, total, true);
      this.error(error.message);
    }
    this.view.load(true);
  }

  async undoAll() {
    try {
      await store.restoreAll();
      this.lost = 0;
    } catch (error) {
      this.error(error.message);
    }
    this.view.load(true);
  }

  notice(sentence, undo) {
    this.send("tdw:notice", { sentence, undo });
  }

  error(sentence) {
    this.send("tdw:error", { sentence });
  }

  send(name, detail) {
    this.view.dispatchEvent(new CustomEvent(name, { bubbles: true, detail }));
  }
}
