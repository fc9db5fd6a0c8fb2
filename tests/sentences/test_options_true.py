"""What the helps of options state and no other test holds: each with the machine that it is true of."""

import re

import numpy as np
import pytest

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.migration import wire
from pagingviz.migration.policy import CONTINUE, STOP, Stats, policy_of
from pagingviz.migration.state import LIVE, WAITING
from pagingviz.reading.caches import tlb_entry
from pagingviz.reading.translate import translate
from pagingviz.scenario.scenario import load
from pagingviz.scenario.table import FIELD
from pagingviz.timeline.simulation import Simulation
from pagingviz.ui.address import View
from pagingviz.ui.migration import _storm
from pagingviz.ui.translation import target
from tests.sentences.scenes import HAP


def machine(name="blackboard", **fields):
    return Simulation(load(name).replace(**fields))


def test_the_numbers_of_the_optimisations_are_xens_bits():
    told = {int(bit): words for bit, words in re.findall(r"(\d+) ([a-zA-Z0-9 -]+)", FIELD["shopt"].help.split("bits:")[1])}
    words = {
        "writable_heuristic": "guesses",
        "early_unshadow": "early unshadow",
        "prefetch": "prefetch",
        "linux_l3_toplevel": "pinned L3s",
        "skip_verify": "skip verify",
        "virtual_tlb": "virtual TLB",
        "fast_emulation": "fast emulation",
        "out_of_sync": "out of sync",
    }
    assert told == {1 << xen.SHOPTS.index(name): text for name, text in words.items()}
    assert list(FIELD["shopt"].bits) == list(xen.SHOPTS) and (1 << len(xen.SHOPTS)) - 1 == 511


@pytest.mark.parametrize("do", ["enable@2", "pool:50@2"])
def test_a_pool_has_xens_own_minimum_or_not(warm, do):
    for floor, least in ((0, 40), (1, 128)):
        sim = machine(pool=40, floor=floor, do=do, clean_every=0)
        sim.seek(3)
        n = int((sim.machine.view("ptype") != xen.SH_OUT).sum())
        assert n >= least and (n < 128) == (floor == 0)


@pytest.mark.parametrize(
    ("pages", "fields", "level", "covers"),
    [
        ("4k", {}, 1, 1),
        ("large", {"frames": 4096}, 2, 512),
        ("large", {"frames": 4096, "guest": "hvm32"}, 2, 1024),
        ("huge", {"frames": 1 << 18, **HAP}, 3, 1 << 18),
    ],
)
def test_pages_of_the_direct_map_have_the_size_that_is_said(warm, pages, fields, level, covers):
    sim = machine(direct_map_pages=pages, road=fields.get("road", "bare"), **{k: v for k, v in fields.items() if k != "road"})
    base, inside = sim.scenario.direct_map_base, min(covers, sim.scenario.frames) - 1
    walks = [translate(sim.machine, 0, base + (gfn << 12), int(x86.READ), 0) for gfn in (0, inside)]
    guest = [[ref for ref in walk.references if ref.dimension == "guest"][-1] for walk in walks]
    assert [walk.size for walk in walks] == [level, level] and [walk.end.gfn for walk in walks] == [0, inside]
    assert covers == 1 or guest[0].address == guest[1].address, "one entry maps both frames"


def test_a_process_runs_for_its_quantum(warm):
    sim = machine("forks", do="", trace="", work="uniform:8,uniform:8", quantum=30, order="", clean_every=0)
    ran = []
    for tick in range(1, 121):
        sim.seek(tick)
        ran.append(int(sim.machine.sys[0].cur[0]))
    assert [ran[k : k + 30] for k in range(0, 120, 30)] == [[0] * 30, [1] * 30, [0] * 30, [1] * 30]


def test_a_link_takes_the_time_that_its_options_say():
    assert "1250: 10 Gb/s" in FIELD["bandwidth"].help and 1250 * 8 == 10_000
    plain = wire.link_of(load("moving").replace(bandwidth=1000))
    dear = wire.link_of(load("moving").replace(bandwidth=1000, page_overhead=5000))
    assert plain.cycles(1_000_000) == 1000 * wire.FREQUENCY, "1,000 MB/s: a megabyte in 1,000 microseconds"
    assert dear.cycles(4096, 1) - plain.cycles(4096, 1) == 5 * wire.FREQUENCY, "5,000 nanoseconds"


