// The picture of one cell: a square of pixels for each cell word, drawn once and then copied. No antialiasing.
import { CAP, glyph, lowered } from "./glyphs.js";

const LETTER_FROM = 11; // px: the smallest square that holds a letter and an edge
const LETTER_ON_CROSS_FROM = 22; // px: the smallest square where a letter can be read on a cross
export const NUMBER_FROM = 26; // px: the smallest square that holds a number beside its letter
export const CORNER_FROM = 8; // px: the smallest square in whose corner a triangle can be seen
export const cornerInset = (side) => (side < 40 ? 4 : 5); // px between a cell's square and what stands in its corners
export const cornerScale = (side) => Math.max(1, Math.floor(side / 29)); // how many times larger than 12 px that is at most
const THICK_FROM = 13; // px: the smallest square in which a thick edge leaves room for a letter that does not touch it

export class Sprites {
  /** `reader`: CellReader; `colours`: of pixelsOf; `side`: px; `numbered`: a number stands above each letter. */
  constructor(reader, colours, side, numbered) {
    Object.assign(this, { reader, colours, side, numbered });
    this.drawn = new Map(); // cell word -> its pixels
  }

  /** The pixels of a cell word: Uint32Array of side * side, row by row. */
  of(word) {
    let sprite = this.drawn.get(word);
    if (!sprite) this.drawn.set(word, (sprite = this.draw(word)));
    return sprite;
  }

  draw(word) {
    const { side, reader, colours } = this;
    const code = reader.fillOf(word);
    const sprite = new Uint32Array(side * side).fill(colours.fill[code]);
    if (code === reader.blank) return sprite;
    if (code === reader.absent) {
      this.drawHatch(sprite);
      return sprite;
    }
    this.drawEdges(sprite, word, code);
    const crossed = word & reader.crossed;
    if (crossed) this.drawCross(sprite, colours.ink[code]);
    const readable = side >= LETTER_FROM && !(crossed && side < LETTER_ON_CROSS_FROM);
    if (readable) this.drawLetter(sprite, reader.letterOf(word), code, crossed, word & reader.pinned);
    return sprite;
  }

  drawHatch(sprite) {
    const { side } = this;
    const step = side >= 8 ? 4 : 3;
    for (let k = 0; k < sprite.length; k++) if (((k % side) + Math.floor(k / side)) % step === 0) sprite[k] = this.colours.hatch;
  }

  /** The edge: thick on a pinned cell, thin on any other that is not free. */
  drawEdges(sprite, word, code) {
    const { side, reader, colours } = this;
    // A changed cell wears a line of ground inside its outline, so that it does not resemble a pinned one.
    const inset = word & reader.changed && side >= 10 ? (side >= 24 ? 2 : 1) : 0;
    if (inset) this.drawFrame(sprite, 0, inset, colours.ground);
    if (word & reader.pinned) this.drawFrame(sprite, inset, this.thickness(), colours.text);
    else if (code !== reader.free && side >= 6) this.drawFrame(sprite, inset, side >= 30 ? 2 : 1, colours.edge[code]);
  }

  /** Pixels of a thick edge. */
  thickness() {
    return this.side >= 24 ? 3 : this.side >= THICK_FROM ? 2 : 1;
  }

  /** A frame `thick` px wide that begins `inset` px inside the square. */
  drawFrame(sprite, inset, thick, colour) {
    const { side } = this;
    for (let k = 0; k < sprite.length; k++) {
      const x = k % side, y = Math.floor(k / side);
      const depth = Math.min(x, y, side - 1 - x, side - 1 - y);
      if (depth >= inset && depth < inset + thick) sprite[k] = colour;
    }
  }

  drawCross(sprite, colour) {
    const { side } = this;
    const thick = side >= 22 ? 2 : side >= 8 ? 1 : 0;
    for (let k = 0; k < sprite.length; k++) {
      const x = k % side, y = Math.floor(k / side);
      if (Math.abs(x - y) <= thick || Math.abs(side - 1 - x - y) <= thick) sprite[k] = colour;
    }
  }

  /**
   * The letter in the middle, or below where a number stands above it; `plate`: on a plate of the cell's own colour. Inside a
   * thick edge it is made so low that a pixel of ground remains: the bar of a T that touches the edge would vanish in it.
   */
  drawLetter(sprite, letter, code, plate, thick) {
    if (letter === " ") return;
    const { side, numbered, colours } = this;
    const below = Math.max(4, side >> 3), room = side - below - cornerInset(side) - CAP * cornerScale(side) - 1;
    const scale = Math.max(1, Math.floor(numbered ? room / CAP : (side - 2) / 10));
    const most = thick ? side - 2 * this.thickness() - 2 : side;
    const g = lowered(glyph(letter === "." ? "·" : letter, scale, letter !== "."), CAP * scale, most);
    const tall = g.cap, left = (side - g.w) >> 1;
    const top = numbered ? side - tall - below : (side - tall) >> 1;
    if (plate) {
      for (let y = top - 2; y < top + tall + 2; y++) sprite.fill(colours.fill[code], y * side + left - 2, y * side + left + g.w + 2);
    }
    for (let y = 0; y < tall; y++) {
      for (let x = 0; x < g.w; x++) if (g.bits[y * g.w + x]) sprite[(top + y) * side + left + x] = colours.ink[code];
    }
  }
}
