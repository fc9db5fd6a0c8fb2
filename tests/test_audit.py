"""The audit can fail: each of its rules by one thing made wrong, and those that matter most by a kernel made wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pagingviz import layout as L
from pagingviz.core.audit import RULES, audit
from pagingviz.scenario import load
from pagingviz.simulation import Simulation

ROOT = Path(__file__).resolve().parents[1]


class Broken:
    """A machine after 300 ticks with log-dirty on, with names for what a test wants to spoil."""

    def __init__(self, road):
        two = {"trace": "", "work": "fork:8,hotcold:40", "order": "", "quantum": 50}
        self.sim = Simulation(load("blackboard").replace(**two, frames=256, pool=40, road=road, do="enable@150,clean@245"))
        self.sim.run(300)
        self.m = self.sim.machine
        self.s, self.view = self.m.sys[0], self.m.view
        assert self.code() == 0

    def code(self):
        """Number of the first broken rule."""
        return int(audit(self.m.sys, self.m.cpu, self.m.mem)) & 0xFF

    def page(self, kind):
        """A pool page of that type."""
        return int(np.flatnonzero(self.view("ptype") == kind)[0])

    def leaf_entries(self):
        """(index into pool words, entry, guest frame, guest's entry) of every present entry of every L1 shadow."""
        pool, m2p = self.view("pool"), self.view("m2p")
        for page in np.flatnonzero(self.view("ptype") == L.SH_L1):
            table = int(m2p[int(self.view("pkey")[page] - L.RAM_BASE)])
            for i in np.flatnonzero(pool[page * 512 : page * 512 + 512] & L.P):
                at = int(page) * 512 + int(i)
                gfn = int(m2p[int((pool[at] & L.FRAME_MASK) >> L.PAGE_BITS) - int(L.RAM_BASE)])
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
        live = np.flatnonzero(c.t2t >> L.TLB_GEN_SHIFT == self.s.tlb_gen[0])
        return next(w for w in live if good(c.t2v[w]))


def writable(b, good):
    """Give a writable mapping, properly counted, to a frame that has a read-only one and of which good(gfn) holds."""
    at, _, gfn, _ = b.leaf(lambda e, gfn, g: not e & L.RW and g & L.RW and g & L.D and good(gfn))
    b.spoil("pool", at, lambda e: e | L.RW)
    b.spoil("info", gfn, lambda n: n + L.ONE)


def free_page_in_use(b):
    b.spoil("ptype", int(b.s.free_head), lambda _: L.SH_MONITOR)


def page_lost(b):
    b.s.total_pages += 1


def shadow_under_another_key(b):
    b.spoil("pkey", b.page(L.SH_L1), lambda key: key + L.ONE)


def flag_without_shadow(b):
    gfn = int(np.flatnonzero(b.view("info") >> L.SHADOW_FLAG_SHIFT == 0)[0])
    b.spoil("info", gfn, lambda n: n | L.ONE << (L.SHADOW_FLAG_SHIFT + L.SH_L1))


def reference_too_many(b):
    b.spoil("pref", b.page(L.SH_L2), lambda n: n + L.ONE)


def pinned_page_not_marked(b):
    b.spoil("ppin", int(b.s.pin_head), lambda _: L.ZERO)


def entry_where_the_guest_has_none(b):
    at, entry, *_ = b.leaf(lambda *_: True)
    table = at // 512 * 512
    gap = next(i for i in range(table, table + 512) if not b.view("pool")[i])
    b.spoil("pool", gap, lambda _: entry)


def right_the_guest_does_not_give(b):
    at, *_ = b.leaf(lambda e, gfn, g: g & L.NX)
    b.spoil("pool", at, lambda e: e & ~L.NX)


def write_before_dirty(b):
    at, *_ = b.leaf(lambda e, gfn, g: g & L.RW and not g & L.D)
    b.spoil("pool", at, lambda e: e | L.RW)


def wrong_frame(b):
    at, *_ = b.leaf(lambda e, gfn, g: True)
    b.spoil("pool", at, lambda e: e ^ L.U(1 << 12))


def typecount_wrong(b):
    _, _, gfn, _ = b.leaf(lambda e, gfn, g: not b.flags(gfn))
    b.spoil("info", gfn, lambda n: n + L.ONE)


def page_table_writable(b):
    writable(b, b.flags)


def clean_frame_writable(b):
    clean = ~b.m.dirty_bits()
    writable(b, lambda gfn: clean[gfn] and not b.flags(gfn))


def dirty_count_wrong(b):
    b.s.dirty_count += 1


def lost_write(b):
    gfn = int(np.flatnonzero(~b.m.dirty_bits())[-1])
    b.spoil("ver", gfn, lambda n: n + L.ONE)


def translation_to_another_frame(b):
    b.m.cpu[0].t2v[b.tlb_way()] += np.uint64(1 << 4)


def translation_with_a_right_too_many(b):
    way = b.tlb_way(lambda value: value & L.TLB_NX)
    b.m.cpu[0].t2v[way] &= ~L.TLB_NX


def store_without_the_walk_that_sets_d(b):
    way = b.tlb_way(lambda value: not value & L.TLB_W)
    b.m.cpu[0].t2v[way] |= L.TLB_W


def ept_leaves(b):
    """Indexes of the words of L1 EPT tables that are in use."""
    tables = (b.view("ptype") == L.SH_P2M) & (b.view("pref") == L.ONE)
    return [int(p) * 512 + i for p in np.flatnonzero(tables) for i in range(512) if b.view("pool")[int(p) * 512 + i]]


def ept_to_another_frame(b):
    b.spoil("pool", ept_leaves(b)[3], lambda e: e ^ L.U(1 << 12))


def logdirty_leaf_writable(b):
    pool = b.view("pool")
    logged = [at for at in ept_leaves(b) if (pool[at] & L.EPT_TYPE_MASK) >> L.EPT_TYPE_SHIFT == L.P2M_RAM_LOGDIRTY]
    b.spoil("pool", logged[0], lambda e: e | L.EPT_W)


def clean_frame_writable_in_ept(b):
    pool, clean = b.view("pool"), ~b.m.dirty_bits()
    first = ept_leaves(b)[0]
    gfn = int(np.flatnonzero(clean)[0])
    kind = ~(L.EPT_TYPE_MASK | L.EPT_RECALC)
    pool[first + gfn] = pool[first + gfn] & kind | L.EPT_W


def share_wrong(b):
    gfn = int(np.flatnonzero(b.view("share"))[0])
    b.spoil("share", gfn, lambda n: n + L.ONE)


CORRUPTIONS = {  # what is spoiled: (road, number of the one rule that must be reported)
    free_page_in_use: ("shadow", 1), page_lost: ("shadow", 2), shadow_under_another_key: ("shadow", 3),
    flag_without_shadow: ("shadow", 4), reference_too_many: ("shadow", 5), pinned_page_not_marked: ("shadow", 6),
    entry_where_the_guest_has_none: ("shadow", 7), right_the_guest_does_not_give: ("shadow", 8),
    write_before_dirty: ("shadow", 8), wrong_frame: ("shadow", 9), typecount_wrong: ("shadow", 10),
    page_table_writable: ("shadow", 11), clean_frame_writable: ("shadow", 12), dirty_count_wrong: ("shadow", 13),
    lost_write: ("shadow", 14), translation_to_another_frame: ("bare", 15), translation_with_a_right_too_many: ("hap", 15),
    store_without_the_walk_that_sets_d: ("bare", 16), ept_to_another_frame: ("hap", 17), logdirty_leaf_writable: ("hap", 18),
    clean_frame_writable_in_ept: ("hap", 12), share_wrong: ("bare", 19),
}  # fmt: skip


@pytest.mark.parametrize("spoil", CORRUPTIONS, ids=lambda spoil: spoil.__name__)
def test_one_thing_wrong_breaks_one_rule(spoil):
    road, code = CORRUPTIONS[spoil]
    broken = Broken(road)
    spoil(broken)
    assert RULES[broken.code()] == RULES[code]
    assert broken.sim.audit().startswith(RULES[code])


def test_every_rule_has_a_way_to_fail():
    assert {code for _, code in CORRUPTIONS.values()} == set(range(1, len(RULES)))


def test_the_audit_changes_nothing():
    for road in ("bare", "shadow", "hap"):
        broken = Broken(road)
        before = broken.m.digest()
        broken.code()
        assert broken.m.digest() == before


# ---- kernels with one rule left out

TRAPPED, WRITABLE, BIT = RULES[16], RULES[12], RULES[14]
CAUGHT = {  # mutant: (rules that may be the first to speak, whether writes are lost)
    "none, shadow": ({""}, False),
    "none, hap": ({""}, False),
    "no flush after CLEAN, shadow": ({TRAPPED, BIT}, True),
    "no flush after CLEAN, hap": ({TRAPPED, BIT}, True),
    "no blow": ({TRAPPED, WRITABLE}, True),
    "no poison": ({TRAPPED, WRITABLE}, True),
    "no mark, shadow": ({TRAPPED, WRITABLE, BIT}, True),
    "no mark, hap": ({TRAPPED, WRITABLE, BIT}, True),
    "page tables not marked": ({TRAPPED, WRITABLE, BIT}, True),
    "prefetch writable": ({TRAPPED, WRITABLE}, True),
    "write access left": ({TRAPPED, RULES[11]}, False),
    "no validation": ({TRAPPED, RULES[7], RULES[8]}, False),
    "reference kept": ({TRAPPED, RULES[4], RULES[5]}, True),
    "typecount not moved": ({TRAPPED, RULES[10]}, False),
}


@pytest.fixture(scope="module")
def found():
    """{mutant: [first broken rule, writes lost]}."""
    environment = os.environ | {"PAGINGVIZ_PLAIN": "1", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore::RuntimeWarning"}
    process = subprocess.run(
        [sys.executable, ROOT / "tests/mutants.py"], env=environment, capture_output=True, text=True, timeout=300)  # fmt: skip
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.mark.parametrize("mutant", CAUGHT)
def test_a_rule_left_out_is_noticed(found, mutant):
    rules, losing = CAUGHT[mutant]
    broken, lost = found[mutant]
    assert broken.partition(" (at")[0] in rules
    assert (lost > 0) == losing


def test_every_mutant_is_judged(found):
    assert set(found) == set(CAUGHT)
