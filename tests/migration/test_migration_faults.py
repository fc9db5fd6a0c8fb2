"""What goes wrong: lost links, no memory, a crash; mutants that lose a write; and a migration looked at from any moment."""

import dataclasses
import hashlib

import numpy as np
import pytest

from pagingviz.migration.effects import ReadBitmap, Resumed
from pagingviz.migration.wire import FREQUENCY
from pagingviz.reading import migration_frames
from pagingviz.reading.rounds import paces
from pagingviz.story.rounds import convergence
from pagingviz.timeline.simulation import Simulation
from tests.migration.finished import ROADS, guest, intercept, live, moved, never_moved, scenario, small, to_the_end

pytestmark = pytest.mark.slow

KINDS = ("precopy", "stop", "postcopy", "hybrid", "remus")


def went_on(sim):
    """The source runs as if nothing had been: log-dirty is off, and the guest is that of a run without migration."""
    sim.run(500)
    assert not sim.machine.sys[0].log_dirty and guest(sim) == guest(never_moved(sim)) and sim.audit() == ""


def a_sentence(why):
    return why[0].isupper() and why.endswith(".") and ". " not in why


# ---- failures


@pytest.mark.parametrize("road", ["shadow", "pv", "pml"])
@pytest.mark.parametrize(
    ("kind", "lost"),
    [
        ("precopy", 0),
        ("precopy", 100),
        ("precopy", 256),
        ("precopy", 280),
        ("stop", 0),
        ("stop", 200),
        ("hybrid", 100),
        ("remus", 270),
    ],
)
def test_a_link_lost_before_the_guest_has_left_costs_nothing(road, kind, lost):
    sim = moved(**small(road, migrate=kind, fail=f"link:{lost}"))
    st = sim.migration.state
    assert st.phase == "aborted" and st.equal is None and a_sentence(st.why) and "the source goes on" in st.why
    assert st.downtime == (st.resumed - st.suspended if kind == "stop" else 0) and lost <= st.total_sent < 512
    went_on(sim)


@pytest.mark.parametrize("road", ["shadow", "pv", "ept", "two vCPUs"])
def test_a_link_lost_in_the_last_round_resumes_the_source(road):
    """And the vCPUs' turns go on where they were, however long the pause was."""
    whole = moved(**small(road)).migration.state
    for before in (1, 2, 3):
        sim = moved(**small(road, fail=f"link:{whole.total_sent - before}"))
        st = sim.migration.state
        assert (st.phase, st.rounds[-1].kind) == ("aborted", "final") and st.downtime > 0 and st.paused > 0
        went_on(sim)


@pytest.mark.parametrize("kind", ["postcopy", "hybrid"])
@pytest.mark.parametrize(("what", "phase"), [("link", "broken"), ("host", "lost")])
def test_second_reading_13_a_lost_link_makes_both_sides_wait_and_a_lost_host_loses_the_guest(what, phase, kind):
    sim = moved(**small("ept", migrate=kind, fail=f"{what}:270" if kind == "hybrid" else f"{what}:100"))
    st, ops = sim.migration.state, int(sim.machine.sys[0].ops)
    assert st.phase == phase and a_sentence(st.why) and ("both sides wait" in st.why) == (what == "link")
    sim.run(1000)
    assert int(sim.machine.sys[0].ops) == ops


@pytest.mark.parametrize("kind", ["postcopy", "hybrid"])
@pytest.mark.parametrize("road", ["shadow", "pv", "ept"])
def test_second_reading_13_a_lost_link_can_be_recovered(road, kind):
    """Nothing is sent twice, the guest has lost nothing, and it stood still for as long as the link was away."""
    fields = small(road, migrate=kind, tracking="free", preempt=1, fail="link:270" if kind == "hybrid" else "link:100")
    sim, whole = moved(**fields, recover=5000), moved(**fields | {"fail": ""})
    st, r = sim.migration.state, sim.migration.state.rounds[-1]
    assert (st.phase, st.equal, st.why) == ("done", True, "") and r.sent == r.planned
    stall = 2 * sim.migration.link.latency + sim.migration.link.page
    assert r.stall - r.faults * stall == 5000 * FREQUENCY
    assert st.ended - st.began > whole.migration.state.ended - whole.migration.state.began + 4500 * FREQUENCY
    assert guest(sim) == guest(never_moved(sim))


def test_of_a_round_whose_bitmap_was_never_read_nothing_is_claimed():
    """A link that is lost in the second round: how fast the guest wrote is known of the first one alone."""
    mig = moved(**small("ept", fail="link:270")).migration
    assert mig.state.phase == "aborted" and [r.kind for r in mig.state.rounds] == ["live", "live"]
    assert [pace.number for pace in paces(mig)] == [1] and any("During round 1 " in text for text in convergence(mig))


@pytest.mark.parametrize("kind", ["precopy", "stop"])
def test_a_source_host_that_is_lost_takes_its_guest_with_it(kind):
    st = moved(**small("ept", migrate=kind, fail="host:100")).migration.state
    assert st.phase == "lost" and "the guest with it" in st.why
    sent = moved(**small("ept", migrate="remus", epochs=3)).migration.state.total_sent
    assert moved(**small("ept", migrate="remus", fail=f"host:{sent - 2}", epochs=3)).migration.state.phase == "done"


def test_a_pv_guest_that_changes_its_list_of_frames_is_not_moved():
    sim = moved(**small("pv", fail="p2m:300"))
    assert sim.migration.state.phase == "aborted" and "p2m_generation" in sim.migration.state.why
    went_on(sim)


