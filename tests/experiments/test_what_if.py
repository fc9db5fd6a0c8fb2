"""Each broken rule is noticed at the tick and on the page that stand here; the true machine beside it is the compiled one."""

import numpy as np
import pytest

from pagingviz.arch import events as ev
from pagingviz.boards.migration_scene import MigrationScene
from pagingviz.boards.registry import REGISTRY, make_plan
from pagingviz.boards.scene import Scene
from pagingviz.experiments import breaking
from pagingviz.experiments.broken_rules import BROKEN_RULES, NAMES
from pagingviz.experiments.migrations import over
from pagingviz.experiments.noticed import BITMAP, DESTINATION, GUEST, noticed
from pagingviz.experiments.retry import Retry
from pagingviz.experiments.what_if import AFTER, BEFORE, film, films
from pagingviz.migration.run import Migration
from pagingviz.timeline.simulation import Simulation

pytestmark = pytest.mark.slow
NOTICED = {  # rule: (tick, where or by whom, gfn)
    "flush-at-clean": (103, BITMAP, 0x10),
    "blow-at-clean": (103, BITMAP, 0x10),
    "poison-at-clean": (103, BITMAP, 0x10),
    "mark-at-violation": (61, BITMAP, 0x14),
    "mark-a-and-d": (22, BITMAP, 0x7),
    "prefetch-read-only": (63, BITMAP, 0x12),
    "mark-device": (120, BITMAP, 0x64),
    "protect-tables": (14, GUEST, 0x21),
    "follow-stores": (10, GUEST, 0x1F),
    "resync-at-cr3": (14, GUEST, 0x23),
    "unshadow-data": (62, GUEST, 0x7),
    "dirty-before-caching": (12, GUEST, 0x6),
    "clear-before-copy": (646, DESTINATION, 0x6),
    "drain-the-log": (743, DESTINATION, 0x6),
    "last-round": (695, DESTINATION, 0x6),
    "retry-sends-all": (613, DESTINATION, 0x6),
}
QUICK = "mark-at-violation"
COPIED = {"GUEST_PF", "COW_BREAK", "FRAME_ALLOC"}  # a store to a page that is shared faults in the guest, and gets a copy
SAVES = {  # rule: events of the true machine at that tick
    "flush-at-clean": {"TLB_MISS", "SHADOW_FAULT", "MARK_DIRTY"},
    "blow-at-clean": {"TLB_MISS", "SHADOW_FAULT", "MARK_DIRTY"},
    "poison-at-clean": {"TLB_MISS", "EPT_VIOLATION", "MARK_DIRTY"},
    "mark-at-violation": {"EPT_VIOLATION", "MARK_DIRTY"},
    "mark-a-and-d": {"AD_UPDATE", "MARK_DIRTY"},
    "prefetch-read-only": {"SHADOW_FAULT", "MARK_DIRTY"},
    "mark-device": {"MODIFIED_MEMORY", "MARK_DIRTY"},
    "protect-tables": {"SHADOW_FAULT", *COPIED},
    "follow-stores": {"SHADOW_FAULT", *COPIED},
    "resync-at-cr3": {"SHADOW_FAULT", *COPIED},
    "unshadow-data": {"UNSHADOW", "EMULATE_UNSHADOW_USER"},
    "dirty-before-caching": {"TLB_MISS", "AD_UPDATE"},
}


@pytest.fixture(scope="module")
def heard():
    """What was told of the progress of `found`: [(done, of)]."""
    return []


@pytest.fixture(scope="module")
def found(heard):
    """{rule: its film}, all by one process."""
    return dict(zip(NAMES, films(list(NAMES), lambda done, of: heard.append((done, of))), strict=True))


def true_machine(rule, tick):
    """The machine of a rule by the compiled engine, at a tick."""
    sim = Simulation(BROKEN_RULES[rule].scenario, migration=BROKEN_RULES[rule].migration)
    sim.run(tick)
    return sim


def test_every_rule_is_named_here_and_there_are_more_than_twelve():
    assert list(NOTICED) == list(NAMES) and len(NAMES) > 12


@pytest.mark.parametrize("rule", NAMES)
def test_a_broken_rule_is_noticed_at_its_tick_on_its_page(found, rule):
    wrong = found[rule].wrong
    assert (wrong.tick, wrong.who, wrong.gfn) == NOTICED[rule]
    assert found[rule].first == max(0, wrong.tick - BEFORE) and found[rule].last == wrong.tick + AFTER
    assert wrong.gfn in wrong.gfns and (f"gfn {wrong.gfn:#x} " in wrong.text or f"gfn {wrong.gfn:#x}:" in wrong.text)


