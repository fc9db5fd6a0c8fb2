"""Where a PV guest's idle loop stood is found whatever the commands of a script are, also of those that do nothing there."""

import json
import random
import re

import pytest

from pagingviz.evidence.xen import compare as comparison
from pagingviz.evidence.xen import library, moments
from pagingviz.evidence.xen.match import ranges
from pagingviz.evidence.xen.model import scenario_of
from pagingviz.evidence.xen.play import LOOPS, Candidate, Rehearsal, builds
from pagingviz.evidence.xen.pvguest import DOES, LAST_IN_TABLE, guest_of
from pagingviz.evidence.xen.read import flag_names
from pagingviz.evidence.xen.script import parse

pytestmark = pytest.mark.slow

HEAD = "tsc_rel,cpu,event,name,fields\n"
PV = scenario_of({}, "pv")
AGAIN = 0x112  # the region of the program that was built anew: status 0x512, control 0x513
ENABLED = "106 P, 10d, 103, 513 P, 10d"  # what the guest waits with after ENABLE, as in trace_pv.csv
# A kept-back recording's excerpt: what Xen had from one CLEAN to the next, and behind the bar only after the command.
EXCERPT = {  # command: the ways in which what is known of it can have gone
    "cmd 13 4": ("| 103 P, 10d, 10d, 106, 513 P, 512",),
    "cmd 9 0 16": ("103 P, 10d, 10d, 106, 513 P, 512 |", "106 P, 10d, 103, 513 P, 107, 512 |"),
    "cmd 11": ("103 P, 10d, 10d, 106 | 513 P, 512", "103 P | 513 P, 512, 10d, 10d, 106"),
}


def traced(pages):
    """Rows of a trace for pages as in EXCERPT."""
    rows = ""
    for page, promoted in re.findall(r"([0-9a-f]+)( P)?", pages):
        rows += f"1,1,040f206,SHADOW_FIXUP,va=0x{page}000 flags={'PROMOTE' if promoted else 0}\n"
    return rows


def operation(step):
    """The row of a trace for a step."""
    if step.name != "cmd":
        return f"1,-,op,OP_{step.name},rc=0\n"
    return "1,-,op,OP_cmd,cmd={} a={} b={} c={} d={}\n".format(step.number, *step.args[:4])


def compared(script, trace, against=None):
    return comparison.compare(script, "pv64", PV, comparison.Texts(trace=HEAD + trace, against=against))


@pytest.mark.parametrize("way", [0, 1])
def test_second_reading_4_the_excerpt_of_a_kept_back_recording_agrees(warm, way):
    """Commands 13, 9 and 11: six faults each, and the guest is found in its loop; or behind its yield, then at its top."""
    script, rows = "enable\nclean\n", operation(*parse("enable")) + traced(ENABLED)
    rows += "1,-,op,OP_clean,rc=8208 dirty_count=1 fault_count=5 ranges=10d\n"
    for command, ways in EXCERPT.items():
        before, after = ways[min(way, len(ways) - 1)].split("|")
        script += f"{command}\nclean\n"
        rows += traced(before) + operation(*parse(command)) + traced(after)
        dirty = "10d 512" if "10d, 10d" in before + after else "512"
        rows += f"1,-,op,OP_clean,rc=8208 dirty_count={len(dirty.split())} fault_count=6 ranges={dirty}\n"
    report = compared(script, rows)
    assert report.differences == [] and report.percent == 100 and report.readings == 4
    assert report.played.loop == (AGAIN, LAST_IN_TABLE[way == 0])


def drawn(script, build, seed):
    """The trace and the readings that the model makes on one way through a script, drawn by lot."""
    unread = "".join(json.dumps(fields(step)) + "\n" for step in parse(script))
    before, items = comparison.items_of(parse(script), comparison.Texts(against=unread), PV)
    player, lots, trace, listed = Rehearsal("pv64", PV, before, items), random.Random(seed), "", ""
    model, guest = player.ready("booted", build)
    candidate = Candidate(0, player.nobody, model.snapshot())
    for number, item in enumerate(items):
        candidate = lots.choice(player._step(model, guest, candidate, number, True))
        outcome = candidate.outcomes[-1]
        read = outcome.reading
        told = {"dirty_count": read.dirty_count, "fault_count": read.fault_count, "ranges": ranges(read.pages)} if read else {}
        listed += json.dumps(fields(item.step) | told) + "\n"
        trace += operation(item.step)
        for event in outcome.events:
            place = f"gfn={event.gfn:#x}" if event.va is None else f"va={event.va:#x} flags={flag_names(event.flags)}"
            trace += f"1,1,040f206,SHADOW_{event.kind},{place}\n"
    return trace, listed


