"""Statements Q3 and M1 on PV, shadow and HAP, in the scenario `moving`: bitmap, shadows and rounds are one story."""

import numpy as np
import pytest

from pagingviz.arch import x86, xen
from pagingviz.experiments.migrations import over
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation

pytestmark = pytest.mark.slow

ROADS = {
    "pv": {"road": "pv"},
    "shadow": {"road": "shadow"},
    "ept": {"road": "hap", "pml": 0},
    "pml": {"road": "hap", "pml": 1},
    "npt": {"road": "hap", "hap": "npt"},
}


def moving(road):
    return Simulation(load("moving").replace(**ROADS[road]))


def heads(sim):
    """Pool pages that are (the first page of) a shadow."""
    kinds = sim.machine.view("ptype")
    return np.flatnonzero((kinds >= 1) & (kinds <= 12))


def cleans(sim):
    """Ticks of the CLEANs of the whole migration."""
    found = []
    while not over(sim):
        if sim.run_to_event("CLEAN", 100_000) and sim.tick not in found:
            found.append(sim.tick)
        sim.run(1)
    return found


@pytest.mark.parametrize("road", ("pv", "shadow"))
def test_q3_each_reading_of_the_bitmap_destroys_all_shadows_and_the_guest_rebuilds_them(road):
    sim = moving(road)
    ticks = cleans(sim)
    assert len(ticks) >= 3
    for tick in ticks[:-1]:
        sim.seek(tick - 1)
        before, dirty = heads(sim).size, sim.machine.dirty_frames().size
        assert before > 1 and dirty > 0
        sim.seek(tick)
        s, kinds = sim.machine.sys[0], sim.machine.view("ptype")
        assert s.dirty_count == 0 and sim.machine.dirty_frames().size == 0, "read and cleared"
        left = heads(sim)
        assert (kinds[left] == xen.SH_L4).all(), "of the shadows only the loaded roots are left"
        words = sim.machine.view("pool").reshape(-1, 512)[left]
        if road == "shadow":
            assert not np.any(words & x86.P), "and those are empty"
        faults = int(s.shadow_fault)
        sim.run(30)
        assert sim.machine.sys[0].shadow_fault > faults and heads(sim).size > left.size, "the guest goes on and refaults"
        assert not sim.audit()


@pytest.mark.parametrize("road", ("ept", "pml", "npt"))
def test_q3_on_hap_the_same_reading_destroys_nothing(road):
    sim = moving(road)
    ticks = cleans(sim)
    for tick in ticks[:-1]:
        sim.seek(tick - 1)
        kinds, pages = sim.machine.view("ptype").copy(), int(sim.machine.sys[0].p2m_pages)
        words = sim.machine.view("pool").reshape(-1, 512).copy()
        sim.seek(tick)
        s = sim.machine.sys[0]
        assert s.dirty_count == 0 and s.p2m_pages >= pages, "read and cleared, and no table is lost"
        assert np.array_equal(kinds[kinds == xen.SH_P2M], sim.machine.view("ptype")[kinds == xen.SH_P2M])
        changed = np.any(words != sim.machine.view("pool").reshape(-1, 512), axis=1)
        assert changed[int(s.hap_root)], "the root is poisoned"
        exits = int(s.ept_misconfig + s.npf_recalc)
        sim.run(30)
        assert sim.machine.sys[0].ept_misconfig + sim.machine.sys[0].npf_recalc > exits, "and the guest pays as it goes"


@pytest.mark.parametrize("road", ROADS)
def test_q3_it_is_safe_because_the_guests_own_tables_hold_the_truth(road):
    """The guest that is moved and the guest that is left alone see the same, operation by operation."""
    sim = moving(road)
    while not over(sim):
        sim.run(5000)
    alone = Simulation(load("moving").replace(road="bare", migrate="no"))
    alone.run(sim.tick - sim.migration.state.paused)
    moved, left = sim.machine.guest_digests(), alone.machine.guest_digests()
    assert moved == left if road != "pv" else moved["faults"] == left["faults"]


@pytest.mark.parametrize("road", ROADS)
def test_m1_pre_copy_reads_the_bitmap_round_by_round(road):
    sim = moving(road)
    ticks = cleans(sim)
    st = sim.migration.state
    live, last = [r for r in st.rounds if r.kind == "live"], st.rounds[-1]
    assert live[0].sent == sim.scenario.frames and 2 <= len(live) <= 5, "all of it first, at most five live sends"
    assert len(ticks) == len(live), "one reading a round; the last one while the guest is suspended"
    for r, following in zip(st.rounds, st.rounds[1:], strict=False):
        assert following.planned == r.dirtied, "each round sends what the one before it left dirty"
    assert last.kind == "final" and last.ticks == 0 and st.equal
    known = [n for _, _, n, _ in st.calls if n >= 0]
    if known[-1] < 50:
        assert live[-1].sent == known[-1], "STOP still sends what is in hand"
    assert st.downtime == st.resumed - st.suspended >= last.ended - last.began
