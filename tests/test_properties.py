"""Checkable properties of Xen's shadow code and of EPT under log-dirty, on the kernels, by their numbers in our two lists.

X n: shadow (G n: golden scenario), H n: nested paging. What an audit can see is in core/audit.py and proved to fail in
test_audit; X23 is in test_lru too, X38 in test_equal, H26 among the mutants. Here: what only shows over time. Every step is
done on the slow model as well, and must leave both equal.
"""

import numpy as np
import pytest
from agree import _chain, build, command, differences, tick
from model import FORK, READ, WRITE, Op
from model.invariants import broken_rule

from pagingviz import layout as L
from pagingviz.core.access import store
from pagingviz.core.audit import RULES, audit

BASE = 0x10000
P, W, U, A, D = (int(bit) for bit in (L.P, L.RW, L.US, L.A, L.D))


class Pair:
    """The kernels' machine, and the slow model beside it."""

    def __init__(self, road="shadow", frames=128, zone=64, pool=64, **fields):
        self.m, self.model = build(road, frames, zone, pool, **fields)
        self.s, self.view = self.m.sys[0], self.m.view
        self.own_stores = False

    def _moved(self, act, *arguments):
        before = self.m.counters()
        act(self.m, self.model, *arguments)
        assert differences(self.m, self.model) == []
        assert broken_rule(self.model) == ""
        if not self.own_stores:
            assert RULES[int(audit(self.m.sys, self.m.cpu, self.m.mem)) & 0xFF] == ""
        return {name: n - before[name] for name, n in self.m.counters().items() if n != before[name]}

    def touch(self, vpn, kind=READ, proc=0):
        """Counters that one user access moves."""
        return self._moved(tick, Op(proc, vpn, kind))

    def fork(self, proc=0):
        return self._moved(tick, Op(proc, kind=FORK))

    def do(self, name, argument=None):
        return self._moved(command, name, argument)

    def store(self, table, slot, value):
        """Counters that one store to a table moves. The guest's kernel does not know of it: its share counts are off since."""
        self.own_stores = True

        def act(machine, model):
            store(machine.sys[0], machine.cpu[0], machine.mem, L.U(table), L.U(slot), L.U(value))
            model.guest.store(table, slot, value)

        return self._moved(act)

    def table(self, vpn, level, proc=0):
        """Guest frame of the table of `level` on the way of a page."""
        frame = int(self.view("roots")[proc])
        for upper in range(4, level, -1):
            frame = self.entry(frame, vpn >> 9 * (upper - 1) & 511) >> 12 & 0xFFFFF
        return frame

    def entry(self, table, slot):
        return int(self.view("tables")[table * 512 + slot])

    def leaf(self, vpn):
        """The guest's own leaf entry."""
        return self.entry(self.table(vpn, 1), vpn & 511)

    def gfn(self, vpn):
        return self.leaf(vpn) >> 12 & 0xFFFFF

    def shadow(self, vpn, level=1):
        """The shadow entry of `level` that translates the page now, 0 when there is none."""
        page = int(self.s.root[0])
        for step in (4, 3, 2, 1):
            e = int(self.view("pool")[page * 512 + (vpn >> 9 * (step - 1) & 511)])
            if step == level or not e & P:
                return e
            page = e >> 12 & 0xFFFFF

    def live(self):
        """{type: number} of live shadows."""
        kinds = self.view("ptype")
        return {int(k): int(np.count_nonzero(kinds == k)) for k in (L.SH_L1, L.SH_L2, L.SH_L3, L.SH_L4) if k in kinds}

    def dirty(self):
        return set(np.flatnonzero(self.m.dirty_bits()).tolist())


def after(pair, *vpns, kind=WRITE):
    for vpn in vpns:
        pair.touch(vpn, kind)
    return pair


# ---- golden scenarios


def test_g1_x40_a_cold_read_builds_three_shadows_and_prefetches():
    p = after(Pair(), *range(BASE, BASE + 40))
    p.do("blow")
    moved = p.touch(BASE)
    assert moved["shadow_fault"] == 1 and moved["prefetched"] == 31
    assert moved["shadow_alloc"] == moved["shadow_hash_inserts"] == 3
    assert sum(p.shadow(vpn) & P for vpn in range(BASE, BASE + 40)) == 32


def test_g2_x39_a_write_after_a_read_faults_once_more_and_sets_d():
    p = after(Pair(), BASE, kind=READ)
    assert p.leaf(BASE) & A and not p.leaf(BASE) & D and not p.shadow(BASE) & W
    moved = p.touch(BASE, WRITE)
    assert moved["shadow_fault"] == 1 and "shadow_alloc" not in moved
    assert p.leaf(BASE) & D and p.shadow(BASE) & W
    upper = [p.entry(p.table(BASE, level), BASE >> 9 * (level - 1) & 511) for level in (4, 3, 2)]
    assert all(e & A and not e & D for e in upper), "D only in the leaf"


