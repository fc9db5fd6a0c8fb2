// The colours of the header's "palette" (made in pagingviz/boards/palette.py) in the forms that the canvas and the style sheet need.

/** "#rrggbb" as a pixel of ImageData read in words of 32 bits: 0xffBBGGRR, since the bytes are R, G, B, A. */
export function pixelOf(colour) {
  const [r, g, b] = [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
  return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
}

/** The palette's colours as pixels: fill, edge and ink are Uint32Arrays by fill code (0 where there is no such code). */
export function pixelsOf(palette) {
  const list = (colours) => Uint32Array.from(colours, (colour) => (colour ? pixelOf(colour) : 0));
  return {
    fill: list(palette.fill), edge: list(palette.edge), ink: list(palette.ink),
    ground: pixelOf(palette.ground), text: pixelOf(palette.text), hatch: pixelOf(palette.hatch),
  };
}

/** Set the colours of everything around the cells: board.css uses them as variables. */
export function setVariables(node, palette) {
  for (const [name, colour] of Object.entries(palette.variables)) node.style.setProperty(`--${name}`, colour);
}

/** Colour an element like a cell of this fill code. */
export function dressAsCell(node, palette, code) {
  Object.assign(node.style, { background: palette.fill[code], color: palette.ink[code], borderColor: palette.edge[code] });
}
