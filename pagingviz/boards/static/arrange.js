// Arranges the boards on the page: one or two columns of boards, with or without a column for the inspector.
import { el } from "./dom.js";
import { canvasSize } from "./geometry.js";
import { fit, fitColumns } from "./layout.js";

const SMALLEST_STAGE = 220; // px: no window is so low that the boards vanish
const READABLE = 28; // px a cell in presenter mode, at least
const LETTERS = 12; // px a cell from which its letter is drawn
const BELOW = 10; // px of free space under the board
const NARROWEST = 280; // px a panel
const TWO_COLUMNS_FROM = 560, INSPECTOR_FROM = 720; // px of width

/** Sets the size and position of every panel of a View. `view.chosen`: id of the board to show where one at a time is shown. */
export function arrange(view, panels) {
  const present = view.root.classList.contains("present");
  const wide = view.root.clientWidth;
  view.root.classList.toggle("many", panels.length > 1);
  view.root.classList.toggle("narrow", wide <= TWO_COLUMNS_FROM && !present);
  for (const panel of panels) {
    panel.well.style.height = "0";
    panel.node.hidden = false;
  }
  view.root.classList.remove("alone");
  const columned = panels[0].board.column !== null && (present || wide > TWO_COLUMNS_FROM);
  view.root.classList.toggle("columns", columned);
  view.root.classList.toggle("alike", !!panels[0].board.alike);
  if (columned) return arrangeColumns(view, panels, present);
  for (const panel of panels) panel.node.style.gridArea = "";
  // The inspector gets a column of its own where the cells lose nothing by it, so that way is tried first.
  const columns = panels.length > 1 && wide > TWO_COLUMNS_FROM ? 2 : 1;
  const ways = [{ side: false, columns }];
  if (columns > 1 && (present || panels.length === 2)) ways.push({ side: false, columns: 1 });
  if (!present && wide > INSPECTOR_FROM) ways.unshift(...ways.map((way) => ({ ...way, side: true })));
  const measured = ways.map((way) => measure(view, panels, way, present));
  const best = measured.reduce((a, b) => (b.score > a.score ? b : a));
  const alone = present && panels.length > 1 && Math.min(...best.pitches) < READABLE;
  view.root.classList.toggle("alone", alone);
  if (alone) return showOne(view, panels);
  setSideColumn(view, best.side, panels.length);
  view.grid.style.gridTemplateColumns = best.columns > 1 ? best.widths.map((w) => `${Math.floor(w + best.frame)}px`).join(" ") : "";
  panels.forEach((panel, k) => panel.setSize(best.pitches[k], labelScale(present)));
  for (let k = 0; k < panels.length; k += best.columns) { // wells of a row are equally high: their legends stand in line
    const row = panels.slice(k, k + best.columns);
    const tall = Math.max(...row.map((panel) => panel.painter.geometry.height));
    for (const panel of row) panel.setWellHeight(tall);
  }
  for (const panel of panels) panel.centre();
}

/**
 * Boards that name their column: all with the same pitch; the last one of a column reaches down to the end of the grid. Boards
 * that are alike stand in one row as long as their letters can be read so, else in as many as make their cells the largest.
 */
function arrangeColumns(view, panels, present) {
  setSideColumn(view, false, panels.length);
  const most = Math.max(...panels.map(({ board }) => board.column)) + 1;
  let best = null;
  for (let count = most; count >= (panels[0].board.alike ? 1 : most); count -= 1) {
    const way = inColumns(view, panels, present, count);
    if (!best || way.pitch > best.pitch) best = way;
    if (best.pitch >= (present ? READABLE : LETTERS)) break;
  }
  const { columns, count, pitch, scale, width, gaps, frame } = best;
  const alone = present && pitch < READABLE;
  view.root.classList.toggle("alone", alone);
  if (alone) {
    for (const panel of panels) panel.node.style.gridArea = "";
    return showOne(view, panels);
  }
  place(columns);
  const boards = columns.map((column) => column.map((panel) => panel.board));
  const widths = boards.map((column) => Math.max(...column.map((board) => canvasSize(board, pitch, scale)[0])) + frame);
  const spare = Math.max(0, width - gaps - widths.reduce((a, b) => a + b, 0)) / count;
  view.grid.style.gridTemplateColumns = widths.map((w) => `${Math.floor(w + spare)}px`).join(" ");
  for (const panel of panels) {
    panel.setSize(pitch, scale);
    panel.setWellHeight();
  }
  for (const panel of panels) panel.centre();
}

