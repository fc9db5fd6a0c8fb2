"""PV guests: types and their counts, hypercalls, and shadows that are there only while log-dirty is on."""

import numpy as np
import pytest

from pagingviz.arch import operation, words, x86, xen
from pagingviz.scenario.scenario import ScenarioError, load
from pagingviz.timeline.simulation import Simulation
from tests.core.pv_guest import DATA, L1, WRITABLE, G, carried_out, direct, programme, raw, type_of
from tests.core.raw import BASE, FRAME, LINK, NONE, PAGE, PSE, P, Raw, Tables, U, W

# ---- types


def test_the_tables_hold_machine_frames_and_the_hardware_walks_them_as_they_are():
    r = raw()
    assert r.leaf(BASE) >> 12 & 0xFFFFF == int(r.view("p2m")[DATA]) != DATA
    assert "shadow_fault" not in r.write(BASE) and r.s.total_pages == 0 and r.top() is None
    assert r.view("ver")[DATA] == 1


def test_every_frame_has_the_type_of_its_uses():
    r = raw()
    root, l1 = int(r.s.cr3[0]), r.table(BASE)
    assert type_of(r, root) == (4, 2), "pinned and loaded"
    assert type_of(r, r.table(BASE, 3)) == (3, 1) and type_of(r, r.table(BASE, 2)) == (2, 1)
    assert type_of(r, l1) == (L1, 1)
    assert type_of(r, DATA) == (WRITABLE, 2), "its page, and the direct map"
    assert type_of(r, 40) == (WRITABLE, 1)


def test_a_domain_whose_root_may_be_written_is_not_built():
    tables = Tables()
    tables.new()
    tables.direct(1, 64)
    tables.protect = lambda: None
    assert Raw(4, "pv", tables=tables).s.crashed


def test_a_frame_is_a_table_or_writable_never_both():
    r = raw()
    l1, slot = r.table(BASE), r.tables.index(BASE, 1)
    for refused in (
        lambda: r.update_va(BASE, l1 << 12 | PAGE),  # a table, writable
        lambda: r.mmu_update(r.table(BASE, 2), 300, 40 << 12 | LINK),  # writable in the direct map, as a table
        lambda: r.mmu_update(r.table(BASE, 2), 300, l1 << 12 | LINK | PSE),
        lambda: r.mmu_update(r.table(BASE, 3), 300, l1 << 12 | LINK),  # an L1 in the place of an L2
        lambda: r.pin(40, 1),
        lambda: r.pin(l1, 2),
        lambda: r.unpin(l1),
        lambda: r.cr3(l1),
        lambda: r._op(operation.RAW_UPDATE_VA, BASE, 5 << 12 | PAGE, 1),  # a machine frame of somebody else
    ):
        before = r.view("info").copy(), r.view("tables").copy(), int(r.s.cr3[0])
        assert refused()["refused"] == 1 and r.events("REFUSED").size == 1
        assert (r.view("info") == before[0]).all() and (r.view("tables") == before[1]).all() and r.s.cr3[0] == before[2]
    assert r.update_va(BASE, l1 << 12 | PAGE & ~W)["calls_to_update_va"] == 1, "to read it is allowed"
    assert r.entry(l1, slot) == r.mfn(l1 << 12 | PAGE & ~W) | G
    assert type_of(r, DATA) == (WRITABLE, 1), "the use of the old entry has ended"


def test_a_table_is_validated_when_it_is_hung_in_and_devalidated_when_it_is_taken_out():
    r = raw()
    l2 = r.table(BASE, 2)
    r.update_va(direct(40), 40 << 12 | PAGE & ~W)
    r.mmu_update(40, 3, 60 << 12 | PAGE)  # still plain data: nothing is asked
    assert r.s.writable_mmu_updates == 1 and type_of(r, 60) == (WRITABLE, 1)
    assert type_of(r, 40) == (WRITABLE, 0) or type_of(r, 40)[1] == 0
    r.mmu_update(l2, 300, 40 << 12 | LINK)
    assert type_of(r, 40) == (L1, 1) and type_of(r, 60) == (WRITABLE, 2)
    r.write(BASE + (300 << 21) - (r.tables.index(BASE, 2) << 21) + 3 * FRAME)
    assert r.view("ver")[60] == 1
    assert r.update_va(direct(40), 40 << 12 | PAGE)["refused"] == 1
    r.mmu_update(l2, 300, 0)
    assert type_of(r, 40)[1] == 0 and type_of(r, 60) == (WRITABLE, 1)
    assert "refused" not in r.update_va(direct(40), 40 << 12 | PAGE)


