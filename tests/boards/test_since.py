"""Since when a cell is as it is, and why: just before it was different, from then on it never was, and causes come first."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagingviz.boards import since
from pagingviz.boards.dirty_bitmap import BITS
from tests.boards.many_machines import MACHINES, PAGES, TICKS, check, machine
from tests.boards.on_screen import Shown


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(st.sampled_from(sorted(MACHINES)), st.integers(1, TICKS), st.sampled_from(since.BOARDS), st.data())
def test_just_before_the_cell_was_different_from_then_on_never_and_its_causes_lead_back(warm, name, tick, board, data):
    sim = machine(name)
    sim.seek(tick)
    plan = Shown(sim, board, pages=PAGES, bits=data.draw(st.sampled_from(BITS))).plan
    check(sim, plan, data.draw(st.integers(0, plan.key.size - 1)))
