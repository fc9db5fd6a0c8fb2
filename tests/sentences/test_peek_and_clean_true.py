"""What PEEK and CLEAN would do, by the page Dirty bitmap, is what they do: with log-dirty on, off, and for want of a page."""

import re

import numpy as np
import pytest

from pagingviz.reading import nested, shadows
from pagingviz.scenario.scenario import load
from pagingviz.story.sentences import sentence
from pagingviz.timeline.simulation import Simulation
from pagingviz.ui.bitmap import peek_and_clean
from tests.sentences import scenes
from tests.sentences.notes_reading import written

ON, OFF = {"do": "enable@300", "clean_every": 0}, {"do": "", "clean_every": 0}
MACHINES = {
    "shadow, on": ON,
    "shadow, off": OFF,
    "search, on": ON | {"clean": "revoke"},
    "search, off": OFF | {"clean": "revoke"},
    "PV, on": ON | {"road": "pv"},
    "PV, off": OFF | {"road": "pv"},
    "EPT, on": ON | scenes.HAP,
    "EPT, off": OFF | scenes.HAP,
    "PML, on": ON | scenes.HAP | {"pml": 1},
    "NPT, off": OFF | {"road": "hap", "hap": "npt"},
}


def number(text):
    """The number at the beginning of a text; "no frame" is 0."""
    return 0 if text.startswith("no frame") else int(re.match(r"[\d,]+", text)[0].replace(",", ""))


def state(sim):
    """(bits, frames that may be written) of a machine: by shadows, or by the leaves of nested tables."""
    m = sim.machine
    if sim.scenario.road != "hap":
        return set(m.dirty_frames().tolist()), set(np.flatnonzero(written(m)).tolist()) if shadows.in_use(m) else None
    may = set()
    for gfn in range(sim.scenario.frames):
        steps = nested.path(m, gfn)
        if nested.writable(steps[-1].entry) and not nested.waiting(m, steps):
            may.add(gfn)
    return set(m.dirty_frames().tolist()), may


@pytest.mark.parametrize("name", MACHINES)
def test_peek_and_clean_do_what_the_page_says_that_they_would(warm, name):
    sim = Simulation(load("blackboard").replace(**MACHINES[name]))
    sim.seek(900)
    told = {row[0]: row[1:] for row in peek_and_clean(sim)}
    bits, may = state(sim)
    logged = set(sim.machine.logged_frames().tolist())
    assert [int(n) for n in told["done so far"]] == [sim.counters()["peeks"], sim.counters()["cleans"]]
    sim.command("peek")
    assert state(sim)[0] == bits | logged and state(sim)[1] in (may, may and may | logged)
    assert number(told["would report now"][0]) == len(bits | logged)
    assert ("there are none" in told["the bits afterwards"][0]) == (not sim.machine.sys[0].log_dirty)
    tree = shadows.pool_size(sim.machine) - int(sim.machine.sys[0].free_pages)
    sim.command("clean")
    assert not state(sim)[0] and number(told["would report now"][1]) == len(bits | logged)
    event = sim.events()[sim.events()["kind"] == sim.events()["kind"][-1]][-1]
    assert int(event["detail"]) == len(bits | logged) or not sim.machine.sys[0].log_dirty
    if sim.machine.sys[0].log_dirty:
        assert told["the bits afterwards"][1] == f"all 0, round {int(sim.machine.sys[0].dirty_round)} begins"
    how, (_, may) = told["write access afterwards"][1], state(sim)
    if how == "all shadows are thrown away":
        assert sim.counters()["blows"] and not may
    elif how.startswith("taken from every writable frame"):
        assert sim.counters()["frames_revoked"] > 0 and not may and "searched for" in sentence(sim)[0]
        assert shadows.pool_size(sim.machine) - int(sim.machine.sys[0].free_pages) >= tree - 4, "the shadows stay"
    elif how.startswith("the root of the nested tables is poisoned"):
        assert not may and ("marks nothing" in how) == (not sim.machine.sys[0].log_dirty)
        before = sim.counters()
        sim.seek(1300)
        marked = sim.counters()["pages_marked"] + sim.counters()["pml_logged"]
        assert (marked == before["pages_marked"] + before["pml_logged"]) == ("marks nothing" in how)
    else:
        assert how == "stays: there are no shadows" and may is None


def test_both_fail_for_want_of_a_page(warm):
    """The moments of a guest whose pool is too small: the CLEAN that comes changes nothing."""
    failed = 0
    for m in scenes.run("a HAP pool too small"):
        told = {row[0]: row[1:] for row in peek_and_clean(m.sim)}
        fails = "fails" in told["would report now"][1]
        assert fails == (m.s.failed_allocs > 0) and (told["the bits afterwards"][1] == "stay") == fails
        if fails and m.n("NO_MEMORY"):
            failed += 1
            assert m.d("cleans") == m.d("peeks") == 0 and told["write access afterwards"] == ("stays", "stays")
    assert failed == 4
