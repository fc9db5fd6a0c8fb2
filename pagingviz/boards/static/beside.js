// Where a card stands so that it does not hide what it is about.

const STEP = 16; // px between two places that are tried
const CLEAR = 4; // px around the cell that the card is about
const HIDES = 1e9; // what it costs to hide a cell that lights up: more than any number of px

const overlap = (a, b) => Math.max(0, Math.min(a.right, b.right) - Math.max(a.left, b.left))
  * Math.max(0, Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));
const boxAt = (left, top, width, height) => ({ left, top, right: left + width, bottom: top + height });

/** The places from `low` on at which something of `size` ends before `high`, both ends among them. */
function places(low, high, size) {
  const out = [];
  for (let at = low; at + size < high; at += STEP) out.push(at);
  return [...out, Math.max(low, high - size)];
}

/** The px of height that `card` may grow to until it meets one of the boxes or the end of the area. */
function room(card, area, boxes) {
  const below = boxes.filter((box) => card.left < box.right && card.right > box.left && box.top >= card.bottom);
  return Math.min(area.bottom, ...below.map((box) => box.top)) - card.top;
}

/** The best place for a card of `width` x `height`, null when each one lies over `keep`: see placeCard. */
function bestPlace(width, height, area, keep, lit, boards) {
  let best = null;
  for (const left of places(area.left, area.right, width)) {
    for (const top of places(area.top, area.bottom, height)) {
      const box = boxAt(left, top, width, height);
      if (overlap(box, keep)) continue;
      const hidden = lit.filter((other) => overlap(box, other)).length;
      const cost = HIDES * hidden + boards.reduce((sum, other) => sum + overlap(box, other), 0) + (area.right - left) + top;
      if (!best || cost < best.cost) best = { left, top, cost, hidden, most: room(box, area, [keep, ...lit]) };
    }
  }
  return best;
}

/**
 * A place for a card of width x height in `area`: {left, top, most, hidden}, where `most` is the height that it may grow to.
 * It does not lie over `about`, the cell's box, unless there is no other place at all; it hides as few of the boxes `lit` as
 * possible (`hidden` of them), then as little as possible of the boxes `boards`. A card is made lower for that, but not lower
 * than half. All boxes are {left, top, right, bottom} in the same px.
 */
export function placeCard({ width, height }, area, about, lit, boards) {
  const keep = { left: about.left - CLEAR, top: about.top - CLEAR, right: about.right + CLEAR, bottom: about.bottom + CLEAR };
  const whole = Math.min(height, area.bottom - area.top);
  let best = null;
  for (const share of [1, 3 / 4, 1 / 2, 1 / 4]) {
    if (best && (!best.hidden || share < 1 / 2)) break;
    const found = bestPlace(width, whole * share, area, keep, lit, boards);
    if (found && (!best || found.hidden < best.hidden)) best = found;
  }
  return best ?? { left: area.left, top: area.top, most: area.bottom - area.top, hidden: lit.length };
}
