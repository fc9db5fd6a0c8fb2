// Cell sizes: as large as fit, whole pixels, and constant until the window or the machine changes.
import { gapOf, gutterOf } from "./paint.js";

const LARGEST = 40, LARGEST_PRESENT = 56; // px a cell
const LETTERS_FROM = 12; // px a cell from which its letter is drawn
const LETTER_BONUS = 0.2; // what letters are worth beside size (a fifth more of it)
const STEP = 8, LEAST_HEIGHT = 40; // px

/** Size of a board's canvas at a pitch: [width, height]. */
export function canvasSize(board, pitch, labelScale) {
  return [gutterOf(board.labels, labelScale) + board.w * pitch + gapOf(pitch), board.h * pitch + gapOf(pitch)];
}

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

/**
 * Pitch of every board so that the boards, `columns` (1 or 2) side by side, fit into width x height (px, what is left for
 * canvases). Where the space is divided is tried in steps of STEP px: best is the largest product of the pitches, because a
 * board of many cells would otherwise starve the others. Returns {pitches, widths}: widths are those of the columns.
 */
export function fit(boards, columns, width, height, { present = false, labelScale = 1, narrowest = 0 } = {}) {
  const most = present ? LARGEST_PRESENT : LARGEST;
  const rows = Math.ceil(boards.length / columns);
  const sizes = (count, whole, least) => {
    if (count === 1) return [[whole]];
    if (count > 2) return [Array(count).fill(Math.floor(whole / count))];
    const splits = [];
    for (let first = least; first <= whole - least; first += STEP) splits.push([first, whole - first]);
    return splits;
  };
  let best = null;
  for (const widths of sizes(columns, width, narrowest)) {
    for (const heights of sizes(rows, height, LEAST_HEIGHT)) {
      const pitches = boards.map((board, k) =>
        largestPitch(board, widths[k % columns], heights[Math.floor(k / columns)], labelScale, most));
      const score = pitches.reduce((sum, pitch) => sum + Math.log(pitch) + (pitch >= LETTERS_FROM ? LETTER_BONUS : 0), 0);
      const uneven = Math.abs(widths[0] - width / columns) + Math.abs(heights[0] - height / rows);
      if (!best || score > best.score || (score === best.score && uneven < best.uneven)) best = { score, uneven, pitches, widths };
    }
  }
  return best;
}
