"""The scripts that read, measure and paint for the live board, each on its own, in a real Chromium."""

import base64
import string

import numpy as np
import pytest

from pagingviz.boards import palette
from pagingviz.boards.palette import CHANGED, CROSSED, LETTER_SHIFT, LETTERS, PALETTES, PINNED, cell_codes
from pagingviz.boards.payload import encode
from pagingviz.player.message import board_record
from tests.boards.glyphs import sprite
from tests.boards.scripts import PLAN, film, run

pytestmark = pytest.mark.browser
CODES, LIGHT = cell_codes(), PALETTES["light"]


# --- payload.js, cell.js, colours.js ------------------------------------------------------------------------------------

DECODE = """
const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0)), shifted = new Uint8Array(bytes.length + 1);
shifted.set(bytes, 1);
const { header, frames } = m.decode(odd ? shifted.subarray(1) : bytes.buffer);
const now = header.boards.map(() => []);
return frames.map((frame) => ({ tick: frame.tick, grids: frame.grids.map(({ index, value }, b) => {
  value.forEach((word, k) => { now[b][index ? index[k] : k] = word; });
  return [...now[b]];
}) }));
"""


@pytest.mark.parametrize("odd", [False, True], ids=["whole buffer", "view that is not aligned"])
def test_the_reader_of_the_browser_reads_what_python_writes(script_page, odd):
    frames = list(zip(film(4, (3, 5)), film(4, (1, 3), seed=2), strict=True))
    records = [{"tick": 7 + k, "sentence": "gva → gpa"} for k in range(4)]
    boards = [{"id": "a", "w": 5, "h": 3}, {"id": "b", "w": 3, "h": 1}]
    sent = encode({"theme": "light", "boards": boards, "frames": records}, frames)
    read = run(script_page, "payload", DECODE, text=base64.b64encode(sent).decode(), odd=odd)
    assert [frame["tick"] for frame in read] == [7, 8, 9, 10]
    assert [[list(grid.ravel()) for grid in grids] for grids in frames] == [frame["grids"] for frame in read]


def test_a_message_that_ends_too_early_is_refused(script_page):
    sent = encode({"theme": "light", "boards": [{"w": 3, "h": 2}], "frames": [{}]}, [film(1, (2, 3))])
    body = "try { m.decode(Uint8Array.from(bytes)); } catch (error) { return error.name; }"
    assert run(script_page, "payload", body, bytes=list(sent)) is None
    assert run(script_page, "payload", body, bytes=list(sent[:-4])) == "RangeError"


def test_cell_words_are_read_as_python_writes_them(script_page):
    letters, flags = range(len(LETTERS)), (0, CHANGED)
    words = [fill | k << LETTER_SHIFT | flag for k in letters for fill in palette.FILL_CODES for flag in flags]
    body = "const r = new m.CellReader(codes); return words.map((word) => [r.fillOf(word), r.letterOf(word)]);"
    assert run(script_page, "cell", body, codes=CODES, words=words) == [
        [word & palette.FILL_MASK, LETTERS[word >> LETTER_SHIFT & palette.LETTER_MASK]] for word in words
    ]
    assert run(script_page, "cell", "return new m.CellReader(codes).letterOf(0xffff);", codes=CODES) == "?"


def test_flags_and_cells_without_a_legend_have_words(script_page):
    body = """const r = new m.CellReader(codes);
    return { notes: [0, r.pinned, r.crossed | r.changed].map((word) => r.notesOf(word, ["thick", "outlined"])),
             words: [r.absent, codes.age_youngest - 1, codes.age_youngest].map((code) => r.unnamed(code)) };"""
    assert run(script_page, "cell", body, codes=CODES) == {
        "notes": [[], ["thick"], [palette.CROSSED_WORDS, "outlined"]],
        "words": [palette.ABSENT_WORDS, palette.ABSENT_WORDS, palette.IN_USE_WORDS],
    }


def test_colours_become_pixels_and_variables(script_page):
    body = """const node = document.createElement("p"), pixels = m.pixelsOf(wire);
    m.setVariables(node, wire);
    return { ground: pixels.ground, fill: [...pixels.fill],
             variables: Object.keys(wire.variables).map((name) => node.style.getPropertyValue("--" + name)) };"""
    read = run(script_page, "colours", body, wire=LIGHT.wire())

    def pixel(colour):
        r, g, b = palette.rgb(colour)
        return 0xFF << 24 | b << 16 | g << 8 | r

    assert read["ground"] == pixel(LIGHT.ground)
    assert read["fill"] == [pixel(LIGHT.fill(k)) if k in palette.FILL_CODES else 0 for k in range(palette.AGE_OLDEST + 1)]
    assert read["variables"] == list(LIGHT.variables().values())


