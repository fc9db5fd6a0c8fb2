"""Invariants 1, 3 and 4 of live migration: what arrives is what was there, because every store is followed by a send."""

import numpy as np
import pytest

from pagingviz.experiments.migrations import over
from pagingviz.migration.effects import SendPages
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.migration.finished import intercept

pytestmark = pytest.mark.slow

ROADS = {
    "pv": {"road": "pv"},
    "shadow": {"road": "shadow"},
    "ept": {"road": "hap", "pml": 0},
    "pml": {"road": "hap", "pml": 1},
    "npt": {"road": "hap", "hap": "npt"},
}
POLICIES = ("xen", "legacy", "clark", "qemu", "numbers")


def watched(monkeypatch, road, policy):
    """A migration from start to end: (simulation, [(frames, their versions when sent)] in order)."""
    sends = []

    def record(mig, effect, carry_out):
        index = mig.index_of(effect.frames)
        sends.append((np.array(effect.frames), mig.machine.modelled.frames()[index], mig.machine.view("ver")[index].copy()))
        carry_out()

    intercept(monkeypatch, SendPages, record)
    sim = Simulation(load("moving").replace(**ROADS[road], policy=policy, rounds=3, pace=60))
    while not over(sim):
        sim.run(5000)
    return sim, sends


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("road", ROADS)
def test_1_3_4_the_last_send_of_each_page_comes_after_its_last_store(road, policy, monkeypatch):
    """3: a page's version when it was last sent is its version at the suspend, when no store can follow; 1 follows from it.

    4: the sends together are all frames, and the first round alone is, when nothing is skipped.
    """
    sim, sends = watched(monkeypatch, road, policy)
    last = {}
    for _, frames, versions in sends:
        last.update(zip(frames.tolist(), versions.tolist(), strict=True))
    assert sorted(last) == list(range(sim.scenario.frames)), "4"
    final = sim.migration.destination.versions
    assert [last[gfn] for gfn in range(len(final))] == final.tolist()
    assert sim.migration.state.equal, "1"
    first = sim.migration.state.rounds[0]
    assert first.planned == sim.scenario.frames and first.sent + first.skipped == first.planned


def test_3_a_page_is_sent_again_exactly_when_its_bit_was_set(monkeypatch):
    """No frame is sent twice that nobody marked, and none that was marked is sent once."""
    sim, sends = watched(monkeypatch, "ept", "xen")
    times = np.bincount(np.concatenate([frames for frames, _, _ in sends]), minlength=sim.scenario.frames)
    dirtied = sum(r.dirtied for r in sim.migration.state.rounds)
    assert times.min() == 1 and int((times - 1).sum()) == dirtied == sim.migration.state.total_sent - sim.scenario.frames
    assert np.array_equal(times, sim.migration.state.times)


@pytest.mark.parametrize("work", ("idle", "uniform:60"))
@pytest.mark.parametrize("road", ROADS)
def test_32_a_guest_that_stores_nothing_is_sent_once(road, work):
    """Idle, or reading only: RAM and O(1) pages. NPT and PML report the tables that the processor walks (22)."""
    base = load("moving").replace(**ROADS[road], trace="", work=work, write=0, order="", migrate_at=3000)
    sim = Simulation(base)
    while not over(sim):
        sim.run(5000)
    st, zone = sim.migration.state, int(sim.machine.sys[0].zone)
    again = np.flatnonzero(st.times > 1)
    assert st.equal and st.rounds[0].sent == sim.scenario.frames
    assert again.size == 0 or (road in ("npt", "pml") and work != "idle" and again.max() < zone and again.size <= 8), again
    fixed = sim.migration.table["suspend"] + sim.migration.table["resume"] + sim.migration.link.latency
    pages = sim.migration.link.page * st.rounds[-1].sent
    assert st.downtime - fixed - pages < 2 * sim.migration.link.page, "state records and the CLEAN"
