"""Checkable properties of EPT under log-dirty, on the kernels, by their numbers in the manual (manual/rules.md, H n).

What an audit can see is in core/audit and proved to fail in test_audit; H26 is among the mutants. Here: what only shows over
time. Every step is done on the slow model as well, and must leave both equal. Shadow paging: test_properties.py.
"""

import numpy as np
import pytest

from pagingviz.arch import events as ev
from pagingviz.arch import x86
from pagingviz.machine.event_record import events_between
from tests.core.nested_pair import BASE, Pair, after
from tests.model import READ, WRITE
from tests.support.named_tests import named_tests


@pytest.mark.parametrize("hap", ["ept", "npt"])
@pytest.mark.parametrize("superpages", [0, 1])
def test_h8_h9_peek_twice_changes_nothing_and_counts_the_bits(superpages, hap):
    p = Pair("hap", hap=hap, frames=1024, superpages=superpages)
    p.do("enable")
    after(p, BASE, BASE + 1)
    leaves, bits = p.view("pool").copy(), p.dirty()
    for _ in range(2):
        assert p.do("peek") == {"peeks": 1} and p.dirty() == bits and p.s.dirty_count == len(bits) > 0
    assert (p.view("pool") == leaves).all()


@pytest.mark.parametrize("hap", ["ept", "npt"])
def test_h28_the_first_mark_takes_four_pages_clean_frees_none_off_frees_all(hap):
    p = Pair("hap", hap=hap)
    own = int(p.s.p2m_pages)
    p.do("enable")
    assert p.s.p2m_pages == own
    for _ in range(2):
        p.touch(BASE, WRITE)
        p.do("clean")
        assert p.s.p2m_pages == own + 4
    p.do("off")
    assert p.s.p2m_pages == own and not p.dirty()


@pytest.mark.parametrize("hap", ["ept", "npt"])
@pytest.mark.parametrize("superpages", [0, 1])
def test_h12_h13_enable_and_clean_write_one_root_entry_and_no_leaf(superpages, hap):
    p = Pair("hap", hap=hap, frames=1024, superpages=superpages)
    for name in ("enable", "clean"):
        before = p.view("pool").copy()
        p.do(name)
        changed = np.flatnonzero(p.view("pool") != before)
        assert changed.tolist() in ([int(p.s.hap_root) * 512], []), name


@pytest.mark.parametrize("superpages", [0, 1])
def test_h17_h19_exits_of_an_interval(superpages):
    """One misconfiguration for each 2 MiB touched, reads included; one violation for each frame written, however often."""
    p = after(Pair("hap", frames=1024, superpages=superpages), *range(BASE, BASE + 20))
    p.do("enable")
    for _ in range(3):
        p.do("clean")
        regions = {p.table(BASE, level) >> 9 for level in (1, 2, 3, 4)} | {p.gfn(BASE + k) >> 9 for k in range(20)}
        seen = [p.touch(BASE + k) for k in range(20)]
        assert sum(m.get("ept_misconfig", 0) for m in seen) == len(regions) and not any("ept_violation" in m for m in seen)
        assert not p.dirty(), "reads dirty nothing (A bits were set before)"  # H 22
        seen = [p.touch(BASE + k, WRITE) for k in range(20) for _ in range(2)]
        assert sum(m.get("ept_violation", 0) for m in seen) == len(p.dirty()) == 20
        assert not any("ept_misconfig" in m for m in seen)


def test_h18_h19_exits_of_an_interval_on_npt():
    """One NPF for each 4 KiB leaf touched, reads included, one more for each written; tables walked count as written."""
    p = after(Pair("hap", hap="npt", frames=1024), *range(BASE, BASE + 20))
    p.do("enable")
    for _ in range(3):
        p.do("clean")
        tables, data = {p.table(BASE, level) for level in (1, 2, 3, 4)}, {p.gfn(BASE + k) for k in range(20)}
        seen = [p.touch(BASE + k) for k in range(20)]
        assert sum(m.get("npf_recalc", 0) for m in seen) == len(tables | data) == 24
        assert sum(m.get("npf_write", 0) for m in seen) == len(tables) and p.dirty() == tables
        seen = [p.touch(BASE + k, WRITE) for k in range(20) for _ in range(2)]
        assert sum(m.get("npf_write", 0) for m in seen) == 20 and p.dirty() == tables | data
        assert not any("npf_recalc" in m for m in seen)


