// Cell sizes: as large as fit, whole pixels, and constant until the window or the machine changes.
import { canvasSize } from "./geometry.js";

const LARGEST = 64, LARGEST_PRESENT = 72; // px a cell
const LETTERS_FROM = 12; // px a cell from which its letter is drawn
const LETTERS_FROM_PRESENT = 28; // px a cell from which its letter can be read in the back row of a lecture hall
const LETTER_BONUS = 0.2, LETTER_BONUS_PRESENT = 0.7; // what letters are worth beside size, in natural logarithms of it
const STEP = 8, LEAST_HEIGHT = 40; // px

/** The largest pitch at which a board fits into width x height, 1 at least. */
function largestPitch(board, width, height, labelScale, most) {
  let pitch = 1;
  while (pitch < most) {
    const [w, h] = canvasSize(board, pitch + 1, labelScale);
    if (w > width || h > height) break;
    pitch += 1;
  }
  return pitch;
}

/** Pitches of boards one under the other: the smallest grows as long as all still fit. */
function stack(boards, width, height, labelScale, most) {
  const pitches = boards.map(() => 1);
  const tall = (k, pitch) => canvasSize(boards[k], pitch, labelScale)[1];
  const growing = new Set(boards.keys());
  while (growing.size) {
    const k = [...growing].reduce((a, b) => (pitches[b] < pitches[a] ? b : a));
    const next = pitches[k] + 1;
    const total = pitches.reduce((sum, pitch, j) => sum + tall(j, j === k ? next : pitch), 0);
    if (next <= most && total <= height && canvasSize(boards[k], next, labelScale)[0] <= width) pitches[k] = next;
    else growing.delete(k);
  }
  return pitches;
}

/** One pitch for all boards that stand in `columns` (lists of boards, one under the other); `heights`: px for each column. */
export function fitColumns(columns, width, heights, { present = false, labelScale = 1 } = {}) {
  const fits = (pitch) => {
    const wide = columns.reduce((sum, boards) => sum + Math.max(...boards.map((board) => canvasSize(board, pitch, labelScale)[0])), 0);
    return wide <= width && columns.every((boards, k) =>
      boards.reduce((sum, board) => sum + canvasSize(board, pitch, labelScale)[1], 0) <= heights[k]);
  };
  let pitch = 1;
  while (pitch < (present ? LARGEST_PRESENT : LARGEST) && fits(pitch + 1)) pitch += 1;
  return pitch;
}

/** What sizes are worth: their product, and a little more for letters that can be read. */
function score(pitches, present) {
  const [enough, bonus] = present ? [LETTERS_FROM_PRESENT, LETTER_BONUS_PRESENT] : [LETTERS_FROM, LETTER_BONUS];
  return pitches.reduce((sum, pitch) => sum + Math.log(pitch) + (pitch >= enough ? bonus : 0), 0);
}

/**
 * Pitch of every board so that the boards, `columns` (1 or 2) side by side, fit into width x height (px, what is left for
 * canvases). Where the space is divided is tried in steps of STEP px: best is the largest product of the pitches, because a
 * board of many cells would otherwise starve the others. Returns {pitches, widths}: widths are those of the columns.
 */
export function fit(boards, columns, width, height, { present = false, labelScale = 1, narrowest = 0 } = {}) {
  const most = present ? LARGEST_PRESENT : LARGEST;
  const rows = Math.ceil(boards.length / columns);
  const sizes = (count, whole, least) => {
    if (count !== 2) return [Array(count).fill(Math.floor(whole / count))];
    const splits = [];
    for (let first = least; first <= whole - least; first += STEP) splits.push([first, whole - first]);
    return splits;
  };
  if (columns === 1) {
    const pitches = stack(boards, width, height, labelScale, most);
    return { score: score(pitches, present), pitches, widths: [width] };
  }
  let best = null;
  for (const widths of sizes(columns, width, narrowest)) {
    for (const heights of sizes(rows, height, LEAST_HEIGHT)) {
      const pitches = boards.map((board, k) =>
        largestPitch(board, widths[k % columns], heights[Math.floor(k / columns)], labelScale, most));
      const worth = score(pitches, present);
      const uneven = Math.abs(widths[0] - width / columns) + Math.abs(heights[0] - height / rows);
      if (!best || worth > best.score || (worth === best.score && uneven < best.uneven)) best = { score: worth, uneven, pitches, widths };
    }
  }
  return best;
}
