"""EPT superpages that may not be executed, as Xen has them on processors with the page-size-change erratum (CVE-2018-12207).

Every step is done on the slow model as well, and must leave both equal. A real Xen on such a
processor has been recorded; what happens here is of the same shape.
"""

import pytest

from pagingviz.arch import x86, xen
from pagingviz.scenario.scenario import load
from pagingviz.story.sentences import sentence
from pagingviz.timeline.simulation import Simulation
from tests.core.nested_pair import BASE, Pair, after
from tests.model import FETCH, READ, WRITE

R, W, X, A, D = 1, 2, 4, 0x100, 0x200
GIB = 512 * 512


def kind_of(entry):
    return entry >> 52 & 0x3F


def test_second_reading_1_superpage_leaves_are_not_executable_and_small_ones_are():
    p = Pair("hap", frames=1024 + 7, superpages=1, exec_sp=0)
    assert [p.nested_leaf(gfn)[0] for gfn in (0, 512, 1024)] == [2, 2, 1]
    assert [p.nested_leaf(gfn)[1] & 7 for gfn in (0, 512, 1024)] == [R | W, R | W, R | W | X]
    assert Pair("hap", frames=1024, superpages=1, exec_sp=1).nested_leaf(0)[1] & 7 == R | W | X


def test_second_reading_1_a_fetch_makes_512_executable_leaves_and_marks_nothing():
    """One violation with access x, one table of the pool, one INVEPT; no other fetch in these 2 MiB exits."""
    p = after(Pair("hap", frames=1024, superpages=1, exec_sp=0), BASE)
    before, own = p.m.counters(), int(p.s.p2m_pages)
    told = [e for e in p.events(p.touch, BASE + 1, FETCH) if e[0] in ("EPT_VIOLATION", "P2M_SHATTER", "P2M_SPLIT", "INVEPT")]
    moved = {name: n - before[name] for name, n in p.m.counters().items() if n != before[name]}
    gfn = p.gfn(BASE + 1)
    (what, where, qualification, kind), (split, first, level, pages), (last, *_) = told
    assert (what, split, last) == ("EPT_VIOLATION", "P2M_SHATTER", "INVEPT")
    assert where == gfn and qualification & 0x1FF == X | (R | W) << 3 | 0x180 and kind == x86.FETCH
    assert (first, level, pages) == (gfn & ~511, 2, 1) and p.s.p2m_pages == own + 1
    assert moved["ept_violation"] == moved["p2m_split"] == moved["p2m_shatter"] == moved["invept"] == 1
    leaves = [p.nested_leaf(first + k) for k in range(512)]
    assert {(level, e & 7, kind_of(e)) for level, e in leaves} == {(1, R | W | X, int(xen.P2M_RAM_RW))}
    assert p.nested_leaf(first ^ 512)[0] == 2, "the other half is as it was"
    more = p.touch(BASE + 2, FETCH)
    assert p.gfn(BASE + 2) >> 9 == gfn >> 9 and not more.get("ept_violation") and not p.dirty()


def test_second_reading_1_what_the_tlb_knows_of_a_superpage_is_not_executable():
    """A page that was read lies in the TLB; the fetch must not pass by that."""
    p = Pair("hap", frames=1024, superpages=1, exec_sp=0)
    p.touch(BASE + 3, READ, execute=1)
    assert p.touch(BASE + 3, READ, execute=1)["tlb_l1_hit"] == 1
    assert p.touch(BASE + 3, FETCH)["p2m_shatter"] == 1
    assert p.touch(BASE + 3, FETCH)["tlb_l1_hit"] == 1


@pytest.mark.parametrize("fields", [{"exec_sp": 1}, {"hap": "npt", "exec_sp": 1}])
def test_second_reading_1_with_executable_superpages_or_amd_no_fetch_exits(fields):
    p = Pair("hap", frames=1024, superpages=1, **fields)
    moved = [p.touch(BASE + k, FETCH) for k in range(6)]
    assert not any(name.startswith(("ept_", "npf_", "p2m_")) for m in moved for name in m)


