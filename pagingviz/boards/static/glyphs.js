// The letters of the canvases: five pixels wide (m, w, M, W seven), capitals nine high, three rows below the line; drawn for 12 px text.
// They are bitmaps, so that a canvas holds the same pixels on every machine. A sheet row holds characters eight columns apart:
// one line with their names, twelve lines with their pixels.
const SHEET = String.raw`
        !       "       #       $       %       &       '       (       )       *       +       ,       -
          #      # #              #     ##  #    ##       #        #     #
          #      # #     # #     ####   ##  #   #  #      #       #       #       #
          #      # #     # #    # #        #    #  #      #       #       #     # # #     #
          #             #####   # #        #    #  #             #         #     ###      #
          #              # #     ###      #      ##              #         #    # # #   #####           #####
          #             #####     # #    #      # # #            #         #      #       #
                         # #      # #    #      #  #             #         #              #
                         # #    ####    #  ##   #  #             #         #                      ##
          #                       #     #  ##    ## #             #       #                       ##
                                                                  #       #                        #
                                                                   #     #                        #

.       /       0       1       2       3       4       5       6       7       8       9       :       ;
            #    ###      #      ###     ###       #    #####     ##    #####    ###     ###
            #   #   #    ##     #   #   #   #     ##    #        #          #   #   #   #   #
           #    #   #   # #         #       #     ##    #       #           #   #   #   #   #
           #    #  ##     #         #       #    # #    ####    #          #    #   #   #   #    ##       ##
          #     # # #     #        #      ##     # #    #   #   ####       #     ###     ####    ##       ##
         #      ##  #     #       #         #   #  #        #   #   #     #     #   #       #
         #      #   #     #      #          #   #####       #   #   #     #     #   #       #
 ##     #       #   #     #     #       #   #      #    #   #   #   #    #      #   #      #     ##       ##
 ##     #        ###    #####   #####    ###       #     ###     ###     #       ###     ##      ##       ##
                                                                                                           #
                                                                                                          #

<       =       >       ?       @       A       B       C       D       E       F       G       H       I
                         ###     ###      #     ####     ###    ####    #####   #####    ###    #   #    ###
    #           #       #   #   #   #     #     #   #   #   #   #   #   #       #       #   #   #   #     #
   #             #          #   #   #    # #    #   #   #       #   #   #       #       #       #   #     #
  #     #####     #         #   # ###    # #    #   #   #       #   #   #       #       #       #   #     #
 #                 #       #    # # #   #   #   ####    #       #   #   ####    ####    #  ##   #####     #
  #               #       #     # ###   #   #   #   #   #       #   #   #       #       #   #   #   #     #
   #    #####    #        #     #       #####   #   #   #       #   #   #       #       #   #   #   #     #
    #           #               #   #   #   #   #   #   #   #   #   #   #       #       #   #   #   #     #
                          #      ###    #   #   ####     ###    ####    #####   #        ###    #   #    ###



J       K       L       M       N       O       P       Q       R       S       T       U       V       W
  ###   #   #   #       #     # #   #    ###    ####     ###    ####     ###    #####   #   #   #   #   #     #
    #   #   #   #       ##   ## ##  #   #   #   #   #   #   #   #   #   #   #     #     #   #   #   #   #     #
    #   #  #    #       ##   ## ##  #   #   #   #   #   #   #   #   #   #         #     #   #   #   #   #     #
    #   # #     #       # # # # # # #   #   #   #   #   #   #   #   #   #         #     #   #   #   #   #  #  #
    #   ##      #       # # # # # # #   #   #   ####    #   #   ####     ###      #     #   #    # #    #  #  #
    #   # #     #       #  #  # # # #   #   #   #       #   #   # #         #     #     #   #    # #    #  #  #
    #   #  #    #       #  #  # #  ##   #   #   #       # # #   #  #        #     #     #   #    # #     # # #
#   #   #   #   #       #     # #  ##   #   #   #       #  #    #   #   #   #     #     #   #     #      # # #
 ###    #   #   #####   #     # #   #    ###    #        ## #   #   #    ###      #      ###      #       # #



X       Y       Z       [       \       ]       ^       _       a       b       c       d       e       f
#   #   #   #   #####    ###    #        ###      #                     #                   #             ##
#   #   #   #       #    #      #          #     # #                    #                   #            #  #
 # #    #   #      #     #       #         #    #   #                   #                   #            #
 # #     # #       #     #       #         #                     ###    ####     ###     ####    ###    ####
  #      # #      #      #        #        #                        #   #   #   #   #   #   #   #   #    #
 # #      #      #       #         #       #                     ####   #   #   #       #   #   #####    #
 # #      #      #       #         #       #                    #   #   #   #   #       #   #   #        #
#   #     #     #        #          #      #                    #   #   #   #   #   #   #   #   #   #    #
#   #     #     #####    #          #      #                     ####   ####     ###     ####    ###     #
                         #                 #            #####
                         ###             ###

g       h       i       j       k       l       m       n       o       p       q       r       s       t
        #         #        #    #        ##
        #                       #         #                                                              #
        #                       #         #                                                              #
 ####   ####     ##       ##    #  #      #     ######  ####     ###    ####     ####   # ##     ####   ####
#   #   #   #     #        #    # #       #     #  #  # #   #   #   #   #   #   #   #   ##  #   #        #
#   #   #   #     #        #    ##        #     #  #  # #   #   #   #   #   #   #   #   #        ###     #
#   #   #   #     #        #    # #       #     #  #  # #   #   #   #   #   #   #   #   #           #    #
#   #   #   #     #        #    #  #      #     #  #  # #   #   #   #   #   #   #   #   #           #    #  #
 ####   #   #    ###       #    #   #    ###    #  #  # #   #    ###    ####     ####   #       ####      ##
    #                      #                                            #           #
#   #                   #  #                                            #           #
 ###                     ##                                             #           #
u       v       w       x       y       z       {       |       }       ~       ·       →       …
                                                  ##      #      ##
                                                 #        #        #
                                                 #        #        #                      #
#   #   #   #   #  #  # #   #   #   #   #####    #        #        #     #  #              #
#   #   #   #   #  #  #  # #    #   #      #     #        #        #    # ##      ##    #####
#   #    # #    #  #  #   #     #   #     #     #         #         #             ##       #
#   #    # #     # # #    #     #   #    #       #        #        #                      #
#   #     #      # # #   # #    #   #   #        #        #        #                            # # #
 ####     #       # #   #   #    ####   #####    #        #        #                            # # #
                                    #            #        #        #
                                #   #             ##      #      ##
                                 ###
`;

