"""Recorded programs on all roads: the same guest, no lost write, no broken rule. Whole laps: make soak."""

import pytest

from pagingviz.scenario.scenario import load, shipped_traces
from pagingviz.timeline.simulation import Simulation

pytestmark = pytest.mark.slow

ROADS = ("bare", "shadow", "hap")
EVENTS, ROUND = 60_000, 7_500


@pytest.mark.parametrize("trace", shipped_traces())
def test_a_recorded_program_sees_the_same_machine_on_every_road(trace):
    """With log-dirty on and a CLEAN every ROUND ticks, at which no write may be missing."""
    fields = {"trace": trace, "work": "", "order": "", "frames": 16384, "pool": 48, "clean_every": 0, "superpages": 1}
    guests = []
    for road in ROADS:
        sim = Simulation(load("blackboard").replace(**fields, road=road, do="enable@1000"))
        for _ in range(EVENTS // ROUND):
            sim.run(ROUND)
            assert sim.machine.log_dirty()["missing"] == 0 and sim.audit() == ""
            sim.command("clean")
        guests.append(sim.machine.guest_digests())
    assert guests[0] == guests[1] == guests[2]
    assert guests[0]["faults"]["count"] > 50


@pytest.mark.parametrize("road", ROADS)
def test_blackboard_is_clean_at_every_tick(road):
    sim = Simulation(load("blackboard").replace(road=road))
    for tick in range(1, 20_001):
        sim.run(1)
        assert (sim.audit(), sim.tick) == ("", tick)
    sim.command("peek")
    assert sim.machine.log_dirty()["missing"] == 0 and not sim.crashed


def test_roads_with_different_pools_and_commands_still_agree():
    """The guest cannot see pool size, recycling, blow, superpages or where Xen looks for its direct map."""
    base = load("blackboard").replace(frames=1024, trace="gzip", work="fork:30,zipf:100", quantum=70, order="")
    variants = (
        {"road": "bare"},
        {"road": "shadow", "pool": 20, "do": "blow@500,enable@900"},
        {"road": "shadow", "pool": 200, "do": "enable@0,off@2000"},
        {"road": "hap", "superpages": 1, "do": "enable@10,clean@3000"},
        {"road": "hap", "clean_every": 0, "do": "flush@5"},
    )
    guests = []
    for fields in variants:
        sim = Simulation(base.replace(**{"do": ""} | fields))
        sim.run(20_000)
        assert sim.audit() == ""
        guests.append(sim.machine.guest_digests())
    assert all(guest == guests[0] for guest in guests)