def test_a_pinned_table_stays_valid_without_use():
    r = raw()
    r.update_va(direct(40), 40 << 12 | PAGE & ~W)
    r.pin(40, 1)
    assert type_of(r, 40) == (L1, 1) and r.update_va(direct(40), 40 << 12 | PAGE)["refused"] == 1
    r.unpin(40)
    assert "refused" not in r.update_va(direct(40), 40 << 12 | PAGE)


def test_one_bad_entry_deep_below_takes_back_all_that_was_counted():
    r = raw()
    for gfn in (40, 41):
        r.update_va(direct(gfn), gfn << 12 | PAGE & ~W)
    for i in range(5):
        r.mmu_update(41, i, 60 << 12 | PAGE)
    r.mmu_update(41, 5, r.table(BASE) << 12 | PAGE)  # data so far
    r.mmu_update(40, 0, 41 << 12 | LINK)
    before = r.view("info").copy()
    assert r.mmu_update(r.table(BASE, 3), 300, 40 << 12 | LINK)["refused"] == 1
    assert ((r.view("info") ^ before) & (xen.TYPECOUNT | xen.PGT_PINNED) == 0).all()


def test_a_store_to_an_l1_table_is_carried_out_and_to_a_higher_one_it_faults():
    r = raw()
    l1, slot = r.table(BASE), r.tables.index(BASE, 1)
    moved = r._op(operation.RAW_STORE, direct(l1) + 8 * slot, r.mfn(61 << 12 | PAGE), 8)
    assert moved["ptwr_emulations"] == 1 and r.entry(l1, slot) == r.mfn(61 << 12 | PAGE) | G
    half = r._op(operation.RAW_STORE, direct(l1) + 8 * slot, r.mfn(62 << 12 | PAGE) & 0xFFFFFFFF, 4)
    assert half["ptwr_emulations"] == 1 and r.entry(l1, slot) == r.mfn(62 << 12 | PAGE) | G
    l2 = r.table(BASE, 2)
    assert r._op(operation.RAW_STORE, direct(l2) + 8, 0, 8)["guest_faults"] == 1
    bad = r._op(operation.RAW_STORE, direct(l1) + 8 * slot, r.mfn(l2 << 12 | PAGE), 8)
    assert bad["guest_faults"] == 1 and r.entry(l1, slot) == r.mfn(62 << 12 | PAGE) | G, "not allowed there"
    assert r.write(direct(l1), user=1)["guest_faults"] == 1, "only a kernel's store"


def test_another_root_is_loaded_by_hypercall():
    tables = Tables()
    tables.new()
    tables.direct(1, 128)
    tables.map(1, BASE, DATA)
    other = tables.new()
    tables.words[other] = dict(tables.words[1])
    r = Raw(4, "pv", tables=tables)
    assert type_of(r, other) == (0, 0)
    r.cr3(other)
    assert type_of(r, other) == (4, 1) and type_of(r, 1) == (4, 1), "the first one is pinned"
    r.do("enable")
    r.write(BASE)
    r.cr3(1)
    assert type_of(r, other)[1] == 0 and r.s.calls_to_mmuext_op == 2
    r.write(BASE)


# ---- shadows


def test_property_36_of_pv_shadows_come_with_log_dirty_and_go_with_it():
    """A 2 of the manual: no shadows, then shadows with log-dirty, then none again.

    The pool appears with Xen's least size, and goes back to the host but for the pages of the bitmap's tree.
    """
    r = raw(floor=1, pool=192, frames=2048)
    assert r.s.total_pages == 0 and r.live() == {}
    for _ in range(2):
        r.do("enable")
        assert r.s.total_pages + r.s.p2m_pages == 128 + 8, "sh_min_allocation of 8 MiB"
        assert r.live() == {int(xen.SH_L4): 1} and r.top() is not None
        assert r.write(BASE)["shadow_fault_fixed"] == 1 and DATA in r.dirty()
        r.do("off")
        assert r.live() == {} and r.top() is None and r.s.total_pages == r.s.free_pages == 4
        assert "shadow_fault" not in r.write(BASE)


def test_property_05_of_pv_no_superpage_and_no_global_bit_in_a_shadow():
    r = raw(flags=PAGE | G)
    assert r.mmu_update(r.table(BASE, 2), 300, 60 << 12 | LINK | PSE)["refused"] == 1, "nor in the guest's tables"
    r.do("enable")
    for k in range(4):
        r.write(BASE + k * FRAME)
    assert r.leaf(BASE) & G and r.sl(BASE) & P
    for page in range(r.view("ptype").size):
        if r.view("ptype")[page] in range(1, 13):
            assert not (r.words(page) & words.U(G | PSE)).any()
    assert all(r.sl(BASE, level) & U for level in (1, 2, 3, 4)), "and U is always set"


