"""The colours keep the rules of the visual language: contrast of edges and letters, one meaning one colour."""

import re
import tomllib

import pytest

from pagingviz.boards import palette
from pagingviz.boards.palette import LETTERS, PALETTES, contrast
from tests.boards.glyphs import STATIC, glyph_sheet

FILLED = [code for code in palette.FILL_CODES if code not in (palette.ABSENT, palette.FREE, palette.BLANK)]
themes = pytest.mark.parametrize("theme", PALETTES)


def test_letters_are_unique_and_fit_the_cell_word():
    assert len(set(LETTERS)) == len(LETTERS) <= palette.LETTER_MASK + 1
    assert max(palette.FILL_CODES) <= palette.FILL_MASK
    flags = palette.PINNED | palette.CROSSED | palette.CHANGED
    assert flags + (palette.LETTER_MASK << palette.LETTER_SHIFT) + palette.FILL_MASK == 0xFFFF


def test_every_letter_and_label_character_has_its_own_glyph():
    sheet = glyph_sheet()
    wanted = set(LETTERS) | set(map(chr, range(32, 127))) - {"`"}
    assert wanted <= set(sheet)
    pictures = [tuple(sheet[c]) for c in sorted(wanted)]
    assert len(set(pictures)) == len(pictures)
    assert all(len(rows) == 12 and set("".join(rows)) <= set(" #") for rows in sheet.values())


def test_the_scripts_and_styles_have_no_copy_of_the_colours_and_letters():
    for path in (*STATIC.glob("*.js"), *STATIC.glob("*.css")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"#[0-9a-fA-F]{6}\b", text), path.name
        assert LETTERS not in text and not re.search(r"1 << 1[345]|0x7f|0x3f", text), path.name


@themes
def test_every_filled_cell_has_an_edge_of_three_to_one(theme):
    p = PALETTES[theme]
    for code in FILLED:
        for ground in (p.ground, p.fill(palette.FREE)):
            assert contrast(p.swatches[code].edge, ground) >= palette.EDGE_CONTRAST, (theme, code)


@themes
def test_letters_are_black_or_white_whichever_contrasts_more(theme):
    for code in FILLED:
        swatch = PALETTES[theme].swatches[code]
        other = {"#000000": "#ffffff", "#ffffff": "#000000"}[swatch.ink]
        assert contrast(swatch.ink, swatch.fill) >= max(4.5, contrast(other, swatch.fill)), (theme, code)


@themes
def test_text_is_readable_and_no_two_codes_share_a_colour(theme):
    p = PALETTES[theme]
    assert contrast(p.text, p.ground) >= 7
    assert min(contrast(p.muted, p.ground), contrast(p.accent, p.ground)) >= 4.5
    fills = [p.fill(code) for code in FILLED]
    assert len(set(fills)) == len(fills)


def test_the_age_ramp_falls_from_bright_to_dark_in_even_steps():
    light = [palette.luminance(PALETTES["light"].fill(c)) for c in range(palette.AGE_YOUNGEST, palette.AGE_OLDEST + 1)]
    assert light == sorted(light, reverse=True)
    assert palette.age_colour(1) == "#fee838" and palette.age_colour(0) == "#00224e"


@themes
def test_the_style_sheet_has_every_colour_that_it_names(theme):
    given = set(PALETTES[theme].variables())
    for path in (STATIC / "board.css", STATIC.parents[1] / "ui" / "rows.py"):
        text = path.read_text(encoding="utf-8")
        own = set(re.findall(r"--([a-z-]+)(?=:|\")", text))
        assert {name for name in re.findall(r"var\(--([a-z-]+)", text) if not name.startswith("st-")} <= given | own


@themes
def test_streamlit_around_the_board_has_the_same_accent(theme):
    config = tomllib.loads((STATIC.parents[2] / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert config["theme"][theme]["primaryColor"].lower() == PALETTES[theme].accent


def test_the_wire_form_names_a_colour_for_every_code():
    for p in PALETTES.values():
        wire = p.wire()
        for part in ("fill", "edge", "ink"):
            assert len(wire[part]) == 32
            assert [bool(c) for c in wire[part]] == [code in palette.FILL_CODES for code in range(32)]
