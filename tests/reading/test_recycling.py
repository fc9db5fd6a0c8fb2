"""What is announced of the pool and of tables out of sync is what happens, and so is told afterwards: see preallocs.py."""

import pytest

from pagingviz.arch import events as ev
from pagingviz.reading import recycling
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.boards.on_screen import Shown
from tests.support.plainly import answer

THE_FAULT = ("ACCESS", "TLB_MISS", "SHADOW_FAULT", "GUEST_WALK", "AD_UPDATE")  # events that come before its prealloc


def watched(test):
    """A test of what preallocs.py prints: a process with plain kernels works for a minute, once for all of them."""
    return pytest.mark.plain(pytest.mark.slow(test))


@pytest.fixture(scope="module")
def runs():
    return answer("reading.preallocs")


@watched
def test_who_is_unpinned_and_emptied_is_announced_with_the_pages_that_it_frees(runs):
    for name, run in runs.items():
        for announced, freed, enough, gone, free, done in run["preallocs"]:
            assert announced == gone and (freed, enough) == (free, done), name
    several = [row for run in runs.values() for row in run["preallocs"] if len(row[3]) > 1]
    emptied = [row for row in several if row[3][-1][0] == "unhook"]
    assert sum(len(run["preallocs"]) for run in runs.values()) > 80 and len(several) > 5 and emptied


@watched
def test_what_a_shadow_fault_wants_is_announced(runs):
    rows = [row for run in runs.values() for row in run["faults"]]
    assert all(said == wanted for said, wanted, _ in rows)
    assert {wanted for _, wanted, _ in rows} >= {3, 7, 2, 6, 1, 5}, "with log-dirty and without: 4, 2 and 3 levels"


@watched
def test_the_pages_wanted_that_are_read_out_of_the_record_are_those_that_were_asked_for(runs):
    ticks = [(name, *row) for name, run in runs.items() for row in run["ticks"]]
    assert [row for row in ticks if row[2] != row[3]] == []
    assert len(ticks) > 50


@watched
def test_which_table_comes_back_into_sync_is_announced(runs):
    rows = [row for run in runs.values() for row in run["returns"]]
    for said, gone, new in rows:
        assert gone == ([] if said is None else [said]) and new == []
    assert sum(said is not None for said, _, _ in rows) > 10


def test_the_board_announces_who_goes_at_the_next_shadow_fault(warm):
    """Before a tick whose first event but the fault itself is an unpinning: the caption and the corner 1 name the victim."""
    sim = Simulation(load("thrash"))
    shown, met = Shown(sim, "shadow-pool", pages=96), 0
    sim.seek(100)
    while met < 12:
        assert sim.tick < 5000, f"only {met} shadow faults began with an unpinning"
        before, corners, caption = sim.tick, shown.board.corners(shown.scene, shown.plan), shown.caption
        would = recycling.recycling(sim.machine, recycling.wanted_by_a_fault(sim.machine))
        sim.seek(before + 1)
        names = [ev.NAMES[int(kind)] for kind in sim.events()["kind"]]
        first = [name for name in names if name not in THE_FAULT][:1]
        if first != ["PREALLOC_UNPIN"]:
            continue
        met += 1
        gone = [int(e["mfn"]) for e, name in zip(sim.events(), names, strict=True) if name == "PREALLOC_UNPIN"]
        assert gone[: len(would.unpinned)] == list(would.unpinned) and corners[gone[0]].split(" ")[0] == "1"
        gfn = int(next(e["gfn"] for e, name in zip(sim.events(), names, strict=True) if name == "PREALLOC_UNPIN"))
        assert f"needs {would.wanted}, has {would.free}: would unpin gfn {gfn:#x}" in caption
