"""Rules S 18 to S 28 of the manual (manual/rules.md): what the pool holds, how it is recycled and emptied."""

import numpy as np
import pytest

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE
from tests.core.raw import BASE, DIRECT, FRAME, FULL, LINK, Raw
from tests.core.raw_guests import LEVELS, chain, kinds, superpage

# ---- the pool


@LEVELS
@pytest.mark.parametrize("oos", [0, 1])
def test_property_18_every_page_of_the_pool_is_accounted_for(levels, oos):
    r = Raw(levels, vcpus=2, oos=oos, pool=48)
    types = r.view("ptype")

    def count(kind):
        return int((types == kind).sum())

    def adds_up():
        r.check()
        shadows = sum(int(xen.SH_PAGES[kind]) * n for kind, n in r.live().items())
        monitors, snapshots = count(xen.SH_MONITOR), count(xen.SH_SNAPSHOT)
        assert r.s.free_pages + shadows + monitors + snapshots == r.s.total_pages
        assert count(xen.SH_P2M) == r.s.p2m_pages and r.s.total_pages + r.s.p2m_pages == 48
        assert monitors == (2 if levels == 4 else 6) and snapshots in (0, 6)

    adds_up()
    r.read(BASE)
    r.do("enable")
    r.write(BASE)
    adds_up()
    assert r.s.p2m_pages == 4
    r.do("off")
    r.cr3(1)
    adds_up()


@LEVELS
def test_property_19_a_shadow_costs_the_pages_of_its_type(levels):
    r, size = superpage(levels)
    costs = dict(zip(kinds(levels), {4: (1, 1, 1), 3: (1, 1, 1), 2: (2, 2, 4)}[levels], strict=True))
    free = int(r.s.free_pages)
    r.read(BASE)
    r.check()
    l1, fl1, l2 = kinds(levels)
    assert free - int(r.s.free_pages) == costs[fl1] + (2 if levels == 4 else 0)
    free = int(r.s.free_pages)
    r.read(BASE + size * FRAME)
    r.check()
    assert free - int(r.s.free_pages) == costs[l1]
    more = int((r.view("ptype") == xen.SH_MORE).sum())
    assert more == sum((costs.get(kind, 1) - 1) * n for kind, n in r.live().items())
    r.do("blow")
    r.check()
    assert r.live() == {l2 if levels < 4 else 12: len(r.roots())}
    assert int((r.view("ptype") == xen.SH_MORE).sum()) == (3 if levels == 2 else 0)


def test_property_20_references_are_parents_slots_and_pins_and_the_last_one_frees_at_once():
    r = Raw(oos=0, shopt=FULL & ~0x10)
    r.read(BASE)
    l2, l1 = r.table(BASE, 2), r.table(BASE)
    refs = r.view("pref")
    assert refs[r.shadow(l1, xen.SH_L1)] == 1
    r.store(l2, 501, l1 << 12 | LINK)
    r.check()
    assert refs[r.shadow(l1, xen.SH_L1)] == 2
    r.store(l2, 501, 5)  # a present entry that leads elsewhere
    r.check()
    assert refs[r.shadow(l1, xen.SH_L1)] == 1
    moved = r.store(r.table(BASE, 4), r.tables.index(BASE, 4), 0)
    r.check()
    assert moved["shadow_free"] == 3 and r.shadow(l1, xen.SH_L1) is None


def test_property_21_hash_and_flags_agree():
    r = Raw(pool=24, oos=0)
    flags = r.view("info") >> xen.SHADOW_FLAG_SHIFT
    assert int(flags.sum()) == 1 << 12
    r.read(BASE)
    r.check()
    info = r.view("info") >> xen.SHADOW_FLAG_SHIFT
    for level, kind in ((4, 12), (3, 11), (2, 9), (1, 7)):
        assert info[r.table(BASE, level)] == 1 << kind
    moved = r.do("blow")
    r.check()
    assert moved["shadow_hash_deletes"] == 3 and int((r.view("info") >> xen.SHADOW_FLAG_SHIFT).sum()) == 1 << 12


@LEVELS
def test_property_22_only_roots_are_pinned_and_l3s_for_early_linux(levels):
    for shopt in (FULL, FULL & ~0x10):
        r = Raw(levels, shopt=shopt)
        r.read(BASE)
        r.read(DIRECT[levels], user=0)
        r.check()
        root = kinds(levels)[2] if levels < 4 else 12
        wanted = {root} | ({11} if levels == 4 and shopt == FULL else set())
        assert {kind for kind, _ in r.pinned()} == wanted


# ---- recycling


@pytest.mark.parametrize("vcpus", [1, 2])
def test_property_23_the_pinned_list_is_the_order_of_cr3_loads(vcpus):
    tables, tops = chain(roots=5, pages=1)
    r = Raw(tables=tables, cr3=tops[0], zone=64, shopt=FULL & ~0x10, vcpus=vcpus, pool=96)
    loads = [tops[0]]
    for n in (1, 0, 2, 0, 0, 3, 1, 4, 2, 2, 0, 3):
        r.cr3(tops[n], vcpu=n % vcpus)
        loads = [tops[n], *(t for t in loads if t != tops[n])]
        r.read(BASE, vcpu=n % vcpus)  # use without a load refreshes nothing
        assert [gfn for _, gfn in r.pinned()] == loads


