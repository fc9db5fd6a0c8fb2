"""Every note of every scenario of the library has a proof or states nothing, and each proof holds."""

import re

import pytest

from pagingviz.scenario.scenario import load, names
from pagingviz.story.steps import notes
from pagingviz.timeline.simulation import Simulation
from tests.sentences.proofs_notes import NOTES, At

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", names())
def test_every_note_has_a_row(name):
    numbers = [int(number) for number in re.findall(r"(?m)^(\d+)\. ", load(name).notes)]
    assert [number for number in NOTES[name] if number] == numbers, "tests/sentences/proofs_notes.py: one row for each note"
    assert set(NOTES) == set(names())


@pytest.mark.parametrize(("name", "number"), [(name, n) for name, rows in NOTES.items() for n, row in rows.items() if row])
def test_a_note_is_true(warm, name, number):
    what, check = NOTES[name][number]
    assert check(At(name)), f"{name}, note {number}: {what}"


def searches():
    """(scenario, number) of the notes that ask for the next event of a kind."""
    found = [(name, note) for name in names() for note in notes(load(name).notes)]
    return [(name, note.number) for name, note in found if any(step.kind == "next" for step in note.steps)]


@pytest.mark.parametrize(("name", "number"), searches())
def test_the_event_that_a_note_asks_for_comes(warm, name, number):
    """Its steps are taken one after the other, from the scenario's start on."""
    scenario = load(name)
    tick = scenario.start
    for step in next(note for note in notes(scenario.notes) if note.number == number).steps:
        if step.kind == "set":
            scenario = scenario.replace(**dict(step.keys))
        elif step.kind == "tick":
            tick = int(step.value)
        elif step.kind == "next":
            sim = Simulation(scenario)
            sim.seek(tick)
            assert sim.run_to_event(step.value, 100_000), step.words
            tick = sim.tick