/** Give every panel its place in the grid. `columns`: lists of panels; the last one of a column, unless it is alike, reaches down. */
function place(columns) {
  const rows = Math.max(...columns.map((column) => column.length));
  columns.forEach((column, k) => column.forEach((panel, r) => {
    const down = r + 1 === column.length && !panel.board.alike;
    panel.node.style.gridArea = `${r + 1} / ${k + 1} / ${down ? rows + 1 : r + 2} / ${k + 2}`;
  }));
}

/** The boards in `count` columns, those beyond that below the first ones: {pitch, and all that was measured for it}. */
function inColumns(view, panels, present, count) {
  const columns = Array.from({ length: count }, (_, k) => panels.filter(({ board }) => board.column % count === k));
  view.grid.style.gridTemplateColumns = `repeat(${count}, minmax(0, 1fr))`;
  place(columns);
  const scale = labelScale(present);
  const { width, height } = room(view, 0, present);
  const frame = panels[0].frameWidth();
  const { columnGap, rowGap } = getComputedStyle(view.grid);
  const gaps = parseFloat(columnGap) * (count - 1);
  const heights = columns.map((column) => column.reduce((rest, panel) => rest - panel.chromeHeight() - parseFloat(rowGap), height));
  const boards = columns.map((column) => column.map((panel) => panel.board));
  const pitch = fitColumns(boards, width - count * frame - gaps, heights, { present, labelScale: scale });
  return { columns, count, pitch, scale, width, gaps, frame };
}

/** Presenter mode when the cells of all boards together would be too small for the back row: one board at a time. */
function showOne(view, panels) {
  const chosen = panels.find((panel) => panel.id === view.chosen) ?? panels[0];
  for (const panel of panels) panel.node.hidden = panel !== chosen;
  view.tabs.replaceChildren(...panels.map((panel, k) => el("button",
    { type: "button", "aria-pressed": String(panel === chosen), onclick: () => view.act("choose", k + 1) },
    panel.board.title, el("kbd", {}, String(k + 1)))));
  const { width, height } = measure(view, [chosen], { side: false, columns: 1 }, true);
  for (const panel of panels) { // hidden ones too: theirs are true pictures of the same tick
    panel.setSize(fit([panel.board], 1, width, height, { present: true, labelScale: labelScale(true) }).pitches[0], labelScale(true));
    panel.setWellHeight();
  }
  chosen.centre();
}

const labelScale = (present) => (present ? 2 : 1);

/** Give the inspector (and, beside a single board, the sentence) a column of its own, or take it away. */
function setSideColumn({ root, rail, stage, sentenceBox }, side, count) {
  root.classList.toggle("side", side);
  if (side && count === 1) rail.prepend(sentenceBox);
  else stage.after(sentenceBox);
}

/** The best sizes of one way to arrange the boards: those of fit(), and {side, columns, frame, width, height}. */
function measure(view, panels, { side, columns }, present) {
  const { grid } = view;
  setSideColumn(view, side, panels.length);
  grid.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
  const frame = panels[0].frameWidth(); // what a panel has around its canvas
  const { width: whole, height } = room(view, grid.offsetHeight, present);
  const width = whole - columns * frame - (columns - 1) * parseFloat(getComputedStyle(grid).columnGap);
  const found = fit(panels.map((panel) => panel.board), columns, width, height,
    { present, labelScale: labelScale(present), narrowest: Math.min(NARROWEST, width / columns) });
  return { ...found, side, columns, frame, width, height };
}

/** What is left for the canvases when `taken` px of the height of the grid are not theirs: {width, height}. */
function room({ root, stage, grid }, taken, present) {
  const style = getComputedStyle(root);
  const flow = [...root.children].filter((child) => {
    const { position, display } = getComputedStyle(child);
    return display !== "none" && position !== "absolute" && position !== "fixed";
  });
  const chrome = flow.reduce((sum, child) => sum + (child === stage ? taken : child.offsetHeight), 0)
    + (flow.length - 1) * parseFloat(style.rowGap) + parseFloat(style.paddingTop) + parseFloat(style.paddingBottom);
  const scrolled = document.querySelector("[data-testid=stMain]")?.scrollTop ?? 0;
  const top = present ? 0 : root.getBoundingClientRect().top + scrolled + BELOW;
  const endless = !present && root.clientWidth <= TWO_COLUMNS_FROM; // one under the other, on a page that is scrolled anyway
  return { width: grid.clientWidth, height: endless ? Infinity : Math.max(SMALLEST_STAGE, innerHeight - top - chrome) };
}
