"""A 64-bit PV guest's kernel runs in ring 3: what Xen makes of the entries it is given, and what a change of mode flushes."""

import numpy as np
import pytest

from pagingviz.arch import x86, xen
from pagingviz.reading.caches import tlb_entry
from pagingviz.scenario.scenario import ScenarioError, load
from pagingviz.timeline.simulation import Simulation
from tests.core.pv_guest import direct, raw
from tests.core.raw import BASE, KERNEL, LINK, PAGE, P, U, W

KERNEL_PAGE, GLOBAL = int(xen.GUEST_KERNEL), int(x86.G)


def rights(entry):
    return entry & (P | W | U | GLOBAL | KERNEL_PAGE)


def test_second_reading_4_entries_of_a_new_domain():
    """At every level an entry leads on for user mode; in an L1 the kernel's pages are marked, the user's are global."""
    r = raw()
    assert rights(r.leaf(direct(40))) == P | W | U | KERNEL_PAGE
    assert rights(r.leaf(BASE)) == P | W | U | GLOBAL
    for va in (BASE, direct(40)):
        for level in (4, 3, 2):
            assert rights(r.leaf(va, level)) == P | W | U


def test_second_reading_4_entries_that_the_guest_changes():
    r = raw()
    l2, slot = r.table(BASE, 2), r.tables.index(BASE, 2)
    r.update_va(BASE, 60 << 12 | KERNEL)
    assert rights(r.leaf(BASE)) == P | W | U | KERNEL_PAGE
    r.update_va(BASE, 60 << 12 | PAGE)
    assert rights(r.leaf(BASE)) == P | W | U | GLOBAL
    r.update_va(direct(41), 41 << 12 | PAGE & ~W)
    r.mmu_update(41, 7, 60 << 12 | KERNEL)  # still data: stored as it is
    assert rights(r.entry(41, 7)) == P | W
    r.mmu_update(l2, slot + 1, 41 << 12 | LINK & ~U)
    assert rights(r.entry(l2, slot + 1)) == P | W | U
    assert rights(r.entry(41, 7)) == P | W | U | KERNEL_PAGE, "adjusted when the table was validated"
    r.mmu_update(l2, slot + 1, 0)
    assert r.entry(l2, slot + 1) == r.mfn(0), "an entry that is not present stays as it is given"


@pytest.mark.parametrize("logging", [False, True])
def test_second_reading_4_a_change_of_mode_keeps_user_pages(logging):
    """Between kernel and user mode the TLB loses what is not global, the kernel's pages; while shadows are on, all goes."""
    sim = Simulation(load("blackboard").replace(road="pv", do="enable@1" if logging else "", clean_every=0))
    s, c, held = sim.machine.sys[0], sim.machine.cpu[0], []
    while len(held) < 3:
        toggles, gen = int(s.toggles), int(s.tlb_gen[0])
        tags, values = c.t2t.copy(), c.t2v.copy()
        sim.run(1)
        assert sim.tick < 3000, "the guest's mode changes seldom"
        if int(s.toggles) - toggles != 2 or int(s.tlb_gen[0]) - gen != 2:  # in and out, and no other flush
            continue
        live, user = tags >> x86.TLB_GEN_SHIFT == gen, values & x86.TLB_GLOBAL != 0
        had, kernels = (np.unique(tags[live & which] & x86.VPN_MASK) << 12 for which in (user, ~user))
        kept, left = (sum(tlb_entry(sim.machine, 0, int(gva)) is not None for gva in part) for part in (had, kernels))
        held.append((had.size, kept, left))
    if logging:
        assert all(had == 0 for had, _, _ in held), "shadow entries are not global"
    else:
        assert any(had for had, _, _ in held)
        assert all(kept >= had - 1 for had, kept, _ in held), "but the one that a fault has changed"
        assert all(left == 0 for _, _, left in held)


@pytest.mark.parametrize("field", [{"wp": 0}, {"smep": 1}, {"smap": 1}])
def test_second_reading_4_control_registers_are_xens(field):
    with pytest.raises(ScenarioError, match="ring 3"):
        load("blackboard").replace(road="pv", **field)
    load("blackboard").replace(road="shadow", **field)
