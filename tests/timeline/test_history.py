"""Histories for charts, and the memory that checkpoints take: what a machine keeps of its past."""

import numpy as np

from pagingviz.scenario.scenario import load
from pagingviz.timeline import checkpoints
from pagingviz.timeline import history as points
from pagingviz.timeline.simulation import HISTORY, Simulation
from tests.timeline.machines import digest_of_run, new


def test_history_is_even_true_and_bounded(monkeypatch):
    monkeypatch.setattr(points, "SAMPLES", 32)
    sim = new()
    for t in (10, 300, 80, 1000, 5, 1500):
        sim.seek(t)
        ticks, columns = sim.history()
        assert len(ticks) <= 33 and set(columns) == set(HISTORY)
        assert len(set(np.diff(ticks))) <= 1, "evenly spaced"
    picked = ticks[[0, len(ticks) // 2, -1]]
    for t in picked:
        there = new()
        there.run(int(t))
        row = {name: int(columns[name][list(ticks).index(t)]) for name in HISTORY}
        assert row == {name: int(there.machine.sys[0][name]) for name in HISTORY}


def test_the_history_of_a_migration_stays_fine_however_far_the_machine_is_run():
    sim = Simulation(load("moving"))
    sim.run(300_000)
    ticks, columns = sim.course()
    began, over = 600, sim.migration.state.settled
    assert began - points.LEAD <= ticks[0] < began and over < ticks[-1] < over + (over - began) // 4
    assert 200 < ticks.size <= points.SAMPLES + 1 and len(set(np.diff(ticks))) == 1 and set(columns) == set(HISTORY)
    assert sim.history()[0][-1] > 250_000, "the other one goes on"
    near = Simulation(load("moving"))
    near.run(7000)
    assert near.course()[0].tolist() == ticks.tolist()


def test_the_course_of_a_migration_is_the_same_whichever_way_led_there():
    scenario = load("moving").replace(migrate_at=5000)
    at_once, in_parts = Simulation(scenario), Simulation(scenario)
    at_once.run(5200)
    for tick in (3000, 4905, 4800, 5003, 5200):
        in_parts.seek(tick)
    (ticks, one), (same, other) = at_once.course(), in_parts.course()
    assert ticks.tolist() == same.tolist() == list(range(5000 - points.LEAD, 5201))
    assert all((one[name] == other[name]).all() for name in HISTORY)


def test_beyond_ticks_that_were_only_looked_through_the_history_has_no_gap(many_checkpoints):
    sim, fresh = new(), new()
    sim.run(300)
    reached = sim.reached
    sim.run(3000)
    sim.seek(300)
    sim.reach_back(reached)
    sim.seek(2500)
    fresh.run(2500)
    assert sim.history()[0].tolist() == fresh.history()[0].tolist()


def test_ticks_that_were_only_looked_through_leave_no_trace():
    sim = new()
    sim.run(300)
    reached, points_before = sim.reached, sim.history()[0].tolist()
    sim.run(50_000)
    sim.seek(300)
    assert sim.history()[0].tolist() != points_before
    sim.reach_back(reached)
    assert sim.furthest == 300 and sim.history()[0].tolist() == points_before


def test_checkpoints_stay_within_the_visitors_memory_and_thin_with_age(monkeypatch, many_checkpoints):
    sim = new()
    size = sum(part.nbytes for part in sim.machine.snapshot())
    monkeypatch.setattr(checkpoints, "VISITOR_BYTES", 14 * size)
    for _ in range(40):
        sim.run(30)
        kept = sim._checkpoints
        assert kept.bytes == sum(part.nbytes for state in (*kept._states, kept._spare or ()) for part in state)
        assert kept.bytes <= checkpoints.VISITOR_BYTES
    ticks = sim._checkpoints.ticks
    assert ticks[0] == 0 and len(ticks) >= 8
    assert ticks[-1] - ticks[-2] < ticks[2] - ticks[1], "close together near the present, far apart long ago"
    for t in (1199, 700, 20):
        sim.seek(t)
        assert sim.machine.digest() == digest_of_run("shadow", t)


def test_a_server_thins_the_largest_of_the_other_visitors(monkeypatch, many_checkpoints):
    monkeypatch.setattr(checkpoints, "_all", type(checkpoints._all)())
    first, second = new(), new()
    first.run(200)
    before = first._checkpoints.bytes
    monkeypatch.setattr(checkpoints, "SERVER_BYTES", before)
    second.run(200)
    assert first._checkpoints.bytes < before and first._checkpoints.ticks[0] == 0
    assert first._checkpoints.bytes == sum(part.nbytes for state in first._checkpoints._states for part in state)
    first.seek(100)
    assert first.machine.digest() == digest_of_run("shadow", 100)
