"""The statements of the answer that this project makes visible, by id, each on the engine's own state in its scenario."""

import numpy as np
import pytest

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE
from pagingviz.scenario.scenario import load, names
from pagingviz.timeline.simulation import Simulation

SCENARIO = {  # statement: the scenario that shows it
    "Q1": "touched",
    "Q2": "protected",
    "Q3": "blackboard",
    "Q4": "two-tables",
    "A1": "rounds",
    "A2": "borrowed",
    "A3": "updates",
    "A4": "programs",
    "A5": "expensive",
    "A6": "thrash",
    "A7": "thrash",
    "A8": "blow",
}


def start(statement, **fields):
    return Simulation(load(SCENARIO[statement]).replace(**fields))


def shadowed(sim):
    """Frames with a shadow: bool[frames]."""
    return sim.machine.view("info")[: sim.scenario.frames] & xen.SHADOW_FLAGS != 0


def heads(sim):
    """Pool pages that are (the first page of) a shadow."""
    kinds = sim.machine.view("ptype")
    return np.flatnonzero((kinds >= 1) & (kinds <= 12))


def shadow_pages(sim):
    return sum(int(xen.SH_PAGES[int(kind)]) for kind in sim.machine.view("ptype")[heads(sim)])


def mappings(sim, gfn):
    """(the guest's own entry for frame `gfn` in its direct map, the present L1 shadow entries that map the frame)."""
    m = sim.machine
    tables, va = m.view("tables").reshape(-1, 512), sim.scenario.direct_map_base + (gfn << 12)
    tab = int(m.sys[0].cr3[0])
    for level in (4, 3, 2):
        tab = int(tables[tab, va >> 12 + 9 * (level - 1) & 511]) >> 12 & 0xFFFFF
    words = m.view("pool").reshape(-1, 512)[m.view("ptype") == xen.SH_L1]
    present = words[(words & x86.P != 0) & ((words & x86.FRAME_MASK) >> x86.PAGE_BITS == m.view("p2m")[gfn])]
    return int(tables[tab, va >> 12 & 511]), present


def test_q1_the_shadow_is_no_copy_but_a_cache_of_what_was_touched():
    sim = start("Q1")
    sim.run(11_999)
    live = sim.machine.live_tables()
    assert shadowed(sim)[live].mean() > 0.9 and sim.machine.sys[0].free_pages > 0, "a small guest fits whole"
    sim.run(1001)
    assert (sim.tick, sim.machine.live_tables().size) == (13_000, live.size), "the guest's own tables are all there"
    assert 0 < shadowed(sim)[live].mean() < 0.3, "most of them have no shadow"
    roots = set(sim.machine.view("roots")[:6].tolist())
    assert sum(int(frame) in roots for frame in np.flatnonzero(shadowed(sim))) == 1


@pytest.mark.parametrize("oos", [0, 1])
def test_q2_it_is_the_mappings_of_the_tables_frames_that_lose_write_access(oos):
    sim = start("Q2", oos=oos)
    taken, free = 0, set()
    for _ in range(60):
        sim.run(50)
        writable = []
        for gfn in np.flatnonzero(shadowed(sim)).tolist():
            own, shadows = mappings(sim, gfn)
            assert own >> 12 & 0xFFFFF == gfn and own & int(x86.RW), "the guest's table says writable"
            if (shadows & x86.RW).any():
                writable.append(gfn)
            taken += shadows.size - int((shadows & x86.RW != 0).sum())
        info = sim.machine.view("info")
        assert all(info[gfn] & xen.OOS_MAY_WRITE for gfn in writable) and len(writable) <= 3
        free |= set(writable)
    assert taken > 0 and bool(free) == bool(oos)


def test_q3_each_clean_destroys_the_shadows_and_the_guest_goes_on():
    sim = start("Q3")
    for boundary in (2800, 3200):
        sim.seek(boundary - 1)
        before, bits = sim.machine.guest_digests(), sim.machine.log_dirty()["dirty"]
        shadows = heads(sim).size
        assert bits > 0 and shadows > 4
        sim.seek(boundary)
        names = [ev.NAMES[int(kind)] for kind in sim.events()["kind"]]
        assert names[-2:] == ["BLOW", "CLEAN"] or "CLEAN" in names and "BLOW" in names
        assert sim.machine.log_dirty() == {"on": True, "dirty": 0, "missing": 0}
        s = sim.machine.sys[0]
        assert heads(sim).size == 1 and s.pin_head == NONE and int(s.root[0]) in heads(sim), "the loaded root, unpinned"
        assert not sim.machine.view("pool").reshape(-1, 512)[int(s.root[0])].any()
        now = sim.machine.guest_digests()
        assert now["tables"]["count"] >= before["tables"]["count"], "nothing of the guest is lost"
        faults = sim.counters()["shadow_fault"]
        sim.run(50)
        assert sim.counters()["shadow_fault"] > faults and heads(sim).size > 3
        assert sim.machine.log_dirty()["missing"] == 0


