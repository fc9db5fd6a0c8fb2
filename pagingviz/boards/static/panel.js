// One board on the page: its heading, canvas, legend, and the marks that lie over the canvas.
import { el, say, svg } from "./dom.js";
import { CHANGED, CROSSED, PINNED, Painter, fillOf, letterOf } from "./paint.js";

const RAMP = -1; // legend entry for the whole age ramp
const SIZE = -2; // legend entry about the size of a cell: words alone
const MOST_OUTLINES = 256; // of changed cells too small to carry theirs

export class Panel {
  /** `on` = {click(board, cell), hover(board, cell, event)}; cell -1 = none. The canvas made here stays for good. */
  constructor(id, on) {
    this.id = id;
    this.canvas = el("canvas", { "data-board": id, "data-ready": "0", role: "img", width: 1, height: 1 });
    this.painter = new Painter(this.canvas);
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
    const at = (event) => this.painter.pitch ? this.painter.cellAt(event.offsetX, event.offsetY) : -1;
    this.canvas.addEventListener("click", (event) => on.click(this, at(event)));
    this.canvas.addEventListener("pointermove", (event) => on.hover(this, at(event), event));
    this.canvas.addEventListener("pointerleave", (event) => on.hover(this, -1, event));
  }

  /** A board of the header and its palette. Cells are kept when the size of the board stays. */
  setPlan(board, palette) {
    const shape = JSON.stringify([board.w, board.h, board.labels, board.heads, board.place]);
    if (shape !== this.shape) this.painter.setPlan(board);
    const changed = shape !== this.shape;
    this.shape = shape;
    this.plan = board;
    say(this.title, board.title);
    this.setCaption(board.caption);
    const look = JSON.stringify([board.legend, palette]);
    if (look !== this.look) {
      this.look = look;
      this.painter.setPalette(palette);
      this.legend.replaceChildren(...board.legend.map((entry) => this.legendEntry(entry, palette)));
    }
    return changed;
  }

  legendEntry([letter, code, text], palette) {
    if (code === SIZE) return el("li", {}, text);
    const swatch = el("span", { class: code === 0 ? "swatch hatched" : code === RAMP ? "swatch ramp" : "swatch", "aria-hidden": "true" }, letter.trim());
    if (code === RAMP) swatch.style.background = `linear-gradient(90deg, ${palette.fill.slice(16, 32).join(",")})`;
    else if (code > 0) Object.assign(swatch.style, { background: palette.fill[code], color: palette.ink[code], borderColor: palette.edge[code] });
    return el("li", {}, swatch, text);
  }

  setCaption(text) {
    say(this.caption, text ?? "");
    this.caption.title = text ?? "";
  }

  setSize(pitch, labelScale) {
    this.painter.setSize(pitch, labelScale);
    const { width, height } = this.painter;
    this.over.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.over.style.width = `${width}px`;
    this.over.style.height = `${height}px`;
  }

  /** Height that the panel needs beside its canvas, px. */
  chrome() {
    const style = getComputedStyle(this.node);
    const parts = [...this.node.children].filter((child) => child !== this.well && child.offsetHeight);
    return parts.reduce((sum, child) => sum + child.offsetHeight + parseFloat(style.rowGap), 0)
      + parseFloat(style.paddingTop) + parseFloat(style.paddingBottom) + 2;
  }

  /** In the middle of its well, on whole pixels. */
  place() {
    const { width, height } = this.painter;
    const { left, top } = this.well.getBoundingClientRect();
    this.sheet.style.marginLeft = `${Math.max(0, Math.floor((this.well.clientWidth - width) / 2)) + Math.ceil(left) - left}px`;
    this.sheet.style.marginTop = `${Math.max(0, Math.floor((this.well.clientHeight - height) / 2)) + Math.ceil(top) - top}px`;
  }

  /** Cells that belong together with the inspected one. */
  light(cells) {
    this.outline(this.halo, cells);
    this.outline(this.lit, cells);
  }

  /** One frame. Cells without a gap around them have their outline drawn over the canvas. */
  show(grid, frame, numbers) {
    this.painter.number(numbers);
    this.painter.show(grid);
    this.canvas.dataset.tick = frame.tick;
    if (!this.painter.gap) this.outline(this.changed, [...this.painter.ringed].slice(0, MOST_OUTLINES));
  }

  outline(path, cells) {
    const { painter } = this;
    const boxes = (cells ?? []).filter((i) => i >= 0 && i < painter.cells.length).map((i) => painter.boxOf(i));
    path.setAttribute("d", boxes.map(([x, y, s]) => `M${x} ${y}h${s}v${s}h${-s}z`).join(""));
  }

  /** What the pointer shows: {letter, code, text, where, notes}. */
  describe(cell) {
    const word = this.painter.cells[cell], letter = letterOf(word), code = fillOf(word);
    const legend = this.plan.legend;
    const entry = legend.find(([l, c]) => l === letter && c === code) ?? legend.find(([l]) => l === letter && l.trim())
      ?? legend.find(([, c]) => c === code);
    const column = cell % this.plan.w, row = (cell - column) / this.plan.w;
    const label = this.plan.labels.findLast(([first]) => first <= row)?.[1];
    const [thick, ringed] = this.plan.marks;
    const notes = [[PINNED, thick], [CROSSED, "recycled in this tick"], [CHANGED, ringed]];
    return {
      letter, code,
      text: entry?.[2] ?? (code >= 16 ? "in use" : "not in this machine"),
      where: `${label ? `${label} · ` : ""}row ${row}, column ${column}`,
      notes: notes.filter(([bit]) => word & bit).map(([, text]) => text),
    };
  }
}
