"""Rules S 1 to S 17 of the manual (manual/rules.md): entries, and write protection of tables.

After every operation the audit looks at all of them (core/audit); each test makes the situation in which its property could
break. mutants.py breaks the rule behind each on purpose. The table of all forty is in test_properties_in_time.py.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagingviz.arch import xen
from tests.core.raw import BASE, DIRECT, FRAME, FULL, KERNEL, LINK, NX, PAGE, PSE, A, D, P, Raw, Tables, U, W
from tests.core.raw_guests import CALM, LEVELS, kinds, superpage

# ---- entries


@LEVELS
def test_property_01_a_present_entry_has_a_present_guest_entry(levels):
    r = Raw(levels, oos=0)
    r.read(BASE)
    assert r.sl(BASE) & P
    r.store(r.table(BASE), r.tables.index(BASE, 1), 0)
    r.check()
    assert not r.sl(BASE) & P


@LEVELS
def test_property_02_a_present_entry_has_been_accessed_by_the_guest(levels):
    r = Raw(levels, oos=0)
    r.read(BASE)
    i = r.tables.index(BASE, 1)
    r.store(r.table(BASE), i, r.leaf(BASE) & ~A)
    r.check()
    assert not r.sl(BASE) & P
    r.invlpg(BASE)
    assert r.read(BASE)["shadow_fault"] == 1 and r.leaf(BASE) & A and r.sl(BASE) & P


@LEVELS
def test_property_03_a_writable_leaf_is_dirty_in_the_guest(levels):
    r = Raw(levels, flags=P | W | U | A)
    r.read(BASE)
    r.check()
    assert r.sl(BASE) & (P | W) == P
    r.write(BASE)
    assert r.sl(BASE) & W and r.leaf(BASE) & D
    big, _ = superpage(levels, P | W | U | A | PSE)
    big.read(BASE)
    big.check()
    assert big.sl(BASE, 2) & (P | W) == P, "a superpage's D rules the level-2 entry"
    big.write(BASE)
    assert big.sl(BASE, 2) & W and big.leaf(BASE, 2) & D


@pytest.mark.parametrize("flags", [P | A | D, P | W | A | D, P | U | A | D, P | U | A | D | NX])
def test_property_04_rights_are_mirrored_at_every_level(flags):
    t = Tables()
    t.new()
    t.map(1, BASE, 100, flags)
    t.map(1, BASE + (1 << 30), 101, PAGE, link=P | A | (flags & (W | U)))
    r = Raw(tables=t)
    r.read(BASE, user=0)
    r.read(BASE + (1 << 30), user=0)
    r.check()
    assert r.sl(BASE) & (W | U | NX) == flags & (W | U | NX)
    assert all(r.sl(BASE + (1 << 30), level) & (W | U) == flags & (W | U) for level in (3, 2))


@LEVELS
def test_property_05_shadows_use_no_superpages_and_nothing_is_global(levels):
    r, _ = superpage(levels, PAGE | PSE | 0x100)
    r.read(BASE)
    r.check()
    assert r.leaf(BASE, 2) & PSE and r.sl(BASE, 2) & P
    assert not r.sl(BASE, 2) & (PSE | 0x100) and not r.sl(BASE) & 0x100


@LEVELS
def test_property_06_an_entry_maps_what_the_guest_means(levels):
    r, size = superpage(levels)
    for va, gfn in ((BASE + 7 * FRAME, size + 7), (BASE + size * FRAME, 100)):
        r.read(va)
        r.check()
        assert r.sl(va) >> 12 & 0xFFFFF == r.view("p2m")[gfn]
    l1, fl1, _ = kinds(levels)
    assert r.sl(BASE, 2) >> 12 == r.shadow(size, fl1)
    assert r.sl(BASE + size * FRAME, 2) >> 12 == r.shadow(r.table(BASE + size * FRAME), l1)


@LEVELS
def test_property_07_a_splintered_superpage_grants_everything_and_its_l2_entry_decides(levels):
    r, size = superpage(levels, P | A | D | PSE)
    r.read(BASE, user=0)
    r.check()
    assert r.sl(BASE) & (P | W | U | A) == P | W | U | A
    assert not r.sl(BASE, 2) & (W | U)
    assert r.read(BASE)["shadow_fault_bail_real_fault"] == r.write(BASE, user=0)["shadow_fault_bail_real_fault"] == 1
    page = r.shadow(size, kinds(levels)[1])
    assert {int(e) & 0x1FF & ~D for e in r.words(page) if e} == {P | U | W | A}


@LEVELS
def test_property_08_upper_entries_always_have_a_and_d(levels):
    r = Raw(levels)
    r.read(BASE)
    r.check()
    assert all(r.sl(BASE, level) & (A | D) == A | D for level in range(2, 5 if levels == 4 else 3))


@LEVELS
def test_property_09_what_is_not_present_in_the_guest_is_zero_in_the_shadow(levels):
    r = Raw(levels, oos=0, pages=3)
    l1, i = r.table(BASE), r.tables.index(BASE, 1)
    r.read(BASE)
    r.store(l1, i + 1, 0x7777 << 12)
    r.check()
    assert [r.sl(BASE + k * FRAME) & P for k in (1, 3, 4)] == [0, 0, 0]
    assert [r.sl(BASE + k * FRAME) for k in (1, 3, 4)] == [0, 0, 0], "no magic entry, no leftover"
    assert r.read(BASE + FRAME)["shadow_fault_bail_real_fault"] == 1


def guest_rights(r, va):
    """(frame, rights) that the guest's own tables give `va`, with A and D as they are; None when something is missing."""
    tab, have = int(r.s.cr3[0]), W | U
    for level in range(r.levels, 0, -1):
        e = r.entry(tab, r.tables.index(va, level))
        top = r.levels == level == 3
        if not e & P or not (e & A or top):
            return None
        have = have if top else have & e | (have | e) & NX
        big = level == 2 and e & PSE
        if level == 1 or big:
            inside = va >> 12 & (1023 if r.levels == 2 else 511) if big else 0
            return (e >> 12 & 0xFFFFF) + inside, have & ~(0 if e & D else W)
        tab = e >> 12 & 0xFFFFF
    return None


