"""The recordings on Bochs' EPT and NPT: the processor's own events, bitmaps, pool sizes and leaves are those of the model."""

import re

import pytest

from pagingviz.__main__ import main
from pagingviz.arch.events import NAMES as NAMES_OF_KINDS
from pagingviz.evidence.xen import compare as comparison
from pagingviz.evidence.xen import dumps, library, moments, on_bochs
from pagingviz.evidence.xen.compare import Texts
from pagingviz.evidence.xen.guest import WRITE
from pagingviz.evidence.xen.hw import KINDS, read_hw
from pagingviz.evidence.xen.pvguest import guest_of
from pagingviz.evidence.xen.read import read_csv, read_jsonl
from pagingviz.evidence.xen.script import parse
from pagingviz.scenario.fields import ScenarioError
from pagingviz.timeline.simulation import Simulation

NAMES = tuple(recording.name for recording in on_bochs.ON_BOCHS)
HEAD = "tsc_rel,name,fields\n"


def compared(name, **changed):
    """The comparison of a recording with some of its texts changed."""
    r = library.recording(name)
    texts = vars(library.texts(r)) | changed
    return comparison.compare(library.text(r.script), r.guest, r.scenario, Texts(**texts))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_nothing_differs(warm, name):
    report = library.comparison(name)
    assert [text for text in report.differences if text not in report.known] == []
    assert report.played.start == "booted" and not report.played.crashed
    r = library.recording(name)
    events = read_hw(library.text(r.hw))[1] if r.hw else []
    assert report.events >= sum(len(operation.events) for operation in events)
    assert report.readings + report.events > 0 or name.startswith("pt-")


def test_few_differences_are_known():
    known = [comparison.known_differences({file.rpartition("/")[2]}) for r in on_bochs.ON_BOCHS for file in r.files]
    assert sum(map(len, known)) <= 5


# ---- what must be noticed


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, what, old, new, told",
    [
        ("exec-pml", "hw", "gpa=0x1200800 access=x", "gpa=0x1200804 access=x", "has EPT_VIOLATION gpa 0x1200804 x of rw, leaf"),
        ("exec-pml", "hw", "perm=rw gla=0x1200800", "perm=r gla=0x1200800", "has EPT_VIOLATION gpa 0x1200800 x of r, leaf"),
        (
            "exec-pml",
            "hw",
            "gfns=10d 10c 108 107 119",
            "gfns=10c 10d 108 107 119",
            "has PML_LOG gfn 0x10d in slot 510, the model has nothing",
        ),
        ("ad-nopml", "hw", "gla=0x1000000 walk=table", "gla=0x1000000 walk=leaf", "0x11c000 w of rx, leaf"),
        (
            "exec-pml",
            "hw",
            "3693329,EPT_MISCONFIG",
            "3693329,INVEPT,type=1\n3693329,EPT_MISCONFIG",
            "INVEPT, the model has nothing",
        ),
        ("exec-pml", "against", '"dirty_count":10', '"dirty_count":11', "dirty_count 11, the model has 10"),
        ("off-nopml", "against", '"rc":-1', '"rc":0', "Xen did it, the model did refuse it"),
        ("used-pml", "against", '"mempool_pages":23', '"mempool_pages":22', "pool of 22 pages, the model has 23"),
        (
            "dump2-nopml",
            "dumps",
            "0x119-   0x119     1 x order  0 rwx",
            "0x119-   0x119     1 x order  0 r-x",
            "leaves 0x119-0x119",
        ),
        ("trace-nopml", "trace", "VMEXIT,reason=EPT_MISCONFIG", "VMEXIT,reason=NOTHING", "in the trace of Xen"),
    ],
)
def test_a_changed_recording_differs(warm, name, what, old, new, told):
    text = vars(library.texts(library.recording(name)))[what]
    at = text.index("#### nopml") if what == "dumps" else 0
    assert old in text[at:]
    report = compared(name, **{what: text[:at] + text[at:].replace(old, new, 1)})
    assert any(told in difference for difference in report.differences), report.differences


