"""Machines with one thing in them made wrong, by the rule of the audit that it breaks."""

import numpy as np

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, ZERO, U
from pagingviz.core.audit import audit, rules
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.core.raw import BASE, FRAME, PAGE, PSE, Raw, Tables


def text(rule):
    """What the audit says when a rule is broken."""
    return rules.RULES[int(rule)].sentence


class Broken:
    """A machine after 300 ticks with log-dirty on, with names for what a test wants to spoil."""

    def __init__(self, road):
        work = "idle" if road == "pv" else "fork:8,hotcold:40"
        two = {"trace": "", "work": work, "order": "", "quantum": 50, "oos": 0, "pml": 0}
        self.sim = Simulation(load("blackboard").replace(**two, frames=256, pool=40, road=road, do="enable@150,clean@245"))
        self.sim.run(300)
        self.m = self.sim.machine
        self.s, self.view = self.m.sys[0], self.m.view
        assert self.rule().name == ""

    def rule(self):
        """The first broken rule."""
        return rules.rule_of(audit(self.m.sys, self.m.cpu, self.m.mem))

    def page(self, kind):
        """A pool page of that type."""
        return int(np.flatnonzero(self.view("ptype") == kind)[0])

    def leaf_entries(self):
        """(index into pool words, entry, guest frame, guest's entry) of every present entry of every L1 shadow."""
        pool, m2p = self.view("pool"), self.view("m2p")
        for page in np.flatnonzero(self.view("ptype") == xen.SH_L1):
            table = int(m2p[int(self.view("pkey")[page] - xen.RAM_BASE)])
            for i in np.flatnonzero(pool[page * 512 : page * 512 + 512] & x86.P):
                at = int(page) * 512 + int(i)
                gfn = int(m2p[int((pool[at] & x86.FRAME_MASK) >> x86.PAGE_BITS) - int(xen.RAM_BASE)])
                yield at, pool[at], gfn, self.view("tables")[table * 512 + int(i)]

    def leaf(self, good):
        """The first of leaf_entries for which good(entry, gfn, guest entry) holds."""
        return next(row for row in self.leaf_entries() if good(*row[1:]))

    def flags(self, gfn):
        return int(self.view("info")[gfn]) >> 32

    def spoil(self, region, at, change):
        """One word of the arena: change(word)."""
        self.view(region)[at] = change(self.view(region)[at])

    def tlb_way(self, good=lambda value: True):
        """A live way of the second level of the TLB."""
        c = self.m.cpu[0]
        live = np.flatnonzero(c.t2t >> x86.TLB_GEN_SHIFT == self.s.tlb_gen[0])
        return next(w for w in live if good(c.t2v[w]))


def writable(b, good):
    """Give a writable mapping, properly counted, to a frame that has a read-only one and of which good(gfn) holds."""
    at, _, gfn, _ = b.leaf(lambda e, gfn, g: not e & x86.RW and g & x86.RW and g & x86.D and good(gfn))
    b.spoil("pool", at, lambda e: e | x86.RW)
    b.spoil("info", gfn, lambda n: n + ONE)


def free_page_in_use(b):
    b.spoil("ptype", int(b.s.free_head), lambda _: xen.SH_MONITOR)


def page_lost(b):
    b.s.total_pages += 1


def shadow_under_another_key(b):
    b.spoil("pkey", b.page(xen.SH_L1), lambda key: key + ONE)


def flag_without_shadow(b):
    gfn = int(np.flatnonzero(b.view("info") >> xen.SHADOW_FLAG_SHIFT == 0)[0])
    b.spoil("info", gfn, lambda n: n | ONE << (xen.SHADOW_FLAG_SHIFT + xen.SH_L1))


def reference_too_many(b):
    b.spoil("pref", b.page(xen.SH_L2), lambda n: n + ONE)


def pinned_page_not_marked(b):
    b.spoil("ppin", int(b.s.pin_head), lambda _: ZERO)


def entry_where_the_guest_has_none(b):
    at, entry, *_ = b.leaf(lambda *_: True)
    table = at // 512 * 512
    gap = next(i for i in range(table, table + 512) if not b.view("pool")[i])
    b.spoil("pool", gap, lambda _: entry)


def right_the_guest_does_not_give(b):
    at, *_ = b.leaf(lambda e, gfn, g: g & x86.NX)
    b.spoil("pool", at, lambda e: e & ~x86.NX)


def write_before_dirty(b):
    at, *_ = b.leaf(lambda e, gfn, g: g & x86.RW and not g & x86.D)
    b.spoil("pool", at, lambda e: e | x86.RW)


def wrong_frame(b):
    at, *_ = b.leaf(lambda e, gfn, g: True)
    b.spoil("pool", at, lambda e: e ^ U(1 << 12))


def typecount_wrong(b):
    _, _, gfn, _ = b.leaf(lambda e, gfn, g: not b.flags(gfn))
    b.spoil("info", gfn, lambda n: n + ONE)


def page_table_writable(b):
    writable(b, b.flags)