def fields(step):
    """The row of a list of operations for a step."""
    row = (
        dict(zip(("cmd", "a", "b", "c", "d"), (step.number, *step.args[:4]), strict=True)) if step.name == "cmd" else {"rc": 0}
    )
    return {"op": step.name} | row


SCRIPT = library.text("trace.ld")


def with_rows(script, seed):
    """The script with a third of its commands left out, and commands that do nothing put in at drawn places."""
    lots, out = random.Random(seed), []
    for line in script.splitlines():
        if line.startswith("cmd") and lots.random() < 0.33:
            continue
        out.append(line)
        if lots.random() < 0.3:
            out.append(f"cmd {lots.choice((0, 3, 6, 8, 9, 10, 11, 13, 14, 23, 100))} {lots.randrange(8)} {lots.randrange(8)}")
    return "\n".join(line for line in out if not line.startswith(("note", "sleep")))


@pytest.mark.parametrize("seed", range(3))
def test_second_reading_4_a_script_with_commands_left_out_and_put_in_agrees(warm, seed):
    """Ways drawn by lot through scripts made of trace.ld: the search finds each of them, or one that shows the same."""
    script = with_rows(SCRIPT, seed)
    build = (LOOPS["pv64"][seed % 2], LAST_IN_TABLE[seed % 3])
    trace, listed = drawn(script, build, seed)
    report = compared(script, trace, listed)
    assert report.differences == [] and report.percent == 100 and report.readings >= 8


def test_rows_left_out_of_a_recording_or_put_in_differ(warm):
    """What the search may choose is where the guest stood, and not what it did: a fault more or less of a command is told."""
    r = library.recording("trace-pv")
    lines = library.text(r.csv).splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if "va=0x112000" in line)
    for changed in (lines[:at] + lines[at + 1 :], lines[: at + 1] + lines[at:]):
        report = comparison.compare(SCRIPT, "pv64", PV, comparison.Texts(library.text(r.jsonl), "".join(changed)))
        assert len(report.differences) == 1 and "FIXUP va 0x112000" in report.differences[0]


def test_a_command_that_does_nothing_and_is_missing_in_the_model_differs(warm):
    """The status page is written after each command, whatever its number."""
    script = "enable\nclean\ncmd 13 4\nclean\ncmd 77\nclean\noff\n"
    trace, listed = drawn(script, (AGAIN, 9), 1)
    assert compared(script, trace, listed).differences == []
    assert "va=0x512000" in trace
    wrong = compared(script, trace.replace("va=0x512000", "va=0x513000"), listed).differences
    assert any("0x512000" in difference for difference in wrong)


def test_builds_are_searched_only_where_they_can_show():
    some, none = parse("cmd 9\n"), parse("cmd 13\ncmd 1 0 8\ncmd 6\n")
    assert builds("pv64", PV, none) == tuple((page, 9) for page in LOOPS["pv64"])
    assert len(builds("pv64", PV, some)) == len(LOOPS["pv64"]) * len(LAST_IN_TABLE)
    assert builds("pv64", PV, some)[0] == builds("pv64", PV, none)[0]


@pytest.mark.parametrize("number", [0, 3, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 22, 23, 4096])
def test_what_does_nothing_takes_its_place_all_the_same(number):
    """Such a command looks at the table if it is in there, and the end of a command follows; no more is read or written."""
    (step,) = parse(f"cmd {number} 4 4 1 1")
    for last in LAST_IN_TABLE:
        guest = guest_of("pv64", (AGAIN, last))
        assert number not in DOES
        touched = {va >> 12 for _, va, *_ in guest.command(step, lambda frame, index: 0)}
        assert touched == ({guest.dispatch, guest.low} if number <= last else set())
        assert guest.at.status in {va >> 12 for _, va, *_ in guest.finish()}
    assert moments.command_words(step)
