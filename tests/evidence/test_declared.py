"""What a recording needs is declared beside it and compared like all else; a broken model is noticed in spite of the search."""

from dataclasses import replace

import pytest

from pagingviz.__main__ import main
from pagingviz.evidence.xen import compare as comparison
from pagingviz.evidence.xen import dumps, library, memory, moments, thrash
from pagingviz.evidence.xen.guest import Guest
from pagingviz.evidence.xen.match import align
from pagingviz.evidence.xen.model import Model
from pagingviz.evidence.xen.perf import not_compared
from pagingviz.evidence.xen.pvguest import guest_of
from pagingviz.evidence.xen.read import Event
from pagingviz.scenario.fields import ScenarioError
from pagingviz.timeline.simulation import Simulation
from tests.support.plainly import answer

BIG = ("big-pml", "big-npexec")


def compared(name, **changed):
    """The comparison of a recording with some of its texts changed."""
    r = library.recording(name)
    return comparison.compare(library.text(r.script), r.guest, r.scenario, replace(library.texts(r), **changed))


# ---- memory of the host


def test_the_dump_of_the_recorded_guest_shows_what_is_declared():
    """Xen's own dump of the 2304 MiB guest, which no step of a script asks for, has the model's leaves."""
    r = library.recording("big-npexec")
    declared = library.texts(r).memory
    recorded = dumps.within(dumps.read_dumps(library.text("ept/dumps.txt"), "npexec")["created"], r.scenario.frames)
    assert declared.huge_leaves == sum(row.count for row in recorded if row.order == 18)
    model = Model(guest_of(r.guest, 2), r.scenario, huge_leaves=declared.huge_leaves)
    assert dumps.leaves_of(model.machine) == recorded


@pytest.mark.slow
@pytest.mark.parametrize("declared", [("--huge-leaves", "0"), ()], ids=["no GiB in one piece", "as many as there are"])
def test_another_declaration_differs_from_the_recording(warm, capsys, declared):
    r = library.recording("big-npexec")
    settings = [part for key, value in r.settings.items() for part in ("--set", f"{key}={value}")]
    recorded = "--against", str(library.FOLDER / r.jsonl), "--hw", str(library.FOLDER / r.hw)
    script = str(library.FOLDER / r.script), "--guest", r.guest, "--road", r.road
    code = main(["check", "xen", *script, *recorded, *settings, *declared])
    out = capsys.readouterr().out
    assert code == 1 and "setpages 0: pool of 18 pages, the model has" in out
    assert ("Leaves of 1 GiB: 0 (--huge-leaves)." in out) == bool(declared)


def test_what_is_declared_is_told_and_nothing_else_is_declared():
    scripts = {library.recording(name).script for name in library.NAMES}
    declared = {script for script in scripts if memory.memory_of(script) != memory.Memory()}
    assert declared == {library.recording(name).script for name in BIG}
    assert memory.memory_of("ept/big.ld").note.startswith("Declared, not searched: The host had one GiB")
    assert memory.memory_of("trace.ld").note == ""


@pytest.mark.parametrize("text", ["[[memory]]\nscript = 'x.ld'\n", "memory = 3", "["])
def test_a_bad_list_of_declarations_gets_one_sentence(tmp_path, text):
    file = tmp_path / "memory.toml"
    file.write_text(text)
    with pytest.raises(ScenarioError, match=r"^What is declared .*\.$"):
        memory.memory_of("x.ld", file)


def test_pages_of_the_pool_in_use_of_a_new_hap_domain():
    """Recorded on NPT with the first program: asked for less, the pool keeps its 18 pages in use."""
    assert thrash.sizes([288, 200, 32, 16, 1, 0], "hap") == [288, 200, 32, 18, 18, 18]


# ---- what was not compared before


def test_a_stored_value_and_a_slot_of_the_log_count():
    own = Guest("hvm64").own
    stored = [Event("EMULATE", va=0x11C000, flags=0, value=value) for value in (1, 2)]
    assert not align(stored[:1], stored[1:], own)[0].equal
    assert "of 0x1" in stored[0].words
    logged = [Event("PML_LOG", gfn=0x119, value=slot) for slot in (511, 510)]
    assert not align(logged[:1], logged[1:], own)[0].equal
    assert align(logged[:1], [Event("PML_LOG", gfn=0x119, value=511)], own)[0].equal
    assert not align([Event("EPT_MISCONFIG", 0x1000000, 0x1000)], [Event("EPT_MISCONFIG", None, 0x1000)], own)[0].equal


def test_a_reading_that_only_one_side_has_and_a_refusal_differ(warm):
    script = "enable\nclean\noff\n"
    rows = '{"op":"enable","rc":0}\n{"op":"clean","rc":%s}\n{"op":"off","rc":0}\n'
    r = library.recording("pt")
    assert r.scenario.road == "shadow"
    failed = comparison.compare(script, "hvm64", r.scenario, comparison.Texts(against=rows % '-1,"errno":12')).differences
    assert [line.partition(": ")[2] for line in failed] == [
        "the model has a reading, the recording has none",
        "Xen refused it, the model did not refuse it",
    ]
    twice = '{"op":"enable","rc":0}\n{"op":"enable","rc":%d}\n'
    for code, differences in ((-1, 0), (0, 1)):
        texts = comparison.Texts(against=twice % code)
        assert len(comparison.compare("enable\nenable\n", "hvm64", r.scenario, texts).differences) == differences


def test_a_dump_that_one_side_lacks_is_an_error():
    r = library.recording("dump2-nopml")
    script = library.text(r.script)
    for changed in (script.replace("dump.sh 8read_page3", "dump.sh 9read"), script + "sh dump.sh more\n"):
        with pytest.raises(ScenarioError, match="The script has the dumps"):
            comparison.items_of(comparison.parse(changed), library.texts(r), r.scenario)


def test_only_what_says_something_of_the_host_is_not_counted():
    """The shadows' hash is looked up as often as on the recorded host; where a shadow stands in its bucket is the host's."""
    assert not_compared("pv") == {"shadow_hash_lookup_head", "shadow_alloc_tlbflush"}
    assert not_compared("shadow") == not_compared("pv") | {"guest_walk"}
    assert {"shadow_hash_lookups", "guest_walk"} <= set(compared("trace-pv").counters)


# ---- the film goes the way of the comparison


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pt", "pae", "trace-pv", "trace-hap", "exec-pml", "used-npt", "smp-pml"])
def test_the_film_ends_where_the_comparison_ended(warm, name):
    film = moments.film(name)
    sim = Simulation(film.scenario, work=film.work())
    sim.run(len(film.program))
    r = library.recording(name)
    steps = comparison.parse(library.text(r.script))
    before, items = comparison.items_of(steps, library.texts(r), r.scenario)
    player = comparison.player_of(r.guest, r.scenario, before, items, library.texts(r))
    model = player.replay(film.report.played, len(items) - 1)
    for counter in ("dirty_count", "fault_count", "cleans", "ept_misconfig", "npf_recalc", "shadow_fault", "total_pages"):
        assert int(sim.machine.sys[0][counter]) == int(model.machine.sys[0][counter]), counter
    assert sim.machine.guest_digests() == model.machine.guest_digests()


# ---- a broken model


@pytest.mark.plain
@pytest.mark.slow
def test_a_rule_broken_on_purpose_differs_from_a_recording():
    found = answer("evidence.mutants_xen")
    sound = {name: text for name, text in found.items() if name.startswith("none")}
    assert len(sound) == 2 and not any(sound.values())
    assert len(found) > 10 and [name for name, text in found.items() if not text and name not in sound] == []