def test_property_15_of_pv_no_table_is_out_of_sync():
    r = raw(oos=1, xen="4.17")
    r.do("enable")
    l1 = r.table(BASE)
    r.write(BASE)
    for i in range(3):
        assert r._op(operation.RAW_STORE, direct(l1) + 8 * (100 + i), r.mfn(60 << 12 | PAGE), 8)["ptwr_emulations"] == 1
        assert not r.oos() and not (r.view("info") & xen.OOS).any()
    assert r.s.shadow_unsync == 0 and all(r.s.oos_snap[:3] != words.NONE), "4.17 keeps three pages for it all the same"


def test_the_bitmap_is_by_pfn_through_the_m2p():
    r = raw()
    r.do("enable")
    r.write(BASE + 3 * FRAME)
    assert DATA + 3 in r.dirty() and int(r.view("p2m")[DATA + 3]) not in r.dirty()


def test_hypercalls_change_shadows_and_mark_the_table():
    r = raw()
    r.do("enable")
    r.write(BASE)
    l1 = r.table(BASE)
    r.do("clean")
    r.read(BASE + FRAME)
    assert l1 not in r.dirty()
    assert r.update_va(BASE, 70 << 12 | PAGE)["shadow_validate_gl1e_calls"] == 1
    assert l1 in r.dirty() and r.sl(BASE) >> 12 & 0xFFFFF == int(r.view("p2m")[70]) and not r.sl(BASE) & W
    r.write(BASE)
    assert 70 in r.dirty() and r.view("ver")[70] == 1


def test_a_table_that_is_taken_out_loses_its_shadow():
    r = raw()
    r.do("enable")
    r.write(BASE)
    l1, l2 = r.table(BASE), r.table(BASE, 2)
    assert r.shadow(l1, xen.SH_L1) is not None
    moved = r.mmu_update(l2, r.tables.index(BASE, 2), 0)
    assert r.shadow(l1, xen.SH_L1) is None and {l1, l2} <= r.dirty() and moved["shadow_validate_gl2e_calls"] == 1


def test_xens_own_copies_fault_like_the_guest():
    r = raw()
    r.do("enable")
    assert r.xen_write(BASE)["shadow_fault_fixed"] == 1 and DATA in r.dirty()


def test_what_is_hypercall_only_for_hvm_guests_is_refused_or_nothing():
    with pytest.raises(ScenarioError, match="64-bit"):
        load("blackboard").replace(road="pv", guest="pae", trace="", work="idle", order="")


# ---- many operations at random


@pytest.mark.parametrize("seed", range(12))
def test_log_dirty_is_invisible_to_the_guest(seed):
    """A 2 of the manual: what a PV guest sees is the same with shadows, without them, and going from one to the other."""
    with_it, without = carried_out(seed, True), carried_out(seed, False)
    assert with_it.s.enables and with_it.s.calls_to_mmu_update
    for name in ("refused", "guest_faults", "fault_hash", "ptwr_emulations"):
        assert with_it.s[name] == without.s[name], name
    assert (with_it.view("ver") == without.view("ver")).all()
    assert (with_it.view("tables") == without.view("tables")).all()
    assert ((with_it.view("info") ^ without.view("info")) & (xen.TYPECOUNT | xen.PGT_TYPE | xen.PGT_PINNED) == 0).all()


def fits(tables, uses):
    """Whether a guest whose pins and roots are `uses` [(frame, level)] obeys the types: worked out afresh from all entries."""
    role = {}
    for gfn, level in uses:
        if role.setdefault(gfn, level) != level:
            return False
    waiting = list(dict(uses).items())
    seen = set()
    while waiting:
        gfn, level = waiting.pop()
        if (gfn, level) in seen:
            continue
        seen.add((gfn, level))
        for entry in tables.get(gfn, {}).values():
            if not entry & P:
                continue
            target, use = entry >> 12 & 0xFFFFF, level - 1 or (WRITABLE if entry & W else None)
            if level > 1 and (entry & PSE or target not in tables):
                return False
            if use and role.setdefault(target, use) != use:
                return False
            if level > 1:
                waiting.append((target, level - 1))
    return True


