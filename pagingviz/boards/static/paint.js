// Paints one board into its canvas: whole pixels, no antialiasing, only the cells that changed. The cell word is that of
// pagingviz/boards/palette.py: fill code (bits 0-6), letter (7-12), pinned (13), crossed (14), changed (15).
import { CAP, LINE, glyph, textWidth } from "./glyphs.js";

export const LETTERS = " .RWDdTOS?4321mlfoPEFrws+GAXev"; // index = position; equal to palette.LETTERS (a test compares them)
export const PINNED = 1 << 13, CROSSED = 1 << 14, CHANGED = 1 << 15;
export const fillOf = (word) => word & 0x7f;
export const letterOf = (word) => LETTERS[(word >> 7) & 0x3f] ?? "?";
const ABSENT = 0, FREE = 1, BLANK = 10;
const LETTER_FROM = 11; // smallest cell, without its gap, that holds a letter and an edge

/** Ground between two cells of a pitch, px. */
export const gapOf = (pitch) => (pitch < 3 ? 0 : pitch < 16 ? 1 : pitch < 34 ? 2 : 3);

/** Pixels left of the cells for the row labels at k times their size. */
export const gutterOf = (labels, k) =>
  labels.length ? Math.max(...labels.map(([, text]) => textWidth(text, k))) + 7 * k : 0;

const word32 = (hex) => (0xff000000 | (parseInt(hex.slice(5, 7), 16) << 16) | (parseInt(hex.slice(3, 5), 16) << 8) | parseInt(hex.slice(1, 3), 16)) >>> 0;

/** Pixels above the cells for the columns' heads at k times their size. */
export const crownOf = (heads, k) => (heads?.length ? LINE * k + 2 * k : 0);
const NUMBER_FROM = 26; // smallest cell that holds a number beside its letter