def test_g3_x33_x34_log_dirty_read_then_write_then_write():
    p = after(Pair(), BASE)
    p.do("enable")
    for _ in range(2):
        bits = p.dirty()
        assert p.touch(BASE)["shadow_fault"] >= 1 and not p.shadow(BASE) & W
        assert p.gfn(BASE) not in p.dirty() and all(g < p.s.zone for g in p.dirty() - bits)
        moved = p.touch(BASE, WRITE)
        assert (moved["shadow_fault"], moved["pages_marked"]) == (1, 1) and p.gfn(BASE) in p.dirty() and p.shadow(BASE) & W
        assert not {"shadow_fault", "pages_marked"} & set(p.touch(BASE, WRITE))
        p.do("clean")
        assert not p.dirty() and p.s.dirty_count == p.s.fault_count == 0  # X31, H7


def test_g5_without_out_of_sync_tables_every_store_to_an_l1_is_emulated():
    p = after(Pair(), BASE)
    l1 = p.table(BASE, 1)
    for slot in (7, 8):
        moved = p.store(l1, slot, p.leaf(BASE))
        assert moved["shadow_fault_emulate_write"] == moved["shadow_validate_gl1e_calls"] == 1
    assert "shadow_early_unshadow" not in p.store(l1, 7, 0)
    assert p.store(l1, 8, 0)["shadow_early_unshadow"] == 1, "the second zero in a row"
    p.store(l1, 9, 0)
    assert "shadow_fault" not in p.store(l1, 10, 0), "an ordinary page again"


def test_g6_x40_a_store_to_an_l2_links_a_shadow_only_when_there_is_one():
    p = after(Pair(), BASE)
    l2, l1 = p.table(BASE, 2), p.table(BASE, 1)
    before, other = p.live(), (BASE >> 18 << 18) + (500 << 9)
    moved = p.store(l2, 500, 60 << 12 | P | W | U | A)
    assert moved["shadow_validate_gl2e_calls"] == 1 and p.shadow(other, 2) == 0
    p.store(l2, 501, l1 << 12 | P | W | U | A)
    assert p.live() == before, "validation makes no shadows"


def test_g7_x23_x25_round_robin_beyond_the_pool_unpins_the_least_recently_loaded():
    p = Pair(pool=16)
    for proc in [0, 1, 2, 3, 4] * 2:
        p.touch(BASE, READ, proc)
    for proc in [0, 1, 2, 3, 4] * 3:
        tail = int(p.s.pin_tail)
        key = p.view("pkey")[tail]
        moved = p.touch(BASE, READ, proc)
        assert moved["shadow_prealloc_1"] >= 1 and "shadow_prealloc_2" not in moved
        assert p.view("pkey")[tail] != key or p.view("ptype")[tail] != L.SH_L4, "the tail went"


def test_g8_x24_one_process_beyond_the_pool_is_unhooked_and_keeps_its_root():
    p = Pair(pool=16, frames=256, zone=128)
    pages = [BASE + 512 * k for k in range(24)]
    for vpn in pages:
        p.touch(vpn, WRITE)
    root = int(p.s.root[0])
    moved = next(moved for vpn in pages * 2 if "shadow_prealloc_2" in (moved := p.touch(vpn)))
    assert moved["shadow_fault"] >= 1 and p.live() == {7: 1, 9: 1, 11: 1, 12: 1}
    assert int(p.s.root[0]) == root and not p.view("ppin")[root], "loaded, not pinned, not freed"


def test_g9_clean_unpins_and_the_next_cr3_load_frees_the_old_root():
    p = Pair()
    for proc in (1, 0):
        p.touch(BASE, WRITE, proc)
    p.do("enable")
    p.do("clean")
    old = int(p.s.root[0])
    assert p.view("pref")[old] == 1
    p.touch(BASE, READ, 1)
    roots = np.flatnonzero(p.view("ptype") == L.SH_L4)
    assert p.view("p2m")[int(p.view("roots")[0])] not in p.view("pkey")[roots]


# ---- pool, blow, log-dirty


def test_x27_loading_the_same_root_again_changes_no_reference():
    p = Pair()
    for proc in (0, 1, 0, 1, 0):
        p.touch(BASE, WRITE, proc)
    counts, pinned = p.view("pref").copy(), len(_chain(p.m, p.s.pin_head, "pnext"))
    for proc in (1, 0) * 3:
        p.touch(BASE, READ, proc)
    assert (p.view("pref") == counts).all() and len(_chain(p.m, p.s.pin_head, "pnext")) == pinned


@pytest.mark.parametrize("vcpus", [1, 2])
def test_x28_right_after_a_blow_only_empty_loaded_roots_are_left(vcpus):
    p = Pair(vcpus=vcpus)
    for proc in (0, 1, 2):
        for k in range(3):
            p.touch(BASE + 512 * k, WRITE, proc)
    p.do("blow")
    roots = {int(r) for r in p.s.root[:vcpus]}
    assert p.live() == {12: len(roots)} and p.s.pin_head == L.NONE
    assert not any(p.view("pool")[r * 512 : r * 512 + 512].any() for r in roots)
    assert not (p.view("info") & L.TYPECOUNT).any()
    assert p.s.free_pages == p.s.total_pages - len(roots) - vcpus