def clean_frame_writable(b):
    clean = ~b.m.dirty_bits()
    writable(b, lambda gfn: clean[gfn] and not b.flags(gfn))


def dirty_count_wrong(b):
    b.s.dirty_count += 1


def lost_write(b):
    gfn = int(np.flatnonzero(~b.m.dirty_bits())[-1])
    b.spoil("ver", gfn, lambda n: n + ONE)


def translation_to_another_frame(b):
    b.m.cpu[0].t2v[b.tlb_way()] += ONE << x86.TLB_GFN_SHIFT


def translation_with_a_right_too_many(b):
    way = b.tlb_way(lambda value: value & x86.TLB_NX)
    b.m.cpu[0].t2v[way] &= ~x86.TLB_NX


def store_without_the_walk_that_sets_d(b):
    way = b.tlb_way(lambda value: not value & x86.TLB_W)
    b.m.cpu[0].t2v[way] |= x86.TLB_W


def ept_leaves(b):
    """Indexes of the words of L1 EPT tables that are in use."""
    tables = (b.view("ptype") == xen.SH_P2M) & (b.view("pref") == ONE)
    return [int(p) * 512 + i for p in np.flatnonzero(tables) for i in range(512) if b.view("pool")[int(p) * 512 + i]]


def ept_to_another_frame(b):
    b.spoil("pool", ept_leaves(b)[3], lambda e: e ^ U(1 << 12))


def logdirty_leaf_writable(b):
    pool = b.view("pool")
    logged = [at for at in ept_leaves(b) if (pool[at] & x86.EPT_TYPE_MASK) >> x86.EPT_TYPE_SHIFT == xen.P2M_RAM_LOGDIRTY]
    b.spoil("pool", logged[0], lambda e: e | x86.EPT_W)


def clean_frame_writable_in_ept(b):
    pool, clean = b.view("pool"), ~b.m.dirty_bits()
    first = ept_leaves(b)[0]
    gfn = int(np.flatnonzero(clean)[0])
    kind = ~(x86.EPT_TYPE_MASK | x86.EPT_RECALC)
    pool[first + gfn] = pool[first + gfn] & kind | x86.EPT_W


def share_wrong(b):
    gfn = int(np.flatnonzero(b.view("share"))[0])
    b.spoil("share", gfn, lambda n: n + ONE)


# ---- the same on a guest given entry by entry


class Given(Raw):
    """A raw guest in the state that most of these corruptions need: a superpage, an L1 table, another one out of sync."""

    def __init__(self, levels=4):
        size = 1024 if levels == 2 else 512
        t = Tables(levels)
        t.new()
        t.direct(1, 128)
        t.map(1, BASE, 100)
        t.map(1, BASE + size * FRAME, size, PAGE | PSE, level=2)
        t.map(1, BASE + 2 * size * FRAME, 101)
        t.map(1, BASE + 3 * size * FRAME, 100, READ_ONLY)
        super().__init__(levels, tables=t, frames=2 * size)
        for n in range(4):
            self.read(BASE + n * size * FRAME)
        self.apart = self.table(BASE + 2 * size * FRAME)
        self.store(self.apart, 300, 0)
        self.sim.audit = self.audit
        assert self.rule().name == "" and self.oos() == {self.apart}

    def audit(self):
        return self.rule().sentence

    def rule(self):
        return rules.rule_of(audit(self.m.sys, self.m.cpu, self.m.mem))

    def spoil(self, va, level, change):
        """One shadow entry of the way of `va`."""
        page = self.top(va)
        for step in range(4, level, -1):
            page = int(self.words(page)[va >> 12 + 9 * (step - 1) & 511]) >> 12 & 0xFFFFF
        at = va >> 12 + 9 * (level - 1) & 511
        self.words(page)[at] = change(self.words(page)[at])


READ_ONLY = PAGE & ~int(x86.RW)
BIG, APART = BASE + (1 << 21), BASE + (2 << 21)


def guest_forgets_the_access(b):
    b.view("tables")[b.table(BASE) * 512] &= ~x86.A


def guest_forgets_the_store(b):
    b.view("tables")[b.table(BASE) * 512] &= ~x86.D


def superpage_in_the_shadow(b):
    b.spoil(BIG, 2, lambda e: e | x86.PSE)


def splinter_for_the_kernel_only(b):
    b.spoil(BIG, 1, lambda e: e & ~x86.US)


def splinter_of_another_frame(b):
    b.spoil(BIG, 1, lambda e: e ^ U(1 << 12))


def upper_entry_not_dirty(b):
    b.spoil(BASE, 3, lambda e: e & ~x86.D)


def upper_entry_to_another_shadow(b):
    b.spoil(BASE, 2, lambda e: e ^ U(1 << 12))


def leftover_of_a_hole(b):
    b.s.shopt &= ~xen.SHOPT_OUT_OF_SYNC
    b.do("blow")
    b.read(BASE)
    b.spoil(BASE + 400 * FRAME, 1, lambda _: U(5 << 12))


def out_of_sync_and_nowhere(b):
    b.s.oos[int(np.flatnonzero(b.s.oos != NONE)[0])] = NONE


