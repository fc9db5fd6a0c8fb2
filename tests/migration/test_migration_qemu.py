"""QEMU's own rules: when it looks at what is left, in which order it sends, XBZRLE, and the throttle of auto-converge."""

import numpy as np
import pytest

from pagingviz.migration import policy, precopy, send
from pagingviz.migration.effects import BeginPackage, SendPages
from pagingviz.migration.policy import Period, Throttle, throttled
from pagingviz.migration.wire import FREQUENCY, PAGE
from pagingviz.reading.rounds import paces, working_set
from pagingviz.scenario.scenario import from_mapping
from pagingviz.timeline.simulation import Simulation
from tests.migration.closed_forms import sweep
from tests.migration.finished import by_round, intercept, live, moved, to_the_end, wiretap

pytestmark = pytest.mark.slow

GIGABIT = {  # 128 MiB over 1 Gb/s: 32 µs a page, so that 50 ms are 1,523 pages and 300 ms are 9,137
    "scenario": "moving",
    "road": "hap",
    "hap": "ept",
    "frames": 32768,
    "trace": "",
    "work": "uniform:31000",
    "write": 10,
    "quantum": 100,
    "policy": "qemu",
    "downtime": 300_000,
    "bandwidth": 125,
    "pace": 1,
    "migrate_at": 400_000,
    "tracking": "free",
}
SECOND = 1_000_000 * FREQUENCY


def gigabit(**fields):
    """A simulation of that guest, moved to the end."""
    return to_the_end(Simulation(from_mapping(GIGABIT | fields)))


def milliseconds(sim):
    """The pause."""
    return sim.migration.state.downtime / FREQUENCY / 1e3


def moved_with_differences(**fields):
    """The scenario `moving` with a cache that holds all of its pages."""
    return to_the_end(Simulation(from_mapping({"scenario": "moving", "xbzrle": 256, "tracking": "free", "pace": 100} | fields)))


# ---- how long a pause is allowed


def test_second_reading_26_the_default_downtime_is_300_ms():
    """QEMU's downtime-limit. With it the guest of GIGABIT needs no more said to be moved."""
    assert from_mapping({}).downtime == 300_000
    assert gigabit(downtime=from_mapping({}).downtime).migration.state.equal
    assert from_mapping({"scenario": "moving"}).downtime == 300, "a guest of 0.6 ms on the wire says how little it is allowed"


# ---- when it looks


@pytest.mark.parametrize(("write", "syncs"), [(10, {2}), (65, {3, 4, 5})])
def test_second_reading_10_qemu_switches_over_within_a_round(write, syncs):
    """As soon as what is left is allowed the bitmap is read, and when it is allowed after that, too, the guest is suspended.

    So the pause comes close to what is allowed, and pages that are dirtied once more are not sent live.
    """
    sim = gigabit(write=write)
    st = sim.migration.state
    assert st.equal and 260 <= milliseconds(sim) <= 300
    assert len(live(sim)) in syncs
    assert all(r.sent < r.planned for r in live(sim)), "each reading came before the end of the set"
    assert write != 10 or sum(r.sent for r in live(sim)) < 30_000


def test_second_reading_10_an_estimate_then_the_exact_number():
    """The set after a reading is what was unsent and what has become dirty; the last one fits, and no earlier one does."""
    sim = gigabit(write=65)
    st, page = sim.migration.state, sim.migration.link.page
    allowed = 300_000 * FREQUENCY
    for r, after in zip(live(sim), st.rounds[1:], strict=True):
        unsent = r.planned - r.sent
        assert unsent * page <= allowed, "the estimate"
        assert max(unsent, r.dirtied) <= after.planned <= unsent + r.dirtied, "the exact number"
        assert (after.planned * page <= allowed) == (after.kind == "final")


