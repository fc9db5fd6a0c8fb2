"""Rules S 29 to S 40 of the manual (manual/rules.md): log-dirty, and what the guest can see.

These only show over time. Below the table of all forty: where each is looked at, and what is left to a later part of the work.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagingviz.core.build.jit import PLAIN
from tests.core.raw import BASE, FRAME, LINK, NX, PAGE, A, D, P, Raw, Tables, U, W
from tests.core.raw_guests import CALM, COMMANDS, LEVELS, world
from tests.support.named_tests import named_tests

OF_PV = (5, 15, 36)  # what these say of PV guests is in test_pv.py, under the same number


# ---- log-dirty


@LEVELS
def test_property_29_with_log_dirty_on_a_writable_frame_is_dirty(levels):
    r = Raw(levels, pages=40)
    for k in range(0, 40, 3):
        r.write(BASE + k * FRAME)
    r.do("enable")
    r.check()
    for k in (0, 5, 1, 20):
        r.read(BASE + k * FRAME)
        r.check()
        r.write(BASE + (k + 2) * FRAME)
        r.check()
        writable = {g for g in range(128) if r.typecount(g)}
        assert writable <= r.dirty() and 48 + k + 2 in writable and 48 + k not in writable
    r.store(r.table(BASE), 400, 0)
    assert r.is_oos(r.table(BASE)) and r.table(BASE) in r.dirty(), "an out-of-sync table too"


@LEVELS
@pytest.mark.parametrize("oos", [0, 1])
def test_property_30_no_write_is_lost(levels, oos):
    r = Raw(levels, oos=oos, flags=P | W | U)
    r.do("enable")
    l1, l2, i = r.table(BASE), r.table(BASE, 2), r.tables.index(BASE, 1)
    for lap in range(3):
        r.read(BASE)
        assert (l1 in r.dirty()) == (lap == 0), "the guest's A bit was set by Xen's walk"
        r.write(BASE + FRAME)
        r.xen_write(BASE + 2 * FRAME)
        r.store(l1, i + 6, (60 + lap) << 12 | PAGE)
        r.store(l2, 300, lap << 12)  # never present: nothing to verify, but written
        r.check()
        assert {49, 50, l1, l2} <= r.dirty() and r.m.log_dirty()["missing"] == 0
        r.do("clean")
        r.check()


@pytest.mark.parametrize("road", ["pv", "shadow", "hap"])
def test_a_mapping_of_another_domain_is_marked_when_it_ends(road):
    """An exception to rule S 30: stores through a grant of another domain are marked when it is unmapped."""
    r = Raw(4, road)
    r.do("enable")
    r.grant_write(60)
    assert 60 not in r.dirty() and r.m.log_dirty()["missing"] == 0
    r.do("clean")
    assert r.grant_unmap(60)["pages_marked"] == 1 and 60 in r.dirty()
    r.grant_unmap(60)
    assert r.s.dirty_count == len(r.dirty())


def test_property_31_clean_hands_out_the_bits_once_and_peek_changes_nothing():
    r = Raw()
    r.do("enable")
    r.write(BASE)
    r.write(BASE + FRAME)
    bits, pool = r.dirty(), r.view("pool").copy()
    assert bits
    for _ in range(2):
        assert r.do("peek") == {"peeks": 1} and r.dirty() == bits and r.s.dirty_count == len(bits)
        assert (r.view("pool") == pool).all()
    r.do("clean")
    r.check()
    assert r.events("CLEAN")["detail"].tolist() == [len(bits)]
    assert not r.dirty() and r.s.dirty_count == r.s.fault_count == 0
    assert r.live() == {12: 1} and not r.words(r.top()).any() and r.pinned() == []


def test_property_32_dirty_count_is_the_number_of_bits():
    r = Raw(pages=40)
    r.do("enable")
    r.do("clean")
    for k in (3, 3, 0, 7, 30, 7):
        r.write(BASE + k * FRAME)
        r.xen_write(BASE + (k + 1) * FRAME)
        r.check()
        assert r.s.dirty_count == len(r.dirty()) > 0
    before = int(r.s.dirty_count)
    r.do("off")
    assert r.s.dirty_count == before
    r.do("enable")
    assert r.s.dirty_count == before and not r.dirty(), "only a CLEAN zeroes the count, as in Xen"
    r.do("clean")
    assert r.s.dirty_count == 0


@settings(CALM)
@given(st.lists(st.tuples(st.integers(0, 39), st.booleans()), min_size=20, max_size=40))
def test_property_33_a_bit_is_set_once_a_round_and_costs_a_write_fault(touches):
    r = Raw(pages=40)
    r.do("enable")
    for lap in (touches[: len(touches) // 2], touches[len(touches) // 2 :]):
        seen, faults = set(), 0
        for k, write in lap:
            before = r.dirty()
            moved = (r.write if write else r.read)(BASE + k * FRAME)
            new = r.dirty() - before
            assert before <= r.dirty() and not new & seen
            assert not new or (write and new == {48 + k} and moved["shadow_fault_fixed"] == 1)
            seen |= new
            faults += write and moved["shadow_fault"]
        assert len(seen) <= faults and seen == {48 + k for k, write in lap if write}
        r.do("clean")


def test_property_34_after_a_clean_even_a_read_costs_a_fault_in_each_window():
    touched = [*range(0, 40), *range(100, 110)]
    r, hap = Raw(pages=120, frames=256), Raw(pages=120, frames=256, road="hap")
    for guest in (r, hap):
        for k in touched:
            guest.write(BASE + k * FRAME)
        guest.do("enable")
        for k in touched:
            guest.read(BASE + k * FRAME)
    for _ in range(2):
        r.do("clean")
        hap.do("clean")
        faults = [r.read(BASE + k * FRAME)["shadow_fault"] for k in touched]
        assert faults[0] >= 1 and sum(faults[:40]) >= 2 and sum(faults[40:]) >= 1
        assert not any(g >= 48 for g in r.dirty()), "reads dirty no data page"
        seen = [hap.read(BASE + k * FRAME) for k in touched]
        assert not any(m["ept_violation"] for m in seen) and sum(m["ept_misconfig"] for m in seen) <= 2


def test_property_35_the_tree_costs_four_pages_at_the_first_mark_and_goes_with_off():
    r = Raw()
    r.do("enable")
    assert r.s.p2m_pages == 0
    moved = r.write(BASE)
    assert moved["shadow_alloc"] == 3 + 4 and r.s.p2m_pages == 4
    for _ in range(2):
        r.do("clean")
        r.check()
        assert r.s.p2m_pages == 4
        assert r.write(BASE)["shadow_alloc"] == 3
    moved = r.do("off")
    assert r.s.p2m_pages == 0 and moved["shadow_free"] >= 4
    far = Raw(frames=40000, pool=64, tables=_far(), zone=8)
    far.do("enable")
    for va, pages in ((BASE, 4), (BASE + FRAME, 5), (BASE + 2 * FRAME, 5)):
        far.write(va)
        assert far.s.p2m_pages == pages, "one leaf for each 128 MiB"


def _far():
    t = Tables()
    t.new()
    for k, gfn in enumerate((100, 33000, 35000)):
        t.map(1, BASE + k * FRAME, gfn)
    return t


@pytest.mark.parametrize("road", ["shadow", "hap"])
def test_property_36_log_dirty_does_not_change_how_an_hvm_guest_is_translated(road):
    r = Raw(road=road)
    mode = ("road", "guest_levels", "shopt", "pool_cap", "vcpus")
    before = [int(r.s[name]) for name in mode]
    size = int(r.s.total_pages + r.s.p2m_pages)
    for _ in range(2):
        r.write(BASE)
        r.do("enable")
        assert r.s.log_dirty and [int(r.s[name]) for name in mode] == before
        r.write(BASE)
        r.do("off")
        r.check()
        assert not r.s.log_dirty and [int(r.s[name]) for name in mode] == before
        assert r.s.total_pages + r.s.p2m_pages == size


@LEVELS
def test_property_37_switching_off_maps_nothing_writable_by_itself(levels):
    r = Raw(levels)
    r.write(BASE)
    r.do("enable")
    r.read(BASE)
    r.do("off")
    r.check()
    left = r.typecount(48)
    assert left == 0 and not r.sl(BASE) & W
    assert r.write(BASE)["shadow_fault"] == 1 and r.sl(BASE) & W
    assert not r.write(BASE)["shadow_fault"]


# ---- what the guest can see

SPOTS = 14
ACTS = st.one_of(
    st.tuples(st.just("touch"), st.integers(0, SPOTS - 1), st.sampled_from(["read", "write", "fetch"]), st.integers(0, 1)),
    st.tuples(st.just("pte"), st.integers(0, 2), st.integers(0, 3), st.integers(0, 63)),
    st.tuples(st.just("link"), st.integers(0, 3), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("root"), st.integers(0, 1), st.just(0), st.just(0)),
    st.tuples(st.just("do"), st.sampled_from(COMMANDS), st.just(0), st.just(0)),
)


def live(levels, acts, road="bare", pool=64, vcpus=1, **fields):
    """What the guest sees of `acts`: its faults and, in the end, its memory. It flushes as the architecture asks."""
    r, roots, spots = world(levels, road, pool, vcpus, **fields)
    size = 1024 if levels == 2 else 512
    current, faults = [roots[0]] * vcpus, []
    flags = (P, P | W, P | U, P | W | U, P | W | U | A, PAGE, 0, PAGE if levels == 2 else PAGE | NX)

    def reload():
        for v in range(vcpus):
            r.cr3(current[v], vcpu=v)

    for n, (act, x, y, z) in enumerate(acts):
        v = n % vcpus
        if act == "touch":
            getattr(r, y)(spots[x], user=z, vcpu=v)
            faults += [(n, *row) for row in r.events("GUEST_PF")[["gva", "detail"]].tolist()]
        elif act == "pte":
            table = r.table(BASE + x * size * FRAME, root=roots[0])
            r.store(table, r.tables.index(BASE, 1) + y, (96 + z // 8) << 12 | flags[z % 8], vcpu=v)
            reload()
        elif act == "link":
            table = r.table(BASE + y % 3 * size * FRAME, root=roots[0]) if z else 0
            r.store(r.table(BASE, 2, roots[1]), r.tables.index(BASE, 2) + x, table << 12 | (LINK if z else 0), vcpu=v)
            reload()
        elif act == "root":
            current[v] = roots[x]
            r.cr3(current[v], vcpu=v)
        elif road != "bare" and not (road == "hap" and x in ("blow", "pool:36", "pool:60")):
            r.do(x)
    r.check()
    tables = r.view("tables").reshape(-1, 512)[:48].copy()
    return faults, tables, r.view("ver").copy()


@pytest.mark.slow
@LEVELS
def test_property_38_the_guest_cannot_see_how_it_is_translated(levels):
    @settings(CALM, max_examples=12 if PLAIN else 40)
    @given(st.lists(ACTS, min_size=25, max_size=60), st.integers(1, 2))
    def run(acts, vcpus):
        bare = live(levels, acts, vcpus=vcpus)
        others = (
            {"road": "hap"},
            {"road": "shadow", "pool": 96},
            {"road": "shadow", "pool": 36},
            {"road": "shadow", "pool": 96, "oos": 0},
            {"road": "shadow", "pool": 96, "shopt": 0x100},
        )
        for fields in others:
            faults, tables, versions = live(levels, acts, vcpus=vcpus, **fields)
            assert faults == bare[0] and (tables == bare[1]).all() and (versions == bare[2]).all(), fields

    run()


@LEVELS
def test_property_39_a_and_d_are_set_only_by_walks_that_succeed(levels):
    bare = P | W | U
    t = Tables(levels)
    t.new()
    t.map(1, BASE, 100, bare, link=bare)
    t.map(1, BASE + FRAME, 101, P, link=bare)
    t.map(1, BASE + 3 * FRAME, 102, P | W, link=bare)
    r = Raw(levels, tables=t)
    marks = range(levels, 0, -1) if levels != 3 else (2, 1)

    def bits(va):
        return [r.leaf(va, level) & (A | D) for level in marks]

    for va in (BASE + FRAME, BASE + 2 * FRAME, BASE + 3 * FRAME):
        assert r.write(va)["shadow_fault_bail_real_fault"] == 1
        assert not any(bits(va)), "a failing walk sets none"
    r.read(BASE)
    assert bits(BASE) == [A] * len(marks), "a read sets no D"
    assert not any(bits(BASE + k * FRAME)[-1] for k in (1, 2, 3)), "nor do prefetched neighbours"
    r.write(BASE)
    assert bits(BASE) == [*[A] * (len(marks) - 1), A | D], "D in the leaf only"


@LEVELS
@pytest.mark.parametrize("oos", [0, 1])
def test_property_40_storing_to_tables_makes_no_shadows(levels, oos):
    r = Raw(levels, oos=oos)
    r.read(BASE)
    for gfn in (40, 41):
        r.store(gfn, 0, 101 << 12 | PAGE)
    before, made = r.live(), int(r.s.shadow_hash_inserts)
    r.store(r.table(BASE, 2), r.tables.index(BASE, 2) + 1, 40 << 12 | LINK)
    if levels == 4:
        r.store(r.table(BASE, 3), 400, 41 << 12 | LINK)
        r.store(r.table(BASE, 4), 200, 41 << 12 | LINK)
    r.store(r.table(BASE), 400, 102 << 12 | PAGE)
    r.check()
    assert r.live() == before and r.s.shadow_hash_inserts == made
    assert r.read(BASE + (FRAME << r.tables.bits))["shadow_hash_inserts"] == 1, "the demand fault does"


# ---- the table


def test_every_property_has_its_test_and_its_mutation():
    from tests.core import mutants

    names = named_tests("core/test_properties", "core/test_properties_pool", "core/test_properties_in_time")
    assert sorted(int(name.split("_")[2]) for name in names if name.startswith("test_property_")) == [*range(1, 41)]
    assert set(mutants.OF_PROPERTY) == set(range(1, 41))
    of_pv = named_tests("core/test_pv")
    assert all(any(name.startswith(f"test_property_{number:02}_of_pv") for name in of_pv) for number in OF_PV)
