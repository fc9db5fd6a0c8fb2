// Paints one board into its canvas: whole pixels, no antialiasing, and of a new frame only the cells that have changed.
import { pixelsOf } from "./colours.js";
import { Geometry } from "./geometry.js";
import { CAP, LINE, glyph, textWidth } from "./glyphs.js";
import { CORNER_FROM, NUMBER_FROM, Sprites, cornerInset, cornerScale } from "./sprites.js";

const isEmpty = (corners) => !Object.keys(corners).length;

export class Painter {
  /** `reader`: CellReader. */
  constructor(canvas, reader) {
    this.canvas = canvas;
    this.reader = reader;
    this.context = canvas.getContext("2d", { alpha: false, willReadFrequently: true }); // in memory, not on the GPU: we only put pixels
    this.cells = new Uint16Array(0);
    this.corners = {};
    this.geometry = null; // until there is a size
  }

  /** The board of the header: {w, h, labels, heads}. Its cells are blank until the first frame. */
  setBoard(board) {
    this.board = board;
    this.cells = new Uint16Array(board.w * board.h).fill(this.reader.blank);
    this.geometry = null;
    this.corners = {};
  }

  /** Small texts in the upper corners of cells, {cell: text}: in the left one, and what stands after a space in the right. */
  setCorners(corners = {}) {
    const before = this.corners;
    this.corners = corners;
    if (!this.geometry) return;
    if (isEmpty(before) !== isEmpty(corners)) this.repaint(); // letters stand lower beside something in a corner
    else this.repaintCells(Object.keys({ ...before, ...corners }).filter((i) => before[i] !== corners[i]).map(Number));
  }

  setPalette(palette) {
    this.colours = pixelsOf(palette);
    if (this.geometry) this.repaint();
  }

  /** Pixels a cell (with its gap), and how many times larger than 12 px the labels are. */
  setSize(pitch, labelScale) {
    if (pitch === this.geometry?.pitch && labelScale === this.geometry.labelScale) return;
    this.geometry = new Geometry(this.board, pitch, labelScale);
    const { width, height } = this.geometry;
    this.canvas.width = width;
    this.canvas.height = height;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    this.image = new ImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.repaint();
  }

  /** Everything from the cells as they are: after a new size or palette, or with the first text in a corner. */
  repaint() {
    const { side } = this.geometry;
    this.sprites = new Sprites(this.reader, this.colours, side, !isEmpty(this.corners) && side >= NUMBER_FROM);
    this.outlined = new Set(); // cells with the flag `changed`
    this.pixels.fill(this.colours.ground);
    this.paintLabels();
    this.paintHeads();
    for (let i = 0; i < this.cells.length; i++) {
      this.paintCell(i);
      if (this.cells[i] & this.reader.changed) this.outlined.add(i);
    }
    for (const i of this.outlined) this.paintOutline(i, this.colours.text);
    this.context.putImageData(this.image, 0, 0);
  }

  /** Show a frame's grid ({index, value} of payload.js). */
  show({ index, value }) {
    const { cells, geometry, outlined, reader: { changed } } = this;
    if (!geometry) { // the first size paints everything
      for (let k = 0; k < value.length; k++) cells[index ? index[k] : k] = value[k];
      return;
    }
    const repainted = [];
    for (let k = 0; k < value.length; k++) {
      const i = index ? index[k] : k;
      if (cells[i] === value[k]) continue;
      if (cells[i] & changed && !(value[k] & changed)) {
        this.paintOutline(i, this.colours.ground);
        outlined.delete(i);
      } else if (value[k] & changed) outlined.add(i);
      cells[i] = value[k];
      repainted.push(i);
    }
    this.repaintCells(repainted);
  }

  repaintCells(cells) {
    if (!cells.length) return;
    for (const i of cells) this.paintCell(i);
    // Neighbours share the gap between them: an outline wiped next door is drawn again.
    for (const i of this.outlined) this.paintOutline(i, this.colours.text);
    this.context.putImageData(this.image, 0, 0, ...this.geometry.around(cells));
  }

