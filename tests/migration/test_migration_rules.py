"""Rules of the toolstack's loop: H 29 to H 34 and H 36 of the manual (manual/rules.md), over roads, kinds and policies."""

import numpy as np
import pytest

from pagingviz.migration import wire
from pagingviz.migration.effects import Suspend
from pagingviz.migration.policy import CONTINUE, STOP
from pagingviz.scenario.scenario import FIELDS
from tests.migration.finished import ROADS, by_round, intercept, live, moved, small, warmth, wiretap

pytestmark = pytest.mark.slow

ALL = ("live", "final", "checkpoint")  # rounds
POLICIES = next(field.choices for field in FIELDS if field.name == "policy")
KINDS = ("precopy", "stop", "postcopy", "hybrid", "remus")
XEN = ((0, 0, 256, CONTINUE), (1, 256, -1, CONTINUE))  # what the policy is asked first, and what it answers


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_destination_is_the_source_on_every_road_by_every_way(road, kind):
    sim = moved(**small(road, migrate=kind))
    st = sim.migration.state
    assert (st.phase, st.equal, sim.audit()) == ("done", True, "")
    assert not sim.machine.sys[0].log_dirty


@pytest.mark.parametrize("road", ["shadow", "pv", "ept", "two vCPUs"])
@pytest.mark.parametrize("name", POLICIES)
def test_29_sets_readings_and_suspends_of_each_policy(road, name, monkeypatch):
    """Xen: at most 5 live sets and 4 live CLEANs, one suspend, one last CLEAN, at most 6 times the guest on the wire."""
    suspends = []
    intercept(monkeypatch, Suspend, lambda mig, effect, carry_out: (suspends.append(mig), carry_out()))
    sim = moved(**small(road, policy=name, throttle=1))
    st, m = sim.migration.state, sim.scenario.frames
    assert st.phase == "done" and st.equal
    assert [r.kind for r in st.rounds] == ["live"] * (len(st.rounds) - 1) + ["final"] and suspends == [sim.migration]
    readings = sum(1 for call in st.calls if call[0] and call[2] >= 0)
    assert sim.counters()["cleans"] == readings + 1
    if name == "xen":
        assert len(live(sim)) <= 5 and readings <= 4 and st.total_sent <= 6 * m


@pytest.mark.parametrize("road", ["shadow", "ept", "pv"])
@pytest.mark.parametrize("pace", [3, 60])
def test_the_policy_is_asked_before_and_after_every_reading(road, pace):
    """(0, 0, p2m_size), (1, p2m_size, -1), (1, p2m_size, n), (2, p2m_size + n, -1), ...: xg_sr_save.c, send_memory_live."""
    st = moved(**small(road, pace=pace, tracking="free")).migration.state
    assert tuple(st.calls[:2]) == XEN
    written, sets = 256, [r.planned for r in live_of(st)]
    for x, (before, after) in enumerate(zip(st.calls[1::2], [*st.calls[2::2], None], strict=False), 1):
        assert before[:3] == (x, written, -1)
        if after is None:
            assert before[3] == STOP and x == 5
            return
        assert after[:2] == (x, written) and after[2] == sets[x]
        if after[3] == STOP:
            assert 0 < after[2] < 50
            return
        written += after[2]
    raise AssertionError("it ends with a STOP")


def live_of(st):
    """The live rounds of a state."""
    return [r for r in st.rounds if r.kind == "live"]


@pytest.mark.parametrize("road", ROADS)
def test_30_a_small_set_is_sent_live_and_then_the_guest_is_suspended(road):
    """STOP still sends what is in hand; what is dirtied meanwhile goes with the last set, and no CLEAN comes in between."""
    sim = moved(**small(road, pace=2, tracking="free", write=10))
    st = sim.migration.state
    *sets, last = st.rounds
    assert 0 < sets[-1].planned < 50 and sets[-1].kind == "live" and len(sets) < 5
    assert st.calls[-1][2:] == (sets[-1].planned, STOP) and last.kind == "final" and last.planned == sets[-1].dirtied
    assert sim.counters()["cleans"] == len(sets)  # len(sets) - 1 live ones, and the last
    assert all(r.planned >= 50 for r in sets[:-1])