@pytest.mark.parametrize("seed", range(12))
def test_a_hypercall_is_refused_exactly_when_the_types_would_not_fit(seed):
    """Against types derived from nothing but the entries, pins and the root, for each operation anew."""
    r = raw()
    pins, refused, taken = {int(r.s.cr3[0]): 4}, 0, 0
    for name, arguments in programme(seed):
        if name not in ("update_va", "mmu_update", "pin", "unpin"):
            continue
        tables = {gfn: {} for gfn in range(48)}
        words = r.view("tables").reshape(-1, 512)[:48]
        for gfn, i in np.argwhere(words & x86.P).tolist():
            e = int(words[gfn, i])
            tables[gfn][i] = r.frame(e) << 12 | e & 0xFFF
        before, now = dict(pins), [(int(r.s.cr3[0]), 4)]
        if name == "update_va":
            table, i = r.table(arguments[0]), r.tables.index(arguments[0], 1)
            tables[table][i] = arguments[1]
        elif name == "mmu_update":
            table, i, entry = arguments
            tables[table][i] = entry
        elif name == "pin":
            gfn, level = arguments
            ok = gfn < 48 and gfn not in pins
            pins |= {gfn: level} if ok else {}
        else:
            ok = pins.pop(arguments[0], None) is not None
        expected = (ok if name in ("pin", "unpin") else True) and fits(tables, [*now, *pins.items()])
        got = "refused" not in getattr(r, name)(*arguments)
        assert got == expected, (name, [hex(x) for x in arguments])
        refused, taken = refused + (not got), taken + got
        if not got:
            pins = before
    assert refused > 5 and taken > 5


def test_the_root_of_a_shadow_follows_the_one_that_is_loaded():
    r = raw()
    r.do("enable")
    key = int(r.view("pkey")[r.top()])
    assert key == int(r.view("p2m")[int(r.s.cr3[0])]) and r.s.monitor[0] == NONE, "a PV guest has no monitor table"


# ---- a kernel that makes, copies and frees its tables

WORK = {
    "frames": 256,
    "pool": 64,
    "trace": "",
    "work": "fork:8,hotcold:30,uniform:20",
    "order": "",
    "quantum": 50,
    "write": 50,
    "do": "",
}
SESSIONS = "enable@400,clean@700,peek@900,clean@1300,off@1800,enable@2200,clean@2500"


def ran(ticks=3000, **fields):
    """A machine that has run WORK, audited on the way."""
    sim = Simulation(load("blackboard").replace(**WORK | fields))
    for _ in range(0, ticks, 100):
        sim.run(100)
        assert not sim.crashed and sim.audit() == "", f"tick {sim.tick}"
        assert sim.machine.log_dirty()["missing"] == 0
    return sim.machine


@pytest.mark.parametrize("vcpus", [1, 2])
def test_a_pv_kernel_runs_as_on_bare_hardware_and_does_not_see_log_dirty(vcpus):
    """A 2 of the manual with a whole kernel: fork, exit, copy on write, context switches, each table change a hypercall."""
    plain, logged = ran(road="pv", vcpus=vcpus), ran(road="pv", vcpus=vcpus, do=SESSIONS)
    assert plain.guest_digests() == logged.guest_digests()
    assert plain.guest_digests()["faults"] == ran(road="bare", vcpus=vcpus).guest_digests()["faults"]
    s = logged.sys[0]
    assert s.refused == 0 and s.forks and s.exits and s.shadow_fault_fixed and s.toggles > 100
    assert plain.sys[0].shadow_fault == 0 and plain.sys[0].total_pages == 0


def test_kernel_and_user_mode_have_a_root_each():
    m = ran(200, road="pv")
    s, tables = m.sys[0], m.view("tables").reshape(-1, 512)
    kernel, user = int(s.kroot[0]), int(s.uroot[0])
    assert s.cr3[0] == user and kernel == m.view("roots")[int(s.cur[0])]
    assert ((tables[user] ^ tables[kernel])[:256] & ~x86.A == 0).all(), "the process's own, but for what the hardware has used"
    assert not tables[user][256:].any() and tables[kernel][256:].any()
    assert {kernel, user} <= set(m.live_tables().tolist())


def test_a_small_pool_is_recycled_under_a_pv_guest_too():
    m = ran(1000, road="pv", pool=24, do="enable@10")
    assert m.sys[0].shadow_prealloc_1 > 0


def test_superpages_are_refused():
    with pytest.raises(ScenarioError, match="no superpages"):
        load("blackboard").replace(road="pv", direct_map_pages="large")