def test_second_reading_10_it_looks_every_50_ms(monkeypatch):
    """MAX_WAIT: a package of pages lasts 50 ms, the last page of it aside, and no less."""
    begun = []

    def note(mig, effect, carry_out):
        carry_out()
        begun.append((len(mig.state.rounds), mig.state.package))

    intercept(monkeypatch, BeginPackage, note)
    sim = gigabit()
    inside = [b - a for (n, a), (m, b) in zip(begun, begun[1:], strict=False) if n == m]
    assert len(inside) > 10
    assert min(inside) >= 50_000 * FREQUENCY and max(inside) < 50_000 * FREQUENCY + 2 * sim.migration.link.page
    assert [r.sent * sim.migration.link.page // (50_000 * FREQUENCY) for r in live(sim)] == [16, 1]


def test_second_reading_10_the_search_goes_on_where_it_was_and_comes_round(monkeypatch):
    """Not from frame 0 again after each reading: a page just sent has the longest time to become dirty before its turn."""
    heard = wiretap(monkeypatch)
    st = gigabit(write=65).migration.state
    order = by_round(heard)
    at = 0
    for r in st.rounds[:-1]:
        frames = np.concatenate(order[r.number])
        assert np.unique(frames).size == frames.size
        onwards = (frames - at) % 32768
        assert np.all(np.diff(onwards) > 0)
        at = int(frames[-1]) + 1
    first = np.concatenate([np.concatenate(order[r.number]) for r in st.rounds])[:32768]
    assert np.array_equal(first, np.arange(32768)), "the first pass goes over all of memory once"


MUTANTS = {
    "looks at round ends only": (precopy, "switch_due", lambda now: False),
    "believes its estimate": (
        policy.Policy,
        "_qemu",
        lambda p, s: (policy.STOP, "") if s.dirty_count >= 0 else ("CONTINUE", ""),
    ),
    "looks after each piece": (precopy, "package_over", lambda now: True),
    "begins at frame 0 again": (precopy, "_onwards", lambda now, frames: frames),
    "XBZRLE from the first page on": (send, "_first_pass", lambda now: False),
}


def holds():
    """What the tests above find of the guests above."""
    sim = gigabit(write=65)
    st = sim.migration.state
    second = moved_with_differences().migration.state.rounds[1].bytes
    return st.equal, [r.sent for r in st.rounds], round(milliseconds(sim)), second


@pytest.mark.parametrize("name", MUTANTS)
def test_each_of_these_rules_makes_a_difference(name, monkeypatch):
    monkeypatch.setattr(*MUTANTS[name])
    broken = holds()
    monkeypatch.undo()
    assert broken != holds()


def test_pages_that_were_not_sent_yet_are_no_working_set():
    """A guest that stores to 1,000 pages: when the bitmap is read within a round, nine times as many pages are left."""
    sim = gigabit(work="hotcold:31000:1000:100")
    mig, read = sim.migration, live(sim)[-2:]
    assert len(read) == 2 and all(r.left > 5000 > 1500 > r.dirtied > 0 for r in read)
    assert [pace.pages for pace in paces(mig)[-2:]] == [r.left for r in read]
    assert working_set(mig) <= min(r.dirtied for r in read)


# ---- XBZRLE


@pytest.mark.parametrize("fields", [{}, {"road": "hap", "pml": 0}, {"road": "hap", "pml": 0, "superpages": 1}])
def test_second_reading_9_xbzrle_begins_after_the_first_whole_round(fields):
    """Its cache is empty then, so that round 2 goes whole; differences begin with the third time that a page is sent."""
    st = moved_with_differences(**fields).migration.state
    second, third = st.rounds[1], st.rounds[2]
    assert (second.planned, second.bytes) == (117, 117 * (PAGE + 8) + 16) == (117, 480_184)
    assert 0 < third.bytes < third.planned * PAGE / 10 and st.equal


def test_second_reading_9_within_a_round_it_begins_with_the_page_after_the_last_of_memory(monkeypatch):
    """QEMU's search is not back at the beginning of memory when the first reading comes."""
    sizes = []
    intercept(monkeypatch, SendPages, lambda mig, effect, carry_out: (sizes.append(effect), carry_out())[1])
    mig = gigabit(write=65, work="hotcold:31000:6000:90", xbzrle=40_000).migration
    sent = 0
    for effect in sizes:
        if sent + effect.frames.size <= 32768:
            assert effect.cached.size == 0 and effect.size == effect.frames.size * (PAGE + 8)
        else:
            assert sent >= 32768, "no piece lies across the border"
            assert effect.cached.size > 0
        sent += effect.frames.size
    assert sent > 33_000 and mig.state.equal


# ---- auto-converge


def test_second_reading_11_auto_converge_judges_at_most_once_a_second():
    """Readings that come sooner only add to the period; its limits are counted from judgement to judgement."""
    numbers, p = Throttle(), Period()
    for k in range(1, 11):
        p = throttled(p, 100, k * SECOND // 10, 100 * PAGE, numbers)
        assert (p.percent, p.high, p.pages) == (0, 0, 100 * k)
    p = throttled(p, 1, SECOND + 1, 100 * PAGE, numbers)
    assert p == Period(SECOND + 1, 100 * PAGE, 0, 1, 0)
    p = throttled(p, 51, 2 * SECOND + 2, 200 * PAGE, numbers)
    assert p == Period(2 * SECOND + 2, 200 * PAGE, 0, 0, 20)


def test_second_reading_11_its_numbers_can_be_set():
    """From 20 %, 10 more each time, to 99 %, when more than 50 % of what was sent is dirty again: QEMU's, and others."""
    shown = []
    for numbers, dirty in ((Throttle(), 51), (Throttle(40, 25, 80, 10), 11), (Throttle(), 50), (Throttle(trigger=60), 60)):
        p = Period()
        percents = []
        for k in range(1, 40):
            p = throttled(p, dirty, k * 2 * SECOND, k * 100 * PAGE, numbers)
            percents.append(p.percent)
        shown.append(sorted(set(percents)))
    assert shown == [[0, 20, 30, 40, 50, 60, 70, 80, 90, 99], [0, 40, 65, 80], [0], [0]]
    fields = {"throttle_initial": 40, "throttle_increment": 25, "throttle_max": 80, "throttle_trigger": 10}
    assert policy.throttle_of(from_mapping(fields)) == Throttle(40, 25, 80, 10)
    assert policy.throttle_of(from_mapping({})) == Throttle()


def test_second_reading_11_rounds_shorter_than_a_second_do_not_throttle():
    """The same guest over links of 10 Gb/s and 8 Mb/s: a round of 13 ms is not judged, one of 17 s is."""
    fields = {"frames": 4096, "pace": 20, "policy": "qemu", "throttle": 1, **sweep(4000, 10)}
    fast = moved(**fields, downtime=100).migration.state
    slow = moved(**fields, downtime=100_000, bandwidth=1).migration.state
    assert {r.throttle for r in fast.rounds} == {0} and fast.phase == "aborted"
    assert max(r.throttle for r in slow.rounds) >= 70 and slow.equal


def test_second_reading_22_a_good_period_does_not_reset_the_count():
    """Too dirty, good, too dirty: the second bad one throttles. Only throttling itself starts the count anew."""
    p, seen = Period(), []
    for k, dirty in enumerate((80, 10, 80, 10, 10, 80, 80), 1):
        p = throttled(p, dirty, k * 2 * SECOND, k * 100 * PAGE, Throttle())
        seen.append((p.high, p.percent))
    assert seen == [(1, 0), (1, 0), (0, 20), (0, 20), (0, 20), (1, 20), (0, 30)]
    told = f"{throttled.__doc__} {Period.__doc__}"
    assert "in two such periods" in told and "in a row" not in told
