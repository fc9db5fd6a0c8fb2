"""Cards of guest entries after log-dirty, and of frames at the end of a migration: what they say is so, and comes so."""

import numpy as np
import pytest

from pagingviz.arch import x86
from pagingviz.boards.guest_entry_card import _why_entry
from pagingviz.boards.migration_card import _why
from pagingviz.migration.state import DONE, LOST
from pagingviz.reading import shadows
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.core.raw import BASE, Raw, Tables


def why(r, va):
    """The card's sentence about the guest's level-1 entry of an address."""
    table, index = r.table(va), va >> 12 & 511
    guest = r.m.view("tables").reshape(-1, 512)[table, index]
    return _why_entry(r.m, guest, shadows.shadow_entry(r.m, table, index, 1))


def test_an_entry_that_is_read_only_says_what_the_next_store_does(warm):
    r = Raw()
    r.do("enable")
    r.read(BASE)
    assert why(r, BASE).startswith("Read-only in the shadow: log-dirty is on")
    r.do("off")
    assert why(r, BASE) == "Read-only in the shadow, as it was filled in: the next store exits, and makes it writable."
    moved = r.write(BASE)
    assert (moved["exits_page_fault"], moved["pages_marked"]) == (1, 0) and r.write(BASE)["exits_page_fault"] == 0
    assert why(r, BASE) == "The shadow gives what the guest's entry gives."


def test_a_frame_that_is_dirty_already_is_not_said_to_be_clean(warm):
    """Two addresses lead to one frame: the first is written, the entry of the second stays as it was."""
    tables = Tables()
    tables.new()
    tables.direct(1, 128)
    tables.map(1, BASE, 100)
    tables.map(1, BASE + (1 << 21), 100)
    r = Raw(tables=tables)
    r.do("enable")
    for va in (BASE, BASE + (1 << 21)):
        r.read(va)
    assert r.write(BASE)["pages_marked"] == 1
    assert why(r, BASE + (1 << 21)).startswith("Read-only in the shadow, as it was filled in")
    moved = r.write(BASE + (1 << 21))
    assert (moved["exits_page_fault"], moved["pages_marked"]) == (1, 0)


def test_the_shadow_gives_what_the_guest_gives_where_the_card_says_so(warm):
    """Of every entry of the tables of a machine: present and not writable only if the guest's is so."""
    sim, met = Simulation(load("blackboard").replace(do="enable@300,off@650", clean_every=0)), 0
    for tick in (290, 640, 660, 900):
        sim.seek(tick)
        words = sim.machine.view("tables").reshape(-1, 512)
        for gfn in np.flatnonzero(shadows.shadowed_tables(sim.machine)).tolist():
            for index in np.flatnonzero(words[gfn] & x86.P).tolist():
                shadow = shadows.shadow_entry(sim.machine, gfn, index, 1)
                if shadow is not None and _why_entry(sim.machine, words[gfn, index], shadow).startswith("The shadow gives"):
                    met += 1
                    assert bool(shadow & x86.RW) == bool(words[gfn, index] & x86.RW)
    assert met > 50


@pytest.mark.parametrize(
    ("fields", "phase", "says"),
    [
        ({"migrate": "remus", "road": "pv", "epochs": 2}, DONE, "as it was at the last checkpoint"),
        ({}, DONE, "in its last version"),
        ({"migrate": "postcopy", "fail": "host:100"}, LOST, None),
    ],
)
def test_a_frame_at_the_end_of_a_migration(warm, fields, phase, says):
    sim = Simulation(load("moving").replace(**fields))
    while sim.migration.state.next < 10**9:
        sim.run(500)
    mig, st = sim.migration, sim.migration.state
    texts = {_why(mig, at) for at in range(st.times.size)}
    assert st.phase == phase and len(texts) == 1
    if phase == LOST:
        assert texts == {st.why} and not st.arrived.all()
        return
    assert says in texts.pop() and st.equal
    versions = mig.destination.versions
    if fields:
        assert (versions != sim.machine.view("ver")).any(), "the primary had gone on"
    else:
        assert (st.times > 0).all() and (versions <= sim.machine.view("ver")).all(), "the guest goes on over there"
