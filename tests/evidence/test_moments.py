"""The film of a recording is the way the comparison went: each row's moment shows what the row says. And the pool's curve."""

import pytest

from pagingviz.arch import events as ev
from pagingviz.evidence.xen import library, moments, saves
from pagingviz.evidence.xen.script import Step
from pagingviz.experiments import pool_size
from pagingviz.scenario.scenario import load
from pagingviz.story.sentences import sentence
from pagingviz.timeline.simulation import Simulation
from tests.boards.on_screen import Shown

pytestmark = pytest.mark.slow

QUICK = ("pt", "pt-oos0", "pt-pae", "pae", "trace-hap")


def simulation(film):
    return Simulation(film.scenario, work=film.work())


@pytest.mark.parametrize("name", QUICK)
def test_every_row_s_moment_shows_what_the_row_says(warm, name):
    film = moments.film(name)
    sim = simulation(film)
    sim.run(len(film.program))
    assert not sim.crashed and sim.audit() == ""
    assert [m.number for m in film.moments] == list(range(len(film.moments)))
    ticks = [m.tick for m in film.moments]
    assert ticks == sorted(ticks) and ticks[-1] <= len(film.program)
    for m in film.moments:
        sim.seek(m.tick)
        if m.model == "NPF":  # Xen's trace does not say where
            assert {ev.NPF_RECALC, ev.HVM_NPF} & set(sim.events()["kind"].tolist()), m
        elif not m.step and m.model != "—":
            kind, place = m.model.split()[0], int(m.model.replace("gfn ", "").split()[1], 16)
            events = sim.events()
            there = events[events["kind"] == ev.CODES["HVM_NPF" if kind == "MEM_SET_P2M_ENTRY" else kind]]
            assert place in (*there["gva"].tolist(), *there["gfn"].tolist(), *there["detail"].tolist()), m
        if m.recorded.startswith("PEEK"):
            assert f"dirty_count {int(sim.machine.sys[0].dirty_count)}" in m.model


def test_the_map_of_guest_tables_shows_what_the_recorded_guest_uses(warm):
    film = moments.film("pt")
    sim = simulation(film)
    shown = Shown(sim, "guest-tables")
    assert [label for _, label in shown.plan.labels] == ["L4 10d", "L3 10c", "L2 108", "L1 107", "L1 11c", "L1 11d"]
    row = next(m for m in film.moments if "UNSYNC" in m.model)
    sim.seek(row.tick)
    assert "out of sync" in shown.alt and "sh_unsync" in sentence(sim)[1]


def test_every_recording_has_its_files_and_is_told_from_the_others():
    assert len(set(library.NAMES)) == len(library.RECORDINGS)
    for recording in library.RECORDINGS:
        assert recording.about.endswith(".") and (recording.jsonl or recording.csv)
        for file in recording.files:
            assert library.text(file)
    used = {file for recording in library.RECORDINGS for file in recording.files}
    used |= {f"save_{name}.jsonl" for name in saves.NAMES}
    shipped = {path.relative_to(library.FOLDER).as_posix() for path in library.FOLDER.rglob("*") if path.is_file()}
    assert shipped - used == {"README.md", "differences.toml", "memory.toml", "pools.txt", "thrash.csv", saves.TABLE}


def test_a_command_is_told_with_its_numbers():
    def words(number, *args):
        return moments.command_words(Step(1, "cmd", number=number, args=args))

    assert words(1, 5, 8, 2, 3, 0) == "3 passes: increment the first word of 8 pages from 5, stride 2"
    assert words(4, 0, 64, 1, 0, 0) == "toggle bit 9 of 64 L1 entries from 0, stride 1, without INVLPG"
    assert words(7, 100, 8, 1, 1, 0) == "have the hypervisor copy a string into 8 pages from 100, stride 1"
    assert words(13, 16, 0, 1, 1, 0) == "build 16 alias L1 tables and hook them, reload CR3"


def test_the_curve_of_the_thrash_scenario_has_a_cliff(warm):
    scenario = load("thrash")
    seen = []
    points = pool_size.curve(
        scenario, progress=lambda done, of: seen.append((done, of)), wanted=(18, 22, 32, 64, 96), ticks=8000
    )
    assert [p.pool for p in points] == [18, 22, 32, 64, 96] and seen[-1] == (4, 5)
    faults = [p.faults for p in points]
    assert faults[0] > 3 * faults[-1] and points[-1].recycled == 0
    a, b = pool_size.cliff(points)
    assert a.faults > 1.5 * b.faults
    assert pool_size.cliff(points[-2:]) is None
    assert scenario.pool in pool_size.sizes(scenario)
    sim = Simulation(scenario.replace(do=""))
    sim.run(8000)
    assert sim.counters()["shadow_fault"] == points[1].faults
