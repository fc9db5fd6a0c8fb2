"""Every note of every scenario of the library has a proof or states nothing, and each proof holds."""

import re

import pytest

from pagingviz.scenario.scenario import load, names
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
