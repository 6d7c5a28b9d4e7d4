// @ts-check
// The player: replays the run of a text on its board, with play and pause, a slider for the step, and speed.

import { button, element } from "../base/parts.js";
import { say } from "../base/strings.js";

const WHOLE = 4000; // ms of a run at speed 1 ...
const FASTEST = 30; // ... but at least and at most this long per step
const SLOWEST = 400;
const SPEEDS = [0.25, 0.5, 1, 2, 4];

export class Player {
  /** Replays `run` on `board`. */
  constructor(board, run) {
    this.board = board;
    this.run = run;
    this.step = 0;
    this.speed = 1;
    this.timer = 0;
    this.placed = false; // whether it has been in the page
    this.toggle = button("", () => (this.timer ? this.pause() : this.play()));
    this.toggle.className = "play";
    this.scrub = element("input", "scrub");
    Object.assign(this.scrub, { type: "range", min: "0", max: String(run.steps), step: "1", value: "0" });
    this.scrub.setAttribute("aria-label", say("canvas.replay.step"));
    this.scrub.addEventListener("input", () => {
      const step = Number(this.scrub.value); // `pause` resets it
      this.pause();
      this.seek(step);
    });
    this.pace = element("select", "pace", ...SPEEDS.map((speed) => new Option(`${speed}×`, String(speed), speed === 1, speed === 1)));
    this.pace.setAttribute("aria-label", say("canvas.replay.speed"));
    this.pace.addEventListener("change", () => (this.speed = Number(this.pace.value)));
    this.count = element("output", "step");
    this.node = element("div", "player", this.toggle, this.scrub, this.count, this.pace);
    this.node.setAttribute("role", "group");
    this.node.setAttribute("aria-label", say("canvas.replay"));
    board.steady();
    board.show(run.at(run.steps)); // reserves the lines of the finished text
    this.rewind();
  }

  play() {
    if (this.step >= this.run.steps) this.rewind();
    const wait = Math.min(SLOWEST, Math.max(FASTEST, WHOLE / Math.max(this.run.steps, 1))) / this.speed;
    this.timer = setTimeout(() => {
      if (!this.node.isConnected && this.placed) return this.stop();
      this.placed ||= this.node.isConnected;
      this.seek(this.step + 1);
      if (this.step >= this.run.steps) this.pause();
      else this.play();
    }, wait);
    this.show();
  }

  pause() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.show();
  }

  rewind() {
    this.board.starts = null;
    this.seek(0);
  }

  /** Shows the board after a step; the changes of that step are highlighted. */
  seek(step) {
    const forward = step === this.step + 1;
    this.step = Math.max(0, Math.min(step, this.run.steps));
    this.board.show(this.run.at(this.step), forward);
    this.show();
  }

  stop() {
    this.pause();
    this.board.natural();
  }

  show() {
    const playing = Boolean(this.timer);
    this.toggle.setAttribute("aria-label", say(playing ? "canvas.replay.pause" : "canvas.replay.play"));
    this.toggle.dataset.playing = String(playing);
    this.scrub.value = String(this.step);
    this.scrub.style.setProperty("--at", `${(100 * this.step) / Math.max(this.run.steps, 1)}%`);
    this.count.textContent = say("canvas.replay.at", { step: this.step, steps: this.run.steps });
    this.scrub.setAttribute("aria-valuetext", this.count.textContent);
  }
}