  /** Index of the cell under a point of the canvas (CSS px), or -1: none, or one that only fills up the rectangle. */
  cellAt(x, y) {
    const i = this.geometry ? this.geometry.cellAt(x, y) : -1;
    return this.isCell(i) ? i : -1;
  }

  /** Is there a cell of this index, and not one that only fills up the rectangle? */
  isCell(i) {
    return i in this.cells && this.reader.fillOf(this.cells[i]) !== this.reader.blank;
  }

  paintCell(i) {
    const { geometry: { side, gap, width }, pixels } = this;
    const sprite = this.sprites.of(this.cells[i]);
    const [x, y] = this.geometry.boxOf(i);
    let to = (y + gap) * width + x + gap;
    for (let row = 0, from = 0; row < side; row++, to += width) {
      for (let k = 0; k < side; k++) pixels[to + k] = sprite[from++];
    }
    if (this.corners[i]) this.paintCorners(this.corners[i], x + gap, y + gap, this.colours.ink[this.reader.fillOf(this.cells[i])]);
  }

  /** What stands in the corners of a cell whose square begins at (x, y); in a small cell a triangle says that something does. */
  paintCorners(text, x, y, ink) {
    const { side, width } = this.geometry, [left, right = ""] = text.split(" ");
    if (side < NUMBER_FROM) {
      const leg = side >= CORNER_FROM ? Math.max(3, side >> 2) : 0;
      for (let row = 0; row < leg; row++) {
        const start = (y + row) * width + x;
        if (left) this.pixels.fill(ink, start, start + leg - row);
        if (right) this.pixels.fill(ink, start + side - leg + row, start + side);
      }
      return;
    }
    const inset = cornerInset(side), fits = (scale) => textWidth(left + right, scale) <= side - 2 * inset;
    let scale = cornerScale(side);
    while (scale > 1 && !fits(scale)) scale -= 1;
    this.write(left, x + inset, y + inset, ink, scale);
    this.write(right, x + side - inset - textWidth(right, scale), y + inset, ink, scale);
  }

  /** The gap around a cell in one colour. */
  paintOutline(i, colour) {
    const { geometry: { width, gap }, pixels } = this;
    const [x, y, size] = this.geometry.boxOf(i);
    for (let row = 0; row < size; row++) {
      const start = (y + row) * width + x;
      if (row < gap || row >= size - gap) pixels.fill(colour, start, start + size);
      else pixels.fill(colour, start, start + gap), pixels.fill(colour, start + size - gap, start + size);
    }
  }

  /** Text at `scale` times its size with its left upper corner at (x, y). */
  write(text, x, y, colour, scale) {
    const { width, height } = this.geometry;
    for (const character of text) {
      const g = glyph(character, scale);
      for (let gy = 0; gy < g.h && y + gy < height; gy++) {
        for (let gx = 0; gx < g.w; gx++) if (g.bits[gy * g.w + gx]) this.pixels[(y + gy) * width + x + gx] = colour;
      }
      x += g.w + 2 * scale;
    }
  }

  /** The heads in the middle of their columns. */
  paintHeads() {
    const { left, pitch, labelScale } = this.geometry;
    (this.board.heads ?? []).forEach((text, column) => {
      const middle = left + column * pitch + (pitch >> 1);
      this.write(text, Math.max(0, middle - (textWidth(text, labelScale) >> 1)), 0, this.colours.text, labelScale);
    });
  }

  /** The labels beside their rows. They never overlap: one that would is left out. */
  paintLabels() {
    const { top, pitch, gap, side, height, labelScale } = this.geometry;
    const tall = CAP * labelScale;
    let free = -LINE; // the first row of pixels below the label before
    for (const [row, text] of this.board.labels) {
      const y = Math.min(top + row * pitch + gap + Math.max(0, (side - tall) >> 1), height - tall);
      if (y < free) continue;
      free = y + LINE * labelScale;
      this.write(text, 0, y, this.colours.text, labelScale);
    }
  }
}