def test_h23_h24_h25_superpages_split_on_stores_only_and_never_come_back():
    p = after(Pair("hap", frames=1024, superpages=1), BASE, BASE + 1)
    mfns = p.view("p2m").copy()

    def superpages():
        return sum(1 for e in p.view("pool").tolist() if e & int(x86.EPT_SP) and e & 7)

    assert superpages() == 2
    p.do("enable")
    p.touch(BASE)
    p.do("clean")
    p.touch(BASE + 1)
    assert superpages() == 2, "reads and poison split nothing"
    own = int(p.s.p2m_pages)
    moved = p.touch(BASE, WRITE)
    assert moved["p2m_split"] == 1 and superpages() == 1 and p.s.p2m_pages in (own + 1, own + 5)
    p.do("off")
    after(p, BASE, BASE + 1)
    assert superpages() == 1 and (p.view("p2m") == mfns).all()


@pytest.mark.parametrize("hap", ["ept", "npt"])
@pytest.mark.parametrize("superpages", [0, 1])
def test_h5_the_bit_is_set_before_the_frame_may_be_written(superpages, hap):
    """A store is seen by nobody before its mark: in the record MARK_DIRTY stands before the split, and the store comes last."""
    p = after(Pair("hap", hap=hap, frames=1024, superpages=superpages), BASE)
    p.do("enable")
    first = int(p.s.ev_n)
    version = int(p.view("ver")[p.gfn(BASE)])
    p.touch(BASE, WRITE)
    events = events_between(p.m, first, int(p.s.ev_n))
    kinds = [ev.NAMES[kind] for kind in events["kind"]]
    exit_ = "EPT_VIOLATION" if hap == "ept" else "HVM_NPF"
    marks = [n for n, gfn in enumerate(events["gfn"]) if kinds[n] == "MARK_DIRTY" and gfn == p.gfn(BASE)]
    assert len(marks) == 1 and exit_ in kinds
    if superpages:
        assert "P2M_SPLIT" in kinds
    assert p.view("ver")[p.gfn(BASE)] == version + 1


@pytest.mark.parametrize("hap", ["ept", "npt"])
def test_h6_h10_an_operation_stores_nothing_and_logging_is_switched_on_once(hap):
    p = after(Pair("hap", hap=hap, frames=1024), BASE)
    steps = ("clean", "cleans"), ("enable", "enables"), ("enable", "ignored"), ("off", "offs"), ("off", "offs")
    for name, moved in steps:
        before = p.view("ver").copy()
        assert p.do(name)[moved] == 1
        assert (p.view("ver") == before).all(), "the domain is paused"


def test_h27_the_hypervisor_sees_faults_cr3_and_invlpg_under_shadow_only():
    exits = ("exits_page_fault", "exits_cr3", "exits_invlpg")
    for road, sees in (("hap", False), ("shadow", True)):
        p = after(Pair(road), BASE, BASE + 1)
        p.fork()
        after(p, BASE)  # breaks copy-on-write: INVLPG
        p.touch(BASE, READ, 2)
        counters = p.m.counters()
        assert [counters[name] > 0 for name in exits] == [sees] * 3 and counters["invlpg"] > 0


# The rules H 1 to H 28 of the manual (manual/rules.md).
ELSEWHERE = {
    1: "test_migration_sends",
    3: "test_migration_sends",
    4: "test_migration_sends",
    2: "test_audit: LOST_WRITE and the mutants that lose writes",
    11: "test_hap_pool",
    14: "the audit: CLEAN_WRITABLE",
    15: "the audit: LOGDIRTY_WRITABLE",
    16: "agreement with the model, which keeps marks in the same places",
    26: "test_audit: no flush after CLEAN",
}


def test_every_invariant_has_its_test():
    names = [name for name in named_tests("core/test_nested", "core/test_pml") if name.startswith("test_h")]
    numbers = {int(part[1:]) for name in names for part in name.split("_") if part[:1] == "h" and part[1:].isdigit()}
    assert numbers | set(ELSEWHERE) == set(range(1, 29))