@pytest.mark.parametrize("pml", [0, 1])
def test_second_reading_1_a_fetch_while_log_dirty_is_on(pml):
    """After CLEAN a misconfiguration, then the violation; the leaves keep the type log-dirty: with PML they may be written, so
    that stores there are logged and never exit, which spares the violation of the first store."""
    p = Pair("hap", frames=1024, zone=512, superpages=1, exec_sp=0, pml=pml)
    p.touch(BASE + 1, WRITE, execute=1)
    data = p.gfn(BASE + 1)
    tables = {p.table(BASE + 1, level) >> 9 for level in (1, 2, 3, 4)}
    assert data >> 9 not in tables
    p.do("enable")
    p.do("clean")
    moved = p.touch(BASE + 1, FETCH)
    assert moved["ept_misconfig"] == len(tables | {data >> 9})
    assert moved["p2m_shatter"] == 1 and moved["ept_violation"] == 1 + pml, "with PML the walk stores to the tables: a split"
    level, leaf = p.nested_leaf(data)
    assert level == 1 and kind_of(leaf) == xen.P2M_RAM_LOGDIRTY and leaf & (R | X | W) == (R | W | X if pml else R | X)
    assert not leaf & D and data not in p.dirty()
    moved = p.touch(BASE + 1, WRITE, execute=1)
    if pml:
        assert not moved.get("ept_violation") and moved["pml_logged"] == 1
    else:
        assert moved["ept_violation"] == 1 and not moved.get("p2m_split") and data in p.dirty()


def test_second_reading_1_no_leaf_is_merged_again():
    p = Pair("hap", frames=1024, superpages=1, exec_sp=0)
    p.touch(BASE + 1, FETCH)
    for name in ("enable", "clean", "off"):
        p.do(name)
        moved = p.touch(BASE + 1, FETCH)
        assert not moved.get("ept_violation") and not moved.get("p2m_split")


def test_second_reading_1_a_gib_goes_wholly_to_4_kib_leaves():
    """1 + 512 pages of the pool at once, not only those of the way."""
    p = Pair("hap", frames=GIB, superpages=2, exec_sp=0, direct_map_pages="large")
    assert p.nested_leaf(0)[0] == 3 and p.nested_leaf(0)[1] & 7 == R | W
    own = int(p.s.p2m_pages)
    moved = p.touch(BASE, FETCH)
    assert moved["p2m_split"] == moved["p2m_shatter"] == moved["ept_violation"] == 1 and p.s.p2m_pages == own + 513
    assert {p.nested_leaf(gfn)[0] for gfn in range(0, GIB, 977)} == {1}


def test_second_reading_1_without_pages_for_the_split_xen_crashes_the_domain():
    """hvm_hap_nested_page_fault returns 0 when the leaf cannot be shattered, and ept_handle_violation then ends the domain. A
    store that needs a page is repeated instead."""
    p = Pair("hap", frames=8192, superpages=1, exec_sp=0)
    p.do("pool", 0)
    assert p.s.free_pages == 0
    p.touch(BASE, READ, execute=1)
    p.touch(BASE, FETCH)
    assert p.s.crashed == p.model.crashed == xen.NOT_SHATTERED and not p.s.p2m_split


def test_second_reading_1_the_split_of_a_fetch_has_a_sentence_of_its_own():
    sim = Simulation(load("rounds"))
    assert sim.run_to_event("P2M_SHATTER", 4000)
    text, source = sentence(sim)
    assert (
        "fetch" in text
        and "not executable" in text
        and "512 executable leaves" in text
        and "hvm_hap_nested_page_fault" in source
    )
    sim = Simulation(load("rounds"))
    sim.run(3999)
    counts = sim.counters()
    assert counts["fetches"] > 300 and counts["ept_violation"] == counts["p2m_shatter"] == counts["p2m_split"] > 0


def test_second_reading_1_the_sentence_of_a_domain_that_could_not_be_split():
    sim = Simulation(load("rounds").replace(do="pool:16@0"))
    sim.machine.sys[0].free_pages = 0
    sim.run(4000)
    assert sim.crashed == xen.NOT_SHATTERED and "crashes the domain" in sentence(sim)[0]
