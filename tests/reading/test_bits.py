"""The history of the dirty bits: who set each, how often; a device's writes; the tree's pages; and how the map tells them."""

import numpy as np
import pytest

from pagingviz.arch import events as ev
from pagingviz.arch import xen
from pagingviz.boards.palette import FILL_MASK, LETTER_MASK, LETTER_SHIFT, LETTERS, PINNED
from pagingviz.reading.dirty_bits import history as bit_history
from pagingviz.reading.dirty_tree import dirty_tree
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.boards.on_screen import Shown
from tests.core.raw import BASE, FRAME, PAGE, A, D, P, Raw, U, W


def who(machine, gfn):
    return xen.MARKS[int(bit_history(machine)[1][gfn])]


def tables_of(r):
    """Frames of the guest's tables above BASE, the L1 first."""
    return [r.table(BASE, level) for level in (1, 2, 3, 4)]


@pytest.mark.parametrize("fields", [{"road": "shadow"}, {"road": "hap"}, {"road": "hap", "hap": "npt"}, {"road": "pv"}])
def test_stores_and_the_walk_s_bits_are_told_apart(fields):
    r = Raw(flags=P | W | U, pages=4, **fields)
    r.do("enable")
    r.write(BASE)
    m, l1 = r.m, tables_of(r)[0]
    assert who(m, 48) == "store" and who(m, l1) == "walk", "A and D of the leaf were written in its table"
    assert who(m, 49) == "nobody" and not m.dirty_bits()[49]


def test_the_processor_s_log_does_not_say_which_kind_of_store_it_was():
    r = Raw(flags=P | W | U, road="hap", pml=1)
    r.do("enable")
    r.write(BASE)
    assert not r.m.dirty_bits().any()
    r.do("peek")
    assert r.m.dirty_bits()[48] and who(r.m, 48) == who(r.m, tables_of(r)[0]) == "log"


def test_emulated_stores_and_those_of_the_hypervisor():
    r = Raw(oos=0)
    r.do("enable")
    r.read(BASE)
    l1, l2 = tables_of(r)[:2]
    r.store(l1, 9, 60 << 12 | PAGE)
    assert who(r.m, l1) == "emulated"
    r.xen_write(BASE + FRAME)
    r.grant_write(70)
    r.grant_unmap(70)
    assert who(r.m, 49) == who(r.m, 70) == "xen"
    assert who(r.m, l2) == "nobody"


def test_a_pv_guest_s_hypercalls_are_the_hypervisor_s_and_ptwr_is_emulated():
    r = Raw(road="pv")
    r.do("enable")
    l1 = tables_of(r)[0]
    r.update_va(BASE + 3 * FRAME, 60 << 12 | PAGE)
    assert who(r.m, l1) == "xen"
    r.do("clean")
    r.store(l1, 9, r.mfn(61 << 12 | PAGE))
    assert r.m.counters()["ptwr_emulations"] == 1 and who(r.m, l1) == "emulated"


@pytest.mark.parametrize(
    "fields",
    [
        {"road": "bare"},
        {"road": "pv"},
        {"road": "shadow"},
        {"road": "hap"},
        {"road": "hap", "pml": 1},
        {"road": "hap", "hap": "npt"},
    ],
    ids=str,
)
def test_a_device_writes_on_every_road_and_its_model_tells_while_log_dirty_is_on(fields):
    r = Raw(**fields)
    before = r.view("ver").copy()
    assert r.do("dm:100:3")["device_writes"] == 3
    assert (r.view("ver") - before)[100:103].tolist() == [1, 1, 1] and (r.view("ver") - before).sum() == 3
    assert not r.m.dirty_bits().any() and r.m.log_dirty()["missing"] == 0, "nobody keeps a bitmap yet"
    r.do("enable")
    r.do("dm:101:2")
    on = fields["road"] != "bare"
    assert np.flatnonzero(r.m.dirty_bits()).tolist() == ([101, 102] if on else [])
    assert who(r.m, 101) == ("device" if on else "nobody") and r.m.log_dirty()["missing"] == 0
    names = [ev.NAMES[int(kind)] for kind in r.sim.events()["kind"]]
    assert "MODIFIED_MEMORY" in names and ("MARK_DIRTY" in names) == on
    if on:
        assert r.do("clean")["cleans"] == 1 and r.m.log_dirty() == {"on": True, "dirty": 0, "missing": 0}


def test_what_a_device_writes_is_most_probably_no_table_any_more():
    r = Raw()
    r.do("enable")
    r.read(BASE)
    l1 = tables_of(r)[0]
    assert r.shadow(l1, xen.SH_L1) is not None
    assert r.do(f"dm:{l1}")["shadow_unshadow"] == 1
    assert r.shadow(l1, xen.SH_L1) is None and r.read(BASE)["shadow_fault"] == 1
    off = Raw()
    off.read(BASE)
    assert off.do(f"dm:{l1}")["shadow_unshadow"] == 0, "with log-dirty off the device model tells nobody"
    pv = Raw(road="pv")
    l1 = tables_of(pv)[0]
    assert pv.do(f"dm:{l1}")["device_writes"] == 0, "no grant lets a device write to a validated table"


