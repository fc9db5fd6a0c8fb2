"""Closed forms of the manual, the rest: auto-converge (11), post-copy (12), Remus (13), bounds (14), rows (a) to (d).

Notation and tolerances: test_migration_forms.py.
"""

import math

import numpy as np
import pytest

from pagingviz.migration import wire
from tests.migration.closed_forms import LARGE, fixed, sweep, uniform
from tests.migration.finished import SIGMAS, close, dirtied, distinct, live, moved

pytestmark = pytest.mark.slow

# ---- 11: auto-converge


@pytest.mark.parametrize("rho", [1.6, 2, 4])
def test_form_11_auto_converge_throttles_until_the_rounds_shrink(rho):
    """Throttle p leaves (1 - p) rho, and is raised until that is below one half: p* = 100 (1 - 0.5 / rho) percent.

    20, 30, ...: 2 ceil((p* - 20) / 10 + 1) rounds are too dirty, two a step; after them every round shrinks by that factor.
    At 1 MB/s a round of 4096 pages lasts 17 s: each of more than 244 pages is judged. A pause of 2 pages is allowed.
    """
    sim = moved(frames=4096, pace=int(10 * rho), policy="qemu", throttle=1, bandwidth=1, downtime=10_000, **sweep(4000, 10))
    least = 100 * (1 - 0.5 / rho)
    steps = math.ceil((least - 20) / 10 + 1)
    rounds = live(sim)
    hot = [r for r in rounds if r.dirtied > r.sent / 2 and r.sent > 244]
    last = 20 + (steps - 1) * 10
    assert len(hot) == 2 * steps and [r.number for r in hot] == list(range(1, 2 * steps + 1))
    assert [r.throttle for r in rounds[: 2 * steps]] == [0, 0, *np.repeat(np.arange(20, last, 10), 2)]
    assert {r.throttle for r in rounds[2 * steps :]} == {last}
    for r in rounds[2 * steps :]:
        assert abs(r.dirtied - (1 - last / 100) * rho * r.sent) <= 2
    assert sim.migration.state.equal


def test_form_11_without_it_the_same_guest_never_gets_there():
    st = moved(frames=64, pace=20, policy="qemu", downtime=10, **sweep(30, 10)).migration.state
    assert st.phase == "aborted" and "100 rounds" in st.why


# ---- 12: post-copy


def pushing(m, n, touches, stall):
    """Demand faults of post-copy in the mean: m pages, n of them touched at random `touches` times in the time of one page.

    The wire brings a page in each unit of time, wanted or not, and a fault costs the guest `stall`. The background goes on from
    each wanted page, so what has arrived lies at random, and a touch meets a page that has not with 1 - arrived / m.
    """
    faults = arrived = 0.0
    dg = m / 40_000
    while arrived < m:
        df = touches * (1 - arrived / m) * dg
        arrived, faults = arrived + dg + stall * df, faults + df
    return faults


