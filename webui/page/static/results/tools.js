// @ts-check
// Below a finished text: its views, actions, cost and parameters.

import { resultActions } from "./actions.js";
import { KEPT, panel } from "./alternatives.js";
import { choose } from "./compare.js";
import { film } from "./film.js";
import { Heat } from "./heat.js";
import { rendered } from "../base/markdown.js";
import { button, choice, copied, download, element, menu, parameters, send } from "../base/parts.js";
import { Player } from "./replay.js";
import { Run, withTrace } from "./run.js";
import { formatNumber, say } from "../base/strings.js";

export class Tools {
  constructor(row) {
    this.row = row;
    this.result = row.result;
    this.views = choice(say("canvas.views"), ["text", "markdown", "tokens", "heat"].map((name) => [name, say(`canvas.view.${name}`)]), (name) => this.view(name));
    this.below = element("div", "row-below"); // legends and the player
    row.node.append(this.below);
    const details = element("details", "", element("summary", "", say("canvas.parameters"), element("span", "row-cost", cost(this.result))));
    details.firstChild.addEventListener("click", () => details.children[1] ?? details.append(parameters(this.result)), { once: true });
    this.node = element("footer", "row-tools", this.views, this.actions(), details);
  }

  actions() {
    const copy = button(say("canvas.copy"), async () => {
      await copied(this.result.text);
      copy.textContent = say("canvas.copied");
      setTimeout(() => (copy.textContent = say("canvas.copy")), 1500);
    });
    const use = button(say("canvas.use"), () => this.use(true));
    use.title = say("canvas.use.title");
    this.replayer = button(say("canvas.replay"), () => (this.player ? this.view("text") : this.replay()));
    return element("span", "row-actions", copy, this.replayer, use, menu(say("canvas.more"), () => this.more()));
  }

  more() {
    const targets = window.tdw?.targets?.() ?? [];
    const entry = ({ field, label }) => [say("canvas.send", { label }), () => send(this.row.node, "write", { field, text: this.result.text.trim() })];
    return [
      [say("canvas.vary"), () => this.use(true, true)],
      [say("canvas.reseed"), () => this.use(false)],
      [say("canvas.compare"), () => choose(this.result, this.row.node)],
      ...resultActions(asked(this.result), this.result),
      ...(targets.length ? [null, ...targets.map(entry)] : []),
      null,
      [say("canvas.save.text"), () => download(`${named(this.result)}.txt`, "text/plain;charset=utf-8", this.result.text)],
      [say("canvas.save.json"), () => this.save()],
      [say("canvas.save.gif"), () => this.film()],
    ];
  }

  /** Puts the request into the controls; `vary`: and focuses the first of them. */
  use(keepSeed, vary = false) {
    send(this.row.node, "use", { request: asked(this.result), keepSeed });
    if (!vary) return;
    const control = [...document.querySelectorAll("#parameters input")].find((one) => one.offsetParent);
    control?.scrollIntoView({ block: "center" });
    control?.focus();
  }

  async save() {
    const result = await withTrace(this.result);
    download(`${named(result)}.json`, "application/json", JSON.stringify(result, null, 2));
  }

  async film() {
    const { board } = this.row;
    const run = new Run(await withTrace(this.result), board.known);
    const place = [board.node, this.row.final].find((node) => node.clientWidth) ?? board.node;
    const status = element("span", "row-busy", say("canvas.gif.making"));
    status.setAttribute("role", "status");
    this.below.append(status);
    try {
      const file = await film(run, place, (done) => (status.textContent = say("canvas.gif.making.done", { percent: Math.round(100 * done) })));
      download(`${named(this.result)}.gif`, "image/gif", file);
      status.remove();
    } catch {
      status.textContent = say("canvas.gif.failed");
    }
  }

  /** Shows a view of the text: "text", "markdown", "tokens" or "heat". */
  async view(name) {
    const { board, final } = this.row;
    this.leave();
    this.row.node.dataset.view = this.views.value = name;
    const tokens = name === "tokens" || name === "heat";
    final.hidden = name !== "text";
    board.node.hidden = !tokens;
    if (tokens) {
      board.pick = (column) => void this.pick(column);
      board.natural();
      board.show(this.last());
      board.known.forEach((_, column) => board.paint(column, false));
    }
    if (name === "heat") {
      this.heat = new Heat(board, new Run(this.result, board.known));
      this.below.append(this.heat.node);
    } else if (name === "markdown") await this.markdown();
  }

  async markdown() {
    const node = (this.marked = element("div", "text markdown"));
    this.row.place.append(node);
    try {
      node.append(await rendered(this.result.text));
    } catch {
      node.append(element("p", "row-error", say("canvas.markdown.failed")));
    }
  }

  /** The final tokens by position; the live canvas knows them even if nothing is saved. */
  last() {
    this.run ??= new Run(this.result, this.row.board.known);
    return this.run.at(this.run.steps);
  }

  /** Shows below the text what else was likely at a position. */
  async pick(column) {
    const known = this.row.board.known[column];
    if (!known || known[0] === null) return;
    this.result = await withTrace(this.result);
    const again = () => send(this.row.node, "generate", { request: { ...asked(this.result), alternatives: KEPT, count: 1 } });
    const close = () => {
      this.around?.remove();
      this.row.board.node.focus();
    };
    this.around?.remove();
    this.around = panel(this.result, column, known, again, close);
    this.around.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      close();
    });
    this.below.append(this.around);
  }

  leave() {
    this.player?.stop();
    this.heat?.leave();
    this.marked?.remove();
    this.player = this.heat = this.marked = null;
    this.below.replaceChildren();
    this.replayer.textContent = say("canvas.replay");
    this.row.board.node.hidden = true;
    this.row.board.pick = null;
  }

  async replay() {
    this.last(); // before the board shows anything else
    this.replayer.textContent = say("canvas.stop");
    this.result = await withTrace(this.result);
    this.run = new Run(this.result, this.run.at(this.run.steps));
    this.leave();
    this.row.node.dataset.view = "replay";
    this.views.value = null;
    this.replayer.textContent = say("canvas.stop");
    this.row.final.hidden = true;
    this.row.board.node.hidden = false;
    this.row.board.pick = (column) => void this.pick(column);
    this.player = new Player(this.row.board, this.run);
    this.below.append(this.player.node);
    this.player.play();
  }
}

/** The request of a result as it was asked for: what the preset gave is left to the preset. */
function asked({ request, preset = [] }) {
  const copy = structuredClone(request);
  for (const path of preset) {
    const names = path.split(".");
    const last = names.pop();
    const inside = names.reduce((part, name) => part?.[name], copy);
    if (inside && last in inside) inside[last] = null;
  }
  return copy;
}

/** The name of a file saved from a result: checkpoint and seed. */
function named(result) {
  const checkpoint = (result.provenance?.checkpoint ?? "text").replace(/[^\w.-]+/g, "-");
  return `${checkpoint}-${result.request.seed}`;
}

/** Tokens, model calls and speed in one line. */
function cost({ statistics }) {
  const { forwards = 0, tokens = 0, seconds = 0 } = statistics ?? {};
  const parts = [say("canvas.cost.tokens", { tokens }), say("canvas.cost.calls", { forwards }), say("canvas.cost.each", { each: formatNumber(tokens / Math.max(forwards, 1), 1) })];
  if (seconds > 0) parts.push(say("canvas.cost.speed", { speed: formatNumber(tokens / seconds, tokens / seconds < 10 ? 1 : 0) }));
  return parts.join(" · ");
}
