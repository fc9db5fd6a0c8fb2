// Where the cells of a board lie in its canvas, in whole pixels. A pitch is the side of a cell with the gap on one side of it.
import { LINE, textWidth } from "./glyphs.js";

/** Ground between two cells at a pitch, px. */
export const gapOf = (pitch) => (pitch < 3 ? 0 : pitch < 16 ? 1 : pitch < 34 ? 2 : 3);

/** Pixels left of the cells for the row labels, [[row, text], ...], at `scale` times their size. */
export const labelsWidth = (labels, scale) =>
  labels.length ? Math.max(...labels.map(([, text]) => textWidth(text, scale))) + 7 * scale : 0;

/** Pixels above the cells for the heads of the columns (a list of texts, or nothing) at `scale` times their size. */
export const headsHeight = (heads, scale) => (heads?.length ? LINE * scale + 2 * scale : 0);

/** Size of a board's canvas at a pitch: [width, height] in px. `board` has w, h, labels and heads. */
export function canvasSize(board, pitch, labelScale) {
  return [labelsWidth(board.labels, labelScale) + board.w * pitch + gapOf(pitch),
    headsHeight(board.heads, labelScale) + board.h * pitch + gapOf(pitch)];
}

export class Geometry {
  constructor(board, pitch, labelScale) {
    this.columns = board.w;
    this.rows = board.h;
    this.pitch = pitch;
    this.labelScale = labelScale;
    this.gap = gapOf(pitch);
    this.side = pitch - this.gap; // of what is drawn of a cell
    this.left = labelsWidth(board.labels, labelScale);
    this.top = headsHeight(board.heads, labelScale);
    [this.width, this.height] = canvasSize(board, pitch, labelScale);
  }

  /** [column, row] of a cell's index. */
  positionOf(i) {
    const column = i % this.columns;
    return [column, (i - column) / this.columns];
  }

  /** A cell's square with its gap all round: [x, y, side]. */
  boxOf(i) {
    const column = i % this.columns, row = (i - column) / this.columns; // not positionOf: this runs for every cell of a frame
    return [this.left + column * this.pitch, this.top + row * this.pitch, this.pitch + this.gap];
  }

  /** Index of the cell under a point of the canvas (CSS px), or -1. */
  cellAt(x, y) {
    const column = Math.floor((x - this.left) / this.pitch), row = Math.floor((y - this.top) / this.pitch);
    return column < 0 || row < 0 || column >= this.columns || row >= this.rows ? -1 : row * this.columns + column;
  }

  /** The rectangle that covers these cells with their gaps: [x, y, width, height]. `cells` is not empty. */
  around(cells) {
    let x0 = this.columns, x1 = 0, y0 = this.rows, y1 = 0;
    for (const i of cells) {
      const [x, y] = this.positionOf(i);
      x0 = Math.min(x0, x), x1 = Math.max(x1, x), y0 = Math.min(y0, y), y1 = Math.max(y1, y);
    }
    const { left, top, pitch, gap } = this;
    return [left + x0 * pitch, top + y0 * pitch, (x1 - x0 + 1) * pitch + gap, (y1 - y0 + 1) * pitch + gap];
  }
}
