"""The notes of the scenarios about nested tables give numbers: they are those that the machine comes to."""

import pytest

from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation


def counts(name, tick, **changes):
    """The counters of a scenario at a tick."""
    sim = Simulation(load(name).replace(**changes))
    sim.seek(tick)
    return sim.counters() | {"used": int(sim.machine.sys[0].p2m_pages)}


def test_second_reading_1_the_notes_of_rounds(warm):
    at_once = counts("rounds", 1)
    assert at_once["p2m_shatter"] == 1 and "first fetch, at tick 1" in load("rounds").notes
    assert not counts("rounds", 3999, exec_sp=1)["ept_violation"]
    plain, logged = counts("rounds", 9000), counts("rounds", 9000, pml=1)
    assert plain["ept_violation"] - plain["p2m_shatter"] == 339 and "339 times" in load("rounds").notes
    assert (logged["ept_violation"] - logged["p2m_shatter"], logged["pml_logged"]) == (1, 378)
    assert "one violation, that of the split, and the processor logs 378 stores" in load("rounds").notes


def test_second_reading_1_the_notes_of_lab(warm):
    """With executable superpages the GiB stays one leaf until log-dirty is on; without, the first fetch splits it."""
    assert counts("lab", 20_000)["used"] == 2
    assert counts("lab", 20_003)["p2m_split"] == 1
    as_xen = counts("lab", 1, exec_sp=0)
    assert as_xen["p2m_shatter"] == 1 and as_xen["used"] == 2 + 513


@pytest.mark.slow
def test_second_reading_7_the_notes_of_cloud(warm):
    now = counts("cloud", load("cloud").start)
    assert (now["ept_violation"], now["pml_logged"]) == (6, 8972) and "6 violations, 8,972 stores" in load("cloud").notes
    assert not now["fetches"]
