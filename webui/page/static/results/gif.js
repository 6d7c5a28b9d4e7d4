// @ts-check
// A small writer of GIF89a files: one palette for all frames, each frame only the part that changed, repeated forever.

const LARGEST = 4096; // codes of GIF's LZW: 12 bits

export class Gif {
  /** `palette` is a list of [red, green, blue], at most 256. */
  constructor(width, height, palette) {
    this.bits = Math.max(2, Math.ceil(Math.log2(palette.length)));
    this.width = width;
    this.parts = [];
    this.last = null; // the indices of the previous frame
    this.text("GIF89a");
    this.words(width, height);
    this.bytes(0x80 | 0x70 | (this.bits - 1), 0, 0);
    for (let i = 0; i < 2 ** this.bits; i++) this.bytes(...(palette[i] ?? [0, 0, 0]));
    this.bytes(0x21, 0xff, 11);
    this.text("NETSCAPE2.0");
    this.bytes(3, 1, 0, 0, 0);
  }

  /** Adds a frame: a palette index per pixel, and its duration in hundredths of a second. */
  frame(indices, delay) {
    const box = this.changed(indices);
    const cut = new Uint8Array(box.width * box.height);
    for (let y = 0; y < box.height; y++) {
      const from = (box.y + y) * this.width + box.x;
      cut.set(indices.subarray(from, from + box.width), y * box.width);
    }
    this.bytes(0x21, 0xf9, 4, 4); // disposal: keep the previous frame
    this.words(delay);
    this.bytes(0, 0, 0x2c);
    this.words(box.x, box.y, box.width, box.height);
    this.bytes(0, this.bits);
    this.blocks(packed(cut, this.bits));
    this.last = indices;
  }

  /** The whole file. */
  file() {
    this.bytes(0x3b);
    return new Blob(this.parts, { type: "image/gif" });
  }

  /** The rectangle that differs from the previous frame; a single pixel if nothing does. */
  changed(indices) {
    const height = indices.length / this.width;
    if (!this.last) return { x: 0, y: 0, width: this.width, height };
    let [left, top, right, bottom] = [this.width, height, -1, -1];
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < this.width; x++, i++) {
        if (indices[i] === this.last[i]) continue;
        if (x < left) left = x;
        if (x > right) right = x;
        if (y < top) top = y;
        bottom = y;
      }
    }
    return right < 0 ? { x: 0, y: 0, width: 1, height: 1 } : { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
  }

  bytes(...values) {
    this.parts.push(new Uint8Array(values));
  }

  words(...values) {
    for (const value of values) this.bytes(value & 255, value >> 8);
  }

  text(letters) {
    this.bytes(...[...letters].map((letter) => letter.charCodeAt(0)));
  }

  blocks(data) {
    for (let at = 0; at < data.length; at += 255) {
      const block = data.subarray(at, at + 255);
      this.bytes(block.length);
      this.parts.push(block);
    }
    this.bytes(0);
  }
}

/** LZW as in GIF: codes grow from `bits` + 1 to 12 bits, then the table starts anew. */
function packed(pixels, bits) {
  const clear = 2 ** bits;
  const table = new Uint16Array(LARGEST << bits); // code and next pixel -> code; 0 is none
  const out = new Writer(pixels.length);
  let [size, next] = [bits + 1, clear + 2];
  out.write(clear, size);
  let code = pixels[0];
  for (let i = 1; i < pixels.length; i++) {
    const key = (code << bits) | pixels[i];
    if (table[key]) {
      code = table[key];
      continue;
    }
    out.write(code, size);
    if (next < LARGEST) {
      if (next === 2 ** size) size += 1;
      table[key] = next++;
    } else {
      out.write(clear, size);
      table.fill(0);
      [size, next] = [bits + 1, clear + 2];
    }
    code = pixels[i];
  }
  out.write(code, size);
  if (next === 2 ** size && size < 12) size += 1; // the decoder has added the previous code
  out.write(clear + 1, size);
  return out.done();
}

/** Writes bits, lowest first. */
class Writer {
  constructor(guess) {
    this.data = new Uint8Array(guess + 64);
    this.at = 0; // bytes written
    this.held = 0; // bits that are not a whole byte yet ...
    this.count = 0; // ... and how many
  }

  write(code, size) {
    this.held |= code << this.count;
    this.count += size;
    for (; this.count >= 8; this.count -= 8, this.held >>>= 8) this.put(this.held & 255);
  }

  put(byte) {
    if (this.at === this.data.length) {
      const more = new Uint8Array(2 * this.at);
      more.set(this.data);
      this.data = more;
    }
    this.data[this.at++] = byte;
  }

  done() {
    if (this.count) this.put(this.held & 255);
    return this.data.subarray(0, this.at);
  }
}
