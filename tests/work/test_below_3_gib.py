"""Where the pages of a recorded program lie in a 32-bit guest: at their own addresses if they can; what has to move is said."""

import numpy as np
import pytest

from pagingviz.reading.translate import translate
from pagingviz.scenario.scenario import Scenario, ScenarioError, load, shipped_traces
from pagingviz.timeline.simulation import Simulation
from pagingviz.work.below_3_gib import fit
from pagingviz.work.programs import Programs
from pagingviz.work.tracefile import fingerprint
from tests.core.agree import build, differences, tick
from tests.model import Op
from tests.work.tracefiles import npz

END = 0xC0000  # first page that a 32-bit kernel keeps for itself
READ, WRITE = 1, 2


def two_pages():
    """Bytes of a trace that reads and stores on page 0x8048 and on page 0xbff05."""
    return npz(
        pages=np.array([0x8048, 0xBFF05], np.uint64),
        page=np.array([0, 1, 0, 1], np.uint16),
        kind=np.array([READ, READ, WRITE, WRITE], np.uint8),
        count=np.array([3, 1, 1, 2], np.uint16),
        meta=None,
    )


def u64(*pages):
    return np.array(pages, np.uint64)


@pytest.mark.parametrize("guest", ["hvm32", "pae"])
def test_second_reading_15_a_program_that_fits_below_3_gib_keeps_its_addresses(warm, guest):
    data = two_pages()
    scenario = load("blackboard").replace(guest=guest, trace=fingerprint(data), order="")
    sim = Simulation(scenario, {fingerprint(data): data})
    assert sim.work.processes[0].pages.tolist() == [0x8048, 0xBFF05] and sim.work.notices == ()
    sim.seek(4)
    for gva in (0x08048034, 0xBFF05E7C):
        walk = translate(sim.machine, 0, gva, READ, 1)
        assert walk.end.kind == "frame", gva
    assert sim.audit() == ""
    if guest == "pae":
        assert {int(page) >> 18 for page in sim.work.processes[0].pages} == {0, 2}, "entries of the L3 table"


@pytest.mark.parametrize("guest", ["hvm32", "pae"])
def test_second_reading_15_the_slow_model_walks_the_same_addresses(warm, guest):
    data = two_pages()
    work = Programs(Scenario(guest=guest, trace=fingerprint(data), work="", frames=128), {fingerprint(data): data})
    op, credit = np.zeros(8, np.uint64), np.zeros(8, np.uint32)
    work.fill(op, credit, 0)
    machine, model = build(road="shadow", guest=guest, frames=128, pool=40, clean_every=3)
    for word, more in zip(op.tolist(), credit.tolist(), strict=True):
        tick(machine, model, Op(word >> 5 & 31, word >> 12, word & 7, word >> 3 & 1, word >> 4 & 1, more))
        assert differences(machine, model) == []
    assert {word >> 12 for word in op.tolist()} == {0x8048, 0xBFF05}


@pytest.mark.parametrize("name", shipped_traces())
def test_second_reading_15_what_moves_is_said_with_numbers(name):
    wide, narrow = (Programs(Scenario(guest=guest, trace=name, work="", frames=8192)) for guest in ("hvm64", "pae"))
    old, new = wide.processes[0].pages, narrow.processes[0].pages
    moved = old != new
    assert (moved == (old >= END)).all() and (new < END).all() and (np.diff(new.astype(np.int64)) > 0).all()
    assert wide.notices == ()
    if not moved.any():
        assert narrow.notices == ()
        return
    n, first = int(moved.sum()), int(np.flatnonzero(moved)[0])
    [said] = narrow.notices
    assert f"{n:,} of its {old.size:,} pages" in said and f"the other {old.size - n:,} keep" in said
    assert f"page {int(old[first]):#x} lies at {int(new[first]):#x}" in said


def test_neighbours_stay_neighbours_and_share_tables_as_before():
    old = u64(0x400, 0x1FFEFFE, 0x1FFEFFF, 0x1FFF000)
    new, said = fit(old, "x")
    assert new.tolist() == [0x400, 0xBFBFE, 0xBFBFF, 0xBFC00]
    assert said.startswith("x: the memory of a 32-bit process ends at 3 GiB, so 3 of its 4 pages lie elsewhere")


def test_a_stack_that_would_run_into_pages_that_stay_moves_everything():
    new, said = fit(u64(0x400, 0xBFFFF, 0x1FFEFFF), "x")
    assert new.tolist() == [0x400, 0x400 + 1024 + (0xBFFFF - 0x400) % 1024, new[1] + 1024 + (0x1FFEFFF - 0xBFFFF) % 1024]
    assert "2 of its 3 pages" in said and "do not fit beside the others" in said


def test_a_program_larger_than_3_gib_is_refused():
    with pytest.raises(ScenarioError, match="too large for the 3 GiB"):
        fit(np.arange(0, END + 1, dtype=np.uint64), "x")
    assert fit(np.arange(0, END, dtype=np.uint64), "x")[1] == ""
