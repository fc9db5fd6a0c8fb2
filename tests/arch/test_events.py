"""Kinds of events: their numbers, the sets of kinds that a run may stop at, and what is recorded only for somebody."""

import numpy as np
import pytest

from pagingviz.arch import events as ev
from pagingviz.arch.state import SYS_DTYPE
from pagingviz.arch.words import ONE, ZERO, U
from pagingviz.core.build.jit import from_python
from pagingviz.core.events import write_event
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation


def test_kinds_are_numbered_without_a_gap_and_every_one_has_its_bit_and_its_last_tick():
    assert [int(ev.CODES[name]) for name in ev.NAMES] == list(range(len(ev.NAMES)))
    assert all(getattr(ev, name) == number for name, number in ev.CODES.items())
    for field in (SYS_DTYPE["stop_mask"].shape[0] * 64, SYS_DTYPE["last_tick"].shape[0]):
        assert field >= len(ev.NAMES)


@pytest.mark.parametrize("kind", ["GUEST_PF", "RESUME", "REFERENCE"])
def test_a_run_may_stop_at_a_kind_of_any_word_of_the_set(warm, kind):
    sim = Simulation(load("blackboard"))
    s, number = sim.machine.sys[0], ev.CODES[kind]
    s.ev_now = U(7)
    for asked, hit in ((number - ONE, 0), (number, 1)):
        s.stop_mask[:] = s.stop_hit = 0
        s.stop_mask[int(asked // ev.WORD)] = ONE << asked % ev.WORD
        from_python(write_event)(s, sim.machine.mem, number, *[ZERO] * 6)
        assert (s.stop_hit, s.last_tick[int(number)]) == (hit, 7)


@pytest.mark.parametrize("road", ["bare", "shadow", "hap"])
def test_references_are_recorded_of_no_walk_that_the_machine_makes_itself(warm, road):
    sim = Simulation(load("blackboard").replace(road=road))
    sim.seek(400)
    for _ in range(40):
        sim.step()
        kinds = sim.events()["kind"]
        assert not np.any(kinds == ev.REFERENCE)
    assert np.any(sim.past_events()[0]["kind"] == ev.TLB_MISS), "while the kinds before VERBOSE_EVENTS are recorded"