def noted_but_in_sync(b):
    b.view("info")[b.apart] &= ~xen.OOS


def in_a_stranger_s_place(b):
    k = int(np.flatnonzero(b.s.oos != NONE)[0])
    other = (k + 2 - (k + 2) // 3 * 3) if int(b.s.oos[k]) % 3 == k else (k + 1) % 3
    b.s.oos[other], b.s.oos_snap[other], b.s.oos[k] = b.s.oos[k], b.s.oos_snap[k], NONE
    b.s.fix_page[2 * other : 2 * other + 2] = b.s.fix_page[2 * k : 2 * k + 2]


def forgotten_fixup(b):
    b.s.fix_page[:] = NONE


def out_of_sync_though_off(b):
    b.s.shopt &= ~xen.SHOPT_OUT_OF_SYNC


def snapshot_of_something_else(b):
    k = int(np.flatnonzero(b.s.oos != NONE)[0])
    b.words(int(b.s.oos_snap[k]))[0] ^= U(1 << 12)


def half_a_shadow(b):
    page = b.shadow(1, xen.SH_L2_32)
    b.view("pkey")[b.view("pmore")[page]] = U(0)


def pair_out_of_step(b):
    page = b.top()
    for _ in range(BASE >> 30):
        page = int(b.view("pmore")[page])
    b.words(page)[1] ^= U(1 << 12)


def root_of_another_table(b):
    b.s.cr3[0] = b.table(BASE)


def type_counted_once_too_often(b):
    b.spoil("info", 100, lambda n: n + ONE)


def table_said_to_be_of_another_level(b):
    gfn = int(np.flatnonzero((b.view("info") & xen.PGT_TYPE) >> xen.PGT_SHIFT == xen.PGT_L1)[0])
    b.spoil("info", gfn, lambda n: n ^ U(3) << xen.PGT_SHIFT)


CORRUPTIONS = {  # what is spoiled: (road, or levels of a raw guest; the one rule that must be reported)
    type_counted_once_too_often: ("pv", rules.PV_TYPECOUNT),
    table_said_to_be_of_another_level: ("pv", rules.PV_TYPE),
    free_page_in_use: ("shadow", rules.FREE_LIST),
    page_lost: ("shadow", rules.POOL_SIZE),
    shadow_under_another_key: ("shadow", rules.HASH),
    flag_without_shadow: ("shadow", rules.SHADOW_FLAG),
    reference_too_many: ("shadow", rules.REFERENCES),
    pinned_page_not_marked: ("shadow", rules.PINNED_LIST),
    entry_where_the_guest_has_none: ("shadow", rules.GUEST_NOT_PRESENT),
    right_the_guest_does_not_give: ("shadow", rules.RIGHTS),
    write_before_dirty: ("shadow", rules.GUEST_NOT_DIRTY),
    wrong_frame: ("shadow", rules.TARGET),
    typecount_wrong: ("shadow", rules.TYPECOUNT),
    page_table_writable: ("shadow", rules.TABLE_WRITABLE),
    clean_frame_writable: ("shadow", rules.CLEAN_WRITABLE),
    dirty_count_wrong: ("shadow", rules.DIRTY_COUNT),
    lost_write: ("shadow", rules.LOST_WRITE),
    translation_to_another_frame: ("bare", rules.TLB_TRANSLATION),
    translation_with_a_right_too_many: ("hap", rules.TLB_TRANSLATION),
    store_without_the_walk_that_sets_d: ("bare", rules.TLB_STORE),
    ept_to_another_frame: ("hap", rules.NESTED_TARGET),
    logdirty_leaf_writable: ("hap", rules.LOGDIRTY_WRITABLE),
    clean_frame_writable_in_ept: ("hap", rules.CLEAN_WRITABLE),
    share_wrong: ("bare", rules.SHARES),
    guest_forgets_the_access: (4, rules.GUEST_NOT_ACCESSED),
    guest_forgets_the_store: (4, rules.GUEST_NOT_DIRTY),
    superpage_in_the_shadow: (4, rules.SUPERPAGE_OR_GLOBAL),
    splinter_for_the_kernel_only: (4, rules.SPLINTERS),
    splinter_of_another_frame: (4, rules.TARGET),
    upper_entry_not_dirty: (4, rules.UPPER_FLAGS),
    upper_entry_to_another_shadow: (4, rules.REFERENCES),
    leftover_of_a_hole: (4, rules.NOT_EMPTY),
    out_of_sync_and_nowhere: (4, rules.OUT_OF_SYNC),
    noted_but_in_sync: (4, rules.OUT_OF_SYNC),
    in_a_stranger_s_place: (4, rules.OUT_OF_SYNC),
    forgotten_fixup: (4, rules.FIXUPS),
    out_of_sync_though_off: (4, rules.NEVER_OUT_OF_SYNC),
    snapshot_of_something_else: (4, rules.SNAPSHOT),
    half_a_shadow: (2, rules.SHADOW_PAGES),
    pair_out_of_step: (2, rules.TARGET),
    root_of_another_table: (4, rules.LOADED),
}