def test_q4_the_guests_cr3_and_the_hardwares_are_two_and_the_guests_table_stays_where_it_is():
    sim = start("Q4")
    m, places, pairs = sim.machine, {}, set()
    for _ in range(120):
        sim.run(12)
        s = m.sys[0]
        own, real = int(s.cr3[0]), int(s.root[0])
        cur = int(s.cur[0])
        assert own == int(m.view("roots")[cur]) == places.setdefault(cur, own), "where the guest put it"
        assert m.view("ptype")[real] == xen.SH_L4 and m.view("pkey")[real] == m.view("p2m")[own]
        assert int(m.view("p2m")[own]) != real and (m.view("ptype") == xen.SH_MONITOR).sum() == 1
        pairs.add((own, real))
    assert len(places) == 3 and {own for own, _ in pairs} == set(places.values())
    assert sim.counters()["enables"] == sim.counters()["offs"] == 1 and sim.counters()["cr3_loads"] > 100


@pytest.mark.parametrize("road", ["hap", "shadow"])
def test_a1_how_an_hvm_guest_is_translated_is_fixed_only_log_dirty_toggles(road):
    sim = start("A1", road=road, pool=128)
    s = sim.machine.sys[0]
    fixed = ("road", "guest_levels", "vcpus", "frames", "superpages", "hap_root", "pool_cap")
    before, on = [int(s[name]) for name in fixed], []
    for tick in (3_999, 4_000, 39_999, 40_000, 45_000):
        sim.run(tick - sim.tick)
        assert [int(s[name]) for name in fixed] == before
        on.append(int(s.log_dirty))
    assert on == [0, 1, 1, 0, 1]
    assert (s.road == xen.SHADOW) == (heads(sim).size > 0)


def test_a2_shadows_of_a_pv_guest_come_and_go_with_log_dirty():
    sim, bare = start("A2"), start("A2", road="bare", do="", clean_every=0)
    m, s = sim.machine, sim.machine.sys[0]
    sim.run(2_999)
    assert s.total_pages == s.shadow_fault == 0 and heads(sim).size == 0 and s.calls_to_mmu_update > 100
    assert m.view("tables").reshape(-1, 512)[int(s.kroot[0])].any(), "CR3 leads to the guest's own tables, of machine frames"
    for on, tick in ((True, 3_000), (True, 8_999), (False, 9_000), (False, 11_999), (True, 12_000)):
        sim.run(tick - sim.tick)
        assert bool(s.log_dirty) == on == (heads(sim).size > 0) == (s.root[0] != NONE), tick
        assert int(s.total_pages + s.p2m_pages) == (96 if on else 4), "the tree's four pages stay"
        assert sim.audit() == ""
        bare.run(tick - bare.tick)
        assert sim.machine.guest_digests()["faults"] == bare.machine.guest_digests()["faults"], "the guest sees none of it"
    assert s.shadow_fault > 100


@pytest.mark.parametrize("oos", [0, 1])
def test_a3_the_guest_cannot_write_its_tables_updates_are_emulated_if_necessary(oos):
    sim = start("A3", oos=oos)
    m, emulated, free = sim.machine, 0, 0
    for _ in range(1500):
        before = shadowed(sim)
        sim.step()
        rows = sim.events()
        names = [ev.NAMES[int(kind)] for kind in rows["kind"]]
        for row, name in zip(rows, names, strict=True):
            if name == "EMULATE":
                emulated += 1
            if name == "PTE_STORE" and before[int(row["gfn"])] and m.view("info")[int(row["gfn"])] & xen.OOS:
                free += 1
        for gfn in np.flatnonzero(shadowed(sim)).tolist():
            if not m.view("info")[gfn] & xen.OOS:
                assert not m.view("info")[gfn] & xen.TYPECOUNT, "no writable mapping"
    c = sim.counters()
    assert emulated > 0 and c["shadow_validate_gl1e_calls"] > 0 if not oos else c["shadow_unsync"] > 0
    assert bool(free) == bool(oos) and (sim.audit() == ""), "the shadow entries follow the guest's"
    bare = Simulation(sim.scenario.replace(road="bare"))
    bare.run(sim.tick)
    assert bare.machine.guest_digests() == m.guest_digests(), "and the guest's tables hold what it stored"


