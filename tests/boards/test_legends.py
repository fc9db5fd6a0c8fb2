"""Every entry of a legend can be met on its board, and nothing is on a board that its legend does not list."""

import random
from collections import defaultdict

import pytest

from pagingviz.boards import palette
from pagingviz.boards.palette import AGE_YOUNGEST, BLANK, NEUTRAL, READ_ONLY, WRITABLE
from pagingviz.scenario.scenario import Scenario, load
from tests.boards.legend_states import LIBRARY, look, plans_of, seen_by
from tests.core.raw import BASE, DIRECT, FRAME, PAGE, A, W
from tests.core.raw_guests import COMMANDS, world

pytestmark = pytest.mark.slow
SMALL = {"trace": "", "frames": 512}
MADE_UP = {  # what no scenario of the library has
    "bare": SMALL | {"road": "bare", "work": "uniform:24"},
    "PAE with superpages": SMALL
    | {"road": "shadow", "guest": "pae", "direct_map_pages": "large", "work": "uniform:60,fork:12"},
    "32 bits": SMALL | {"road": "shadow", "guest": "hvm32", "work": "hotcold:60,uniform:30", "pool": 40},
    "no tables out of sync": SMALL | {"road": "shadow", "oos": 0, "xen": "4.17", "work": "uniform:60,fork:12"},
    "PV, Xen 4.17": SMALL | {"road": "pv", "xen": "4.17", "work": "uniform:60,fork:12", "pool": 40},
    "PML": SMALL | {"road": "hap", "pml": 1, "frames": 4096, "superpages": 1, "work": "uniform:60"},
    "NPT": SMALL | {"road": "hap", "hap": "npt", "superpages": 1, "frames": 4096, "work": "uniform:60"},
    "superpages for data only": SMALL | {"road": "hap", "superpages": 1, "exec_sp": 0, "frames": 4096, "work": "hotcold:90"},
    "a guest that reads": SMALL
    | {"road": "hap", "superpages": 1, "frames": 4096, "work": "uniform:1500", "write": 0, "start": 6000},
    "a guest that reads, 1 GiB": SMALL
    | {"road": "hap", "superpages": 2, "frames": 1 << 18, "direct_map_pages": "large", "pml": 0}
    | {"work": "uniform:90", "write": 0, "start": 900},
    "two vCPUs": SMALL | {"road": "shadow", "vcpus": 2, "work": "uniform:60,fork:12,hotcold:60", "pool": 48},
}
GRADES = ("often", "who")  # views of the bitmap in which chance decides whether an entry is met


def scenario_of(name: str) -> Scenario:
    return Scenario(**MADE_UP[name]) if name in MADE_UP else load(name)


def explained(plan, pair) -> bool:
    """Whether the legend has an entry for a cell of this (letter, fill code).

    A neutral entry is for every shade of the board's scale, one without letter for every letter, one of small letters for the
    small letter of any other entry.
    """
    letter, code = pair
    rows = {(letter, code) for letter, code, _ in plan.legend if code is not None}
    shade = code >= AGE_YOUNGEST and plan.scale and code in dict(plan.scale.steps)
    small = rows & {("w", WRITABLE), ("r", READ_ONLY)} and letter.islower() and (letter.upper(), code) in rows
    return code == BLANK or pair in rows or (" ", code) in rows or bool(shade and (letter, NEUTRAL) in rows) or bool(small)


def met(row, seen) -> bool:
    """Whether a cell that this entry of a legend is about has been seen."""
    letter, code, _ = row
    if code == NEUTRAL:
        return any(other == letter and fill >= AGE_YOUNGEST for other, fill in seen)
    return any(fill == code and other == (letter if letter.strip() else other) for other, fill in seen)


def missing(plans, seen):
    """Entries that were not met, by (board, view)."""
    rows = {which: [row for row in plan.legend if row[1] is not None] for which, plan in plans.items()}
    return {(which, row) for which, of_board in rows.items() for row in of_board if not met(row, seen[which])}


def unexplained(plans, seen):
    """(board, view, pair) of cells that no entry explains. A board without a legend is hatched."""
    hatched = {(" ", palette.ABSENT), (" ", BLANK)}
    return [
        (*which, pair)
        for which, plan in plans.items()
        for pair in seen[which]
        if not (explained(plan, pair) if plan.legend else pair in hatched)
    ]


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
    """Where only chance decides, in some scenario: that is the next test's."""
    left = missing(*states_of(found, name))
    sure = {
        (which, row)
        for which, row in left
        if which[1] not in GRADES and not (row[0] in "SG" and row[1] == READ_ONLY) and row[0] != "d"
    }
    assert sure == set()


def test_every_entry_of_a_legend_is_met_somewhere(found):
    wanted, there = defaultdict(set), defaultdict(set)
    for name in (*LIBRARY, *MADE_UP):
        plans, seen = states_of(found, name)
        left = missing(plans, seen)
        for which, plan in plans.items():
            rows = {row for row in plan.legend if row[1] is not None}
            wanted[which] |= rows
            there[which] |= {row for row in rows if (which, row) not in left}
    assert {which: rows - there[which] for which, rows in wanted.items() if rows - there[which]} == {}


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