@pytest.mark.slow
def test_what_the_processor_is_counts(warm):
    """Without the erratum, or without the log, the same recording differs in what the rule says."""
    r = library.recording("exec-pml")
    for change, missing in (({"exec_sp": "1"}, "EPT_VIOLATION gpa 0x1000800 x of rw"), ({"pml": "0"}, "PML_LOG gfn 0x10d")):
        scenario = r.scenario.replace(**change)
        report = comparison.compare(library.text(r.script), r.guest, scenario, library.texts(r))
        assert any(f"the recording has {missing}" in difference for difference in report.differences)


# ---- the files


def test_runs_come_out_as_single_events():
    _, (note, command) = read_hw(
        HEAD
        + "0,OP_note,text=one\n5,OP_cmd1,cmd=22 a=0 b=2 c=1 d=1\n"
        + "6,EPT_VIOLATION_RUN,n=2 access=w perm=rx walk=leaf qual=0x7aa rip=0x1 ad=0 gfns=1000-1001 each followed by INVEPT\n"
        + "7,PML_LOG,n=3 slots=2..0 gfns=10d 1000-1001\n8,PML_FULL,rip=0x10459a ad=1 pmlidx=-1\n"
    )
    assert note.fields == {"text": "one"} and (command.name, command.fields["vcpu"]) == ("cmd", 1)
    assert [event.words for event in command.events] == [
        "EPT_VIOLATION gfn 0x1000 w of rx, leaf",
        "INVEPT",
        "EPT_VIOLATION gfn 0x1001 w of rx, leaf",
        "INVEPT",
        "PML_LOG gfn 0x10d in slot 2",
        "PML_LOG gfn 0x1000 in slot 1",
        "PML_LOG gfn 0x1001 in slot 0",
        "PML_FULL",
    ]
    assert [event.value for event in command.events if event.kind == "PML_LOG"] == [2, 1, 0]


@pytest.mark.parametrize(
    "row, told",
    [
        ("0,EPT_FLY,gpa=0x1", "'EPT_FLY' is not known"),
        ("0,EPT_MISCONFIG,rip=0x1 ad=1", "has no gpa"),
        ("0,EPT_MISCONFIG,gpa=here rip=0x1 ad=1", "The gpa in line 2"),
        ("x,INVEPT,type=1", "The time stamp in line 2"),
        ("0,EPT_VIOLATION,gpa=0x1 access=q perm=r gla=0x1 walk=leaf qual=0x1 rip=0x1 ad=0", "The access in line 2"),
        ("0,EPT_VIOLATION,gpa=0x1 access=w perm=xr gla=0x1 walk=leaf qual=0x1 rip=0x1 ad=0", "The perm in line 2"),
        ("0,EPT_VIOLATION,gpa=0x1 access=w perm=r gla=0x1 walk=far qual=0x1 rip=0x1 ad=0", "The walk in line 2"),
        ("0,PML_LOG,n=2 slots=5..5 gfns=1-2", "does not fit its 2 frames"),
        ("0,PML_LOG,n=3 slots=5..3 gfns=1-2", "says '3' events, but lists 2"),
        ("0,PML_LOG,n=1 slots=5..5 gfns=2-1", "no ascending run"),
        ("0,PML_LOG,n=1 slots=5..5 gfns=g", "no hexadecimal number"),
        ("9,INVEPT,type=1\n8,INVEPT,type=1", "earlier than the one before it"),
        ("0", "does not have the columns"),
    ],
)
def test_bad_events_get_one_sentence(row, told):
    with pytest.raises(ScenarioError, match=r"^.*$") as caught:
        read_hw(HEAD + row + "\n")
    assert told in str(caught.value)
    with pytest.raises(ScenarioError, match="must begin with the columns"):
        read_hw("a,b\n")


def test_dumps_are_read_and_bad_ones_refused():
    found = dumps.read_dumps(library.text("ept/dumps.txt"), "pml")
    assert list(found)[:2] == ["1created", "2enabled"] and len(found) == 11
    assert found["4stored_page0_1"][2].words == "0x1000-0x11ff 512 x order 0 rwx WB!"
    assert dumps.within(found["1created"], 8192) == found["1created"][:2]
    for bad, told in (("## a\nnonsense", "no line of a dump"), ("#### x\n## a\n", "none of 'pml'"), ("", "has none")):
        with pytest.raises(ScenarioError, match=re.escape(told)):
            dumps.read_dumps(bad, "pml")