@pytest.mark.parametrize("latency", [0, 10, 50])
@pytest.mark.parametrize("share", [10, 30])
def test_form_12_post_copy(share, latency):
    """Blocked time is faults x (RTT + 1/B) exactly; the number of faults that of the differential equation.

    Faults of single pages are at most binomial. Besides: the root and tables on the way (3 levels of n / 512), and a slot in
    which pages count as there from its beginning on, 1/256 of the time.
    """
    m, n = 4096, 4000
    order = ",".join(["0"] * (share // 10) + ["1"] * (10 - share // 10))
    fields = uniform(n, migrate="postcopy", latency=latency, pace=1, order=order, quantum=1, preempt=1)
    fields |= {"work": f"uniform:{n},idle"}
    fields["migrate_at"] = 10 * fields["migrate_at"]  # so many turns are idle
    sim = moved(frames=m, **fields)
    mig, r = sim.migration, sim.migration.state.rounds[-1]
    stall = 2 * mig.link.latency + mig.link.page
    assert r.kind == "pushed" and r.stall == r.faults * stall
    mean = pushing(m, n, share / 100, stall / mig.link.page)
    assert close(r.faults, mean, math.sqrt(mean), slack=n / 512 + 4 + mean / 128)
    assert (
        -mig.op <= r.ended - r.began - m * mig.link.page <= m * mig.link.page / 256 + stall
    )  # background goes on during a stall
    if latency == 0:  # closed forms of that equation; with a(t) = w e^(-w t / N) the integral of form 12, to second order
        a = share / 100
        assert mean == pytest.approx(m * (1 - math.log(1 + a) / a), rel=1e-3)
        assert mean == pytest.approx(m * (1 - (1 - math.exp(-a)) / a), rel=a / 2)


# ---- 13: Remus


def test_form_13_remus_pays_per_epoch_for_the_pages_it_dirtied():
    """Pause = |D(e)| c_copy + c_fixed, |D(e)| by form 2 with k = w e: longer epochs amortise, their sets grow sublinearly."""
    n, shares, means = 2000, [], []
    for epoch in (250, 1000, 4000):
        sim = moved(frames=2048, migrate="remus", epoch=epoch, epochs=6, pace=4, **uniform(n))
        mig, found = sim.migration, [r for r in sim.migration.state.rounds if r.kind == "checkpoint"]
        assert len(found) == 5 and mig.state.equal and mig.state.checkpoints == 6
        for r in found:
            assert close(r.sent, *distinct(n, epoch), slack=2)  # the tick at either end
            pause = r.sent * mig.link.page + mig.table["suspend"] + mig.table["resume"]
            assert pause <= r.stall <= r.sent * mig.link.page + fixed(sim)
        ran = np.diff([r.began for r in found]) - [r.stall for r in found[:-1]]
        assert np.allclose(ran, epoch * mig.op, rtol=2 / epoch)
        means.append(np.mean([r.sent for r in found]))
        shares.append(sum(r.stall for r in found) / (sum(r.stall for r in found) + 5 * epoch * mig.op))
    assert means[0] < means[1] < 4 * means[0] and means[1] < means[2] < 4 * means[1]
    assert shares[0] > shares[1] > shares[2]


# ---- 14: bounds


@pytest.mark.parametrize("name", ["xen", "legacy"])
@pytest.mark.parametrize("work", ["sequential:1900:1", "uniform:1900", "hotcold:1900:100:90", "zipf:1900:0.99"])
@pytest.mark.parametrize("pace", [1, 25])
def test_form_14_bounds_of_the_total_and_of_the_downtime(name, work, pace):
    """M/B <= total <= 6 M/B + fixed (Xen), <= (3 + 2) M/B + fixed (legacy); downtime <= M/B + fixed."""
    sim = moved(frames=2048, pace=pace, policy=name, work=work, write=100, migrate_at=40_000, **LARGE)
    mig, st, m = sim.migration, sim.migration.state, 2048
    most = {"xen": 6, "legacy": 5}[name]
    slack = fixed(sim) + len(st.rounds) * (2 * mig.op + mig.link.cycles(2 * wire.PAGE_DATA))
    assert st.equal and m <= st.total_sent <= most * m
    assert m * mig.link.page <= st.ended - st.began <= most * m * mig.link.page + slack
    assert st.downtime <= m * mig.link.page + fixed(sim)
    assert len(live(sim)) <= {"xen": 5, "legacy": 29}[name]
    if name == "legacy":  # what was skipped was not sent, and does not count
        sent = [r.sent for r in live(sim)]
        assert sum(sent[:-1]) <= 3 * m and ("3 times the guest" in st.stop) == (sum(sent) > 3 * m)


# ---- the table of cross-checks


def test_row_a_nothing_is_stored_to():
    """w = 0: V_1 = 0, and nothing is left for the pause."""
    sim = moved(frames=2048, **uniform(1900, write=0))
    st = sim.migration.state
    assert dirtied(sim).tolist() == [0] and [(r.kind, r.sent) for r in st.rounds] == [("live", 2048), ("final", 0)]
    assert st.downtime <= fixed(sim) and st.equal


@pytest.mark.parametrize("write", [1, 3])
def test_row_b_few_stores_all_hit_different_pages(write):
    """a -> 0: V_1 ~ w T_0. The stores are binomial; those that meet a page twice are 1/2 (w T_0)^2 / N, here at most 1.6 %."""
    n = 4000
    sim = moved(frames=4096, pace=1, **uniform(n, write=write))
    k = live(sim)[0].ticks * write / 100
    assert close(dirtied(sim)[0], k, math.sqrt(k), slack=k * k / (2 * n)) and k * k / (2 * n) < 0.016 * k


def test_row_c_a_guest_that_stores_without_end_dirties_all_in_every_round():
    """w -> inf: V_i = N. With 20 N stores a round the chance that a page is spared is e^-20, for all pages and rounds 4e-5."""
    sim = moved(frames=4096, pace=20, **uniform(4000))
    assert dirtied(sim).tolist() == [4000] * 5 and sim.migration.state.rounds[-1].sent == 4000


@pytest.mark.parametrize("work", ["uniform:1", "hotcold:1:1:100"])
def test_row_d_one_hot_page_is_dirty_in_every_round(work):
    """V_i = 1 for all i >= 1, so that the first CLEAN's answer ends the live part; with other rules it never ends."""
    sim = moved(frames=2048, work=work, write=100, pace=20, **LARGE)
    assert dirtied(sim).tolist() == [1, 1] and sim.migration.state.stop == "dirty_count 1 < 50"
    sim = moved(frames=2048, work=work, write=100, pace=20, policy="numbers", rounds=40, target=1, **LARGE)
    assert dirtied(sim).tolist() == [1] * 40


def test_the_width_of_every_tolerance_is_that_of_the_formula():
    """Known of form 2: N = 10000, k = 7000: 5034.3, sd 27.8. A tolerance of 4.5 of them is 2.5 %."""
    mean, sd = distinct(10_000, 7000)
    assert (round(mean, 1), round(sd, 1)) == (5034.3, 27.8) and SIGMAS * sd < 0.025 * mean
