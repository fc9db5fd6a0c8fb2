// Where things stand on the page: one or two columns of boards, with or without a column for the inspector.
import { fit } from "./layout.js";

const SMALLEST_STAGE = 220; // px: no window is so low that the boards vanish
const BELOW = 10; // px kept free under the board
const NARROWEST = 280; // px a panel
const TWO_COLUMNS_FROM = 640, INSPECTOR_FROM = 720; // px of width

/** `view` has the elements root, stage, grid, rail and saying. Sets the size of every panel. */
export function arrange(view, panels) {
  const present = view.root.classList.contains("present");
  const wide = view.root.clientWidth;
  view.root.classList.toggle("many", panels.length > 1);
  for (const panel of panels) panel.well.style.height = "0";
  // The inspector gets a column of its own where the cells lose nothing by it, so that way is tried first.
  const columns = panels.length > 1 && wide > TWO_COLUMNS_FROM ? 2 : 1;
  const ways = [{ side: false, columns }];
  if (!present && wide > INSPECTOR_FROM) ways.unshift({ side: true, columns });
  if (present && columns > 1) ways.push({ side: false, columns: 1 });
  const measured = ways.map((way) => measure(view, panels, way, present));
  const best = measured.reduce((a, b) => (b.score > a.score ? b : a));
  furnish(view, best.side, panels.length);
  view.grid.style.gridTemplateColumns = best.columns > 1 ? best.widths.map((w) => `${Math.floor(w + best.frame)}px`).join(" ") : "";
  panels.forEach((panel, k) => panel.setSize(best.pitches[k], labelScale(present)));
  for (let k = 0; k < panels.length; k += best.columns) { // wells of a row are equally high: their legends stand in line
    const row = panels.slice(k, k + best.columns);
    const tall = Math.max(...row.map((panel) => panel.painter.height));
    for (const panel of row) panel.well.style.height = `${tall}px`;
  }
  for (const panel of panels) panel.place();
}

const labelScale = (present) => (present ? 2 : 1);

/** Put the inspector (and, beside a single board, the sentence) into their column, or back. */
function furnish({ root, rail, stage, saying }, side, count) {
  root.classList.toggle("side", side);
  if (side && count === 1) rail.prepend(saying);
  else stage.after(saying);
}

/** The best sizes of one way to stand: those of fit(), and {side, columns, frame}. */
function measure(view, panels, { side, columns }, present) {
  const { root, stage, grid } = view;
  furnish(view, side, panels.length);
  grid.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
  const style = getComputedStyle(root);
  const flow = [...root.children].filter((child) => !["absolute", "fixed"].includes(getComputedStyle(child).position));
  const chrome = flow.reduce((sum, child) => sum + (child === stage ? grid : child).offsetHeight, 0)
    + (flow.length - 1) * parseFloat(style.rowGap) + parseFloat(style.paddingTop) + parseFloat(style.paddingBottom);
  const scrolled = document.querySelector("[data-testid=stMain]")?.scrollTop ?? 0;
  const top = present ? 0 : root.getBoundingClientRect().top + scrolled + BELOW;
  const frame = panels[0].node.offsetWidth - panels[0].well.clientWidth; // what a panel has around its canvas
  const width = grid.clientWidth - columns * frame - (columns - 1) * parseFloat(getComputedStyle(grid).columnGap);
  const height = Math.max(SMALLEST_STAGE, innerHeight - top - chrome);
  const found = fit(panels.map((panel) => panel.plan), columns, width, height,
    { present, labelScale: labelScale(present), narrowest: Math.min(NARROWEST, width / columns) });
  return { ...found, side, columns, frame };
}
