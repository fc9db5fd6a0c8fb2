"""What Xen writes into the entries of EPT beside frames and rights, and when it executes an INVEPT."""

import numpy as np
import pytest

from pagingviz.arch import x86, xen
from tests.core.nested_pair import BASE, Pair, after
from tests.model import FETCH, WRITE

A, D, IPAT, SP = (int(bit) for bit in (x86.EPT_A, x86.EPT_D, x86.EPT_IPAT, x86.EPT_SP))
PRESENT = int(x86.EPT_RWX)


def entries(p):
    """(leaves, entries that lead to tables) of all levels, without those that are not present: arrays of words."""
    pool, page = p.view("pool").reshape(-1, 512), [int(p.s.hap_root)]
    leaves, tables = [], []
    for level in (4, 3, 2, 1):
        e = pool[page].reshape(-1)
        e = e[e & np.uint64(PRESENT) != 0]
        leaf = (e & np.uint64(SP) != 0) | (level == 1)
        leaves += e[leaf].tolist()
        tables += e[~leaf].tolist()
        page = (e[~leaf] >> np.uint64(12) & np.uint64(0xFF_FFFF_FFFF)).astype(int).tolist()
    return leaves, tables


def lived(**fields):
    """A guest that has been logged, cleaned and written to, with leaves of both sizes."""
    p = after(Pair("hap", frames=2048, superpages=1, **fields), BASE, BASE + 1)
    yield p
    p.do("enable")
    after(p, BASE, BASE + 513)
    yield p
    p.do("clean")
    p.touch(BASE + 1)
    p.touch(BASE + 2, FETCH)
    yield p
    p.do("off")
    after(p, BASE)
    yield p


@pytest.mark.parametrize("pml", [0, 1])
def test_second_reading_8_ipat_is_set_in_every_leaf_of_ram_and_in_no_other_entry(pml):
    """Without passthrough the guest's own memory types do not count (epte_get_entry_emt)."""
    for p in lived(pml=pml):
        leaves, tables = entries(p)
        assert all(e & IPAT for e in leaves) and not any(e & IPAT for e in tables)


@pytest.mark.parametrize("pml", [0, 1])
def test_second_reading_8_a_and_d_are_preset_where_the_core_has_them(pml):
    for p in lived(pml=pml):
        leaves, tables = entries(p)
        assert all(e & A for e in leaves + tables)
        assert all(e & D for e in leaves if e >> 52 & 0x3F == xen.P2M_RAM_RW)


def test_second_reading_8_a_and_d_are_never_set_without_them():
    """A core that has none, or ept=no-ad: neither Xen nor the processor sets them."""
    for p in lived(ept_ad=0):
        leaves, tables = entries(p)
        assert not any(e & (A | D) for e in leaves + tables)


def invepts(p, act, *arguments, **more):
    return sum(kind == "INVEPT" for kind, *_ in p.events(act, *arguments, **more))


@pytest.mark.parametrize("pml", [0, 1])
def test_an_invept_follows_what_takes_rights_away_or_splits_and_no_misconfiguration(pml):
    p = after(Pair("hap", frames=1024, superpages=1, exec_sp=0, pml=pml), *range(BASE, BASE + 8))
    for name in ("enable", "clean"):
        assert invepts(p, p.do, name) == 1
        before = p.m.counters()
        seen = invepts(p, p.touch, BASE)
        after_ = p.m.counters()
        moved = {key: after_[key] - before[key] for key in after_}
        assert moved["ept_misconfig"] > 0 and seen == moved["invept"] == moved["ept_violation"], "none for a misconfiguration"
    assert invepts(p, p.touch, BASE, WRITE) == (0 if pml and p.nested_leaf(p.gfn(BASE))[0] == 1 else 1)
    assert invepts(p, p.do, "peek") == (1 if p.s.pml else 0)
    p.touch(BASE)
    assert invepts(p, p.do, "peek") == 0, "nothing is logged"
    assert invepts(p, p.do, "off") == 1


def test_several_operations_before_the_guest_runs_again_are_one_invept():
    """The processor is told once, at the next entry (vmx_vmenter_helper)."""
    p = after(Pair("hap", frames=1024, pml=1), *range(BASE, BASE + 8))
    p.do("enable")
    after(p, BASE, BASE + 1)
    assert [invepts(p, p.do, name) for name in ("peek", "clean", "off", "clean")] == [1, 0, 0, 0]
    p.touch(BASE)
    assert invepts(p, p.do, "enable") == 1


def test_a_change_of_types_that_writes_no_entry_asks_for_no_invept():
    """A guest that is entered and does nothing leaves the root poisoned: ept_invalidate_emt_subtree then changes nothing."""
    p = after(Pair("hap", frames=1024), BASE)
    assert invepts(p, p.do, "enable") == 1
    p.idle()
    assert invepts(p, p.do, "clean") == 0
    p.touch(BASE)
    assert invepts(p, p.do, "clean") == 1
