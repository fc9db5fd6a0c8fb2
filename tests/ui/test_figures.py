"""Plotly shows what the live board shows: same fill, letter and flags, cell by cell; same colours in both themes."""

import numpy as np
import pytest

from pagingviz.boards.palette import (
    CHANGED,
    CROSSED,
    FILL_CODES,
    FILL_MASK,
    LETTER_MASK,
    LETTER_SHIFT,
    LETTERS,
    PALETTES,
    PINNED,
)
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import HISTORY, Simulation
from pagingviz.ui import figures
from tests.boards.on_screen import MACHINE, Shown


def grid_of(figure, shape):
    """The uint16 cells that a heatmap figure shows."""
    heat = figure.data[0]
    letters = np.vectorize(LETTERS.index)(np.asarray(heat.text).astype(str)).astype(np.uint16)
    cells = np.asarray(heat.z).astype(np.uint16) | letters << np.uint16(LETTER_SHIFT)
    bits = {"thick edge": PINNED, "shadow destroyed in this tick": CROSSED, "changed in this tick": CHANGED}
    for marks in figure.data[1:]:
        cells[np.asarray(marks.y, int), np.asarray(marks.x, int)] |= np.uint16(bits[marks.name])
    assert cells.shape == shape
    return cells


@pytest.mark.parametrize("road", ["bare", "shadow", "hap"])
@pytest.mark.parametrize("board", MACHINE)
def test_live_grid_and_plotly_grid_are_equal(warm, road, board):
    sim = Simulation(load("blackboard").replace(road=road))
    for tick in (0, 340, 2800):
        sim.seek(tick)
        shown = Shown(sim, board)
        cells = shown.grid
        figure = figures.heatmap(cells, shown.plan, "light")
        assert np.array_equal(grid_of(figure, cells.shape), cells)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_colours_are_those_of_the_palette(theme):
    scale = figures.colorscale(PALETTES[theme])
    for code in FILL_CODES:
        middle = (code + 0.5) / figures.CODES
        colours = {colour for k, (at, colour) in enumerate(scale) if at <= middle <= scale[min(k + 1, len(scale) - 1)][0]}
        assert PALETTES[theme].fill(code) in colours


def test_letters_and_flags_are_text_where_they_fit(warm):
    sim = Simulation(load("lecture").replace(trace="", work="hotcold:64", order=""))
    shown = Shown(sim, "dirty-bitmap")
    cells = shown.grid
    assert cells.shape[1] > figures.LETTERS_UP_TO
    assert figures.heatmap(cells, shown.plan, "light").data[0].texttemplate is None


def test_history_has_a_curve_for_each_name(warm):
    sim = Simulation(load("blackboard"))
    sim.seek(1000)
    ticks, series = sim.history()
    figure = figures.history(ticks, series, HISTORY[:3], sim.tick, "dark")
    assert [curve.name for curve in figure.data] == list(HISTORY[:3])
    for curve in figure.data:
        assert np.array_equal(curve.y, series[curve.name])


def test_the_mask_covers_what_the_grid_holds():
    assert FILL_MASK == (1 << LETTER_SHIFT) - 1 and LETTER_MASK << LETTER_SHIFT < PINNED
