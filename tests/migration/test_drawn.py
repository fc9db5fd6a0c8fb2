"""Migrations drawn at random: the destination equals the source, and a lost bit is noticed each time. make soak: a thousand."""

import numpy as np
import pytest

from pagingviz.migration.effects import ReadBitmap
from pagingviz.migration.state import FINAL
from tests.migration import drawn
from tests.migration.finished import intercept

pytestmark = pytest.mark.slow

DRAWS = 48


@pytest.mark.parametrize("number", range(DRAWS))
def test_the_destination_equals_the_source(number):
    wrong, _ = drawn.check(number)
    assert wrong == ""


def test_a_thousand_draws_contain_every_pair_of_choices():
    assert drawn.all_pairs() <= drawn.pairs(range(1000))


PRECOPY = [n for n in range(400) if drawn.choices(n)["migrate"] == "precopy"][:24]


@pytest.mark.parametrize("number", PRECOPY)
def test_one_lost_bit_is_noticed_every_time(number, monkeypatch):
    """The last reading forgets one frame that the destination does not have as it is. Where there is none, nothing is lost."""
    lost = []

    def forgetful(mig, effect, carry_out):
        dirty = carry_out()
        if mig.state.phase == FINAL:
            index = mig.index_of(dirty)
            stale = index[mig.destination.versions[index] != mig.machine.view("ver")[index]]
            if stale.size:
                lost.append(int(mig.machine.modelled.frames()[stale[0]]))
                dirty = np.setdiff1d(dirty, lost)
        return dirty

    intercept(monkeypatch, ReadBitmap, forgetful)
    wrong, _ = drawn.check(number)
    assert ("equal False" in wrong) if lost else wrong == ""


def test_most_of_those_draws_lose_a_bit():
    """So that the test above cannot pass by doing nothing."""

    def matters(number):
        _, sim = drawn.check(number)
        return sim.migration.state.rounds[-1].kind == "final" and sim.migration.state.rounds[-1].sent > 0

    assert sum(matters(number) for number in PRECOPY) > len(PRECOPY) // 2
