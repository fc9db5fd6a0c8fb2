"""The letters of one board cannot be taken for each other, as our own glyphs draw them in cells of 12 to 28 px."""

import functools
import itertools

import pytest

from pagingviz.boards import palette, registry
from pagingviz.boards.palette import LETTER_SHIFT, LETTERS, MEANINGS, PINNED
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.boards.glyphs import glyph_sheet, sprite
from tests.boards.legend_states import LIBRARY, MADE_UP, plans_of, scenario_of

APART = 6  # pixels in which two glyphs differ at least, however the one is shifted
SHIFTS = tuple(itertools.product(range(-2, 3), repeat=2))


@functools.cache
def difference(a: str, b: str) -> int:
    """The fewest pixels in which the glyphs of two characters differ, one of them moved by up to two pixels."""
    sheet = glyph_sheet()
    one, two = ({(x, y) for y, row in enumerate(sheet[c]) for x, ink in enumerate(row) if ink == "#"} for c in (a, b))
    return min(len(one ^ {(x + dx, y + dy) for x, y in two}) for dx, dy in SHIFTS)


def alike(plan) -> list[tuple[str, str]]:
    """Pairs of letters of a legend that look too much alike. Capital and small letter of one name are one letter."""
    letters = sorted({letter for letter, _, _ in plan.legend} & set(MEANINGS) - {" ", "."})
    pairs = itertools.combinations(letters, 2)
    return [(a, b) for a, b in pairs if a.casefold() != b.casefold() and difference(a, b) < APART]


@pytest.mark.parametrize("name", [*LIBRARY, *MADE_UP])
def test_no_two_letters_of_a_board_look_alike(warm, name):
    assert {which: pairs for which, plan in plans_of(Simulation(scenario_of(name))).items() if (pairs := alike(plan))} == {}


@pytest.mark.parametrize("board", [*registry.MIGRATION, *registry.ROADS])
@pytest.mark.parametrize("fields", [{}, {"migrate": "postcopy"}])
def test_no_two_letters_of_the_other_boards_look_alike(board, fields):
    assert alike(registry.make_plan(board, load("moving").replace(**fields), None)) == []


def test_the_measure_finds_what_people_mixed_up():
    assert max(difference(a, b) for a, b in ("1l", "O0")) < APART <= min(difference(a, b) for a, b in ("1B", "OK", "4f"))


@pytest.mark.browser
@pytest.mark.parametrize("side", range(13, 28))
def test_no_letter_touches_a_thick_edge(script_page, side):
    """The bar of a T that did read as a part of the edge: what remained looked like an I."""
    for letter in "TWRSO":
        picture = sprite(script_page, palette.TABLE, side=side, more=LETTERS.index(letter) << LETTER_SHIFT | PINNED)
        rows = sorted({int(y) for y, _ in zip(*(picture == "ink").nonzero(), strict=True)})
        edge = [y for y in range(side) if (picture[y] == "text").all()]
        assert rows[0] - max(y for y in edge if y < side // 2) > 1 and min(y for y in edge if y > side // 2) - rows[-1] > 1