@pytest.mark.parametrize("rule", NAMES)
def test_the_true_machine_beside_it_stays_right(warm, found, rule):
    """Its audit is clean, it is the compiled engine's machine, and nobody would notice anything of it."""
    sim = true_machine(rule, found[rule].wrong.tick)
    assert found[rule].audit == sim.audit() == ""
    assert found[rule].digest == sim.machine.digest()
    assert noticed(sim, sim) is None
    if sim.migration:
        while not over(sim):
            sim.run(100)
        assert sim.migration.state.equal


@pytest.mark.parametrize("rule", NAMES)
def test_the_film_shows_the_true_machine_and_where_the_broken_one_differs(warm, found, rule):
    shown, tick = found[rule], found[rule].wrong.tick
    sim = true_machine(rule, shown.first)
    plan = make_plan(BROKEN_RULES[rule].board, sim.scenario, sim.work)
    for at in (shown.first, tick - 1, tick, shown.last):
        sim.seek(at)
        scene = MigrationScene(sim) if sim.migration else Scene(sim)
        true, broken = shown.grids[at - shown.first]
        assert np.array_equal(true, REGISTRY[plan.id].cells(scene, plan))
        assert shown.told[at - shown.first][0] == scene.sentence()[0]
        assert at != tick or not np.array_equal(true, broken)
    assert shown.lit[1], "the wrong page has a cell on the broken machine's map"


@pytest.mark.parametrize("rule", SAVES)
def test_the_rule_does_at_that_tick_what_the_page_says_that_it_would(warm, rule):
    tick, _, gfn = NOTICED[rule]
    sim = true_machine(rule, 0)
    sim.seek(tick)
    assert {ev.NAMES[int(event["kind"])] for event in sim.events()} >= SAVES[rule]
    of_frame = {ev.NAMES[int(event["kind"])] for event in sim.events() if int(event["gfn"]) == gfn}
    assert of_frame & {"MARK_DIRTY", "COW_BREAK", "UNSHADOW", "AD_UPDATE"}


@pytest.mark.parametrize("rule", [rule for rule in NAMES if rule not in SAVES])
def test_the_true_machine_sends_the_wrong_pages_again(warm, found, rule):
    """In its last attempt each of them crosses, and not one is old when the guest goes on over there."""
    sim = true_machine(rule, 0)
    while not over(sim) or sim.migration.fail[0]:
        sim.run(100)
    state, gfns = sim.migration.state, found[rule].wrong.gfns
    assert not state.old.size and (state.times[gfns] > 0).all()
    assert state.times[gfns].sum() > len(gfns), "some of them more than once"


def test_what_is_wrong_is_told_in_a_sentence(found):
    told = {rule: found[rule].wrong.text for rule in NAMES}
    assert "stored to since the last CLEAN" in told["flush-at-clean"] and "since ENABLE" in told[QUICK]
    assert "hangs" in told["unshadow-data"] and "P RW US A NX" in told["dirty-before-caching"]
    assert "3 stores by now, and 2 on the true machine" in told["resync-at-cr3"]
    assert "old pages" in told["last-round"]


def test_the_same_rule_gives_the_same_film():
    one, other = films([QUICK, QUICK])
    assert one.wire() == other.wire()


def test_progress_is_told_on_the_way(found, heard):
    assert len(heard) > len(found) and all(0 < done <= of for done, of in heard)


def test_a_process_that_dies_is_one_sentence():
    with pytest.raises(RuntimeError, match="has ended before"):
        film("nowhere")


def test_what_was_broken_is_whole_afterwards():
    was = Migration._round
    with breaking.broken(Migration, "_round", breaking.skip):
        assert Migration._round is not was
    assert Migration._round is was


# ---- the second attempt of a migration


def test_a_retry_sends_all_of_the_guest_once_more(warm):
    sim = true_machine("retry-sends-all", 0)
    ended = 0
    while not over(sim) or sim.migration.fail[0]:
        sim.run(20)
        ended += sim.migration.state.total_sent < ended
    rounds = sim.migration.state.rounds
    assert isinstance(sim.migration, Retry) and sim.migration.state.equal
    assert rounds[0].planned == rounds[0].sent == sim.scenario.frames


def test_time_goes_back_into_the_first_attempt(warm):
    """seek equals run on both sides of the moment at which the first attempt was given up."""
    sim = true_machine("retry-sends-all", 600)
    ticks = (100, 200, 320, 500)
    fresh = {tick: true_machine("retry-sends-all", tick) for tick in ticks}
    assert len({fresh[tick].migration.fail for tick in ticks}) == 2
    for tick in (*reversed(ticks), *ticks):
        sim.seek(tick)
        assert sim.machine.digest() == fresh[tick].machine.digest()
        assert sim.migration.fail == fresh[tick].migration.fail
        assert np.array_equal(sim.migration.destination.versions, fresh[tick].migration.destination.versions)
