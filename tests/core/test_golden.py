"""The nine situations G 1 to G 9 of the manual (manual/rules.md), on guests given entry by entry.

64-bit, out-of-sync tables on, no log-dirty, unless a name says otherwise.
"""

import pytest

from pagingviz.arch import xen
from tests.core.raw import BASE, FRAME, FULL, LINK, PAGE, PSE, A, D, P, Raw, Tables, U, W
from tests.core.raw_guests import chain

NO_L3 = FULL & ~0x10  # without the pinning of L3 shadows for early Linux


def test_g1_a_cold_read_builds_three_shadows_and_prefetches():
    r = Raw(pages=40)
    assert r.live() == {12: 1} and not r.words(r.top()).any()
    moved = r.read(BASE)
    assert moved["shadow_fault"] == moved["shadow_fault_fixed"] == 1
    assert moved["shadow_alloc"] == moved["shadow_hash_inserts"] == 3
    assert r.live() == {7: 1, 9: 1, 11: 1, 12: 1}
    assert moved["prefetched"] == 31
    assert [bool(r.sl(BASE + k * FRAME) & P) for k in range(40)] == [True] * 32 + [False] * 8
    assert len(r.events("FIXUP")) == 1 and len(r.events("PROMOTE")) == 3


def test_g2_a_write_after_a_read_faults_once_more_and_sets_d():
    r = Raw(flags=P | W | U)
    r.read(BASE)
    assert r.leaf(BASE) & (A | D) == A and r.sl(BASE) & (P | W) == P
    moved = r.write(BASE)
    assert moved["shadow_fault"] == 1 and not moved["shadow_alloc"]
    assert r.sl(BASE) & W and r.leaf(BASE) & D
    assert not r.write(BASE)["shadow_fault"]


def test_g3_log_dirty_read_then_write_then_write():
    r = Raw()
    r.do("enable")
    for _ in range(2):
        assert r.read(BASE)["shadow_fault"] == 1 and r.sl(BASE) & (P | W) == P and 48 not in r.dirty()
        moved = r.write(BASE)
        assert moved["shadow_fault"] == 1 and 48 in r.dirty() and r.sl(BASE) & W
        assert not r.write(BASE)["shadow_fault"]
        r.do("clean")
        assert not r.dirty()


@pytest.mark.parametrize(("levels", "costs"), [(4, 3), (3, 1), (2, 2)])
def test_g4_a_superpage_costs_a_table_the_guest_never_used(levels, costs):
    """l3 + l2 + fl1 of a 64-bit guest; of a PAE guest, whose L2 is its root, the fl1; of a 32-bit guest an fl1 of two pages."""
    t = Tables(levels)
    t.new()
    size = 1024 if levels == 2 else 512
    t.map(1, BASE, size, PAGE | PSE, level=2)
    r = Raw(levels, frames=4 * size, tables=t)
    free, used = int(r.s.free_pages), len(t.words)
    moved = r.read(BASE + 5 * FRAME)
    assert moved["shadow_fault"] == 1 and free - int(r.s.free_pages) == costs
    fl1 = {4: xen.SH_FL1, 3: xen.SH_FL1_PAE, 2: xen.SH_FL1_32}[levels]
    assert r.live()[int(fl1)] == 1 and r.shadow(size, fl1) is not None, "keyed by the superpage's first frame"
    assert moved["shadow_hash_inserts"] == moved["shadow_alloc"] == (3 if levels == 4 else 1)
    assert len(t.words) == used and not any(int(k) in r.live() for k in (xen.SH_L1, xen.SH_L1_PAE, xen.SH_L1_32))
    assert not r.sl(BASE, 2) & PSE and r.sl(BASE + 5 * FRAME) & (P | W | U) == P | W | U
    assert moved["prefetched"] == 31 and not r.write(BASE + 30 * FRAME)["shadow_fault"]


def test_g5_a_kernel_store_to_an_l1_unsyncs_it():
    r = Raw()
    r.read(BASE)
    l1 = r.table(BASE)
    moved = r.store(l1, 300, 0)
    assert moved["shadow_fault"] == moved["shadow_unsync"] == moved["shadow_oos_fixup_add"] == 1
    assert not moved["shadow_fault_emulate_write"] and not r.events("EMULATE").size
    assert r.events("UNSYNC")["gfn"].tolist() == [l1]
    flags = int(r.events("FIXUP")["level"][0]) >> 16
    assert flags & int(xen.SF_UNSYNC | xen.SF_OOS_ADD) == int(xen.SF_UNSYNC | xen.SF_OOS_ADD)
    assert r.is_oos(l1) and r.oos() == {l1} and r.typecount(l1) == 1
    assert not r.store(l1, 301, PAGE | 60 << 12)["shadow_fault"]
    assert r.sl(BASE + (301 - r.tables.index(BASE, 1)) * FRAME) == 0, "the shadow does not know yet"


