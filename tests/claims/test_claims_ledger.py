"""The statements C3 and C4 of the answer, by id: the road not taken, counted against blow and rebuild. Nothing here is a given
number: each is measured on the engine's own state, in the scenarios `search` and `ledger` and in larger and smaller ones."""

import numpy as np
import pytest

from pagingviz.arch import events as ev
from pagingviz.arch import xen
from pagingviz.experiments import ledger
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation

pytestmark = pytest.mark.slow

SCENARIO = {"C3": "search", "C4": "ledger"}


def cleaned(scenario, tick):
    """(counters that the CLEAN at `tick` moved, L1 and fl1 shadow pages before it, live shadows before it, the simulation)."""
    sim = Simulation(scenario.replace(do="enable@500", clean_every=0))
    sim.run(tick)
    kind = sim.machine.view("ptype")
    l1s = int(np.count_nonzero(xen.SH_LEVEL[kind.astype(np.intp)] == 1))
    live = int(np.count_nonzero((kind >= 1) & (kind <= 12)))
    before = sim.counters()
    sim.command("clean")
    return {name: n - before[name] for name, n in sim.counters().items()}, l1s, live, sim


def test_c3_to_make_all_memory_read_only_is_to_reverse_a_mapping_that_goes_one_way():
    """The scenario's CLEAN: one search a frame; the shadows stay, nothing is writable, the next store of each faults."""
    scenario = load(SCENARIO["C3"])
    sim = Simulation(scenario)
    sim.seek(scenario.start)
    names = [ev.NAMES[int(kind)] for kind in sim.events()["kind"]]
    assert names[-2:] == ["REVOKE", "CLEAN"] and "BLOW" not in names
    searched = sim.events()[sim.events()["kind"] == ev.CODES["WRMAP"]]
    frames = searched["gfn"][searched["level"] == 0]
    assert frames.size > 20 and np.unique(frames).size == frames.size, "each frame once"
    shadows = np.isin(sim.machine.view("ptype"), (xen.SH_L1, xen.SH_FL1))
    assert shadows.any() and not (sim.machine.view("info") & xen.TYPECOUNT).any()
    assert sim.machine.log_dirty() == {"on": True, "dirty": 0, "missing": 0}
    marked = sim.counters()["pages_marked"]
    sim.run(300)
    dirty = np.flatnonzero(sim.machine.dirty_bits())
    assert sim.counters()["pages_marked"] - marked == dirty.size > 20 and sim.machine.log_dirty()["missing"] == 0
    assert np.isin(dirty, frames).any(), "frames that were searched for are written again"


def test_c3_the_search_grows_with_frames_times_shadows_and_blow_only_with_shadows():
    small = load("search").replace(work="uniform:1000", write=100, frames=4096, pool=256, vcpus=1, oos=0)
    points = []
    for pages, ticks in ((1000, 4500), (2000, 8500), (4000, 16500)):
        work = small.replace(work=f"uniform:{pages}", frames=8192)
        moved, l1s, _, _ = cleaned(work, ticks)
        blown, l1s_too, live, _ = cleaned(work.replace(clean="blow"), ticks)
        assert l1s == l1s_too, "the same state up to here"
        n, looked = moved["frames_revoked"], moved["entries_searched"]
        assert n <= looked <= n * l1s * 512, "at least one entry a frame, at most all of them"
        assert moved["shadow_free"] == 0 and 0 < live - blown["shadow_free"] <= 1, "all but the loaded root"
        assert blown["entries_searched"] == 0
        points.append((n, l1s, looked, blown["shadow_free"]))
    for (n0, l0, looked0, freed0), (n1, l1, looked1, freed1) in zip(points, points[1:], strict=False):
        work = (n1 * l1) / (n0 * l0)
        assert work > 2 and 0.7 * work < looked1 / looked0 < 1.4 * work, "frames times shadows"
        assert freed1 / freed0 < 1.3 * l1 / l0, "linear in the shadows"
        assert looked1 / looked0 > 1.8 * freed1 / freed0


def test_c3_xen_does_have_a_search_for_one_page_and_guesses_first():
    sim = Simulation(load("search").replace(clean="blow"))
    sim.run(4000)
    counts = sim.counters()
    assert counts["shadow_writeable"] > 0
    guessed = counts["shadow_writeable_h_4"] + counts["shadow_writeable_h_5"]
    assert guessed > 0.5 * counts["shadow_writeable"], "the direct map is where Xen guesses"
    without = Simulation(load("search").replace(clean="blow", shopt=511 & ~1, oos=0))
    without.run(4000)
    assert without.counters()["shadow_writeable_bf"] > 0 and without.counters()["entries_searched"] > counts["entries_searched"]


def test_c4_throwing_all_away_takes_a_short_pause_whatever_was_written():
    scenario = load(SCENARIO["C4"])
    entries = ledger.sweep([(scenario.replace(write=write), 5000) for write in (1, 40, 100)])
    for e in entries:
        assert e.blow.bits == e.revoke.bits and e.blow.guest == e.revoke.guest, "the same answer"
        assert e.blow.cycles()[0] < e.revoke.cycles()[0] / 50, "the domain stands still meanwhile"
        assert e.blow.run["shadow_fault"] >= e.revoke.run["shadow_fault"], "the price: what is touched again faults again"
        assert e.blow.run["shadow_alloc"] > e.revoke.run["shadow_alloc"]
    pauses = [e.blow.cycles()[0] for e in entries]
    assert max(pauses) < 1.2 * min(pauses), "of blow"
    searches = [e.revoke.cycles()[0] for e in entries]
    assert searches[0] * 3 < searches[1] and searches[1] < searches[2], "of the search: with what was written"


def test_c4_which_road_is_cheaper_in_all_depends_on_how_much_is_written():
    """Both happen: the ledger is measured, not decided. Where few frames are written Xen's way is the dearer one."""
    scenario = load(SCENARIO["C4"])
    few, many = ledger.sweep([(scenario.replace(write=write), 5000) for write in (0, 100)])
    assert sum(few.revoke.cycles()) < sum(few.blow.cycles())
    assert sum(many.revoke.cycles()) > sum(many.blow.cycles())
    assert len(ledger.crossings([few, many])) == 1


def test_c3_and_c4_each_have_their_scenario():
    tests = {name.split("_")[1].upper() for name in globals() if name.startswith("test_c")}
    assert tests == set(SCENARIO)