def shadow_rights(r, va):
    """(machine frame, rights) that the loaded shadow gives `va`, or None."""
    steps = [r.sl(va, level) for level in ((4, 3, 2, 1) if r.levels == 4 else (2, 1))]
    if not all(e & P for e in steps):
        return None
    have = W | U
    for e in steps:
        have = have & e | (have | e) & NX
    return steps[-1] >> 12 & 0xFFFFF, have


FLAGS = st.integers(0, 31).map(lambda n: P | (n & 1 and W) | (n & 2 and U) | (n & 4 and A) | (n & 8 and D) | (n & 16 and NX))
TOUCHES = st.tuples(st.integers(0, 6), st.booleans(), st.booleans())  # which place, a store?, by the user?


@LEVELS
def test_property_10_the_shadow_never_gives_more_than_the_guest(levels):
    @settings(CALM)
    @given(st.lists(FLAGS, min_size=6, max_size=6), st.lists(TOUCHES, min_size=8, max_size=20))
    def run(flags, touches):
        if levels == 2:
            flags = [f & ~NX for f in flags]
        t, size = Tables(levels), 1024 if levels == 2 else 512
        t.new()
        for k in range(4):
            t.map(1, BASE + k * FRAME, 100 + k, flags[k], link=P | U | A | W)
        t.map(1, BASE + size * FRAME, 104, flags[3], link=flags[4] & ~NX)
        t.map(1, BASE + 2 * size * FRAME, size, flags[5] | PSE, level=2)
        big = BASE + 2 * size * FRAME
        places = [*(BASE + k * FRAME for k in range(4)), BASE + size * FRAME, big, big + FRAME]
        r = Raw(levels, tables=t, frames=2 * size, oos=0)
        r.audited = False  # this property looks for itself
        for which, store, user in touches:
            (r.write if store else r.read)(places[which], user=int(user))
            for va in places:
                have, own = shadow_rights(r, va), guest_rights(r, va)
                if have is not None:
                    assert own is not None and have[0] == r.view("p2m")[own[0]]
                    assert not have[1] & ~own[1] & (W | U) and have[1] & NX == own[1] & NX
        r.check()

    run()


