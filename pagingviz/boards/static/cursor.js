// The cursor: while a map has the focus, keys move it from cell to cell. It stands for the pointer: what the pointer does to a
// cell, the cursor does too.

const OWN_KEYS = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown", "Enter", "Escape"]);

/** Does a map that has the focus use this key itself? */
export const movesCursor = (key) => OWN_KEYS.has(key);

/**
 * The cell to which a key leads from `cell` on a board of {w, h} cells, those alone for which `isCell(index)`: the others only
 * fill up the rectangle. Where the key leads nowhere: the cell itself. `far`: Home and End go to the ends of the board.
 */
export function cellAfter(key, far, cell, { w, h }, isCell) {
  const column = cell % w, row = (cell - column) / w;
  const columns = [...Array(w).keys()], rows = [...Array(h).keys()];
  const nearest = columns.toSorted((a, b) => Math.abs(a - column) - Math.abs(b - column));
  const inRow = (list) => list.map((c) => row * w + c);
  const inRows = (list) => list.flatMap((r) => nearest.map((c) => r * w + c)); // a shorter row: its cell that is the nearest
  const all = () => [...Array(w * h).keys()];
  const ways = {
    ArrowLeft: () => inRow(columns.slice(0, column).reverse()),
    ArrowRight: () => inRow(columns.slice(column + 1)),
    ArrowUp: () => inRows(rows.slice(0, row).reverse()),
    ArrowDown: () => inRows(rows.slice(row + 1)),
    PageUp: () => inRows(rows.slice(0, row)),
    PageDown: () => inRows(rows.slice(row + 1).reverse()),
    Home: () => (far ? all() : inRow(columns)),
    End: () => (far ? all() : inRow(columns)).reverse(),
  };
  return ways[key]?.().find(isCell) ?? cell;
}

export class Cursor {
  /**
   * `on` = {hover(panel, cell, event): as for the pointer, click(panel, cell): likewise, escape(): Escape was pressed,
   * say(text): let it be read out}.
   */
  constructor(on) {
    this.on = on;
    this.panel = null; // the Panel whose map has the focus
    this.cells = new WeakMap(); // Panel -> the cell where the cursor stood last
  }

  /** The map of this panel has got the focus. */
  enter(panel) {
    this.panel = panel;
    this.go();
  }

  leave() {
    const { panel } = this;
    this.panel = null;
    if (panel) this.on.hover(panel, -1);
  }

  /** Let the cursor of a panel stand here when its map has the focus. */
  place(panel, cell) {
    this.cells.set(panel, cell);
  }

  /** The cell where the cursor stands: the first one where it stood nowhere or its cell is none any more; -1: there is none. */
  here() {
    const { painter } = this.panel;
    const cell = this.cells.get(this.panel);
    return painter.isCell(cell) ? cell : painter.cells.findIndex((_, i) => painter.isCell(i));
  }

  /** Show the cursor where a map has the focus. Returns its rectangle on the screen, if there is one. */
  show() {
    const { panel } = this, cell = panel ? this.here() : -1;
    const [box] = cell >= 0 && panel.painter.geometry ? panel.boxesOf([cell]) : [];
    if (box) this.on.hover(panel, cell, { clientX: (box.left + box.right) / 2, clientY: (box.top + box.bottom) / 2 });
    return box;
  }

  /** Show the cursor where it stands now, and say what is under it. */
  go() {
    const box = this.show(), { panel } = this;
    if (!box) return;
    if (box.top < 0 || box.bottom > innerHeight) {
      panel.pointed.scrollIntoView({ block: "center", behavior: "instant" });
      this.show();
    }
    const { letter, text, where, notes } = panel.describe(this.here());
    this.on.say([letter.trim() && `${letter}:`, [text, ...notes].join(", "), `· ${where}`].filter(Boolean).join(" "));
  }

  /** A key was pressed while the map has the focus. */
  key(event) {
    if (event.altKey || event.metaKey || event.shiftKey || !movesCursor(event.key)) return;
    const far = event.ctrlKey;
    if (far && event.key !== "Home" && event.key !== "End") return;
    event.preventDefault();
    const { panel } = this, cell = this.here();
    if (event.key === "Escape") return this.on.escape();
    if (cell < 0) return;
    if (event.key === "Enter") return event.repeat || this.on.click(panel, cell);
    this.place(panel, cellAfter(event.key, far, cell, panel.board, (i) => panel.painter.isCell(i)));
    this.go();
  }
}