export const CAP = 9; // height of a capital above the line
export const LINE = 12; // height of a line with its descenders
const WIDE = 7;

/** A bitmap: {w, h, bits}, bits a Uint8Array of w*h zeros and ones, row by row. */
function bitmap(w, h, at) {
  const bits = new Uint8Array(w * h);
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) bits[y * w + x] = at(x, y) ? 1 : 0;
  return { w, h, bits };
}

function readSheet() {
  const glyphs = new Map();
  const lines = SHEET.slice(1, -1).split("\n");
  for (let top = 0; top < lines.length; top += LINE + 1) {
    for (let left = 0; left < lines[top].length; left += WIDE + 1) {
      const ink = (x, y) => lines[top + 1 + y]?.[left + x] === "#";
      let w = 5;
      for (let y = 0; y < LINE; y++) if (ink(WIDE - 1, y)) w = WIDE;
      glyphs.set(lines[top][left], bitmap(w, LINE, ink));
    }
  }
  return glyphs;
}

const GLYPHS = readSheet();
const UNKNOWN = bitmap(5, LINE, (x, y) => y < CAP && (x % 4 === 0 || y % 8 === 0));

/** k times larger; the stairs of slanted strokes are filled in their corners (half of Scale2x: square corners stay square). */
function enlarge(g, k) {
  const at = (x, y) => (x < 0 || y < 0 || x >= g.w || y >= g.h ? 0 : g.bits[y * g.w + x]);
  return bitmap(g.w * k, g.h * k, (X, Y) => {
    const x = Math.floor(X / k), y = Math.floor(Y / k);
    const dx = Math.sign(2 * (X % k) - (k - 1)), dy = Math.sign(2 * (Y % k) - (k - 1));
    if (at(x, y) || dx === 0 || dy === 0) return at(x, y);
    return at(x + dx, y) && at(x, y + dy) && !at(x - dx, y) && !at(x, y - dy) && !at(x + dx, y + dy);
  });
}

const made = new Map();

/** The glyph of a character, k times its size; `bold` widens its strokes to the right, where its counters are wide enough. */
export function glyph(character, k = 1, bold = false) {
  const name = `${character}${k}${bold}`;
  let g = made.get(name);
  if (!g) {
    g = GLYPHS.get(character) ?? UNKNOWN;
    for (let rest = k; rest > 1; ) {
      const factor = rest % 3 === 0 ? 3 : rest % 2 === 0 ? 2 : rest;
      g = enlarge(g, factor);
      rest /= factor;
    }
    if (bold && (k > 1 || g.w < WIDE)) {
      const thin = g, more = Math.max(1, k >> 1);
      g = bitmap(thin.w + more, thin.h, (x, y) => {
        for (let d = 0; d <= more; d++) if (x >= d && x - d < thin.w && thin.bits[y * thin.w + x - d]) return true;
        return false;
      });
    }
    made.set(name, g);
  }
  return g;
}

/** A glyph, {w, h, bits, cap}, of whose `cap` rows so many are taken out that `most` remain, if so many repeat the one above. */
export function lowered(g, cap, most) {
  const row = (y) => g.bits.subarray(y * g.w, (y + 1) * g.w);
  const rows = Array.from({ length: g.h }, (_, y) => y);
  let left = cap;
  for (let y = cap - 2; y > 0 && left > most; y--) {
    if (row(y).every((bit, x) => bit === row(y - 1)[x])) rows.splice(rows.indexOf(y), 1), left -= 1;
  }
  return { ...bitmap(g.w, rows.length, (x, y) => row(rows[y])[x]), cap: left };
}

/** Width of a line of text in pixels at k times the size. */
export function textWidth(text, k = 1) {
  let width = 0;
  for (const character of text) width += glyph(character, k).w + 2 * k;
  return Math.max(0, width - 2 * k);
}
