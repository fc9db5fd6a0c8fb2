"""Page-modification logging of EPT: the rules H n of the manual (manual/rules.md), and which access exits."""

import numpy as np
import pytest

from pagingviz.arch import x86
from pagingviz.boards.palette import FILL_MASK, PENDING
from pagingviz.scenario.scenario import ScenarioError, load
from pagingviz.timeline.simulation import Simulation
from tests.boards.on_screen import Shown
from tests.core.agree import command, differences, tick
from tests.core.nested_pair import BASE as VPN
from tests.core.nested_pair import Pair, after
from tests.core.raw import BASE, FRAME, PAGE, Raw
from tests.model import WRITE, Op

LAST = int(x86.PML_ENTRIES) - 1


def big(written, **fields):
    """A raw guest with `written` user pages, log-dirty on and one CLEAN behind it, not audited step by step."""
    r = Raw(4, "hap", frames=4096, zone=128, pages=written, flags=PAGE, hap="ept", pml=1, **fields)
    r.audited = False
    for k in range(written):
        r.read(BASE + k * FRAME)
    r.do("enable")
    r.do("clean")
    return r


def tables(r, pages):
    """Guest frames of all tables on the way of the first `pages` user pages."""
    return {r.table(BASE + k * FRAME, level) for k in range(pages) for level in (1, 2, 3, 4)}


def total(moved, name):
    return sum(m.get(name, 0) for m in moved)


@pytest.mark.parametrize("written", [500, 1100])
def test_h19_h20_h21_a_full_log_costs_one_exit_for_512_pages(written):
    """Row "EPT + PML, region already 4K": 1 misconfiguration a region, about W/512 full logs, and no violation."""
    r = big(written)
    before = int(r.s.pml_logged)
    moved = [r.write(BASE + k * FRAME) for k in range(written)]
    walked = tables(r, written)
    logged = int(r.s.pml_logged) - before
    assert logged == written + len(walked), "one entry for each D set: the pages, and the tables that were walked"
    assert total(moved, "pml_full") == (logged - 1) // 512 and total(moved, "ept_violation") == 0
    regions = {gfn >> 9 for gfn in walked | set(range(128, 128 + written))}
    assert total(moved, "ept_misconfig") == len(regions)
    assert len(r.m.pml()[0]) == (logged - 1) % 512 + 1, "what came after the last flush"
    again = [r.write(BASE + k * FRAME) for k in range(0, written, 7)]
    assert total(again, "pml_logged") == 0, "each page at most once before D is cleared"
    r.do("peek")
    r.check()
    assert r.dirty() == walked | set(range(128, 128 + written)) and r.s.pml_index[0] == LAST


def test_h21_the_store_that_finds_the_log_full_is_carried_out_after_the_flush():
    r = big(600)
    k = 0
    while int(r.s.pml_index[0]) <= LAST:
        r.write(BASE + k * FRAME)
        k += 1
    assert len(r.m.pml()[0]) == 512 and not r.dirty() and r.m.log_dirty()["missing"] == 0
    moved = r.write(BASE + k * FRAME)
    assert moved["pml_full"] == 1 and r.events("PML_FULL")["detail"].tolist() == [512]
    assert r.m.pml() == [[128 + k]] and r.view("ver")[128 + k] == 1 and len(r.dirty()) == 512


def test_h22_a_guest_that_only_reads_dirties_the_tables_it_walks():
    r = big(40)
    for k in range(40):
        r.read(BASE + k * FRAME)
    r.do("peek")
    assert r.dirty() == tables(r, 40)


def test_a_superpage_is_split_by_one_violation_and_logged_from_then_on():
    """Row "EPT + PML, region is a 2M leaf": 1 misconfiguration and 1 violation, then the log."""
    r = big(300, superpages=1)
    moved = [r.write(BASE + k * FRAME) for k in range(300)]
    assert total(moved, "ept_violation") == total(moved, "p2m_split") == len({(128 + k) >> 9 for k in range(300)} | {0})
    assert total(moved, "pml_logged") >= 298
    r.do("clean")
    moved = [r.write(BASE + k * FRAME) for k in range(300)]
    assert total(moved, "ept_violation") == 0, "split regions stay split"
    r.check()


@pytest.mark.parametrize("superpages", [0, 1])
def test_h7_h8_h9_what_peek_clean_and_off_do_to_the_log(superpages):
    """Beside the slow model, step by step."""
    p = after(Pair("hap", frames=1024, superpages=superpages, pml=1, vcpus=2), VPN, VPN + 1)
    p.do("enable")
    assert p.s.ept_ad == 1
    for n, name in enumerate(("peek", "clean", "off")):
        after(p, *range(VPN + 6 * n, VPN + 6 * n + 6))
        waiting = {gfn for log in p.m.pml() for gfn in log}
        assert waiting, "tables are logged even where the leaf was split by a violation"
        moved = p.do(name)
        assert p.m.pml() == [[], []] and (p.s.pml_index[:2] == LAST).all()
        assert waiting <= p.dirty() if name == "peek" else not p.dirty()
        assert moved.get("pages_marked", 0) <= len(waiting) * (name != "off")
    assert p.s.ept_ad == 0, "A and D are the hardware's only while it logs"
    after(p, *range(VPN, VPN + 6))
    assert p.m.pml() == [[], []]


# ---- its pages, and how it ends


def in_use(p):
    return int(p.s.p2m_pages)