def test_x18_x26_the_pool_never_exceeds_its_size_whatever_it_is_set_to():
    p = Pair(pool=40)
    p.do("enable")
    for size in (20, 60, 16, 33):
        p.do("pool", size)
        for k in range(6):
            p.touch(BASE + 512 * k, WRITE, k % 3)
        used = np.count_nonzero(p.view("ptype") != L.SH_OUT)
        assert used == size == p.s.total_pages + p.s.p2m_pages


def test_x31_h8_h9_peek_twice_changes_nothing_and_counts_the_bits():
    for road in ("shadow", "hap"):
        p = Pair(road)
        p.do("enable")
        after(p, BASE, BASE + 1)
        leaves, bits = p.view("pool").copy(), p.dirty()
        for _ in range(2):
            assert p.do("peek") == {"peeks": 1} and p.dirty() == bits and p.s.dirty_count == len(bits) > 0
        assert (p.view("pool") == leaves).all()


def test_x35_h28_the_first_mark_takes_four_pages_clean_frees_none_off_frees_all():
    for road in ("shadow", "hap"):
        p = Pair(road)
        own = int(p.s.p2m_pages)
        p.do("enable")
        assert p.s.p2m_pages == own
        for _ in range(2):
            p.touch(BASE, WRITE)
            p.do("clean")
            assert p.s.p2m_pages == own + 4
        p.do("off")
        assert p.s.p2m_pages == own and not p.dirty()


def test_x37_switching_log_dirty_off_maps_nothing_writable_by_itself():
    p = after(Pair(), BASE, BASE + 1)
    p.do("enable")
    p.touch(BASE)
    p.do("off")
    assert not p.shadow(BASE) & W
    assert p.touch(BASE, WRITE)["shadow_fault"] == 1 and p.shadow(BASE) & W
    assert "shadow_fault" not in p.touch(BASE, WRITE)


def test_x10_x11_a_user_mapping_of_a_page_table_is_never_writable_and_a_write_unshadows_it():
    """Also a shadow with two parents: the fast unshadow does not get rid of it, the thorough one does."""
    p = after(Pair(), BASE, BASE + 512)
    l2, l1, mine = p.table(BASE, 2), p.table(BASE + 512, 1), p.table(BASE, 1)
    p.store(l2, 501, l1 << 12 | P | W | U | A)
    p.store(l1, 1, 0)
    moved = p.store(l1, 2, 0)
    assert moved["shadow_early_unshadow"] == moved["shadow_unshadow_bf"] == 1
    p.store(mine, 9, l1 << 12 | P | W | U | A | D)
    assert not p.shadow(BASE + 9) & W
    version = int(p.view("ver")[l1])
    moved = p.touch(BASE + 9, WRITE)
    assert moved["shadow_fault_emulate_failed"] == moved["shadow_unshadow"] == 1
    assert p.view("ver")[l1] == version + 1 and not p.s.crashed


# ---- nested paging


@pytest.mark.parametrize("superpages", [0, 1])
def test_h12_h13_enable_and_clean_write_one_root_entry_and_no_leaf(superpages):
    p = Pair("hap", frames=1024, superpages=superpages)
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
        assert not p.dirty(), "reads dirty nothing (A bits were set before)"  # X34, H22
        seen = [p.touch(BASE + k, WRITE) for k in range(20) for _ in range(2)]
        assert sum(m.get("ept_violation", 0) for m in seen) == len(p.dirty()) == 20
        assert not any("ept_misconfig" in m for m in seen)


def test_h23_h24_h25_superpages_split_on_stores_only_and_never_come_back():
    p = after(Pair("hap", frames=1024, superpages=1), BASE, BASE + 1)
    mfns = p.view("p2m").copy()

    def superpages():
        return sum(1 for e in p.view("pool").tolist() if e & int(L.EPT_SP) and e & 7)

    assert superpages() == 2
    p.do("enable")
    p.touch(BASE)
    p.do("clean")
    p.touch(BASE + 1)
    assert superpages() == 2, "reads and poison split nothing"
    own = int(p.s.p2m_pages)
    moved = p.touch(BASE, WRITE)
    assert moved["ept_split"] == 1 and superpages() == 1 and p.s.p2m_pages in (own + 1, own + 5)
    p.do("off")
    after(p, BASE, BASE + 1)
    assert superpages() == 1 and (p.view("p2m") == mfns).all()


def test_h27_the_hypervisor_sees_faults_cr3_and_invlpg_under_shadow_only():
    exits = ("exits_page_fault", "exits_cr3", "exits_invlpg")
    for road, sees in (("hap", False), ("shadow", True)):
        p = after(Pair(road), BASE, BASE + 1)
        p.fork()
        after(p, BASE)  # breaks copy-on-write: INVLPG
        p.touch(BASE, READ, 2)
        counters = p.m.counters()
        assert [counters[name] > 0 for name in exits] == [sees] * 3 and counters["invlpg"] > 0
