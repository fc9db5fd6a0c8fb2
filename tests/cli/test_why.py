"""`pagingviz why`: a cell of a map, why it is so and since when, from the command line."""

import json

import pytest

from pagingviz.__main__ import main
from pagingviz.scenario.scenario import load
from pagingviz.story.sentences import sentence
from pagingviz.timeline.simulation import Simulation


def answer(capsys, *options):
    """What `why` prints as JSON for a scenario and more options."""
    assert main(["why", *options, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_bit_is_set_since_the_store_that_set_it(warm, capsys):
    sim = Simulation(load("blackboard"))
    sim.seek(2796)
    gfn = int(sim.machine.dirty_frames()[-1])
    found = answer(capsys, "blackboard", "--board", "dirty-bitmap", "--cell", str(gfn))
    assert (found["schema"], found["tick"], found["title"]) == (1, 2796, f"gfn {gfn:#x}")
    sim.seek(found["since"])
    assert gfn in sim.machine.dirty_frames()
    text, source = sentence(sim)
    newest, before = found["because"]
    assert text in newest["text"] and newest["source"] == source and f"dirty bit of gfn {gfn:#x}" in newest["text"]
    assert before["text"].startswith(f"The dirty bit of gfn {gfn:#x} had been clear since tick {before['tick']:,}.")
    sim.seek(found["since"] - 1)
    assert gfn not in sim.machine.dirty_frames()


def test_for_people_it_says_what_happened_then(warm, capsys):
    assert main(["why", "blackboard", "--board", "shadow-pool", "--cell", "0", "--tick", "100"]) == 0
    first, *_, heading, last = capsys.readouterr().out.splitlines()
    assert first == "blackboard at tick 100, shadow-pool, cell 0: pool page 0x0" and heading == "So from the beginning:"
    assert last == "  tick 0, event 0 of 0: The machine was built so."
    assert main(["why", "blackboard", "--board", "shadow-pool", "--cell", "4"]) == 0
    printed = capsys.readouterr().out
    assert "\nSo since tick 2,761:\n  tick 2,761, event " in printed and "The pool needs" in printed


def test_a_pool_that_a_command_makes_larger_is_shown_at_its_largest(warm, capsys):
    options = ("blackboard", "--do", "pool:60@50", "--board", "shadow-pool", "--cell", "59")
    assert answer(capsys, *options, "--tick", "60")["since"] == 50
    assert answer(capsys, *options, "--tick", "49")["since"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--board", "pool", "--cell", "1"], "--board 'pool' is not known: use one of guest-tables, shadow-pool"),
        (["--board", "shadow-pool", "--cell", "24"], "--cell must be from 0 to 23, not '24'."),
        (["--board", "shadow-pool", "--cell", "x"], "--cell must be"),
        (["--board", "shadow-pool", "--cell", "1", "--tick", "-1"], "--tick must be"),
        (["--board", "nested-tables", "--cell", "1"], "--cell 1 of nested-tables stands for nothing in this machine."),
        (["--cell", "1"], "required: --board"),
    ],
)
def test_bad_input_is_one_sentence(warm, options, words, capsys):
    assert main(["why", "blackboard", *options]) == 2
    printed = capsys.readouterr()
    assert words in printed.err and printed.err.count("\n") == 1 and not printed.out
