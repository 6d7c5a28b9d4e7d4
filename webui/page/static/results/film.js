// @ts-check
// The film of a run: an animated GIF with the page's fonts, colours and line breaks.

import { SHADES, ruler } from "../canvas/board.js";
import { Gif } from "./gif.js";
import { cellsOf, positions, settle } from "../canvas/lines.js";
import { element } from "../base/parts.js";

const MARGIN = 28; // px around the text
const FRAMES = 160; // of longer runs, steps are skipped
const WHOLE = 6000; // ms from the first step to the last ...
const QUICKEST = 4; // ... but at least and at most this long per frame, in hundredths of a second
const SLOWEST = 40;
const FIRST = 60;
const LAST = 200; // the finished text, before the film repeats

/** The GIF of a run as a Blob, set like the text in `place`. `progress` is called with the share done, 0 to 1. */
export async function film(run, place, progress = (/** @type {number} */ _done) => {}) {
  const look = styleOf(place);
  const stride = Math.max(1, Math.ceil(run.steps / FRAMES));
  const steps = [];
  for (let step = 0; step < run.steps; step += stride) steps.push(step);
  steps.push(run.steps);
  const frames = layout(run, steps, look);
  const width = Math.ceil(look.width + 2 * MARGIN);
  const height = Math.ceil(Math.max(...frames.map((frame) => frame.lines)) * look.line + 2 * MARGIN);
  const canvas = Object.assign(element("canvas"), { width, height });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const palette = paletteOf(look, pen);
  const gif = new Gif(width, height, palette);
  const nearest = finder(palette);
  const pace = Math.min(SLOWEST, Math.max(QUICKEST, Math.round(WHOLE / 10 / Math.max(frames.length, 1))));
  for (const [index, frame] of frames.entries()) {
    draw(pen, frame, look);
    const pixels = new Uint32Array(pen.getImageData(0, 0, width, height).data.buffer);
    gif.frame(Uint8Array.from(pixels, nearest), index === 0 ? FIRST : index === frames.length - 1 ? LAST : pace);
    if (index % 4) continue;
    progress(index / frames.length);
    await new Promise((go) => setTimeout(go)); // lets the page react
  }
  return gif.file();
}

/** Fonts, measures and colours of a text on the page. */
function styleOf(place) {
  const style = getComputedStyle(place);
  const probe = element("span", "");
  place.append(probe);
  const colour = (value) => ((probe.style.color = value), getComputedStyle(probe).color);
  const look = {
    width: place.clientWidth || 680, // a hidden text has none
    size: Number.parseFloat(style.fontSize),
    line: Number.parseFloat(style.lineHeight) || 1.62 * Number.parseFloat(style.fontSize),
    font: `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`,
    shades: Array.from({ length: SHADES }, (_, level) => colour(`var(--confidence-${level})`)),
    ...Object.fromEntries(["paper", "ink", "mask", "accent", "accent-soft", "flash"].map((name) => [name, colour(`var(--${name})`)])),
  };
  probe.remove();
  return look;
}

/** Every frame with line breaks as on the page; the last is the finished text alone. */
function layout(run, steps, look) {
  const measure = ruler(look.font);
  let [starts, before] = [null, -1];
  const frames = steps.map((step) => {
    const known = run.at(step);
    const cells = cellsOf(known, measure, look.size);
    const flow = settle(cells, look.width - 2, starts);
    starts = flow.starts;
    const places = positions(cells, flow);
    const fresh = known.map(([text, , at]) => step > 0 && at > before && at <= step && text !== null);
    const remasked = known.map(([text, , at]) => text === null && at > before && at > 0);
    before = step;
    return { known, places, widths: flow.widths, lines: flow.lines, fresh, remasked, end: run.end };
  });
  const last = frames.at(-1);
  return [...frames, { ...last, known: last.known.slice(0, run.end), fresh: [], remasked: [], done: true }];
}

function draw(pen, frame, look) {
  pen.fillStyle = look.paper;
  pen.fillRect(0, 0, pen.canvas.width, pen.canvas.height);
  pen.font = look.font;
  pen.textBaseline = "alphabetic";
  pen.direction = "ltr";
  frame.known.forEach(([text, confidence], column) => {
    const { x, line } = frame.places[column];
    const [left, base] = [MARGIN + x, MARGIN + (line + 0.5) * look.line + 0.32 * look.size];
    pen.globalAlpha = column >= frame.end ? 0.3 : 1;
    if (text === null) {
      if (frame.done) return;
      pen.fillStyle = frame.remasked[column] ? look.flash : look.mask;
      pen.beginPath();
      pen.roundRect(left, base - 0.58 * look.size, frame.widths.get(column), 0.5 * look.size, 0.25 * look.size);
      pen.fill();
      return;
    }
    const word = text.trim();
    if (!word) return;
    if (frame.fresh[column]) {
      pen.fillStyle = look["accent-soft"];
      pen.beginPath();
      pen.roundRect(left - 3, base - 0.98 * look.size, pen.measureText(word).width + 6, 1.36 * look.size, 5);
      pen.fill();
    }
    const shade = confidence === null || frame.done ? look.ink : look.shades[Math.min(SHADES - 1, Math.floor(confidence * SHADES))];
    pen.fillStyle = frame.fresh[column] ? look.accent : shade;
    pen.fillText(word, left, base);
  });
  pen.globalAlpha = 1;
}

/** The colours of a frame: every ink on its background, and their blends at smooth edges. */
function paletteOf(look, pen) {
  const solid = (colour) => {
    pen.fillStyle = look.paper;
    pen.fillRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const [paper, soft] = [solid(look.paper), solid(look["accent-soft"])];
  const found = new Map();
  const blend = (from, to, count) => {
    for (let i = 0; i <= count; i++) {
      const mixed = from.map((value, channel) => Math.round(value + ((to[channel] - value) * i) / count));
      found.set(mixed.join(), mixed);
    }
  };
  for (const colour of [...look.shades, look.ink, look.accent]) blend(paper, solid(colour), 16);
  blend(soft, solid(look.accent), 16);
  blend(paper, soft, 5);
  for (const colour of [look.mask, look.flash]) blend(paper, solid(colour), 5);
  return [...found.values()].slice(0, 256);
}

/** A function from a pixel (ABGR) to the index of the palette's nearest colour, cached. */
function finder(palette) {
  const seen = new Map();
  return (pixel) => {
    let index = seen.get(pixel);
    if (index === undefined) {
      const [r, g, b] = [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255];
      let least = Infinity;
      palette.forEach((one, i) => {
        const far = (one[0] - r) ** 2 + (one[1] - g) ** 2 + (one[2] - b) ** 2;
        if (far < least) [least, index] = [far, i];
      });
      seen.set(pixel, index);
    }
    return index;
  };
}