# --- glyphs.js ----------------------------------------------------------------------------------------------------------

GLYPHS = "return characters.map((c) => { const g = m.glyph(c, scale, bold); return [g.w, g.h, [...g.bits].join('')]; });"


def glyphs(page, characters, scale=1, bold=False):
    """(width, height, pixels row by row as a text of 0 and 1) of each character."""
    return [tuple(g) for g in run(page, "glyphs", GLYPHS, characters=list(characters), scale=scale, bold=bold)]


def test_every_character_has_a_glyph_of_its_own(script_page):
    printable = sorted(set(LETTERS + string.ascii_letters + string.digits + string.punctuation) - {"`"})
    drawn = glyphs(script_page, printable + ["☃"])
    assert len(set(drawn)) == len(drawn)  # the last is the box of a character that has none
    assert {height for _, height, _ in drawn} == {12} and {width for width, _, _ in drawn} == {5, 7}
    assert glyphs(script_page, "☃") == glyphs(script_page, "☂")


def test_enlarged_glyphs_keep_their_strokes_and_bold_ones_are_wider(script_page):
    for (w, h, small), (w3, h3, large) in zip(glyphs(script_page, "RW4m"), glyphs(script_page, "RW4m", scale=3), strict=True):
        assert (w3, h3) == (3 * w, 3 * h)
        inked = [k for k, bit in enumerate(small) if bit == "1"]
        for k in inked:  # the middle of every pixel is still inked
            x, y = 3 * (k % w) + 1, 3 * (k // w) + 1
            assert large[y * w3 + x] == "1"
    (w, _, thin), (wide, _, bold) = glyphs(script_page, "T")[0], glyphs(script_page, "T", bold=True)[0]
    assert wide == w + 1 and bold.count("1") > thin.count("1")


def test_the_width_of_a_text_is_that_of_its_glyphs_and_their_distances(script_page):
    read = run(script_page, "glyphs", "return [m.textWidth(''), m.textWidth('L4'), m.textWidth('Wm'), m.textWidth('L4', 2)];")
    assert read == [0, 5 + 2 + 5, 7 + 2 + 7, 2 * (5 + 2 + 5)]


# --- geometry.js, layout.js ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pitch", [1, 2, 3, 15, 16, 34, 64])
def test_a_point_in_the_middle_of_a_cell_finds_that_cell(script_page, pitch):
    body = """const g = new m.Geometry(board, pitch, 1), cells = [...Array(board.w * board.h).keys()];
    const boxes = cells.map((i) => g.boxOf(i)), [x, y, side] = boxes.at(-1);
    return { found: boxes.map(([x, y, side]) => g.cellAt(x + (side >> 1), y + (side >> 1))),
             beside: [g.cellAt(g.left - 1, g.top), g.cellAt(g.left, g.top - 1), g.cellAt(g.width, g.top),
                      g.cellAt(g.left, g.height), g.cellAt(g.left + board.w * pitch, g.top)],
             corner: [x + side, y + side], size: m.canvasSize(board, pitch, 1), whole: g.around(cells),
             origin: [g.left, g.top] };"""
    read = run(script_page, "geometry", body, pitch=pitch, board={"w": 5, "h": 3, "labels": [[0, "L4"]], "heads": ["a", "b"]})
    assert read["found"] == list(range(15))
    assert read["beside"] == [-1] * 5
    assert read["corner"] == read["size"]
    (left, top), (width, height) = read["origin"], read["size"]
    assert read["whole"] == [left, top, width - left, height - top]
    assert (left, top) == (5 + 2 + 5 + 7, 12 + 2)  # the label and seven pixels; a line of text and two


def test_labels_and_heads_take_room_only_where_they_are(script_page):
    body = "return [m.labelsWidth([], 2), m.headsHeight([], 2), m.headsHeight(undefined, 1), m.headsHeight(['L4'], 2)];"
    assert run(script_page, "geometry", body) == [0, 0, 0, 28]


SHAPES = [{"w": 32, "h": 8, "labels": [], "heads": []}, {"w": 64, "h": 30, "labels": [[0, "kernel"]], "heads": []}]
FIT = """const { canvasSize } = await import('/geometry.js');
const { pitches, widths } = m.fit(boards, columns, width, height, { narrowest: 100 });
const sizes = (more) => boards.map((board, k) => canvasSize(board, pitches[k] + more, 1));
return { pitches, widths, sizes: sizes(0), larger: sizes(1) };"""


@pytest.mark.parametrize(("width", "height"), [(1200, 500), (700, 300), (1500, 90)])
def test_boards_side_by_side_fit_and_none_could_be_larger(script_page, width, height):
    read = run(script_page, "layout", FIT, boards=SHAPES, columns=2, width=width, height=height)
    assert sum(read["widths"]) == width
    for k, ((w, h), (wider, higher)) in enumerate(zip(read["sizes"], read["larger"], strict=True)):
        assert w <= read["widths"][k] and h <= height
        assert wider > read["widths"][k] or higher > height or read["pitches"][k] == 64


def test_boards_one_under_the_other_share_the_height(script_page):
    read = run(script_page, "layout", FIT, boards=SHAPES, columns=1, width=1200, height=500)
    assert sum(h for _, h in read["sizes"]) <= 500 and max(w for w, _ in read["sizes"]) <= 1200
    for k, (wider, higher) in enumerate(read["larger"]):
        assert wider > 1200 or higher + read["sizes"][1 - k][1] > 500


def test_boards_in_columns_have_one_pitch_that_is_the_largest(script_page):
    body = "return m.fitColumns([[boards[0], boards[0]], [boards[0]]], 900, [height, 2000], { present });"
    assert run(script_page, "layout", body, boards=SHAPES, height=2000, present=False) == (900 - 2) // 64
    assert run(script_page, "layout", body, boards=SHAPES, height=100, present=False) == 100 // 16
    small = [{"w": 1, "h": 1, "labels": [], "heads": []}]
    assert [run(script_page, "layout", body, boards=small, height=2000, present=p) for p in (False, True)] == [64, 72]


# --- tip.js, beside.js --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [0, 300, 780])
@pytest.mark.parametrize("y", [0, 200, 290, 560])
def test_a_tooltip_lies_in_the_window_and_not_over_its_word(script_page, x, y):
    body = "return m.placeBeside({ left: x, right: x + 20, top: y, bottom: y + 30 }, w, h, 800, 600);"
    for w, h in ((200, 60), (400, 500), (784, 900)):
        left, top, most = run(script_page, "tip", body, x=x, y=y, w=w, h=h)
        height = min(h, most)
        assert left >= 0 and left + w <= 800 and top >= 0 and top + height <= 600
        assert top >= y + 30 or top + height <= y


PLACE = """const box = ([left, top, right, bottom]) => ({ left, top, right, bottom });
const found = m.placeCard({ width: 340, height }, box([0, 100, 900, 600]), box(about), lit.map(box), boards.map(box));
return [found.left, found.top, found.left + 340, found.top + Math.min(height, found.most), found.hidden];"""


@pytest.mark.parametrize("about", [[10, 110, 30, 130], [440, 340, 460, 360], [880, 580, 900, 600], [880, 110, 900, 130]])
def test_a_card_is_placed_beside_its_cell_and_what_lights_up(script_page, about):
    def apart(a, b):
        return a[2] <= b[0] or a[0] >= b[2] or a[3] <= b[1] or a[1] >= b[3]

    lit = [[700, 200, 720, 220], [200, 500, 220, 520], [20, 300, 40, 320]]
    for height in (200, 460):
        *card, hidden = run(script_page, "beside", PLACE, about=about, lit=lit, boards=[[0, 100, 400, 600]], height=height)
        assert card[0] >= 0 and card[2] <= 900 and card[1] >= 100 and card[3] <= 600
        assert apart(card, about) and hidden == sum(not apart(card, other) for other in lit) == 0


def test_a_card_hides_what_it_must_when_everything_lights_up(script_page):
    lit = [[x, y, x + 90, y + 100] for x in range(0, 900, 90) for y in range(100, 600, 100)]
    *card, hidden = run(script_page, "beside", PLACE, about=[0, 100, 90, 200], lit=lit, boards=[], height=200)
    assert card[0] >= 90 or card[1] >= 200
    assert 0 < hidden <= 15


def test_marks_are_counted_in_characters_as_python_counts(script_page):
    text = "a \U0001d4d0 gfn, é"
    body = """const node = document.createElement("p");
    m.writeMarked(node, text, [[4, 7, "gfn"]], { gfn: [["gfn", "A number."]] });
    return [node.textContent, node.querySelector("dfn").textContent, node.querySelector("dfn").hasAttribute("data-tip")];"""
    assert text[4:7] == "gfn"
    assert run(script_page, "tip", body, text=text) == [text, "gfn", True]


# --- sprites.js, paint.js -----------------------------------------------------------------------------------------------


def test_a_cell_has_its_fill_its_edge_and_its_letter(script_page):
    plain = sprite(script_page, palette.PENDING)
    assert set(plain[0]) == set(plain[:, -1]) == {"edge"} and set(plain[1:-1, 1:-1].ravel()) == {"fill"}
    lettered = sprite(script_page, palette.PENDING, more=LETTERS.index("D") << LETTER_SHIFT)
    assert (lettered[5:14, 6:13] == "ink").sum() > 20 and (lettered != plain).sum() == (lettered == "ink").sum()
    small = sprite(script_page, palette.PENDING, side=10, more=LETTERS.index("D") << LETTER_SHIFT)
    assert "ink" not in small, "a letter would not fit"


def test_cells_without_a_state_are_drawn_without_an_edge(script_page):
    assert (
        set(sprite(script_page, palette.FREE).ravel()) == set(sprite(script_page, palette.BLANK).ravel()) == {"edge"}
    )  # all one colour
    absent = sprite(script_page, palette.ABSENT)
    y, x = np.indices(absent.shape)
    assert ((absent == "edge") == ((x + y) % 4 == 0)).all()  # the edge colour of an absent cell is its hatch


def test_flags_are_drawn_as_thick_edge_inset_and_cross(script_page):
    pinned = sprite(script_page, palette.PENDING, more=PINNED)
    assert set(pinned[:2].ravel()) == {"text"} and set(pinned[2:-2, 2:-2].ravel()) == {"fill"}
    changed = sprite(script_page, palette.PENDING, more=CHANGED)
    assert set(changed[0]) <= {"ground", "ink"} and set(changed[1, 1:-1]) == {"edge"}
    crossed = sprite(script_page, palette.PENDING, more=CROSSED)
    assert (crossed.diagonal() == "ink").all() and (np.fliplr(crossed).diagonal() == "ink").all()
    assert crossed[10, 4] == crossed[4, 10] == "fill"


PAINT = """const { CellReader } = await import('/cell.js');
const make = () => {
  const canvas = document.createElement("canvas"), painter = new m.Painter(canvas, new CellReader(codes));
  painter.setBoard(board);
  painter.setPalette(wire);
  return painter;
};
const picture = (painter) => {
  const { canvas } = painter;
  return [...new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer)].join();
};"""


FOLLOW = """
const follower = make(), empty = make(), painted = [];
follower.setSize(pitch, 1), empty.setSize(pitch, 1);
let before = frames[0].map(() => -1);
for (const frame of frames) {
  const index = [...frame.keys()].filter((i) => frame[i] !== before[i]);
  follower.show({ index: Uint32Array.from(index), value: Uint16Array.from(index, (i) => frame[i]) });
  before = frame;
  const fresh = make();
  fresh.show({ index: null, value: Uint16Array.from(frame) });
  fresh.setSize(pitch, 1);
  painted.push(picture(follower) === picture(fresh));
}
return [...painted, picture(follower) !== picture(empty)];"""


@pytest.mark.parametrize("pitch", [2, 9, 20])
def test_a_canvas_that_follows_frames_equals_one_painted_at_once(script_page, pitch):
    frames = [grid.ravel().tolist() for grid in film(5, (4, 8))]
    values = {"codes": CODES, "wire": LIGHT.wire(), "board": board_record(PLAN), "pitch": pitch, "frames": frames}
    assert run(script_page, "paint", PAINT + FOLLOW, **values) == [True] * 6


def test_the_painter_finds_cells_but_not_the_padding(script_page):
    body = """const painter = make(), before = painter.cellAt(5, 5);
    painter.show({ index: null, value: Uint16Array.from(frame) });
    painter.setSize(20, 1);
    const { left, top } = painter.geometry;
    return [before, ...[0, 1, 8].map((i) => painter.cellAt(left + 20 * (i % 8) + 9, top + 20 * (i >> 3) + 9))];"""
    grid = np.full(32, palette.WRITABLE)
    grid[1] = palette.BLANK
    values = {"codes": CODES, "wire": LIGHT.wire(), "board": board_record(PLAN), "frame": grid.tolist()}
    read = run(script_page, "paint", PAINT + body, **values)
    assert read == [-1, 0, -1, 8]
