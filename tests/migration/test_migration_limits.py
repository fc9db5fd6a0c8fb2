"""A downtime that grows, limits of time and rounds, post-copy as fall-back, channels, and policy=stall (VEP 248, 291)."""

import pytest

from pagingviz.experiments.migrations import report
from pagingviz.migration.policy import ABORT, CONTINUE, STOP, Stats, policy_of
from pagingviz.migration.stall import Margins, Progress, after_reading
from pagingviz.migration.wire import FREQUENCY
from pagingviz.scenario.scenario import from_mapping
from tests.migration.closed_forms import sweep, uniform
from tests.migration.finished import live, moved

pytestmark = pytest.mark.slow

S = 1_000_000 * FREQUENCY
NEVER = {"frames": 2048, "policy": "qemu", "pace": 20, "downtime": 1000, **uniform(1900)}  # 2,000 pages take 6.6 ms


# ---- a downtime that grows


def test_the_downtime_that_is_allowed_grows_from_the_third_reading_on():
    """From 150 ms, 150 ms more every 10 s, up to 1,050 ms: the defaults of VEP 291."""
    fields = {"policy": "qemu", "downtime": 1_050_000, "downtime_from": 150_000}
    policy = policy_of(from_mapping(fields))
    allowed = [policy.limit_after(int(t * S)) for t in (-1, 0, 9.9, 10, 19.9, 20, 60, 1000)]
    assert allowed == pytest.approx([0.15, 0.15, 0.15, 0.3, 0.3, 0.45, 1.05, 1.05])
    assert policy_of(from_mapping({"policy": "qemu"})).limit_after(-1) == 0.3


def test_a_guest_that_never_converges_does_when_the_downtime_has_grown():
    """What is left stays at 6.2 ms: a pause of 1 ms is never enough, one of 8 ms at once; a ramp comes to it in steps."""
    ramp = NEVER | {"downtime": 8000, "downtime_from": 1000, "downtime_step": 1000, "downtime_wait": 10_000}
    never, at_once, later = (moved(**fields).migration for fields in (NEVER, NEVER | {"downtime": 8000}, ramp))
    assert never.state.phase == "aborted" and at_once.state.equal and later.state.equal
    assert len(at_once.state.rounds) == 2 < len(later.state.rounds) < 30
    assert later.state.ended - later.state.ramp > 40_000 * FREQUENCY and "<= 7 ms" in later.state.stop


# ---- limits


@pytest.mark.parametrize(
    ("limit", "why"), [({"limit_rounds": 7}, "in 7 rounds"), ({"limit_time": 50_000}, "in 0.05 s"), ({}, "in 100 rounds")]
)
@pytest.mark.parametrize("then", ["cancel", "stop", "postcopy"])
def test_an_overdue_migration_is_cancelled_stopped_or_finished_as_post_copy(limit, why, then):
    sim = moved(**NEVER, **limit, at_limit=then)
    st = sim.migration.state
    assert report(sim)["readings"] == len(live(sim)), "it is overdue after a reading, which counts, too"
    if "limit_rounds" in limit:
        assert len(live(sim)) == 7
    if then == "cancel":
        assert st.phase == "aborted" and why in st.why and st.left > 1500
        return
    assert st.phase == "done" and st.equal and st.rounds[-1].kind == {"stop": "final", "postcopy": "pushed"}[then]
    assert (st.downtime > 5000 * FREQUENCY) == (then == "stop"), "post-copy's pause is short whatever is left"
    assert st.fell_back == (then == "postcopy") and why in st.stop


def test_post_copy_as_fall_back_sends_what_is_stale_and_no_more():
    st = moved(**NEVER, limit_rounds=3, at_limit="postcopy", preempt=1).migration.state
    *rounds, last = st.rounds
    assert last.planned == last.sent == rounds[-1].dirtied and last.faults > 0 and len(rounds) == 3


# ---- channels


def test_channels_carry_pages_side_by_side_and_state_alone():
    """Four links: the first round takes a quarter of the time, and the state as long as before. The guest is no faster."""
    one, four = (moved(frames=2048, migrate="precopy", channels=n, **uniform(1900, write=0)).migration for n in (1, 4))
    first = [mig.state.rounds[0].ended - mig.state.rounds[0].began for mig in (one, four)]
    assert first[0] / first[1] == pytest.approx(4, rel=0.01) and one.op == four.op
    assert one.state.pause["state"] == four.state.pause["state"] and one.state.bytes == four.state.bytes
    busy = {"frames": 2048, "pace": 2, **uniform(1900)}
    fast, slow = (moved(**busy, channels=n).migration.state.rounds[0].dirtied for n in (4, 1))
    assert fast < slow