def test_property_24_a_loaded_root_is_never_freed_by_recycling():
    tables, tops = chain(roots=2, pages=1, tables_each=14)
    r = Raw(tables=tables, cr3=tops[0], zone=64, pool=16, shopt=FULL & ~0x10)
    unpinned_while_loaded = 0
    for n in (0, 1, 0):
        r.cr3(tops[n])
        for k in range(14):
            root = r.top()
            r.read(BASE + (k << 21))
            assert r.top() == root and r.view("ptype")[root] == xen.SH_L4
            for event in r.events("PREALLOC_UNPIN"):
                if event["mfn"] == root:
                    unpinned_while_loaded += 1
            r.check()
    assert unpinned_while_loaded > 1
    r = Raw(tables=tables, cr3=tops[0], zone=64, pool=16, shopt=FULL & ~0x10)
    for k in range(14):
        free = int(r.s.free_pages)
        moved = r.read(BASE + (k << 21))
        rows = r.events("PREALLOC_UNPIN", "PREALLOC_UNHOOK")
        if moved["shadow_prealloc_1"]:
            assert rows["detail"].tolist() == [free, free], "unpinning the loaded root freed nothing"
            return
    raise AssertionError("the pool was never short")


def test_property_25_roots_are_unhooked_only_when_nothing_is_pinned_any_more():
    tables, tops = chain(roots=2, pages=1, tables_each=14)
    r = Raw(tables=tables, cr3=tops[0], zone=64, pool=18)
    unhooks = 0
    for n in (0, 1, 0):
        r.cr3(tops[n])
        for k in range(14):
            before = len(r.pinned())
            moved = r.read(BASE + (k << 21))
            names = [ev.NAMES[int(kind)] for kind in r.events("PREALLOC_UNPIN", "PREALLOC_UNHOOK")["kind"]]
            if moved["shadow_prealloc_2"]:
                unhooks += 1
                assert names[: names.index("PREALLOC_UNHOOK")] == ["PREALLOC_UNPIN"] * before
                assert names.count("PREALLOC_UNPIN") == before
    assert unhooks > 2


@LEVELS
def test_property_26_a_pool_of_128_pages_a_vcpu_is_always_enough(levels):
    tables, (top,) = chain(levels, pages=1, tables_each=150 if levels > 2 else 75, frames=512, zone=200)
    r = Raw(levels, tables=tables, cr3=top, frames=512, zone=200, pool=128)
    r.do("enable")
    for k in range(150 if levels > 2 else 75):
        r.write(BASE + k * (FRAME << tables.bits))
        assert not r.s.crashed and r.s.total_pages + r.s.p2m_pages == 128
        assert int((r.view("ptype") != xen.SH_OUT).sum()) == 128
    r.check()
    assert r.s.shadow_prealloc_2 > 0


@LEVELS
def test_property_27_loading_the_same_root_again_changes_nothing(levels):
    r = Raw(levels, vcpus=2)
    r.read(BASE)
    r.cr3(1)
    refs, pinned, live = r.view("pref").copy(), r.pinned(), r.live()
    for n in range(6):
        moved = r.cr3(1, vcpu=n % 2)
        r.check()
        assert (r.view("pref") == refs).all() and r.pinned() == pinned and r.live() == live
        assert not moved["shadow_alloc"] and not moved["shadow_free"]


# ---- blow


@LEVELS
@pytest.mark.parametrize("vcpus", [1, 2])
def test_property_28_after_a_blow_only_empty_loaded_roots_are_left(levels, vcpus):
    tables, tops = chain(levels, roots=3, pages=3)
    r = Raw(levels, tables=tables, cr3=tops[0], zone=64, vcpus=vcpus, pool=96)
    for n in (1, 2, 0):
        r.cr3(tops[n])
        r.write(BASE)
        r.store(r.table(BASE), 400, 0)
    assert r.oos()
    r.do("blow")
    r.check()
    roots = {int(p) for p in r.s.root[: vcpus * 4] if p != NONE}
    root_type = kinds(levels)[2] if levels < 4 else 12
    assert r.live() == {root_type: len(roots)} and r.pinned() == []
    for page in np.flatnonzero(r.view("ptype") != xen.SH_FREE).tolist():
        if r.view("ptype")[page] not in (xen.SH_MONITOR, xen.SH_SNAPSHOT, xen.SH_OUT, xen.SH_P2M):
            assert not (r.words(page) & x86.P).any()
    assert not (r.view("info") & xen.TYPECOUNT).any() and not any(r.oos(v) for v in range(vcpus))
    fixed = int(np.isin(r.view("ptype"), [xen.SH_MONITOR, xen.SH_SNAPSHOT]).sum())
    assert r.s.free_pages == r.s.total_pages - fixed - len(roots) * int(xen.SH_PAGES[root_type])