def test_a_pool_without_a_page_for_the_tree_fails_the_reading():
    """Nested tables of 8192 frames take more than the 16 pages left: no page for the bitmap's tree, CLEAN gives ENOMEM."""
    sim = moved(**small("ept", frames=8192, do="pool:16@2000"))
    st = sim.migration.state
    assert st.phase == "aborted" and "ENOMEM" in st.why and a_sentence(st.why) and sim.counters()["no_memory"] == 1
    assert len(live(sim)) == 1 and st.downtime == 0
    went_on(sim)


def test_a_domain_that_crashes_is_not_moved():
    """Its memory is 12 superpages, and the pool has pages to split fewer: a store to the next one hangs the guest."""
    fields = small("superpages", frames=8192, work="uniform:6000", do="pool:16@2000,clean@90000", migrate_at=12_000)
    sim = moved(**fields)
    st = sim.migration.state
    assert sim.crashed and st.phase == "aborted" and a_sentence(st.why) and "crashed" in st.why and st.equal is None
    once, strides = Simulation(scenario(**fields)), Simulation(scenario(**fields))
    once.run(100_000)  # time passes over a dead domain, but its toolstack finds out when it would
    while strides.tick < once.tick:
        strides.run(5_000)
    assert everything(once) == everything(strides) and once.migration.state.ended == st.ended


# ---- mutants: a lost write is found out every time


def losing(monkeypatch, reading, seed):
    """From the `reading`-th CLEAN on the bit of one frame is lost: one whose page the destination does not have. [frame]."""
    victims, counted = [], [0]

    def lossy(mig, effect, carry_out):
        dirty = carry_out()
        counted[0] += 1
        if counted[0] == reading:
            index = mig.index_of(dirty)
            needed = dirty[mig.destination.versions[index] != mig.machine.view("ver")[index]]
            victims.append(int(needed[seed % needed.size]))
        return np.setdiff1d(dirty, victims)

    intercept(monkeypatch, ReadBitmap, lossy)
    return victims


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize(("reading", "seed"), [(1, 1), (1, 2), (2, 3), (3, 4)])
def test_one_lost_bit_is_a_wrong_destination(road, reading, seed, monkeypatch):
    """Not only that the two differ: they differ in that very page."""
    victims = losing(monkeypatch, reading, seed * 17)
    wrong = []

    def compare(mig, effect, carry_out):
        wrong.extend(mig.destination.differs(*mig.destination.image()).tolist())
        carry_out()

    intercept(monkeypatch, Resumed, compare)
    mig = moved(**small(road, seed=seed)).migration
    assert mig.state.phase == "done" and mig.state.equal is False
    assert wrong == victims == mig.state.old.tolist()
    assert np.flatnonzero(migration_frames.outdated(mig)).tolist() == victims, "the board of the destination shows them"


@pytest.mark.parametrize("road", ["ept", "pml", "npt", "shadow", "pv"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_clean_without_its_flush_is_a_wrong_destination(road, seed, monkeypatch):
    """Stale writable translations survive in the TLB, and stores through them set no bit. 60 pages stay in any TLB, one
    process never switches, and every page that is stored to is needed."""
    fields = small(road, work="uniform:60", seed=seed, policy="numbers", rounds=4, target=1)
    assert moved(**fields).migration.state.equal

    def without(mig, effect, carry_out):
        s = mig.machine.sys[0]
        before = {key: s[key].copy() for key in ("tlb_gen", "psc_gen", "npt_gen")}
        dirty = carry_out()
        for key, value in before.items():
            s[key] = value
        return dirty

    intercept(monkeypatch, ReadBitmap, without)
    st = moved(**fields).migration.state
    assert st.phase == "done" and st.equal is False


# ---- in time


def everything(sim):
    """Digest of the machine, of the migration's state, and of the destination."""
    h = hashlib.blake2b(sim.machine.digest().encode(), digest_size=16)
    state, mig = sim.migration.state, sim.migration
    for f in dataclasses.fields(state):
        value = getattr(state, f.name)
        h.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    for part in (*mig.destination.arrays, *mig.cache.copy(), *(mig.image or ()), *(mig.checked or ())):
        h.update(np.ascontiguousarray(part).tobytes())
    return h.hexdigest()


@pytest.mark.parametrize(
    ("road", "kind"),
    [
        *((road, kind) for road in ("shadow", "pml") for kind in KINDS),
        ("pv", "precopy"),
        ("pv", "postcopy"),
        ("two vCPUs", "precopy"),
        ("two vCPUs", "hybrid"),
    ],
)
def test_every_moment_is_that_of_a_fresh_run(road, kind):
    """Forward in strides of any length, by seeks back and forth, by single steps, and out of an opened tick."""
    sc = scenario(**small(road, migrate=kind, epochs=3, epoch=500, xbzrle=32, throttle=1, prefetch=3, pace=5))
    whole = to_the_end(Simulation(sc), 777)
    end, rng = whole.tick, np.random.default_rng(1)
    fresh = Simulation(sc)
    moments = sorted(
        {
            2999,
            3000,
            3001,
            end - 1,
            end,
            *rng.integers(3000, end, 4).tolist(),
            *(t + d for r in whole.migration.state.rounds[:2] for t in (r.tick,) for d in (0, 1)),
        }
    )
    expected = {}
    for tick in moments:
        fresh.run(tick - fresh.tick)
        expected[tick] = everything(fresh)
    assert expected[end] == everything(whole) and len(set(expected.values())) == len(expected)
    for tick in rng.permutation(moments).tolist():
        whole.seek(tick)
        assert everything(whole) == expected[tick], tick
        if tick % 3 == 0:
            k, n = whole.micro(10**6)
            whole.micro(max(1, n // 2))
            whole.close()
            assert everything(whole) == expected[tick], tick
    whole.seek(moments[5] - 3)
    for _ in range(3):
        whole.step()
    assert everything(whole) == expected[moments[5]]