@pytest.mark.parametrize("name", ["xen", "legacy", "clark", "numbers"])
@pytest.mark.parametrize("frames", [416, 2100])
def test_31_ascending_once_a_round_and_at_most_1024_a_record(name, frames, monkeypatch):
    heard = wiretap(monkeypatch)
    fields = {"work": "uniform:400", "frames": frames, "write": 60, "policy": name, "skip": 1, "rounds": 8}
    sim = moved(**fields, pace=6, migrate_at=5000)
    st = sim.migration.state
    rounds = by_round(heard)
    assert list(rounds) == [r.number for r in st.rounds if r.sent] and st.equal
    for r in st.rounds:
        records = rounds.get(r.number, [])
        order = np.concatenate([*records, []])
        assert np.all(np.diff(order) > 0) and order.size == r.sent and r.sent + r.skipped >= r.planned
        assert all(record.size <= 1024 for record in records)
        assert len(records) == -(-(order.size if name in ("legacy", "clark", "numbers") else r.planned) // 1024)
        assert r.bytes == order.size * wire.ENTRY + r.data * wire.PAGE + len(records) * wire.PAGE_DATA
        assert all(record.size for record in records)
    everything = np.unique(np.concatenate([record for records in rounds.values() for record in records]))
    assert np.array_equal(everything, np.arange(frames))


@pytest.mark.parametrize("kind", ["precopy", "stop", "remus"])
@pytest.mark.parametrize("road", ["shadow", "pv", "ept"])
def test_33_times_add_up(road, kind):
    """A round takes as long as its bytes; rounds and pauses are all there is. +-: what is sent in one piece is rounded up to a
    cycle, waiting for it to a tick of the guest (`op` cycles, here without exits), the suspended guest's to a turn of vCPUs."""
    sim = moved(**small(road, migrate=kind, tracking="free", epochs=3))
    mig, st = sim.migration, sim.migration.state
    state = wire.STATE[sim.scenario.road] + wire.CHECKPOINT * (kind == "remus")
    for r in st.rounds:
        exact = r.bytes * wire.FREQUENCY / mig.link.bandwidth
        pieces = -(-r.planned // wire.chunk(r.planned)) + 1
        assert exact <= r.ended - r.began <= exact + pieces + mig.op
    pauses = sum(r.kind != "live" for r in st.rounds)
    latency = 0 if kind == "remus" else mig.link.latency
    each = mig.table["suspend"] + mig.table["resume"] + latency + mig.link.cycles(state)
    rounds, final = (sum(r.ended - r.began for r in st.rounds if r.kind in kinds) for kinds in (ALL, ALL[1:]))
    assert abs(st.downtime - final - pauses * each) <= 2 * pauses * mig.op
    epochs = (pauses - 1) * sim.scenario.epoch * mig.op
    assert abs(st.ended - st.began - rounds - pauses * each - epochs) <= 2 * (pauses + len(st.rounds)) * mig.op
    assert st.bytes == sum(r.bytes for r in st.rounds) + pauses * state


def test_33_stop_and_copy_is_the_longest_pause():
    """downtime <= RAM / B + what is fixed, for whatever guest and policy; that is what copying a suspended guest takes."""
    most = moved(**small("ept", migrate="stop", tracking="free")).migration.state.downtime
    for name in POLICIES:
        st = moved(**small("ept", policy=name, tracking="free", pace=60, throttle=1, write=100)).migration.state
        assert st.equal and st.downtime < most


def test_34_fewer_stores_never_need_more_rounds_under_an_exact_threshold():
    """The stores of a lower `write` are some of those of a higher one, at the same ticks. Every pause is as short as wanted."""
    needed = []
    for write in range(20, 100, 25):
        sim = moved(
            work="uniform:900",
            frames=1024,
            write=write,
            pace=1,
            policy="qemu",
            downtime=100,
            migrate_at=warmth(900, 20),
            direct_map_pages="large",
        )
        st = sim.migration.state
        assert st.equal and st.stop.endswith("<= 0.1 ms")
        assert st.rounds[-1].planned * sim.migration.link.page <= 100 * wire.FREQUENCY
        needed.append(len(live(sim)))
    assert needed == sorted(needed) and needed[0] < needed[-1]


def test_34_below_the_threshold_a_slower_writer_can_have_the_longer_pause():
    """Only the bound is monotone. Two sweeps: 4096 (5/11)^5 = 79 pages are few enough, and so are 4096 (1/2)^6 = 64."""
    slower, faster = (
        moved(
            work=f"sequential:4000:{repeat}",
            frames=4096,
            write=100,
            pace=20,
            policy="qemu",
            downtime=330,
            migrate_at=4000 * repeat,
            direct_map_pages="large",
        )
        for repeat in (44, 40)
    )
    assert (len(live(slower)), len(live(faster))) == (5, 6)
    assert slower.migration.state.downtime > faster.migration.state.downtime


def test_34_the_cap_on_rounds_can_end_in_a_burst():
    """The known exception. A guest works for 50,000 ticks and rests as long: over the faster link (6 ticks a page) Xen's fifth
    round ends amid the work and the pause takes all its pages, over the slower one (8) nothing. A threshold waits for the rest.
    """
    fields = {
        "work": "uniform:1000,idle",
        "quantum": 50_000,
        "frames": 1100,
        "write": 100,
        "migrate_at": 20_000,
        "direct_map_pages": "large",
        "downtime": 100,
    }
    fast, slow = (moved(pace=pace, **fields).migration.state.rounds[-1].planned for pace in (6, 8))
    assert fast > 900 and slow == 0
    for pace in (6, 8):
        sim = moved(pace=pace, policy="qemu", **fields)
        assert sim.migration.state.rounds[-1].planned * sim.migration.link.page <= 100 * wire.FREQUENCY


@pytest.mark.parametrize("gfn", [3, 5, 9])
def test_36_a_table_in_flux_waits_for_the_suspend(gfn, monkeypatch):
    """EAGAIN: an entry without a page each time that it is due, and the page with the last set."""
    heard = wiretap(monkeypatch)
    sim = moved(**small("pv", fail=f"flux:{gfn}"))
    st = sim.migration.state
    due = [n for n, records in by_round(heard).items() if any(gfn in record for record in records)]
    final = st.rounds[-1]
    assert st.equal and final.kind == "final" and due[0] == 1 and due[-1] == final.number
    assert st.sent_in[gfn] == final.number and st.times[gfn] == 1
    assert sum(r.skipped for r in st.rounds) == len(due) - 1 and final.skipped == 0 and st.deferred.size == 0
