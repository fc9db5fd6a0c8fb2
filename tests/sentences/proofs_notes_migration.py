"""What makes the notes of the scenarios about migrations true, as NOTES of proofs_notes.py has them."""

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.migration import wire
from pagingviz.timeline.simulation import Simulation
from tests.migration.finished import to_the_end

MS = 1000 * wire.FREQUENCY  # cycles of a millisecond
_moves = {}


def move(at, **fields):
    """The migration of a scenario at its end, made once."""
    scenario = at.scenario.replace(**fields)
    if scenario not in _moves:
        _moves[scenario] = to_the_end(Simulation(scenario)).migration
    return _moves[scenario]


def lowest_first(sim):
    """Whether the frames that round 1 has sent so far are the lowest ones, and not all."""
    sent = np.flatnonzero(sim.migration.state.times)
    assert len(sim.migration.state.rounds) == 1
    return 0 < sent.size < sim.scenario.frames and sent[-1] == sent.size - 1


def exits(migration):
    """Exits of all rounds."""
    return sum(sum(r.exits.values()) for r in migration.state.rounds)


def first_round(at):
    """Its bytes and its time at 10 Gb/s, its share of all bytes, and how many root entries ENABLE wrote."""
    state, e = move(at).state, at(1000).events()
    first = state.rounds[0]
    return (
        round(first.bytes / 1e9) == 69
        and round(first.bytes / 1.25e9) == 55 == round((first.ended - first.began) / MS / 1000)
        and first.bytes > 0.99 * state.bytes
        and e["detail"][e["kind"] == ev.ENABLE].tolist() == [1]
    )


def parts_of_the_pause(at):
    """All of it, the last pages, the bits tested and the bitmap copied, in milliseconds; less than half of it at 4 GiB."""
    state = move(at).state
    told = [round(state.pause[part] / MS, digits) for part, digits in (("pages", 0), ("scan", 0), ("bitmap", 1))]
    return (round(state.downtime / MS), *told) == (51, 9, 42, 0.1) and move(
        at, frames=1 << 20
    ).state.downtime < state.downtime / 2


MIGRATION_NOTES = {
    "moving": {
        1: (
            "frames of the source, and those that the destination holds in the end",
            lambda at: at.scenario.frames == 192 == move(at).destination.image()[0].size,
        ),
        2: ("the frames that have been sent in the midst of round 1", lambda at: lowest_first(at(1000))),
        3: ("blows of the migration", lambda at: at(3000).counters()["blows"] >= 2),
        4: None,
        5: ("exits of all rounds on both roads", lambda at: 2 * exits(move(at, road="hap")) < exits(move(at))),
        6: (
            "the pause that is allowed, and the time of all frames on the link at 300 ms",
            lambda at: at.scenario.downtime == 300 and at.scenario.frames * 4104 / 1250 < 300_000,
        ),
        7: (
            "destination and source after a CLEAN by somebody else, and without it",
            lambda at: (
                at(6000).migration.state.equal is True
                and (st := at(6000, do="clean@1200").migration.state).equal is False
                and st.phase == "done"
            ),
        ),
    },
    "moving-64g": {
        1: ("bytes of round 1 and their time at 10 Gb/s, its share of all, and what ENABLE wrote", first_round),
        2: (
            "operations while a page crosses, and the pages that were dirty after the long round",
            lambda at: at.scenario.pace == 1 and move(at).state.rounds[0].dirtied >= 16_000,
        ),
        3: (
            "bytes of round 1 with zeros=1 and without, of a guest with a sixteenth of the memory and the same program",
            lambda at: (
                move(at, frames=1 << 20, zeros=1).state.rounds[0].bytes < 0.05 * move(at, frames=1 << 20).state.rounds[0].bytes
            ),
        ),
        4: (
            "the parts of the pause: all of it, the last pages, the bits tested and the bitmap copied; the same at 4 GiB",
            parts_of_the_pause,
        ),
    },
}