def test_a4_the_guest_cannot_see_which_road_is_taken():
    guests = []
    for road in ("bare", "shadow", "hap"):
        sim = start("A4", road=road)
        sim.run(30_000)
        guests.append(sim.machine.guest_digests())
    assert guests[0] == guests[1] == guests[2] and guests[0]["faults"]["count"] > 0
    assert set(guests[0]) == {"faults", "versions", "ad", "tables"}


def test_a5_some_structures_cost_more_to_shadow_than_the_guest_spent():
    sim = start("A5")
    sim.run(sim.scenario.start)
    m = sim.machine
    kinds = m.view("ptype")
    count = {kind: int((kinds == kind).sum()) for kind in (xen.SH_L1_32, xen.SH_FL1_32, xen.SH_L2_32)}
    assert all(count.values())
    costs = {}
    for page in heads(sim).tolist():
        pages, more = 1, int(m.view("pmore")[page])
        while more != int(NONE):
            pages, more = pages + 1, int(m.view("pmore")[more])
        costs.setdefault(int(kinds[page]), set()).add(pages)
    assert costs == {1: {2}, 2: {2}, 3: {4}}
    spent = int(shadowed(sim)[m.live_tables()].sum())
    assert shadow_pages(sim) >= 2 * spent + 2 * count[xen.SH_FL1_32], "superpages: two pages each for no table at all"
    assert shadow_pages(sim) > m.live_tables().size, "more than all tables of the guest together"


def test_a6_the_pool_is_fixed_and_recycled_by_the_age_of_the_last_cr3_load():
    sim = start("A6", do="", shopt=0x1FF & ~0x10)
    m, loads, victims = sim.machine, [0], 0
    for _ in range(6000):
        sim.step()
        s = m.sys[0]
        if (cur := int(s.cur[0])) != loads[0]:
            loads = [cur, *(p for p in loads if p != cur)]
        assert s.total_pages + s.p2m_pages == 22 == int((m.view("ptype") != xen.SH_OUT).sum())
        roots = {int(g): p for p, g in enumerate(m.view("roots")[:4]) if g != NONE}
        gone = [roots[int(g)] for g in sim.events()["gfn"][sim.events()["kind"] == ev.PREALLOC_UNPIN]]
        oldest = [p for p in loads[::-1] if p in gone]
        assert gone == oldest, "the one loaded longest ago goes first"
        victims += len(gone)
    assert victims > 100


@pytest.mark.slow
def test_a7_what_is_not_shadowed_faults_and_is_built_by_recycling_another():
    sim = start("A7", do="")
    sim.run(4000)
    recycled = 0
    for _ in range(1000):
        sim.step()
        names = [ev.NAMES[int(kind)] for kind in sim.events()["kind"]]
        if "PREALLOC_UNPIN" in names and "PROMOTE" in names[names.index("PREALLOC_UNPIN") :]:
            recycled += 1
            assert "SHADOW_FAULT" in names or "CR3_LOAD" in names
    assert recycled > 10
    faults = {}
    for pool in (20, 22, 26, 30, 34, 44, 64, 96):
        other = start("A7", do="", pool=pool)
        other.run(12_000)
        faults[pool] = other.counters()["shadow_fault"]
    assert list(faults.values()) == sorted(faults.values(), reverse=True)
    assert faults[22] > 3 * faults[44] and faults[44] < 1.1 * faults[96], "a cliff, then nothing to gain"
    needed = start("A7", do="", pool=96)
    needed.run(12_000)
    assert shadow_pages(needed) > 22 - 4, "the toy pool holds less than all tables need"


def test_a8_a_blow_empties_the_pool_in_one_event_and_the_refault_storm_decays():
    sim = start("A8")
    sim.run(59_999)
    full = int(sim.machine.sys[0].free_pages)
    sim.step()
    rows = sim.events()
    assert [ev.NAMES[int(k)] for k in rows["kind"]].count("BLOW") == 1
    s = sim.machine.sys[0]
    assert heads(sim).tolist() == [int(s.root[0])] and s.free_pages > full and s.pin_head == NONE
    storm = []
    for _ in range(5):
        before = sim.counters()
        sim.run(1000)
        now = sim.counters()
        storm.append(now["shadow_fault"] - before["shadow_fault"])
    assert storm[0] > 2 * storm[1] > 0 and storm[-1] < storm[0] / 4
    assert sim.audit() == ""


def test_every_statement_has_its_scenario_and_its_test():
    assert set(SCENARIO) == {"Q1", "Q2", "Q3", "Q4", "A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8"}
    assert set(SCENARIO.values()) <= set(names())
    tests = {name.split("_")[1].upper() for name in globals() if name.startswith(("test_q", "test_a"))}
    assert tests == set(SCENARIO)
