// The cell that the pointer is over and the cell under inspection: their outlines, the lens and the card of the inspector.
import { placeCard } from "./beside.js";
import { inOneText, Inspector, Lens } from "./inspector.js";

const HOVER_MS = 120; // the pointer rests this long before Python is asked about a cell
const EDGE = 8; // px between a card that floats and the end of the boards
const MOST_LIT = 200; // cells that a card tries not to hide: of more, some

export class Inspection {
  /**
   * `on` = {jump(tick): the viewer wants to see that tick, close(): the card shall go, isRunning(): the machine runs,
   * mayAsk(): the pointer alone may cause an ask now, tells(board): its cells can be asked what led to them,
   * ask(message): send it, say(text): let it be read out}.
   */
  constructor(on) {
    this.on = on;
    this.pinned = null; // {board, cell} under inspection
    this.hovered = null; // {panel, cell} under the pointer
    this.inspector = new Inspector({
      jump: on.jump,
      close: on.close,
      ask: () => on.ask({ cmd: "why" }),
      mayAsk: () => !!this.pinned && on.tells(this.pinned.board),
      write: (node, text) => this.view.write(node, text),
      about: () => this.view.about,
    });
    this.lens = new Lens();
    this.lensFound = null; // what Python has answered about the hovered cell
    this.lit = this.standing = {}; // cells that are outlined, by board; those that are when no cell is looked at
  }

  /** The View with the panels; it is made after this object because it contains the card and the lens. */
  attach(view) {
    this.view = view;
  }

  close() {
    clearTimeout(this.hovering);
  }

  isPinned(panel, cell) {
    return this.pinned?.board === panel.id && this.pinned.cell === cell;
  }

  /** Put a cell under inspection. The caller asks Python about it. */
  pin(panel, cell) {
    this.pinned = { board: panel.id, cell };
    this.placed = null;
    this.said = null;
    this.drawOutlines();
    this.lens.hide();
  }

  unpin() {
    if (!this.pinned) return;
    this.pinned = null;
    this.inspector.show(null);
    this.light(this.standing);
    this.drawOutlines();
  }

  /** The pointer is over a cell of a panel, or (cell -1) over none. */
  hover(panel, cell, event) {
    const same = this.hovered?.panel === panel && this.hovered.cell === cell;
    if (cell >= 0) this.pointer = [event.clientX, event.clientY];
    if (same && cell >= 0) return this.showLens(this.lensFound);
    this.lensFound = null;
    clearTimeout(this.hovering);
    this.hovered = cell >= 0 ? { panel, cell } : null;
    panel.canvas.classList.toggle("pointing", cell >= 0);
    this.drawOutlines();
    if (cell < 0) {
      this.lens.hide();
      if (!this.pinned) this.light(this.standing), this.inspector.show(null);
      return;
    }
    this.showLens(null);
    if (this.pinned || this.on.isRunning()) return;
    this.hovering = setTimeout(() => {
      if (this.on.mayAsk()) this.on.ask({ cmd: "inspect", board: panel.id, cell, hover: true });
    }, HOVER_MS);
  }

  /**
   * Show what Python has found: `inspect` is the card's content or null, `lit` the cells to outline by board, `asked` the
   * ask that it answers or null. An answer about a cell that the pointer has left is dropped.
   */
  showFound({ inspect, lit, asked }) {
    const hover = asked?.hover && !this.pinned;
    if (hover && !(this.hovered?.cell === asked.cell && this.hovered.panel.id === asked.board)) return;
    this.inspector.show(inspect, !!this.pinned);
    if (this.pinned && inspect) this.sayCard(inOneText(inspect));
    if (!inspect) this.standing = lit;
    this.light(lit);
    this.drawOutlines();
    const cells = JSON.stringify(lit);
    if (this.pinned && inspect && this.placed !== cells) {
      this.placed = cells;
      this.litCells = lit;
      this.placeCard();
    }
    if (hover && inspect) this.showLens(inspect);
  }

  /** A card is read out when its cell was chosen, and when it has changed; nobody could listen while the machine runs. */
  sayCard(text) {
    if (text === this.said || this.on.isRunning()) return;
    this.said = text;
    this.on.say(text);
  }

  /** Let the card that floats stand where it hides neither the cell under inspection nor, where possible, its kin. */
  placeCard() {
    const { view, inspector: { node }, pinned } = this;
    const panel = view.panels.get(pinned?.board);
    Object.assign(node.style, { left: "", top: "", maxHeight: "" });
    if (!panel?.painter.geometry || view.root.classList.contains("side")) return;
    const stage = view.stage.getBoundingClientRect();
    const boxes = (id, cells) => (view.panels.get(id)?.boxesOf(cells) ?? []);
    const boards = [...view.panels.values()].map(({ canvas }) => canvas.getBoundingClientRect());
    const lit = Object.entries(this.litCells ?? {}).flatMap(([id, cells]) => boxes(id, cells.slice(0, MOST_LIT)));
    const area = { left: stage.left, right: stage.right, top: Math.max(stage.top, EDGE), bottom: Math.min(stage.bottom, innerHeight - EDGE) };
    const found = placeCard({ width: node.offsetWidth, height: node.offsetHeight }, area, boxes(pinned.board, [pinned.cell])[0], lit, boards);
    Object.assign(node.style, { left: `${found.left - stage.left}px`, top: `${found.top - stage.top}px`, maxHeight: `${found.most}px` });
    this.inspector.measure();
  }

  /** Another picture, of which nothing has been found yet. */
  forget() {
    this.standing = {};
    this.light({});
  }

  /** Outline cells that belong together: {board: cells}. Without an argument those again that are outlined: they have other places. */
  light(lit = this.lit) {
    this.lit = lit;
    for (const panel of this.view.panels.values()) panel.light(lit[panel.id]);
  }

  /** Outline the cell under inspection and the one under the pointer. */
  drawOutlines() {
    for (const panel of this.view.panels.values()) {
      panel.outline(panel.pin, this.pinned?.board === panel.id ? [this.pinned.cell] : []);
      panel.outline(panel.pointed, this.hovered?.panel === panel ? [this.hovered.cell] : []);
    }
    this.view.root.classList.toggle("pinned", !!this.pinned);
  }

  showLens(found) {
    this.lensFound = found;
    const { panel, cell } = this.hovered;
    this.lens.show(panel.describe(cell), this.view.palette, ...this.pointer, found);
  }
}