export class Painter {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false, willReadFrequently: true }); // kept in memory: we only put pixels
    this.cells = new Uint16Array(0);
    this.numbers = [];
  }

  /** The board's plan: {w, h, labels}. Cells start as padding until the first frame. */
  setPlan(plan) {
    this.plan = plan;
    this.cells = new Uint16Array(plan.w * plan.h).fill(BLANK);
    this.pitch = 0;
    this.numbers = [];
  }

  /** Small numbers in the corners of cells, 0 for none. */
  number(list = []) {
    if (String(list) === String(this.numbers)) return;
    this.numbers = list;
    if (this.pitch) this.repaint();
  }

  setPalette(wire) {
    const words = (list) => Uint32Array.from(list, (hex) => (hex ? word32(hex) : 0));
    this.fill = words(wire.fill);
    this.edge = words(wire.edge);
    this.ink = words(wire.ink);
    this.ground = word32(wire.ground);
    this.text = word32(wire.text);
    this.hatch = word32(wire.hatch);
    if (this.pitch) this.repaint();
  }

  /** Pixels a cell (with its gap), and how many times larger than 12 px the labels are. */
  setSize(pitch, labelScale) {
    if (pitch === this.pitch && labelScale === this.labelScale) return;
    this.pitch = pitch;
    this.labelScale = labelScale;
    this.gap = gapOf(pitch);
    this.side = pitch - this.gap;
    this.left = gutterOf(this.plan.labels, labelScale);
    this.top = crownOf(this.plan.heads, labelScale);
    this.width = this.left + this.plan.w * pitch + this.gap;
    this.height = this.top + this.plan.h * pitch + this.gap;
    this.canvas.width = this.width;
    this.canvas.height = this.height;
    this.canvas.style.width = `${this.width}px`;
    this.canvas.style.height = `${this.height}px`;
    this.image = new ImageData(this.width, this.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.repaint();
  }

  /** Everything from the cells as they are: after a new size or palette. */
  repaint() {
    this.sprites = new Map();
    this.ringed = new Set();
    this.pixels.fill(this.ground);
    this.paintLabels();
    this.paintHeads();
    for (let i = 0; i < this.cells.length; i++) {
      this.blit(i);
      if (this.cells[i] & CHANGED) this.ringed.add(i);
    }
    for (const i of this.ringed) this.ring(i, this.text);
    this.context.putImageData(this.image, 0, 0);
  }

  /** Show a frame's grid ({index, value} of payload.js). Returns the number of cells that changed. */
  show({ index, value }) {
    const { cells, ringed } = this;
    const repainted = [];
    for (let k = 0; k < value.length; k++) {
      const i = index ? index[k] : k;
      if (cells[i] === value[k]) continue;
      if (cells[i] & CHANGED && !(value[k] & CHANGED)) {
        this.ring(i, this.ground);
        ringed.delete(i);
      } else if (value[k] & CHANGED) ringed.add(i);
      cells[i] = value[k];
      repainted.push(i);
    }
    if (!repainted.length || !this.pitch) return repainted.length;
    let x0 = this.plan.w, x1 = 0, y0 = this.plan.h, y1 = 0;
    for (const i of repainted) {
      this.blit(i);
      const x = i % this.plan.w, y = (i - x) / this.plan.w;
      x0 = Math.min(x0, x), x1 = Math.max(x1, x), y0 = Math.min(y0, y), y1 = Math.max(y1, y);
    }
    for (const i of ringed) this.ring(i, this.text); // neighbours share their gap: a ring wiped next door is drawn again
    const { pitch, gap, left } = this;
    this.context.putImageData(this.image, 0, 0, left + x0 * pitch, this.top + y0 * pitch, (x1 - x0 + 1) * pitch + gap, (y1 - y0 + 1) * pitch + gap);
    return repainted.length;
  }

  /** Cell under a point of the canvas (CSS px), or -1. */
  cellAt(x, y) {
    const column = Math.floor((x - this.left) / this.pitch), row = Math.floor((y - this.top) / this.pitch);
    if (column < 0 || row < 0 || column >= this.plan.w || row >= this.plan.h) return -1;
    const i = row * this.plan.w + column;
    return fillOf(this.cells[i]) === BLANK ? -1 : i;
  }

  /** A cell's square with its gap all round: [x, y, side]. */
  boxOf(i) {
    const column = i % this.plan.w, row = (i - column) / this.plan.w;
    return [this.left + column * this.pitch, this.top + row * this.pitch, this.pitch + this.gap];
  }

  blit(i) {
    const { side, width, pixels } = this;
    const sprite = this.sprite(this.cells[i]);
    const [x, y] = this.boxOf(i);
    let to = (y + this.gap) * width + x + this.gap;
    for (let row = 0, from = 0; row < side; row++, to += width) {
      for (let k = 0; k < side; k++) pixels[to + k] = sprite[from++];
    }
    if (this.numbers[i] && side >= NUMBER_FROM) {
      const inset = this.gap + Math.max(4, side >> 4);
      this.write(String(this.numbers[i]), x + inset, y + inset, this.ink[fillOf(this.cells[i])], Math.max(1, Math.floor(side / 30)));
    }
  }

  /** Text at k times its size with its left upper corner at (x, y). */
  write(text, x, y, colour, k) {
    for (const character of text) {
      const g = glyph(character, k);
      for (let gy = 0; gy < g.h && y + gy < this.height; gy++) {
        for (let gx = 0; gx < g.w; gx++) if (g.bits[gy * g.w + gx]) this.pixels[(y + gy) * this.width + x + gx] = colour;
      }
      x += g.w + 2 * k;
    }
  }

  /** The heads in the middle of their columns. */
  paintHeads() {
    const k = this.labelScale;
    (this.plan.heads ?? []).forEach((text, column) => {
      const middle = this.left + column * this.pitch + (this.pitch >> 1);
      this.write(text, Math.max(0, middle - (textWidth(text, k) >> 1)), 0, this.text, k);
    });
  }

  /** The gap around a cell in one colour. */
  ring(i, colour) {
    const { width, pixels, gap } = this;
    const [x, y, size] = this.boxOf(i);
    for (let row = 0; row < size; row++) {
      const start = (y + row) * width + x;
      if (row < gap || row >= size - gap) pixels.fill(colour, start, start + size);
      else pixels.fill(colour, start, start + gap), pixels.fill(colour, start + size - gap, start + size);
    }
  }

  sprite(word) {
    let sprite = this.sprites.get(word);
    if (!sprite) this.sprites.set(word, (sprite = this.drawSprite(word)));
    return sprite;
  }

  drawSprite(word) {
    const { side } = this;
    const code = fillOf(word);
    const sprite = new Uint32Array(side * side).fill(this.fill[code]);
    if (code === BLANK) return sprite;
    if (code === ABSENT) {
      const step = side >= 8 ? 4 : 3;
      for (let k = 0; k < sprite.length; k++) if (((k % side) + Math.floor(k / side)) % step === 0) sprite[k] = this.hatch;
      return sprite;
    }
    const frame = (inset, thick, colour) => {
      for (let k = 0; k < sprite.length; k++) {
        const depth = Math.min(k % side, Math.floor(k / side), side - 1 - (k % side), side - 1 - Math.floor(k / side));
        if (depth >= inset && depth < inset + thick) sprite[k] = colour;
      }
    };
    // A changed cell wears a line of ground inside its outline, so that it does not look like a pinned one.
    const inset = word & CHANGED && side >= 10 ? (side >= 24 ? 2 : 1) : 0;
    if (inset) frame(0, inset, this.ground);
    if (word & PINNED) frame(inset, side >= 24 ? 3 : side >= 10 ? 2 : 1, this.text);
    else if (code !== FREE && side >= 6) frame(inset, side >= 30 ? 2 : 1, this.edge[code]);
    const crossed = word & CROSSED;
    if (crossed) this.drawCross(sprite, this.ink[code]);
    if (side >= LETTER_FROM && !(crossed && side < 22)) this.drawLetter(sprite, letterOf(word), code, crossed);
    return sprite;
  }

  drawCross(sprite, colour) {
    const { side } = this;
    const thick = side >= 22 ? 2 : side >= 8 ? 1 : 0;
    for (let k = 0; k < sprite.length; k++) {
      const x = k % side, y = Math.floor(k / side);
      if (Math.abs(x - y) <= thick || Math.abs(side - 1 - x - y) <= thick) sprite[k] = colour;
    }
  }

  drawLetter(sprite, letter, code, plate) {
    if (letter === " ") return;
    const { side } = this;
    const numbered = this.numbers.length && side >= NUMBER_FROM; // a number stands above it
    const k = Math.max(1, Math.floor((side - 2) / (numbered ? 20 : 10)));
    const g = glyph(letter === "." ? "·" : letter, k, letter !== ".");
    const left = (side - g.w) >> 1, top = numbered ? side - CAP * k - Math.max(4, side >> 3) : (side - CAP * k) >> 1;
    if (plate) {
      for (let y = top - 2; y < top + CAP * k + 2; y++) sprite.fill(this.fill[code], y * side + left - 2, y * side + left + g.w + 2);
    }
    for (let y = 0; y < CAP * k; y++) {
      for (let x = 0; x < g.w; x++) if (g.bits[y * g.w + x]) sprite[(top + y) * side + left + x] = this.ink[code];
    }
  }

  paintLabels() {
    const k = this.labelScale;
    let free = -LINE; // labels never overlap: one that would is left out
    for (const [row, text] of this.plan.labels) {
      const top = Math.min(this.top + row * this.pitch + this.gap + Math.max(0, (this.side - CAP * k) >> 1), this.height - CAP * k);
      if (top < free) continue;
      free = top + LINE * k;
      this.write(text, 0, top, this.text, k);
    }
  }
}
