"""CLEAN, PEEK and OFF of a domain whose log-dirty is off: Xen tests for the mode only at ENABLE (paging.c: paging_domctl).

Every step is done on the slow model as well, and must leave both equal.
"""

import pytest

from pagingviz.arch import x86, xen
from pagingviz.scenario.scenario import load
from pagingviz.story.sentences import sentence
from pagingviz.timeline.simulation import Simulation
from tests.core.nested_pair import BASE, Pair, after
from tests.model import WRITE

OF_EACH_ROAD = pytest.mark.parametrize("road", ["shadow", "pv", "hap"])


def live_shadows(p):
    return sum(1 for kind in p.view("ptype").tolist() if xen.SH_L1_32 <= kind <= xen.SH_L4)


@OF_EACH_ROAD
def test_second_reading_5_only_a_second_enable_is_refused(road):
    p = after(Pair(road), BASE)
    assert p.do("peek")["peeks"] == p.do("clean")["cleans"] == p.do("off")["offs"] == 1
    assert p.do("enable")["enables"] == 1 and p.do("enable") == {"ignored": 1}
    assert p.do("off")["offs"] == p.do("off")["offs"] == 1
    assert p.s.ignored == 1


def test_second_reading_5_a_clean_while_off_still_blows_all_shadows():
    """sh_clean_dirty_bitmap asks nobody: shadow_blow_tables."""
    p = after(Pair("shadow"), *range(BASE, BASE + 8))
    had = live_shadows(p)
    moved = p.do("clean")
    assert moved["blows"] == 1 and moved["shadow_free"] > 0 and live_shadows(p) < had
    assert p.touch(BASE, WRITE)["shadow_fault_fixed"] == 1 and not p.dirty()
    p = after(Pair("pv"), BASE)
    assert p.do("clean")["blows"] == 1 and not p.touch(BASE).get("shadow_fault"), "a PV guest has no shadows to lose"


@OF_EACH_ROAD
def test_second_reading_5_a_dirty_count_left_over_is_returned_and_zeroed(road):
    """OFF keeps the count, and so does ENABLE; a CLEAN between them does not."""
    p = Pair(road, pml=0)
    p.do("enable")
    after(p, BASE, BASE + 1)
    p.do("off")
    left = int(p.s.dirty_count)
    assert left > 0 and not p.dirty()
    (kind, _, was_off, count), *_ = [e for e in p.events(p.do, "clean") if e[0] == "CLEAN"]
    assert (kind, was_off, count) == ("CLEAN", 1, left) and p.s.dirty_count == 0
    assert [e[2:] for e in p.events(p.do, "peek") if e[0] == "PEEK"] == [(1, 0)]


@pytest.mark.parametrize("hap", ["ept", "npt"])
def test_second_reading_5_on_hap_all_types_become_log_dirty_and_off_does_not_undo_it(hap):
    """A misconfiguration for each 2 MiB and a violation for each page stored to, and nothing is marked; only ENABLE and OFF end
    it, since OFF does nothing while the mode is off."""
    p = after(Pair("hap", hap=hap, frames=1024), *range(BASE, BASE + 6))
    exits = ("ept_misconfig", "ept_violation") if hap == "ept" else ("npf_recalc", "npf_write")
    p.do("clean")
    assert p.s.global_logdirty == 1 and p.s.log_dirty == 0
    p.do("off")
    assert p.s.global_logdirty == 1
    for k in range(6):
        moved = p.touch(BASE + k, WRITE)
        assert moved[exits[1]] >= 1 and (k or moved[exits[0]] >= 1) and not moved.get("pages_marked")
        assert not p.touch(BASE + k, WRITE).get(exits[1]), "once a page"
    assert p.s.dirty_count == 0 and p.s.tree_root == 2**64 - 1
    p.do("enable")
    p.touch(BASE)
    p.do("off")
    assert p.s.global_logdirty == 0
    moved = [p.touch(BASE + k, WRITE) for k in range(6)]
    assert not any(m.get(exits[1]) for m in moved)
    assert p.nested_leaf(p.gfn(BASE))[1] & int(x86.EPT_W)


def test_second_reading_5_the_sentences_say_what_a_command_does_while_off():
    for road, words in (("shadow", "all shadows are blown away"), ("hap", "all types become ram_logdirty")):
        sim = Simulation(load("blackboard").replace(road=road, do=""))
        sim.run(50)
        sim.command("clean")
        assert "with log-dirty off" in sentence(sim)[0] and words in sentence(sim)[0]
        sim.command("off")
        sim.run(1)
        sim.command("off")
        assert sentence(sim) == ("OFF with log-dirty off: nothing changes.", "paging.c: paging_domctl")