# ---- policy=stall


def readings(numbers, every=10, margins=None):
    """What is found of a migration of which so many pages are left at a reading every so many seconds: [(stalled, minimum)]."""
    p, out = Progress(), []
    for k, left in enumerate(numbers):
        p, minimum = after_reading(p, k * every * S, left, margins or Margins())
        out.append((p.stalled, minimum))
    return out


def test_a_migration_has_stalled_when_nothing_is_4_percent_below_the_best_of_40_s_ago():
    falling = [1000 * 0.98**k for k in range(20)]  # 8 % in 40 s
    assert not any(stalled for stalled, _ in readings([int(n) for n in falling]))
    slowly = [int(10_000 * 0.991**k) for k in range(20)]  # 3.6 %
    assert [stalled for stalled, _ in readings(slowly)].index(True) == 4
    wave = [1000, 900, 1100, 800, 850, 700, 740, 600, 650, 500]  # it rises at times, and falls all the same
    assert not any(stalled for stalled, _ in readings(wave))


def test_then_it_waits_for_a_local_minimum():
    """The best of the readings since the stall began, within 4 %; 40 s later the next best is enough, 20 s later the next."""
    found = readings([1000, 500, 520, 510, 530, 519, 540, 600, 521, 600])
    assert found[5] == (True, True) and found[4] == (False, False)
    found = readings([1000, 400, 700, 800, 700, 600, 650, 640, 630, 660, 625])
    assert found[5][0] and [minimum for _, minimum in found[5:9]] == [False] * 4
    assert found[9] == (True, False) and found[10] == (True, True), "630 was the best since: 625 will do"


def test_under_a_ceiling_it_stops_beyond_it_waits_and_far_beyond_it_gives_up():
    policy = policy_of(from_mapping({"policy": "stall"}))
    for ms, minimum, answer in (
        (299, False, STOP),
        (301, False, CONTINUE),
        (301, True, STOP),
        (899, True, STOP),
        (1349, True, CONTINUE),
        (1351, True, ABORT),
        (1351, False, CONTINUE),
    ):
        asked = Stats(5, 0, 100, 1000, seconds=ms / 1e3, limit=0.3, minimum=minimum)
        assert policy.ask(asked)[0] == answer, ms


@pytest.mark.parametrize("left", [1, 12])
@pytest.mark.parametrize(
    ("policy", "known", "why"),
    [
        ("legacy", {"dirty_count": -1}, "pages in the round: {} < 50"),
        ("clark", {}, "what is left (pages: {}) is less than 256 KB"),
        ("clark", {"dirty_count": 900, "dirty_rate": 75.0}, "the next round would need 83 MB/s, and the link has 80 MB/s"),
        ("qemu", {"seconds": 0.25, "limit": 0.3}, "what is left (pages: {}) takes 250.000 ms <= 300 ms"),
        (
            "stall",
            {"seconds": 0.9, "minimum": True},
            "it has stalled, and at this local minimum what is left (pages: {}) takes 900.000 ms <= 900 ms",
        ),
    ],
)
def test_why_a_policy_stops_is_a_clause_that_fits_one_page_and_many(policy, known, why, left):
    stats = Stats(**{"iteration": 3, "total_written": 0, "dirty_count": left, "p2m_size": 4096, "sent": left} | known)
    fields = {"policy": policy, "bandwidth": "80"}
    assert policy_of(from_mapping(fields)).ask(stats) == (STOP, why.format(left))


@pytest.mark.parametrize(
    ("ceiling", "then", "phase"), [(9000, "cancel", "done"), (2000, "cancel", "aborted"), (2000, "postcopy", "done")]
)
def test_a_guest_that_stalls_is_switched_over_or_not(ceiling, then, phase):
    """6.2 ms are left again and again."""
    fields = NEVER | {"policy": "stall", "stall_time": 40_000, "stall_downtime": ceiling, "at_limit": then}
    st = moved(**fields).migration.state
    assert st.phase == phase and 6 <= len([r for r in st.rounds if r.kind == "live"]) < 30
    if phase == "done":
        assert st.equal and st.fell_back == (then == "postcopy") and "it has stalled" in st.stop
    else:
        assert "it has stalled" in st.why and "was cancelled" in st.why


def test_a_guest_that_converges_is_not_found_to_stall():
    st = moved(frames=2048, policy="stall", pace=5, downtime=100, stall_time=1000, **sweep(1900, 10)).migration.state
    assert st.equal and not st.progress.stalled