def test_a_policy_of_ones_own_stops_at_its_numbers():
    numbers = {"policy": "numbers", "target": 30, "rounds": 4, "factor": 2}
    policy = policy_of(load("moving").replace(**numbers))
    asked = [
        policy.ask(Stats(iteration, 0, dirty, 1000, total_sent=sent))[0]
        for iteration, dirty, sent in ((1, 30, 0), (1, 29, 0), (3, 99, 0), (4, 99, 0), (1, 99, 2000), (1, 99, 2001))
    ]
    assert asked == [CONTINUE, STOP, CONTINUE, STOP, CONTINUE, STOP]
    never = policy_of(load("moving").replace(**numbers | {"factor": 0}))
    assert never.ask(Stats(1, 0, 99, 1000, total_sent=10**9))[0] == CONTINUE
    assert [policy_of(load("moving").replace(**numbers, skip=k)).skips for k in (0, 1)] == [False, True]


def test_a_migration_begins_at_its_tick(warm):
    sim = machine("moving", migrate_at=40)
    sim.seek(39)
    assert sim.migration.state.phase == WAITING and not sim.migration.state.bytes
    sim.seek(41)
    assert sim.migration.state.phase == LIVE and sim.migration.state.rounds[0].tick == 40


def test_the_guest_does_so_many_ticks_while_a_page_is_on_the_wire(warm):
    """With free tracking: exits aside."""
    for pace in (7, 20):
        sim = machine("moving", tracking="free", pace=pace, migrate_at=40, do="", clean_every=0)
        while len(sim.migration.state.rounds) < 2:
            sim.run(50)
            assert sim.tick < 100_000
        first = sim.migration.state.rounds[0]
        assert abs(first.ticks / first.planned - pace) < 0.05 * pace


def test_pages_come_along_with_a_wanted_one(warm):
    sim, came, faults = machine("moving", migrate="postcopy", prefetch=3), set(), 0
    sim.seek(600)
    while sim.migration.state.next < 10**9:
        sim.run(1)
        st = sim.migration.state
        now, more = set(np.flatnonzero(st.fetched).tolist()), st.rounds[-1].faults - faults if st.rounds else 0
        assert more <= len(now - came) <= 4 * more, "a wanted page, and at most three that come after it"
        runs = [gfn for gfn in now - came if gfn - 1 not in now - came]
        assert len(runs) <= more
        came, faults = now, faults + more
    assert len(came) > faults > 3


def test_remus_makes_so_many_checkpoints_so_far_apart(warm):
    sim = machine("moving", migrate="remus", epoch=300, epochs=3, migrate_at=40, tracking="free")
    ends = []
    while sim.migration.state.next < 10**9:
        sim.run(1)
        if len(ends) < sim.migration.state.checkpoints:
            ends.append(sim.tick)
    assert len(ends) == 3


def test_without_an_address_the_last_access_is_resolved(warm):
    sim = machine()
    sim.seek(500)
    accesses = sim.events()[sim.events()["kind"] == ev.ACCESS]
    assert target(sim, View())[1] == int(accesses[-1]["gva"])


def test_after_a_flush_the_next_access_walks_again(warm):
    sim = machine(road="bare", do="", clean_every=0)
    sim.seek(500)
    (page,) = {int(e["gva"]) for e in sim.events() if e["kind"] == ev.ACCESS}
    assert tlb_entry(sim.machine, 0, page)
    sim.command("flush")
    assert not tlb_entry(sim.machine, 0, page)
    before = sim.counters()
    sim.run(1)
    assert sim.counters()["tlb_miss"] > before["tlb_miss"]


@pytest.mark.parametrize(
    ("fields", "says", "searches"),
    [
        ({}, "ENABLE and each CLEAN **throw all shadows away**", False),
        ({"road": "pv"}, "Shadow paging begins with ENABLE. Each CLEAN **throws all shadows away**", False),
        ({"clean": "revoke"}, "Each CLEAN **searches all shadows**", True),
    ],
)
def test_what_each_clean_of_a_migration_does_to_shadows_is_told(warm, fields, says, searches):
    sim = machine("moving", **fields)
    while not sim.counters()["cleans"]:
        sim.run(200)
        assert sim.tick < 100_000
    began = 0 if fields.get("road") == "pv" else 1  # a blow of ENABLE
    assert sim.counters()["blows"] == began + (0 if searches else sim.counters()["cleans"])
    assert (sim.counters()["frames_revoked"] > 0) == searches
    assert _storm(sim).startswith(says)