def counted(sim, rounds, ticks):
    """By frame: in how many rounds its bit was set at the end, reckoned from the bitmap itself."""
    times = np.zeros(sim.scenario.frames, int)
    for _ in range(rounds):
        sim.run(ticks)
        times += sim.machine.dirty_bits()
        sim.command("clean")
    return times


@pytest.mark.parametrize(
    "fields", [{}, {"clean": "revoke"}, {"road": "hap", "superpages": 1, "pml": 0}, {"road": "pv"}], ids=str
)
def test_rounds_are_counted_as_the_bitmap_shows_them(fields):
    sim = Simulation(load("blackboard").replace(do="enable@300", clean_every=0, frames=1024, pool=64, **fields))
    sim.run(300)
    times = counted(sim, 9, 150)
    last, by, history = bit_history(sim.machine)
    assert history.tolist() == times.tolist() and (times > 3).any() and (times == 1).any()
    assert ((last >= 0) == (times > 0)).all() and ((by > 0) == (times > 0)).all() and last.max() == 8
    grid = Shown(sim, "dirty-bitmap", bits="often").flat[:1024]
    assert not (grid & PINNED).any(), "right after a CLEAN nothing is set"
    letters = [LETTERS[word >> LETTER_SHIFT & LETTER_MASK] for word in grid.tolist()]
    share = times / 10  # the tenth round has begun
    want = np.where(times == 0, 0, np.where(share > 0.75, 4, np.where(share > 0.5, 3, np.where(share > 0.25, 2, 1))))
    assert letters == [".1234"[k] for k in want]
    fills = (grid & FILL_MASK)[times > 0].astype(int)
    order = np.argsort(times[times > 0], kind="stable")
    assert (np.diff(fills[order]) <= 0).all(), "the oftener the brighter"


def test_the_map_tells_who_and_what_is_set_now():
    sim = Simulation(load("blackboard").replace(do="enable@300,dm:200:6@850"))
    sim.seek(900)
    shown = Shown(sim, "dirty-bitmap", bits="who")
    grid = shown.flat
    bits, by = sim.machine.dirty_bits(), bit_history(sim.machine)[1]
    letter = {"nobody": ".", "store": "g", "walk": "A", "emulated": "e", "xen": "X", "log": "L", "device": "v"}
    for gfn, word in enumerate(grid.tolist()):
        assert LETTERS[word >> LETTER_SHIFT & LETTER_MASK] == letter[xen.MARKS[by[gfn]]], gfn
        assert bool(word & PINNED) == bits[gfn]
    alt = shown.alt
    assert "6 device model" in alt and f"{int((by == xen.MK_STORE).sum())} store of the guest" in alt
    rows = shown.table
    assert sum(row["state"] == "device model" for row in rows) == 6
    card = dict(shown.card(200)["rows"])
    assert card["set last"] == "in round 2, by the device model" and card["set in"].startswith("1 of ")
    known = {text for _, _, text in shown.plan.legend}
    assert {row["state"] for row in rows} <= known


@pytest.mark.parametrize("frames,work", [(256, "hotcold:80"), (131072, "uniform:100000")])
def test_the_tree_s_pages_are_those_that_hold_the_bits(frames, work):
    scenario = load("blackboard").replace(
        frames=frames,
        pool=96,
        trace="",
        work=work,
        order="",
        write=90,
        do="enable@50",
        clean_every=0,
        road="hap" if frames > 256 else "shadow",
    )
    sim = Simulation(scenario)
    sim.run(50)
    assert dirty_tree(sim.machine) == []
    sim.run(5000)
    pages, bits = dirty_tree(sim.machine), sim.machine.dirty_bits()
    leaves = [page for page in pages if page.level == 1]
    assert sorted(page.level for page in pages)[-3:] == [2, 3, 4] and pages[0].parent == -1
    used = {first: int(bits[first : first + 32768].sum()) for first in range(0, frames, 32768)}
    assert {page.first: page.used for page in leaves} == {first: n for first, n in used.items() if n}
    assert all(sim.machine.view("ptype")[page.page] == xen.SH_P2M for page in pages)
    assert len({page.page for page in pages}) == len(pages)
    for page in pages[1:]:
        above = pages[page.parent]
        assert above.level == page.level + 1 and above.first <= page.first < above.first + above.frames
    assert [page.used for page in pages if page.level > 1] == [
        sum(child.parent == k for child in pages) for k, page in enumerate(pages) if page.level > 1
    ]
    sim.command("clean")
    assert [page.used for page in dirty_tree(sim.machine) if page.level == 1] == [0] * len(leaves)
    sim.command("off")
    assert dirty_tree(sim.machine) == []


def test_bits_a_and_d_are_what_the_names_say():
    """MK_WALK: Xen's guest walk for a read sets A, and marks the tables that it wrote."""
    r = Raw(flags=P | W | U)
    r.do("enable")
    r.read(BASE)
    assert r.leaf(BASE) & (A | D) == A
    marked = np.flatnonzero(r.m.dirty_bits())
    assert marked.size and {who(r.m, gfn) for gfn in marked} == {"walk"} and set(marked) <= set(tables_of(r))