def test_second_reading_4_a_row_read_back_stands_for_its_operation():
    """A trace has no row of a setpages, only of the size read back after it: a script with setpages fits it all the same."""
    rows = "tsc_rel,cpu,event,name,fields\n0,-,op,OP_enable,rc=0\n"
    back = "1,-,op,OP_after-setpages,mempool_pages=20\n2,-,op,OP_after-setpages,mempool_pages=30\n"
    _, operations = read_csv(rows + back, "pv")
    assert [(o.name, o.fields.get("mempool_pages")) for o in operations] == [
        ("enable", None),
        ("setpages", 20),
        ("setpages", 30),
    ]
    both = '{"op":"setpages","ask_pages":0}\n{"op":"after-setpages","mempool_pages":18}\n'
    assert [(o.name, o.fields["mempool_pages"]) for o in read_jsonl(both * 2)] == [("setpages", 18)] * 2


def test_second_reading_4_pv_commands_beyond_the_table_do_nothing():
    """A PV guest takes up command 13 without a look at its table; its pages were recorded in this order after a CLEAN."""
    guest = guest_of("pv64", 0x112)
    (step,) = parse("cmd 13 4")
    rows = guest.idle("loop") + guest.command(step, lambda frame, index: 0) + guest.finish()
    first: dict[tuple[int, bool], None] = {}
    for code, va, *_ in rows:
        written = (va >> 12, True)
        if written not in first:
            first.setdefault((va >> 12, code == WRITE))
    assert [page for page, _ in first] == [0x103, 0x10D, 0x10D, 0x106, 0x513, 0x512]
    (step,) = parse("cmd 9 0 16")
    assert any(va >> 12 == guest.dispatch for _, va, *_ in guest.command(step, lambda frame, index: 0))


# ---- the command, the film


@pytest.mark.slow
def test_command(warm, capsys):
    def check(name, *more):
        r = library.recording(name)
        files = {"--against": r.jsonl, "--hw": r.hw, "--dumps": r.dumps}
        arguments = [str(part) for option, file in files.items() if file for part in (option, library.FOLDER / file)]
        code = main(["check", "xen", str(library.FOLDER / r.script), "--guest", r.guest, "--road", "hap", *arguments, *more])
        return code, *capsys.readouterr()

    code, out, _ = check("dump-pml", "--set", "hap=ept", "--set", "core=skylake", "--set", "pml=1", "--set", "exec_sp=0")
    assert code == 0 and "differences: 0" in out and "not yet: it has not run since;" in out
    code, out, _ = check("dump-pml", "--set", "exec_sp=1")
    assert code == 1 and "only the recording has leaves 0x200-0x1fff 15 x order 9 rw- WB!" in out
    code, out, err = check("smp-pml")
    assert (code, out) == (2, "") and "cmd1 in line 12 of the script needs a guest with two vCPUs" in err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["exec-pml", "off-nopml", "smp-pml", "ad-nopml"])
def test_every_row_s_moment_shows_what_the_row_says(warm, name):
    film = moments.film(name)
    sim = Simulation(film.scenario, work=film.work())
    sim.run(len(film.program))
    assert not sim.crashed and sim.audit() == ""
    ticks = [m.tick for m in film.moments]
    assert ticks == sorted(ticks) and ticks[-1] <= len(film.program)
    for m in film.moments[:: 1 if name != "smp-pml" else 40]:
        kind = m.model.partition(" ")[0]
        if m.step or kind not in KINDS:
            continue
        sim.seek(m.tick)
        assert kind in {NAMES_OF_KINDS[k] for k in sim.events()["kind"].tolist()}, m


@pytest.mark.slow
def test_a_way_that_the_recording_does_not_show_is_not_taken(warm):
    """Where the guest did not run the model must not: with one round of its loop too many the bitmap differs."""
    r = library.recording("exec-pml")
    texts = library.texts(r)
    before, items = comparison.items_of(parse(library.text(r.script)), texts, r.scenario)
    player = comparison.player_of(r.guest, r.scenario, before, items, texts)
    plain, best = player.play("booted", 2, False), player.play("booted", 2, True)
    assert best.cost == 0 < plain.cost
    assert {outcome.place for outcome in best.outcomes} >= {"", "not yet"}
    assert player.replay(best, len(items) - 1).dirty() == frozenset()