@pytest.mark.parametrize("vcpus", [1, 2, 3])
def test_second_reading_6_the_log_takes_a_page_of_the_pool_for_each_vcpu(vcpus):
    """Taken at ENABLE, given back at OFF (vmx_vcpu_enable_pml, vmx_vcpu_disable_pml)."""
    p = after(Pair("hap", frames=1024, pml=1, vcpus=vcpus), *range(VPN, VPN + 4))
    own, free = in_use(p), int(p.s.free_pages)
    for _ in range(2):
        p.do("enable")
        assert in_use(p) == own + vcpus and p.s.free_pages == free - vcpus
        assert len({int(page) for page in p.s.pml_page[:vcpus]}) == vcpus
        after(p, *range(VPN, VPN + 4))
        p.do("clean")
        assert in_use(p) == own + vcpus + 4, "and the bitmap's tree"
        p.do("off")
        assert in_use(p) == own


def test_second_reading_6_without_pml_enable_takes_no_page():
    p = after(Pair("hap", frames=1024, pml=0), VPN)
    own = in_use(p)
    p.do("enable")
    assert in_use(p) == own


@pytest.mark.parametrize("left", [0, 1, 2])
def test_second_reading_6_without_a_page_for_every_vcpu_there_is_write_protection(left):
    """All or nothing over the vCPUs; ENABLE answers 0 all the same (ept_enable_pml ignores the failure)."""
    p = after(Pair("hap", frames=4096, pml=1, vcpus=2), VPN, VPN + 1)
    p.do("pool", in_use(p) + left)
    assert p.s.free_pages == left
    told = [e for e in p.events(p.do, "enable") if e[0] == "ENABLE"]
    on = left == 2
    assert p.s.enables == 1 and p.s.log_dirty == 1 and bool(p.s.ept_ad) == on and p.s.free_pages == (0 if on else left)
    assert told[0][2] == (not on), "the event says whether the log lacks pages"
    moved = p.touch(VPN, WRITE)
    assert bool(moved.get("pml_logged")) == on and bool(moved.get("ept_violation")) != on


def test_second_reading_6_off_loses_what_is_logged():
    """The mode bit is cleared before the flush, whose marks then return at once (hap_disable_log_dirty)."""
    p = after(Pair("hap", frames=1024, pml=1), *range(VPN, VPN + 12))
    p.do("enable")
    after(p, *range(VPN, VPN + 12))
    assert len(p.m.pml()[0]) >= 12 and p.s.dirty_count == 0
    moved = p.do("off")
    assert not moved.get("pages_marked") and p.s.dirty_count == 0
    p.do("enable")
    assert [e[3] for e in p.events(p.do, "peek") if e[0] == "PEEK"] == [0]


def test_second_reading_6_leaves_made_read_only_stay_so_when_the_log_comes_back():
    """resolve_misconfig computes rights anew only if the type changes. What a round without the log has made log-dirty and was
    not written costs its violation once, although the log is on by then."""
    p = after(Pair("hap", frames=4096, pml=1), VPN, VPN + 1)
    used = in_use(p)
    p.do("pool", used)
    p.do("enable")
    p.touch(VPN)
    p.do("pool", used + 8)
    p.do("off")
    p.do("enable")
    assert p.s.ept_ad == 1
    moved = p.touch(VPN, WRITE)
    assert moved["ept_violation"] >= 1, "the tables, and the page"
    assert not p.touch(VPN, WRITE).get("ept_violation")
    p.do("clean")
    moved = p.touch(VPN, WRITE)
    assert moved["pml_logged"] >= 1 and not moved.get("ept_violation"), "its type has changed since"


def test_xen_itself_loses_a_store_when_the_log_has_no_page_the_second_time():
    """The same rule the other way round. A leaf that the log has made writable stays so when OFF and ENABLE follow without an
    access, and without the log nothing sees a store to it."""
    p = after(Pair("hap", frames=4096, pml=1), VPN, VPN + 1)
    p.do("enable")
    p.do("clean")
    p.touch(VPN + 1)
    victim = p.gfn(VPN)
    p.do("off")
    p.do("pool", in_use(p))
    with pytest.raises(AssertionError):  # the audit sees it coming
        p.do("enable")
    assert p.s.ept_ad == 0
    command(p.m, p.model, "pool", in_use(p) + 8)
    tick(p.m, p.model, Op(0, VPN, WRITE))
    assert differences(p.m, p.model) == [] and p.m.sys[0].crashed == 0
    assert victim not in p.dirty() and p.m.log_dirty()["missing"] == 1


def test_each_entry_of_the_log_is_an_event_in_order():
    """A walk logs the tables from the top down, then the page; slots count down from 511."""
    p = after(Pair("hap", frames=1024, pml=1), VPN, VPN + 1)
    p.do("enable")
    told = [e for e in p.events(p.touch, VPN, WRITE) if e[0] == "PML_LOG"]
    way = [*(p.table(VPN, level) for level in (4, 3, 2, 1)), p.gfn(VPN)]
    assert [(gfn, slot) for _, gfn, _, slot in told] == [(gfn, 511 - n) for n, gfn in enumerate(way)]


def test_the_map_shows_what_is_logged_and_not_yet_marked():
    sim = Simulation(load("blackboard").replace(road="hap", pml=1, do="enable@200"))
    sim.run(600)
    board = Shown(sim, "dirty-bitmap")
    plan, grid = board.plan, board.flat
    shown = set(plan.key[(grid & FILL_MASK) == PENDING].tolist())
    assert shown == {gfn for log in sim.machine.pml() for gfn in log} - set(np.flatnonzero(sim.machine.dirty_bits())) != set()
    assert any(text == "in the processor's log" for _, _, text in plan.legend)


def test_only_ept_has_a_log():
    with pytest.raises(ScenarioError, match="pml=1 needs core=skylake: zen has no page-modification log"):
        load("rounds").replace(pml=1, hap="npt")
