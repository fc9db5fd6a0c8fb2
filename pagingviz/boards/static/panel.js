// One board on the page: its heading, canvas, legend, and the outlines that lie over the canvas.
import { CellReader } from "./cell.js";
import { dressAsCell } from "./colours.js";
import { el, setText, svg } from "./dom.js";
import { Painter } from "./paint.js";
import { explain, explainCut, writeMarked } from "./tip.js";

export const KEYS_OF_A_MAP = "keys-of-a-map"; // id of the text that tells a screen reader what keys do on a map
const MOST_OUTLINES = 256; // of changed cells that are too small to carry an outline of their own

export class Panel {
  /**
   * `codes` of the header; `on` = {click(panel, cell), hover(panel, cell, event), where cell -1 = none; press(): the mouse goes
   * down on the map; focus(panel), blur(panel), key(panel, event): of the map}. The canvas stays for good.
   */
  constructor(id, codes, on) {
    this.id = id;
    this.reader = new CellReader(codes);
    this.canvas = el("canvas", { "data-board": id, "data-ready": "0", role: "application", "aria-roledescription": "map",
      "aria-describedby": KEYS_OF_A_MAP, tabindex: 0, width: 1, height: 1 });
    this.painter = new Painter(this.canvas, this.reader);
    this.halo = svg("path", { class: "halo" });
    this.lit = svg("path", { class: "lit" });
    this.changed = svg("path", { class: "pointed" });
    this.pin = svg("path", { class: "pin" });
    this.pointed = svg("path", { class: "pointed" });
    this.over = svg("svg", { class: "over", "aria-hidden": "true" }, this.changed, this.halo, this.lit, this.pin, this.pointed);
    this.title = el("h3");
    this.caption = el("span", { class: "caption" });
    this.sheet = el("div", { class: "sheet" }, this.canvas, this.over);
    this.well = el("div", { class: "well" }, this.sheet);
    this.legend = el("ul", { class: "legend" });
    this.node = el("section", { class: "panel" }, el("header", {}, this.title, this.caption), this.well, this.legend);
    explainCut(this.caption, this.caption.parentNode);
    const cellUnder = (event) => this.painter.cellAt(event.offsetX, event.offsetY);
    this.canvas.addEventListener("click", (event) => on.click(this, cellUnder(event)));
    this.canvas.addEventListener("pointermove", (event) => on.hover(this, cellUnder(event), event));
    this.canvas.addEventListener("pointerleave", (event) => on.hover(this, -1, event));
    this.canvas.addEventListener("mousedown", (event) => (event.preventDefault(), on.press())); // only Tab gives a map the focus
    this.canvas.addEventListener("focus", () => on.focus(this));
    this.canvas.addEventListener("blur", () => on.blur(this));
    this.canvas.addEventListener("keydown", (event) => on.key(this, event));
  }

  /**
   * Take over a board of the header and its palette; `about`: what the glossary says of titles and legends. Returns whether
   * the board has another shape. Without that its cells stay.
   */
  setBoard(board, palette, about) {
    const shape = JSON.stringify([board.w, board.h, board.labels, board.heads, board.column]);
    const reshaped = shape !== this.shape;
    this.shape = shape;
    this.board = board;
    if (reshaped) this.painter.setBoard(board);
    this.node.classList.toggle("labelled", board.labels.length > 0);
    setText(this.title, board.title);
    explain(this.title, about[board.title]);
    if (this.canvas.dataset.tick === undefined) this.setCaption(board.caption); // later the caption is the painted frame's
    const words = board.legend.map(([, , text]) => about[text]);
    const { scale } = board;
    const appearance = JSON.stringify([board.legend, scale, words, palette]);
    if (appearance !== this.appearance) {
      this.appearance = appearance;
      this.painter.setPalette(palette);
      this.legend.replaceChildren(...board.legend.map((entry, k) => this.legendEntry(entry, words[k], palette)));
      if (scale) this.legend.append(this.scaleEntry(scale, about[scale.name] ?? "", palette));
    }
    return reshaped;
  }

  /** An entry of the legend, with what the glossary says of it. One without a fill code is about the size of a cell: words alone. */
  legendEntry([letter, code, text], words, palette) {
    const entry = el("li", {}, text);
    explain(entry, words);
    if (code === null) return entry;
    const absent = code === this.reader.absent;
    const swatch = el("span", { class: absent ? "swatch hatched" : "swatch", "aria-hidden": "true" }, letter.trim());
    if (!absent) dressAsCell(swatch, palette, code);
    entry.prepend(swatch);
    return entry;
  }