def test_g5_without_out_of_sync_tables_every_store_is_emulated():
    r = Raw(oos=0)
    r.read(BASE)
    l1 = r.table(BASE)
    for slot in (7, 8, 9):
        moved = r.store(l1, slot, PAGE | 60 << 12)
        assert moved["shadow_fault"] == moved["shadow_validate_gl1e_calls"] == 1 and not moved["shadow_unsync"]
        assert moved["shadow_fault_emulate_write"] + moved["shadow_fault_fast_emulate"] == 1
        assert r.events("EMULATE")[["gfn", "detail"]].tolist() == [(l1, PAGE | 60 << 12)]
    assert not r.store(l1, 7, 0)["shadow_early_unshadow"]
    assert r.store(l1, 8, 0)["shadow_early_unshadow"] == 1, "the second zero in a row"
    assert r.shadow(l1, xen.SH_L1) is None
    r.store(l1, 9, 0)
    assert not r.store(l1, 10, 0)["shadow_fault"], "an ordinary page again"


@pytest.mark.parametrize("oos", [0, 1])
def test_g6_a_store_to_an_l2_is_emulated_and_links_only_what_is_shadowed(oos):
    r = Raw(oos=oos)
    r.read(BASE)
    l2, l1 = r.table(BASE, 2), r.table(BASE)
    empty = 40
    moved = r.store(l2, 500, empty << 12 | LINK)
    assert moved["shadow_validate_gl2e_calls"] == 1 and moved["shadow_fault_emulate_write"] == 1
    assert r.events("EMULATE")["gfn"].tolist() == [l2] and not r.is_oos(l2)
    assert r.words(r.shadow(l2, xen.SH_L2))[500] == 0, "the child has no shadow"
    moved = r.store(l2, 501, l1 << 12 | LINK)
    assert moved["shadow_validate_gl2e_calls"] == 1
    assert int(r.words(r.shadow(l2, xen.SH_L2))[501]) >> 12 == r.shadow(l1, xen.SH_L1)


@pytest.mark.parametrize("shopt", [NO_L3, FULL])
def test_g7_round_robin_beyond_the_pool_unpins_the_least_recently_loaded(shopt):
    tables, tops = chain(roots=5, zone=64, frames=128)
    r = Raw(tables=tables, cr3=tops[0], frames=128, zone=64, pool=20, shopt=shopt)
    order = []
    for lap in range(4):
        for top in tops:
            switch = r.cr3(top)
            unpinned = r.events("PREALLOC_UNPIN")["gfn"].tolist()
            touch = r.read(BASE)
            unpinned += r.events("PREALLOC_UNPIN")["gfn"].tolist()
            order = [top, *(t for t in order if t != top)]
            if lap > 1:
                assert switch["shadow_prealloc_1"] + touch["shadow_prealloc_1"] >= 1
                roots = [gfn for gfn in unpinned if gfn in tops]
                assert roots and roots == order[::-1][: len(roots)], "oldest first"
                assert touch["shadow_alloc"] >= 3, "nothing of it was left"
                assert not touch["shadow_prealloc_2"]


def test_g8_one_process_larger_than_the_pool_is_unhooked_and_rebuilt_from_the_fault():
    tables, (top,) = chain(tables_each=24, pages=2, zone=64, frames=128)
    r = Raw(tables=tables, cr3=top, frames=128, zone=64, pool=16)
    root, seen = r.top(), 0
    for _ in range(2):
        for n in range(24):
            moved = r.read(BASE + (n << 21))
            if moved["shadow_prealloc_2"]:
                seen += 1
                assert r.events("PREALLOC_UNHOOK")["mfn"].tolist() == [root]
                assert r.live() == {7: 1, 9: 1, 11: 1, 12: 1}, "all gone but the way to this page"
                assert (12, top) not in r.pinned(), "its pin went first"
            assert r.top() == root and moved["shadow_fault"] <= 2
    assert seen > 1


def test_g9_clean_unpins_the_root_and_the_next_cr3_load_frees_it():
    tables, (one, two) = chain(roots=2)
    r = Raw(tables=tables, cr3=one, zone=64)
    r.write(BASE)
    r.do("enable")
    r.write(BASE)
    r.do("clean")
    old = r.top()
    assert r.view("pref")[old] == 1 and r.pinned() == [] and not r.words(old).any() and r.live() == {12: 1}
    moved = r.cr3(two)
    assert moved["shadow_free"] == 1 and r.shadow(one, xen.SH_L4) is None and r.live() == {12: 1}
    assert r.pinned() == [(12, two)]


def test_every_golden_scenario_is_here():
    assert {name.split("_")[1] for name in globals() if name.startswith("test_g")} == {f"g{n}" for n in range(1, 10)}
