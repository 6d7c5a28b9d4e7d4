// @ts-check
// A thumbnail of a row: one <canvas> with a bar for every position, so that a job of 256 texts can be watched.

import { SHADES } from "./board.js";
import { barWidth } from "./lines.js";
import { button, element } from "../base/parts.js";

const WIDTH = 150; // px
const LINE = 7; // px from line to line
const UNIT = 9; // px a position takes on average

export class Thumb {
  constructor(label, name, press) {
    this.known = [];
    this.canvas = element("canvas");
    this.node = button("", press);
    this.node.className = "thumb";
    this.node.append(this.canvas, element("span", "thumb-label", label));
    this.node.setAttribute("aria-label", name ? `${label}: ${name}` : label);
    this.node.setAttribute("aria-expanded", "false");
  }

  get masked() {
    return this.known.filter(([text]) => text === null).length;
  }

  resize(length) {
    while (this.known.length < length) this.known.push([null, null, 0]);
  }

  put(column, now, fresh) {
    this.known[column] = now;
    if (fresh) this.fresh.add(column);
  }

  unhighlight() {
    this.fresh = new Set();
  }

  /** Paints once before the next frame, however many changes arrive until then. */
  settle() {
    this.waiting ||= requestAnimationFrame(() => {
      this.waiting = 0;
      this.paint();
    });
  }

  paint() {
    const style = getComputedStyle(this.node);
    const colour = (name) => style.getPropertyValue(name).trim();
    const [mask, faint, ink, accent] = [colour("--mask"), colour("--ink-faint"), colour("--ink"), colour("--accent")];
    const bars = this.bars();
    const scale = devicePixelRatio || 1;
    const height = Math.max(this.height ?? 0, (bars.at(-1)?.line ?? 0) * LINE + LINE); // so that nothing below moves
    if (this.height !== height) {
      this.height = height;
      Object.assign(this.canvas, { width: WIDTH * scale, height: height * scale });
      Object.assign(this.canvas.style, { aspectRatio: `${WIDTH} / ${height}` });
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, WIDTH, height);
    for (const { column, x, line, width } of bars) {
      const [text, confidence] = this.known[column];
      const likely = confidence === null || confidence * SHADES >= SHADES / 2;
      pen.fillStyle = text === null ? mask : this.fresh?.has(column) ? accent : likely ? ink : faint;
      pen.globalAlpha = text === null ? 1 : 0.8;
      pen.fillRect(x, line * LINE + 1, Math.max(width - 2, 1), text === null ? 3 : 4);
    }
  }

  bars() {
    const bars = [];
    let [x, line] = [0, 0];
    this.known.forEach(([text], column) => {
      const width = text === null ? barWidth(column) * UNIT : text.trim().length * 1.9 + (text.trim() && 2);
      if (x + width > WIDTH) [x, line] = [0, line + 1];
      if (width) bars.push({ column, x, line, width: Math.min(width, WIDTH) });
      x += width;
      if (text?.includes("\n")) [x, line] = [0, line + 1];
    });
    return bars;
  }
}