# ---- write protection


@LEVELS
def test_property_11_a_shadowed_table_has_no_writable_mapping(levels):
    r = Raw(levels, oos=0)
    new, (l1, _, l2) = 40, kinds(levels)
    r.read(BASE)
    r.write(DIRECT[levels] + new * FRAME, user=0)
    r.store(new, 0, 101 << 12 | PAGE)
    assert r.typecount(new) == 1
    up = r.table(BASE, 2)
    r.store(up, r.tables.index(BASE, 2) + 1, new << 12 | LINK)
    moved = r.read(BASE + (FRAME << r.tables.bits))
    r.check()
    assert moved["shadow_writeable"] == 1 and r.shadow(new, l1) is not None and r.typecount(new) == 0
    assert r.sl(DIRECT[levels] + new * FRAME) & (P | W) == P
    assert moved["shadow_rm_write_flush_tlb"] == 1 and r.shadow(up, l2) is not None


@LEVELS
def test_property_12_a_typecount_counts_every_writable_mapping(levels):
    size = 1024 if levels == 2 else 512
    t = Tables(levels)
    t.new()
    for k in range(2):
        t.map(1, BASE + k * FRAME, size + 3)
    t.map(1, BASE + size * FRAME, size, PAGE | PSE, level=2)
    r = Raw(levels, frames=2 * size, tables=t)
    r.read(BASE)
    r.check()
    assert r.typecount(size + 3) == 2
    r.read(BASE + size * FRAME)
    r.check()
    assert r.typecount(size + 3) == 3, "through the splintered superpage too"
    r.do("blow")
    r.check()
    assert r.typecount(size + 3) == 0


def unsynced(levels=4, tables=5, **fields):
    """A guest with `tables` L1 tables, all shadowed; returns it and their frames."""
    t = Tables(levels)
    t.new()
    t.direct(1, 128)
    span = FRAME << t.bits
    for n in range(tables):
        t.map(1, BASE + n * span, 100 + n)
    r = Raw(levels, tables=t, **fields)
    for n in range(tables):
        r.read(BASE + n * span)
    return r, [r.table(BASE + n * span) for n in range(tables)]


@LEVELS
@pytest.mark.parametrize("vcpus", [1, 2])
def test_property_13_at_most_three_tables_a_vcpu_are_out_of_sync_each_in_its_place(levels, vcpus):
    r, l1s = unsynced(levels, tables=8, vcpus=vcpus)
    evicted = 0
    for v in range(vcpus):
        for l1 in [gfn for gfn in l1s if not r.is_oos(gfn)]:
            moved = r.store(l1, 400, 0, vcpu=v)
            evicted += moved["shadow_unsync_evict"]
            r.check()
            assert moved["shadow_unsync"] == 1 and r.is_oos(l1) and len(r.oos(v)) <= 3
            assert {g for w in range(vcpus) for g in r.oos(w)} == {g for g in l1s if r.is_oos(g)}
            mfn = int(r.view("p2m")[l1])
            assert mfn in r.s.oos[v * 3 : v * 3 + 3], "with the vCPU that wrote it"
    assert evicted >= 5


@LEVELS
def test_property_14_the_third_writable_mapping_of_an_out_of_sync_table_strips_one(levels):
    t = Tables(levels)
    t.new()
    t.direct(1, 128)
    t.map(1, BASE, 100)
    l1 = t.link(1, BASE, 1)
    far = BASE + (FRAME << t.bits)
    for k in range(3):
        t.map(1, far + k * FRAME, l1, KERNEL)
    r = Raw(levels, tables=t)
    r.read(BASE)
    r.store(l1, 300, 0)
    places = [DIRECT[levels] + l1 * FRAME, *(far + k * FRAME for k in range(3))]
    for k in (1, 2, 3):
        moved = r.write(places[k], user=0)
        r.check()
        assert moved["shadow_oos_fixup_add"] == 1 and moved["shadow_oos_fixup_evict"] == (k > 1)
        assert r.typecount(l1) == 2 and [bool(r.sl(va) & W) for va in places] == [k - 1 <= n <= k for n in range(4)]


