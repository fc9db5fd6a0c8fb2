"""Why a frame or an entry is as it is, on the cards of the maps: what they predict is what the next access does."""

import numpy as np
import pytest

from pagingviz.arch import xen
from pagingviz.boards.frame_map import _why
from pagingviz.boards.guest_entry_card import _why_big, _why_entry
from pagingviz.reading import shadows
from pagingviz.reading.translate import translate
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.core.raw import BASE, FRAME, Raw

READ, WRITE = 1, 2
EXITS = {  # beginning of the card's sentence: the accesses that exit for certain
    "No shadow maps it": (READ, WRITE),
    "Mapped without write access": (WRITE,),
    "It holds a shadowed page table": (WRITE,),
    "A change is pending": (READ, WRITE),
    "ram_logdirty: touched": (WRITE,),
}


def direct(sim, gfn, kind):
    """How an access through the kernel's direct map ends."""
    return translate(sim.machine, 0, sim.scenario.direct_map_base + (gfn << 12), kind, 0).end.kind


@pytest.mark.parametrize(
    ("name", "fields", "tick"),
    [
        ("blackboard", {}, 1300),
        ("blackboard", {"oos": 0}, 1300),
        ("rounds", {"hap": "ept"}, 5300),
        ("rounds", {"hap": "ept", "pml": 1}, 5300),
        ("rounds", {"hap": "npt"}, 5300),
    ],
)
def test_the_card_of_a_frame_predicts_the_next_access(warm, name, fields, tick):
    sim = Simulation(load(name).replace(**fields))
    sim.seek(tick)
    dirty, met = set(sim.machine.dirty_frames().tolist()), set()
    for gfn in range(0, sim.scenario.frames, max(1, sim.scenario.frames // 256)):
        text = _why(sim.machine, gfn)
        if text.startswith("Its bit is set"):
            assert gfn in dirty
            continue
        start = next((start for start in EXITS if text.startswith(start)), None)
        if start is None:
            continue
        met.add(start)
        for kind in EXITS[start]:
            assert direct(sim, gfn, kind) == "exit", (gfn, text, kind)
    assert met


def test_what_a_device_has_written_is_not_said_to_be_a_store(warm):
    sim = Simulation(load("blackboard").replace(do="enable@300,dm:200@310"))
    sim.seek(312)
    assert (
        _why(sim.machine, 200) == "Its bit is set: the guest, the hypervisor or a device has written it since the last CLEAN."
    )


@pytest.mark.parametrize(
    ("guest", "kind", "pages"), [("hvm32", xen.SH_FL1_32, "two pages"), ("hvm64", xen.SH_FL1, "a whole page")]
)
def test_the_card_of_a_superpage_says_how_many_pages_its_splinters_take(warm, guest, kind, pages):
    sim = Simulation(load("expensive").replace(guest=guest))
    sim.seek(900)
    head = int(np.flatnonzero(sim.machine.view("ptype") == kind)[0])
    assert len(shadows.chain(sim.machine, head)) == (2 if pages == "two pages" else 1)
    untouched = np.uint64(4095 << 12 | 0xE7)
    assert pages in _why_big(sim.machine, untouched, 2, 0) or shadows.has_splinters(
        sim.machine, 3072 if guest == "hvm32" else 3584
    )


def test_a_table_without_a_shadow_need_not_have_met_a_blow(warm):
    sim = Simulation(load("thrash"))
    sim.seek(4000)
    assert sim.counters()["blows"] == 0
    live = sim.machine.live_tables()
    assert not shadows.shadowed_tables(sim.machine)[live].all(), "recycling has taken shadows"
    assert "blow" not in _why_entry(sim.machine, np.uint64(0x67), None)


@pytest.mark.parametrize("exec_sp", [0, 1])
def test_the_card_of_a_frame_says_whether_a_fetch_exits(warm, exec_sp):
    r = Raw(road="hap", frames=4096, zone=128, pages=600, hap="ept", superpages=1, exec_sp=exec_sp)
    said = "A fetch exits" in _why(r.m, 130)
    assert r.fetch(BASE + 2 * FRAME)["ept_violation"] == int(said) == 1 - exec_sp
    assert "A fetch exits" not in _why(r.m, 130)
    assert r.fetch(BASE + 3 * FRAME)["ept_violation"] == 0


def test_a_clean_while_log_dirty_is_off_leaves_one_exit_that_marks_nothing(warm):
    r = Raw(road="hap", frames=4096, zone=128, pages=600, hap="ept")
    for command in ("enable", "off", "clean"):
        r.do(command)
    assert _why(r.m, 130).startswith("A change is pending")
    r.read(BASE + 2 * FRAME)
    assert "the next store exits once, and marks nothing" in _why(r.m, 130)
    moved = r.write(BASE + 2 * FRAME)
    assert (moved["ept_violation"], moved["pages_marked"]) == (1, 0)
    assert _why(r.m, 130).startswith("ram_rw") and r.write(BASE + 2 * FRAME)["ept_violation"] == 0


def test_a_store_that_the_processor_logs_needs_no_exit(warm):
    r = Raw(road="hap", frames=4096, zone=128, pages=600, hap="ept", pml=1)
    r.do("enable")
    r.read(BASE + 2 * FRAME)
    assert _why(r.m, 130).startswith("ram_logdirty, D clear")
    moved = r.write(BASE + 2 * FRAME)
    assert moved["ept_violation"] == moved["ept_misconfig"] == 0 < moved["pml_logged"]
    assert _why(r.m, 130).startswith("ram_logdirty, D set")
