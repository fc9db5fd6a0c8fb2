"""Every entry of a legend can be met on its board, and nothing is on a board that its legend does not list."""

import random
from collections import defaultdict

import pytest

from pagingviz.boards.palette import READ_ONLY
from tests.boards.legend_states import (
    LIBRARY,
    MADE_UP,
    look,
    met_nowhere,
    missing,
    plans_of,
    scenario_of,
    seen_by,
    unexplained,
)
from tests.core.raw import BASE, DIRECT, FRAME, PAGE, A, W
from tests.core.raw_guests import COMMANDS, world

pytestmark = pytest.mark.slow


def by_chance(view, letter, fill):
    """Whether it hangs on what a guest happens to do that an entry is met in a scenario, and not on what its machine can show.

    That is how often and by whom frames are written; whether one that was dirty in the round before is not in this ("d"); and
    whether a superpage of 2 MiB or 1 GiB ("S", "G") is read but not written while log-dirty is on, so that it stays read-only.
    """
    return view in ("often", "who") or letter == "d" or (letter in "SG" and fill == READ_ONLY)


@pytest.fixture(scope="module")
def found(warm):
    """{name of a machine: (plans, what was seen)}, made once."""
    return {}


def states_of(found, name):
    if name not in found:
        found[name] = seen_by(scenario_of(name))
    return found[name]


@pytest.mark.parametrize("name", [*LIBRARY, *MADE_UP])
def test_a_board_shows_nothing_that_its_legend_lacks(found, name):
    assert unexplained(*states_of(found, name)) == []


@pytest.mark.parametrize("name", LIBRARY)
def test_every_entry_of_a_legend_is_met_in_the_scenario(found, name):
    """What hangs on chance is met in some scenario: that is the next test's."""
    left = missing(*states_of(found, name))
    assert {(which, row) for which, row in left if not by_chance(which[1], *row[:2])} == set()


def test_every_entry_of_a_legend_is_met_somewhere(found):
    assert met_nowhere(states_of(found, name) for name in (*LIBRARY, *MADE_UP)) == {}


@pytest.mark.parametrize(("levels", "road"), [(4, "shadow"), (3, "shadow"), (2, "shadow"), (4, "pv"), (4, "hap")])
def test_a_guest_given_entry_by_entry_shows_nothing_that_its_legend_lacks(warm, levels, road):
    r, roots, spots = world(levels, road, 48, 1)
    r.audited = False
    luck, plans, seen = random.Random(levels), plans_of(r.sim), defaultdict(set)
    for _ in range(200):
        act, spot = luck.randrange(8), luck.choice(spots)
        if act < 3:
            (r.read, r.write, r.fetch)[act](spot, user=luck.randrange(2))
        elif act < 5:
            entry = luck.randrange(90, 120) << 12 | luck.choice((PAGE, PAGE & ~A, PAGE & ~W))
            r.store(r.table(BASE, 1, roots[0]), luck.randrange(64), r.mfn(entry) if road == "pv" else entry)
        elif act == 5:
            r.cr3(luck.choice(roots))
        elif act == 6:
            r.read(DIRECT[levels] + luck.randrange(128) * FRAME, user=0)
        else:
            r.do(luck.choice(COMMANDS))
        look(r.sim, plans, seen)
    assert unexplained(plans, seen) == []