@LEVELS
def test_property_15_no_table_is_out_of_sync_while_that_is_switched_off(levels):
    for fields in ({"oos": 0}, {"shopt": FULL & ~0x100}):
        r, l1s = unsynced(levels, tables=2, xen="4.17", **fields)
        for l1 in l1s:
            moved = r.store(l1, 400, 100 << 12 | P)
            r.check()
            assert not moved["shadow_unsync"] and not r.is_oos(l1)
            assert moved["shadow_fault_emulate_write"] == 1


@LEVELS
def test_property_16_a_cr3_load_brings_the_own_tables_back_and_the_others_up_to_date(levels):
    r, l1s = unsynced(levels, vcpus=2)
    i = r.tables.index(BASE, 1)
    for v in (0, 1):
        r.read(BASE + v * (FRAME << r.tables.bits), vcpu=v)
        r.store(l1s[v], i, 110 << 12 | PAGE, vcpu=v)
    assert r.oos(0) == {l1s[0]} and r.oos(1) == {l1s[1]}
    assert r.sl(BASE) >> 12 & 0xFFFFF == r.view("p2m")[100], "stale, as a TLB would be"
    moved = r.cr3(1, vcpu=0)
    r.check()
    assert r.oos(0) == set() and r.typecount(l1s[0]) == 0 and moved["shadow_resync"] == 1
    assert r.oos(1) == {l1s[1]}, "the other vCPU's stays out of sync"
    for v in (0, 1):
        assert r.sl(BASE + v * (FRAME << r.tables.bits)) >> 12 & 0xFFFFF == r.view("p2m")[110]
    assert r.events("RESYNC_FULL")["gfn"].tolist() == [l1s[0]] and r.events("RESYNC_ONLY")["gfn"].tolist() == [l1s[1]]


@LEVELS
def test_property_17_the_shadow_of_an_out_of_sync_table_is_what_its_snapshot_gives(levels):
    r, (l1, *_) = unsynced(levels, tables=1)
    i = r.tables.index(BASE, 1)
    r.store(l1, i, 111 << 12 | PAGE)
    r.store(l1, i + 1, 112 << 12 | PAGE)
    r.check()
    assert r.sl(BASE) >> 12 & 0xFFFFF == r.view("p2m")[100]
    r.read(BASE + FRAME)  # a fault in an out-of-sync table: this entry is made from the table as it is
    r.check()
    assert r.is_oos(l1) and r.sl(BASE + FRAME) >> 12 & 0xFFFFF == r.view("p2m")[112]
    r.store(l1, i + 1, 0)
    r.check()
    assert r.sl(BASE + FRAME) & P
    r.invlpg(BASE + FRAME)
    r.check()
    assert r.sl(BASE + FRAME) == 0 and r.is_oos(l1)
    assert r.read(BASE + FRAME)["shadow_fault_bail_real_fault"] == 1


@pytest.mark.parametrize("oos", [0, 1])
def test_a_users_store_to_a_table_unshadows_it_even_with_two_parents(oos):
    """Beside 11: the fast way, along the one parent that is remembered, does not get rid of such a shadow."""
    t = Tables()
    t.new()
    t.direct(1, 128)
    t.map(1, BASE, 100)
    t.map(1, BASE + (1 << 21), 101)
    l1 = t.link(1, BASE + (1 << 21), 1)
    t.map(1, BASE + FRAME, l1, PAGE)
    t.words[t.link(1, BASE, 2)][5] = l1 << 12 | LINK
    r = Raw(tables=t, oos=oos)
    for va in (BASE, BASE + (1 << 21), BASE + (5 << 21)):
        r.read(va)
    assert r.view("pref")[r.shadow(l1, xen.SH_L1)] == 2 and not r.sl(BASE + FRAME) & W
    moved, version = r.write(BASE + FRAME), int(r.view("ver")[l1])
    r.check()
    assert moved["shadow_fault_emulate_failed"] == moved["shadow_unshadow"] == moved["shadow_unshadow_bf"] == 1
    assert r.events("EMULATE_UNSHADOW_USER")["gfn"].tolist() == [l1]
    assert version == 1 and r.shadow(l1, xen.SH_L1) is None and not r.oos() and r.typecount(l1) == 1