  /** The scale of a ramp of colours: a box for each, with the numbers at which some of them begin. */
  scaleEntry({ name, steps, tail }, lines, palette) {
    const words = (text) => el("span", { class: "from" }, text);
    const boxes = steps.flatMap(([code, text]) => {
      const box = el("span", { class: "step", "aria-hidden": "true" });
      dressAsCell(box, palette, code);
      return text ? [words(text), box] : [box];
    });
    const entry = el("li", { class: "scale" }, words(`${name}:`), ...boxes, words(tail));
    explain(entry, lines);
    return entry;
  }

  /** The line under the title, with the words that the glossary has in it (writeMarked of tip.js). */
  setCaption(text, marks, about) {
    writeMarked(this.caption, text ?? "", marks, about);
  }

  setSize(pitch, labelScale) {
    this.painter.setSize(pitch, labelScale);
    const { width, height } = this.painter.geometry;
    this.over.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.over.style.width = `${width}px`;
    this.over.style.height = `${height}px`;
  }

  /** Make the well as high as its canvas, or as `height` px. */
  setWellHeight(height = this.painter.geometry.height) {
    this.well.style.height = `${height}px`;
  }

  /** Pixels of width that the panel has around its canvas. */
  frameWidth() {
    return this.node.offsetWidth - this.well.clientWidth;
  }

  /** Pixels of height that the panel needs besides its canvas. */
  chromeHeight() {
    const style = getComputedStyle(this.node);
    const parts = [...this.node.children].filter((child) => child !== this.well && child.offsetHeight);
    return parts.reduce((sum, child) => sum + child.offsetHeight + parseFloat(style.rowGap), 0)
      + parseFloat(style.paddingTop) + parseFloat(style.paddingBottom) + 2;
  }

  /** Put the canvas into the middle of its well, on whole pixels. */
  centre() {
    const { width, height } = this.painter.geometry;
    const { left, top } = this.well.getBoundingClientRect();
    this.sheet.style.marginLeft = `${Math.max(0, Math.floor((this.well.clientWidth - width) / 2)) + Math.ceil(left) - left}px`;
    this.sheet.style.marginTop = `${Math.max(0, Math.floor((this.well.clientHeight - height) / 2)) + Math.ceil(top) - top}px`;
  }

  /** Outline the cells that belong together with the inspected one. */
  light(cells) {
    this.outline(this.halo, cells);
    this.outline(this.lit, cells);
  }

  /** Show one frame. Cells without a gap around them have their outline drawn over the canvas. */
  show(grid, frame, corners) {
    this.painter.setCorners(corners);
    this.painter.show(grid);
    this.canvas.dataset.tick = frame.tick;
    const { geometry, outlined } = this.painter;
    if (geometry?.gap === 0) this.outline(this.changed, [...outlined].slice(0, MOST_OUTLINES));
  }

  /** Let `path` run around these cells; those that the board does not have are left out. */
  outline(path, cells) {
    const { cells: all, geometry } = this.painter;
    const known = geometry ? (cells ?? []).filter((i) => i >= 0 && i < all.length) : [];
    const boxes = known.map((i) => geometry.boxOf(i));
    path.setAttribute("d", boxes.map(([x, y, s]) => `M${x} ${y}h${s}v${s}h${-s}z`).join(""));
  }

  /** The rectangles of cells on the screen, those of a board that is hidden left out. */
  boxesOf(cells) {
    const { left, top, width } = this.canvas.getBoundingClientRect();
    if (!width) return [];
    return cells.map((i) => {
      const [x, y, side] = this.painter.geometry.boxOf(i);
      return { left: left + x, top: top + y, right: left + x + side, bottom: top + y + side };
    });
  }

  /** What the pointer shows of a cell: {letter, code, absent, text, where, notes}. */
  describe(cell) {
    const { board: { w, labels, legend, flag_words }, reader } = this;
    const word = this.painter.cells[cell], letter = reader.letterOf(word), code = reader.fillOf(word);
    const entry = legend.find(([l, c]) => l === letter && c === code) ?? legend.find(([l]) => l === letter && l.trim())
      ?? legend.find(([, c]) => c === code);
    const column = cell % w, row = (cell - column) / w;
    const label = labels.findLast(([first]) => first <= row)?.[1];
    return {
      letter, code,
      absent: code === reader.absent,
      text: entry?.[2] ?? reader.unnamed(code),
      where: `${label ? `${label} · ` : ""}row ${row}, column ${column}`,
      notes: reader.notesOf(word, flag_words),
    };
  }
}
