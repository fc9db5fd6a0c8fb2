"""The statements of the answer about HAP, by id, on the engine's own state in the scenario `rounds`, on EPT and NPT."""

import numpy as np
import pytest

from pagingviz.arch import events as ev
from pagingviz.arch import x86
from pagingviz.reading.nested_leaves import leaves as nested_leaves
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation

pytestmark = pytest.mark.parametrize("hap", ["ept", "npt"])
WRITE_EXIT = {"ept": ev.EPT_VIOLATION, "npt": ev.HVM_NPF}


def start(hap, tick, **fields):
    sim = Simulation(load("rounds").replace(hap=hap, **fields))
    sim.run(tick)
    return sim


def written(sim):
    """Frames stored to since the last CLEAN, by the machine's own count of stores: the truth that the bitmap must cover."""
    return np.flatnonzero(sim.machine.view("ver") != sim.machine.view("cver"))


def test_b1_one_bit_for_each_frame_written_since_the_last_clean(hap):
    sim = start(hap, 8_999)
    for tick in (9_000, 14_999, 19_999):
        sim.run(tick - sim.tick)
        bits = sim.machine.dirty_bits()
        assert bits.size == sim.scenario.frames and bits[written(sim)].all() and written(sim).size > 20
        more = set(np.flatnonzero(bits)) - set(written(sim))
        assert more <= set(sim.machine.live_tables().tolist()), "what else is marked is a page table"
        assert bool(more) == (hap == "npt"), "only AMD's processor walks tables as if it wrote them"
    sim.run(1)
    assert sim.counters()["cleans"] > 0 and sim.counters()["peeks"] == 1 and not sim.machine.dirty_bits().any()


def test_b2_one_set_of_tables_for_the_whole_guest(hap):
    sim = start(hap, 1)
    root, seen = int(sim.machine.sys[0].hap_root), set()
    for _ in range(20):
        sim.run(500)
        s = sim.machine.sys[0]
        seen.add(int(s.cr3[0]))
        entry, level, _ = nested_leaves(sim.machine)
        inside = np.where(level == 2, np.arange(entry.size) & 511, 0).astype(np.uint64)
        assert (
            int(s.hap_root) == root and (((entry & x86.FRAME_MASK) >> x86.PAGE_BITS) + inside == sim.machine.view("p2m")).all()
        )
    assert len(seen) > 2 and sim.counters()["exits_cr3"] == 0, "many address spaces, no exit for a switch"


@pytest.mark.parametrize("frames", [4096, 16384])
def test_b3_b4_log_dirty_takes_all_write_access_by_one_entry_whatever_the_size(hap, frames):
    sim = start(hap, 3_999, frames=frames)
    before = sim.machine.view("pool").copy()
    assert not nested_leaves(sim.machine)[2].any()
    sim.command("enable")
    changed = np.flatnonzero(sim.machine.view("pool") != before)
    assert changed.tolist() == [int(sim.machine.sys[0].hap_root) * 512]
    assert nested_leaves(sim.machine)[2].all(), "no frame can be written, or read, without an exit"
    sim.run(600)
    waiting = nested_leaves(sim.machine)[2]
    assert waiting.any() and not waiting.all(), "the mark moves down only where the guest goes"


def test_b5_a_frame_costs_one_write_exit_a_round(hap):
    sim = start(hap, 10_000)
    assert sim.counters()["cleans"] and not sim.machine.dirty_bits().any()
    stored = []
    for _ in range(1_500):
        sim.step()
        rows = sim.events()
        stored += rows["gfn"][rows["kind"] == WRITE_EXIT[hap]].tolist()
    assert len(stored) == len(set(stored)) > 30 and set(stored) == set(np.flatnonzero(sim.machine.dirty_bits()).tolist())
    entry, _, waits = nested_leaves(sim.machine)
    assert (entry[stored] & x86.EPT_W != 0).all() and not waits[stored].any(), "later stores run at full speed"
