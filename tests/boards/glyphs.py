"""The letters as they are drawn: the sheet in glyphs.js, and the picture of a cell."""

import functools
import re
from pathlib import Path

import numpy as np

from pagingviz.boards import palette
from pagingviz.boards.palette import PALETTES, cell_codes
from tests.boards.scripts import run

STATIC = Path(palette.__file__).parent / "static"
GLYPHS = (STATIC / "glyphs.js").read_text(encoding="utf-8")
SPRITE = """const { CellReader } = await import('/cell.js'), { pixelsOf } = await import('/colours.js');
const colours = pixelsOf(wire), names = new Map();
for (const name of ['fill', 'edge', 'ink']) names.set(colours[name][code], name);
for (const name of ['ground', 'text', 'hatch']) if (!names.has(colours[name])) names.set(colours[name], name);
const pixels = [...new m.Sprites(new CellReader(codes), colours, side, false).of(code | more)];
return pixels.map((pixel) => names.get(pixel));"""


@functools.cache
def glyph_sheet() -> dict[str, list[str]]:
    """Character -> its twelve rows of seven pixels, read from the drawing in glyphs.js."""
    lines = re.search(r"SHEET = String.raw`\n(.*?)\n`;", GLYPHS, re.S)[1].split("\n")
    sheet = {}
    for top in range(0, len(lines), 13):
        for left in range(0, len(lines[top]), 8):
            sheet[lines[top][left]] = [line[left : left + 7].ljust(7) for line in lines[top + 1 : top + 13]]
    return sheet


def sprite(page, code, side=20, more=0):
    """The picture of a cell: the name of each pixel's colour, str[side, side]."""
    values = {"wire": PALETTES["light"].wire(), "codes": cell_codes(), "code": code, "side": side, "more": more}
    return np.array(run(page, "sprites", SPRITE, **values)).reshape(side, side)
