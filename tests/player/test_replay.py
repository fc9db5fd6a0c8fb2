"""What is recorded of the shipped scenarios is what the engine does, tick by tick, cell by cell, word by word."""

import io
import lzma
import zlib

import numpy as np
import pytest

from pagingviz.boards.payload import decode
from pagingviz.player.early import replay
from pagingviz.player.early.replay import FOLDER, SCENES, Replay, record, stretch, subjects, thaw
from pagingviz.scenario.scenario import load, names
from pagingviz.timeline.simulation import Simulation

AGAIN = "The engine does something else than what is recorded: if that is meant, make replays."
ALL = [(name, subject) for name in names() for subject in subjects(load(name))]


def compared(scenario):
    """The ticks of a stretch whose pictures are compared: every twelfth, and those beside a command or a CLEAN."""
    ticks = stretch(scenario)
    acts = {command.tick for command in scenario.commands}
    acts |= set(range(0, ticks.stop, scenario.clean_every)) if scenario.clean_every else set()
    return [tick for tick in ticks if tick % 12 == 0 or tick in (ticks[0], ticks[-1]) or {tick - 1, tick} & acts]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "subject"), ALL)
def test_the_pictures_of_a_replay_are_the_engines_cell_by_cell(warm, name, subject):
    scenario = load(name)
    replay = Replay(zlib.decompress((FOLDER / f"{name}.{subject}.board").read_bytes()))
    assert [one["tick"] for one in replay.records] == list(stretch(scenario))
    header, frames = decode(record(scenario, subject, compared(scenario)))
    records = header.pop("frames")
    assert header == replay.header, AGAIN
    for now, grids in zip(records, frames, strict=True):
        assert now == replay.record(now["tick"]), AGAIN
        recorded = replay.grids(now["tick"])
        assert all(np.array_equal(a, b) for a, b in zip(grids, recorded, strict=True)), (now["tick"], AGAIN)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "subject"), ALL)
def test_the_sentences_of_a_replay_are_the_engines_tick_by_tick(warm, name, subject):
    replay = Replay(zlib.decompress((FOLDER / f"{name}.{subject}.board").read_bytes()))
    sim = Simulation(load(name))
    for one in replay.records:
        sim.seek(one["tick"])
        scene = SCENES[subject](sim)
        assert scene.sentence() == (one["sentence"], one["source"]), (one["tick"], AGAIN)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in names() if load(name).migrate == "no"])
def test_every_recorded_machine_is_the_engines_own(warm, name):
    scenario = load(name)
    sim = Simulation(scenario)
    sim.run(stretch(scenario).start)
    with np.load(io.BytesIO(lzma.decompress((FOLDER / f"{name}.state").read_bytes()))) as recorded:
        now = sim.freeze()
        assert set(now) == set(recorded)
        for part, array in now.items():
            assert np.array_equal(array, recorded[part]), (part, AGAIN)


@pytest.mark.parametrize("name", ["blackboard", "lab", "moving"])
def test_a_machine_goes_on_from_what_is_recorded_as_if_it_had_come_from_tick_0(warm, name):
    scenario = load(name)
    thawed, run = thaw(scenario), Simulation(scenario)
    for tick in (scenario.start, scenario.start + 40):
        thawed.seek(tick)
        run.seek(tick)
        assert thawed.machine.digest() == run.machine.digest()
        (one, complete), (other, complete_too) = thawed.past_events(), run.past_events()
        assert np.array_equal(one, other) and complete == complete_too


def test_a_machine_that_obeys_a_command_now_or_is_migrated_is_not_frozen(warm):
    sim = Simulation(load("blackboard"))
    sim.seek(300)  # enable@300
    with pytest.raises(ValueError, match="frozen"):
        sim.freeze()
    with pytest.raises(ValueError, match="frozen"):
        Simulation(load("moving")).freeze()


def test_nothing_is_recorded_that_is_not_shipped():
    wanted = {f"{name}.{subject}.board" for name, subject in ALL}
    wanted |= {f"{name}.state" for name in names() if load(name).migrate == "no"}
    assert {path.name for path in FOLDER.iterdir()} == wanted


def test_grids_are_the_same_in_any_order_of_ticks():
    one, other = (Replay(zlib.decompress((FOLDER / "blackboard.machine.board").read_bytes())) for _ in range(2))
    forth = {tick: one.grids(tick) for tick in range(one.first, one.last + 1, 37)}
    for tick in reversed(forth):
        assert all(np.array_equal(a, b) for a, b in zip(forth[tick], other.grids(tick), strict=True))


def test_a_scenario_that_was_changed_has_no_replay():
    from pagingviz.boards.registry import HOME, MIGRATION
    from pagingviz.player.message import Display

    scenario = load("blackboard")
    assert replay.find(scenario, Display("", HOME)) is not None
    assert replay.find(scenario.replace(pool=40), Display("", HOME)) is None
    assert replay.find(scenario, Display("", HOME, bits="often")) is None
    assert replay.find(scenario, Display("", MIGRATION)) is None
    assert replay.find(load("moving"), Display("", MIGRATION)) is not None
