"""Time travel: whichever way a tick is reached, the machine there is the same, bit for bit."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pagingviz.arch import events as ev
from pagingviz.scenario.scenario import load
from pagingviz.timeline import simulation
from pagingviz.timeline.simulation import Simulation
from tests.timeline.machines import DO, ROADS, SOME, digest_of_run, fresh_run, new

ROOT = Path(__file__).resolve().parents[2]

# ---- events of the past


@pytest.mark.slow
@pytest.mark.parametrize("road", ["shadow", "hap"])
def test_events_of_the_past_have_no_gap_and_no_other_past(road, many_checkpoints, monkeypatch):
    """After any way through time they are, to the last one, those of a fresh machine with the same journal."""
    dice, sim = np.random.default_rng(5), new(road, frames=256)

    def kept(events):
        return [tuple(e) for e in events[events["kind"] > ev.VERBOSE_EVENTS].tolist()]

    whole = 0
    for n in range(36):
        move = dice.integers(7)
        if move < 3:
            sim.seek(int(dice.integers(400)))
        elif move == 3:
            sim.run(int(dice.integers(40)))
        elif move == 4:
            sim.back(int(dice.integers(20)))
        elif move == 5 and sim.tick:
            sim.micro(int(dice.integers(1, 9)))
            sim.close()
        elif n % 4 == 0:
            sim.command("clean")
        told, complete = sim.past_events()
        truth, _ = fresh_run(road, sim.tick, frames=256, do=sim.script()).past_events()
        told, truth = kept(told), kept(truth)
        assert truth[len(truth) - len(told) :] == told and (not complete or len(told) == len(truth))
        whole += complete
    assert whole >= 10
    monkeypatch.undo()  # nothing goes back any more
    sim.run(9000)
    told, complete = sim.past_events()
    truth, _ = fresh_run(road, sim.tick, frames=256, do=sim.script()).past_events()
    assert not complete and len(told) > 2000 and kept(told) == kept(truth)[-len(told) :]


# ---- seek, run, back


@pytest.mark.slow
@pytest.mark.parametrize("road", ROADS)
def test_every_way_to_a_tick_ends_in_the_same_machine(road, many_checkpoints):
    at = {t: digest_of_run(road, t) for t in (0, 1, 39, 40, 41, 90, 199, 200, 201, 259, 300, 302, 400)}
    sim = new(road)
    for t in (400, 200, 201, 41, 300, 0, 259, 1, 302, 40, 90, 39, 199, 400):
        assert sim.seek(t) and sim.tick == t
        assert sim.machine.digest() == at[t], f"seek to {t}"
    for t in range(399, 190, -1):
        sim.back()
        assert sim.tick == t and (t not in at or sim.machine.digest() == at[t])
    for t in range(192, 303):
        sim.step()
        assert sim.tick == t and (t not in at or sim.machine.digest() == at[t])


def test_back_undoes_step_exactly_at_every_tick():
    sim, digests = new(), []
    for _ in range(60):
        digests.append(sim.machine.digest())
        sim.step()
    for digest in reversed(digests):
        sim.back()
        assert sim.machine.digest() == digest
    sim.back()
    assert sim.tick == 0


def test_pages_that_leave_the_pool_and_come_back_are_the_same_on_the_second_pass():
    sim = new(do="pool:18@100,pool:80@200,pool:30@220,pool:90@300")
    sim.seek(400)
    first = sim.machine.digest()
    for t in (150, 205, 50):
        sim.seek(t)
        sim.seek(400)
        assert sim.machine.digest() == first == digest_of_run("shadow", 400, do=sim.script())


def test_running_on_to_a_tick_seen_before_uses_its_checkpoint(many_checkpoints):
    sim = new()
    sim.run(400)
    sim.seek(5)
    sim.work.fill, ticks = _counted(sim.work.fill)
    sim.seek(400)
    assert sum(ticks) <= 8, "End must not replay the whole way"
    assert sim.machine.digest() == digest_of_run("shadow", 400)


def _counted(fill):
    ticks = []

    def counting(op, credit, t0):
        ticks.append(op.size)
        fill(op, credit, t0)

    return counting, ticks


def test_a_budget_stops_early_and_is_resumed(monkeypatch):
    monkeypatch.setattr(simulation, "CHUNK", 16)
    sim, asked = new(), 1
    while not sim.seek(400, budget=0.0):
        asked += 1
        assert sim.tick < 400 and sim.furthest == sim.tick
    assert asked > 10 and sim.machine.digest() == digest_of_run("shadow", 400)
    while not sim.seek(30, budget=0.0):
        asked += 1
    assert (sim.tick, sim.furthest) == (30, 400) and sim.machine.digest() == digest_of_run("shadow", 30)


def test_a_stopped_seek_does_not_pass_for_a_look(monkeypatch):
    """Events are kept in full only where a seek ended; stopping there by budget is not that."""
    monkeypatch.setattr(simulation, "CHUNK", 1)
    sim = new()
    sim.seek(1)
    want = sim.events().tolist()
    sim.run(100)
    assert not sim.seek(50, budget=0.0) and sim.tick == 1
    sim.seek(1)
    assert sim.events().tolist() == want


# ---- events of one tick


@pytest.mark.parametrize("road", ROADS)
def test_micro_steps_end_where_the_tick_ends(road):
    sim = new(road)
    for tick in (1, 23, 40, 41, 47, 200, 301):
        sim.seek(tick)
        whole, events = sim.machine.digest(), sim.events()
        n = len(events)
        assert n and set(events["tick"]) <= {tick - 1, tick}
        seen = set()
        for k in {*range(1, min(n, 40) + 1), n}:
            assert sim.micro(k) == (k, n) == sim.opened
            assert sim.tick == tick and sim.events().tolist() == events[:k].tolist()
            seen.add(sim.machine.digest())
        assert whole in seen and sim.machine.digest() == whole
        sim.micro(1)
        sim.step()
        assert sim.opened is None and sim.machine.digest() == digest_of_run(road, tick + 1)


def test_micro_keeps_within_the_tick_and_tick_zero_has_nothing_to_open():
    sim = new()
    assert sim.micro(1) is None
    sim.seek(5)
    n = len(sim.events())
    assert sim.micro(-3) == (1, n) and sim.micro(10**9) == (n, n)
    sim.micro(1)
    sim.back()
    assert sim.tick == 4 and sim.machine.digest() == digest_of_run("shadow", 4)


@pytest.mark.parametrize("kind", ["GUEST_PF", "CLEAN", "PREALLOC_UNPIN", "EMULATE"])
def test_previous_event_is_the_inverse_of_next_event(kind, many_checkpoints):
    walk, forward = new(), new()
    ticks = [t for t in range(1, 401) if walk.step() and kind in {ev.NAMES[k] for k in walk.events()["kind"]}]
    assert ticks
    for t in ticks[:12]:
        assert forward.run_to_event(kind, 400) and forward.tick == t
        assert kind in {ev.NAMES[k] for k in forward.events()["kind"]}
    if len(ticks) <= 12:
        assert not forward.run_to_event(kind, 400 - forward.tick) and forward.tick == 400
        assert forward.machine.digest() == digest_of_run("shadow", 400)
    else:
        forward.step()
    for t in reversed(ticks[: sum(t < forward.tick for t in ticks)]):
        assert forward.previous_event(kind) and forward.tick == t
    here = forward.tick
    assert not forward.previous_event(kind) and forward.tick == here
    assert forward.machine.digest() == digest_of_run("shadow", here), "looking for events leaves no trace"


# ---- commands


def test_commands_of_the_journal_equal_commands_given_by_hand():
    by_hand = Simulation(SOME.replace(do=""))
    for command in SOME.commands:
        by_hand.seek(command.tick)
        by_hand.command(command.text)
    by_hand.seek(400)
    assert by_hand.machine.digest() == digest_of_run("shadow", 400) and by_hand.script() == SOME.do


def test_a_command_in_the_past_keeps_the_later_ones(many_checkpoints):
    sim = new()
    sim.run(400)
    sim.seek(120)
    sim.command("clean")
    assert sim.furthest == sim.tick == 120 and max(sim._checkpoints.ticks) <= 120
    assert sim.history()[0][-1] <= 120
    sim.seek(400)
    want = "enable@40,pool:20@90,clean@120," + DO.split(",", 2)[2]
    assert sim.script() == want and sim.machine.digest() == digest_of_run("shadow", 400, do=want)
    sim.seek(60)
    sim.command("peek")
    sim.command("blow")
    assert sim.machine.digest() == digest_of_run("shadow", 60, do="enable@40,peek@60,blow@60")


def test_a_command_closes_an_open_tick():
    sim = new()
    sim.seek(50)
    sim.micro(1)
    sim.command("clean")
    assert sim.opened is None and sim.machine.digest() == digest_of_run("shadow", 50, do="enable@40,clean@50")
    assert ev.NAMES[sim.events()["kind"][-1]] == "CLEAN"


# ---- the end of a domain


def test_a_crashed_domain_stands_still_and_can_be_left_backwards():
    # Four monitor tables, twelve snapshots, four pages of log-dirty tree and a root leave too little of a pool that shrinks.
    two = {"trace": "", "work": "uniform:80,uniform:80", "quantum": 50, "order": ""}
    sim = Simulation(load("blackboard").replace(**two, pool=40, frames=512, vcpus=4, do="enable@0,pool:16@50"))
    assert not sim.crashed and sim.run_to_event("DOMF_DYING", 5000) and sim.tick == 53
    died, at = sim.machine.digest(), sim.tick
    assert sim.crashed == 1 and sim.audit() == ""
    sim.step()
    assert (sim.tick, len(sim.events())) == (at + 1, 0)
    sim.run(10**6)
    sim.command("clean")
    assert sim.tick == at + 1 + 10**6 and sim.crashed == 1 and len(sim.events()) == 0
    sim.seek(at)
    assert sim.machine.digest() == died
    sim.back()
    assert not sim.crashed


def test_a_domain_that_hangs_obeys_a_command_once_and_its_history_stays_even():
    few = {"do": "pool:16@10,enable@20,peek@20000", "clean_every": 0}  # too few pages to split all leaves of 2 MiB
    work = {"trace": "", "work": "uniform:8000", "write": 50, "order": ""}
    sim = Simulation(load("blackboard").replace(road="hap", frames=16384, superpages=1, **few, **work))
    sim.run(30_000)
    assert sim.crashed == 3 and sim.counters()["peeks"] == 1
    ticks = sim.history()[0]
    assert len(set(np.diff(ticks))) == 1 and ticks[-1] > 29_000


# ---- another process


@pytest.mark.slow
def test_another_process_and_plain_python_reach_the_same_digests():
    """No digest is written down here (that would freeze the engine): compiled, compiled elsewhere and plain must agree."""
    for plain in ("0", "1"):
        ticks = 120 if plain == "1" else 3000
        code = (
            "from tests.timeline.test_simulation import ROADS, digest_of_run\n"
            f"print(*[digest_of_run(road, {ticks}) for road in ROADS])"
        )
        quiet = {"PAGINGVIZ_PLAIN": plain, "PYTHONWARNINGS": "ignore:overflow encountered:RuntimeWarning"}
        process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | quiet, capture_output=True, text=True)
        assert process.returncode == 0, process.stderr
        assert process.stdout.split() == [digest_of_run(road, ticks) for road in ROADS], f"PAGINGVIZ_PLAIN={plain}"
