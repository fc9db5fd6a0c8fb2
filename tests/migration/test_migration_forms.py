"""The migration against closed forms: what arithmetic and probability theory say of rounds, without any simulation.

A test is named after the number of its closed form in the manual (manual/rules.md, F 1 to F 14), or the letter of its limit.
M: frames of the guest; N: pages of the work, all mapped before the migration begins; B: one page a unit of time, so that T, the
length of a round, is the number of pages sent; a = w / B: stores while one page goes over the wire, pace times the share of
stores. Tolerances are SIGMAS standard deviations of what is random (finished.py), and, said at each place, what time in whole
ticks and whole pages costs: a round is up to 1 tick longer than its pages, one more for each record of 1024.
"""

import math

import numpy as np
import pytest

from pagingviz.timeline.simulation import Simulation
from tests.migration.closed_forms import LARGE, fixed, sweep, uniform
from tests.migration.finished import SIGMAS, close, dirtied, distinct, live, met, moved, scenario

pytestmark = pytest.mark.slow

# ---- 1, (e): a constant rate of fresh pages


@pytest.mark.parametrize(("repeat", "rho"), [(80, 0.25), (40, 0.5), (25, 0.8)])
def test_form_1_fresh_pages_at_a_constant_rate_shrink_the_rounds_geometrically(repeat, rho):
    """V_i = M rho^i; all pages M (1 - rho^(n+1)) / (1 - rho); downtime M rho^n / B and what is fixed.

    Whole pages: a round that begins within a page finds one more, and that page's share of each round after it.
    """
    sim = moved(frames=4096, pace=20, **sweep(4000, repeat))
    st, m = sim.migration.state, 4096
    more = 1 / (1 - rho) + 1
    sent = [r.sent for r in st.rounds]
    assert len(sent) == 6 and sent[0] == m
    for i, v in enumerate(sent):
        assert abs(v - m * rho**i) <= more
    assert abs(st.total_sent - m * (1 - rho**6) / (1 - rho)) <= 6 * more
    assert abs(st.downtime - m * rho**5 * sim.migration.link.page) <= fixed(sim) + more * sim.migration.link.page


@pytest.mark.parametrize("rho", [0.25, 0.5])
def test_form_1_rounds_needed_to_reach_a_target(rho):
    """n = ceil(ln(v / M) / ln rho). Targets halfway between two rounds (in the logarithm): no page more or less decides."""
    for n in (2, 4):
        target = round(4096 * rho ** (n - 0.5))
        sim = moved(frames=4096, pace=20, policy="numbers", rounds=50, target=target, **sweep(4000, int(20 / rho)))
        assert math.ceil(math.log(target / 4096) / math.log(rho)) == n
        assert live(sim)[n - 1].dirtied < target <= live(sim)[n - 2].dirtied
        assert sim.migration.state.stop.startswith("dirty_count")


@pytest.mark.parametrize(("repeat", "s"), [(40, 0.5), (20, 1), (10, 2), (2, 10)])
def test_row_e_a_sweep_writer_dirties_what_it_reaches_or_all(repeat, s):
    """V_{i+1} = min(N, s V_i / B), +-2: the page in which the round begins and the tick that it is longer."""
    for r in live(moved(frames=4096, pace=20, **sweep(3000, repeat))):
        assert abs(r.dirtied - min(3000, s * r.sent)) <= 2


# ---- 2, 3: uniform stores


@pytest.mark.parametrize(("share", "pace"), [(100, 1), (30, 1), (100, 3)])
def test_form_2_distinct_pages_of_uniform_stores(share, pace):
    """Each reading of a migration is one sample: mean N (1 - (1 - 1/N)^k), and its own variance formula.

    Over all rounds and seeds the squared deviations in units of the variance have mean 1: neither too wide nor too narrow.
    """
    z = []
    for seed in range(1, 4):
        for r in live(moved(frames=2048, pace=pace, **uniform(2000, seed, write=share))):
            mean, sd = distinct(2000, r.ticks, share / 100)
            assert close(r.dirtied, mean, sd)
            z.append((r.dirtied - mean) / sd)
    assert abs(np.mean(z)) <= SIGMAS / math.sqrt(len(z))
    assert abs(np.mean(np.square(z)) - 1) <= SIGMAS * math.sqrt(2 / len(z))  # chi-square of len(z) degrees of freedom


def mean_field(n, a, first, rounds):
    """[(V_i, its standard deviation)]: V_{i+1} = N (1 - e^(-a V_i / N)) from V_1 = that of `first`, noise carried along."""
    out, v, var = [], first, 0.0
    for _ in range(rounds):
        slope = a * math.exp(-a * v / n)
        mean, sd = distinct(n, round(v * max(a, 1)), min(a, 1))
        var, v = slope**2 * var + sd**2, mean
        out.append((v, math.sqrt(var)))
    return out


@pytest.mark.parametrize(("a", "pace", "share"), [(0.5, 1, 50), (1, 1, 100), (2, 2, 100), (3, 3, 100)])
def test_form_3_mean_field_of_uniform_stores_and_its_fixed_point(a, pace, share):
    """a <= 1: the rounds shrink to nothing. a > 1: they stall at x* N, where x* = 1 - e^(-a x*).

    Every round against the mean field from the first one on. A tick that a round is longer (at pace 1 a page) adds a at most
    and is carried along: 1 / (1 - slope) of them, at a = 1 one a round.
    """
    n = 4000
    sim = moved(frames=4096, pace=pace, policy="numbers", rounds=20, target=1, **uniform(n, write=share))
    found = dirtied(sim)
    for i, (v, (mean, sd)) in enumerate(zip(found, mean_field(n, a, 4096, len(found)), strict=True)):
        assert close(v, mean, sd, slack=min(i + 5, 8 if a != 1 else 40)), i
    if a < 1:
        assert found[-1] == 0 and len(found) < 20
        return
    assert len(found) == 20
    if a == 1:  # the border: V_i ~ 2 N / i
        assert found[-1] < found[0] / 5
        return
    x = 1.0
    for _ in range(200):
        x = 1 - math.exp(-a * x)
    assert x == pytest.approx({2: 0.797, 3: 0.941}[a], abs=1e-3)
    slope, (_, sd) = a * math.exp(-a * x), distinct(n, round(a * x * n))
    late = found[5:]  # the noise of one round lasts 1 / (1 - slope) rounds
    assert abs(late.mean() - x * n) <= SIGMAS * sd / (1 - slope) / math.sqrt(late.size)


# ---- 4: pages of unequal rates


def rates(work, pages):
    """float[n]: the share of the stores that each page gets."""
    if work == "zipf":
        q = np.arange(1, pages + 1) ** -2.0
        return q / q.sum()
    hot, percent = 250, 0.95
    return np.repeat([percent / hot, (1 - percent) / (pages - hot)], [hot, pages - hot])


@pytest.mark.parametrize(("work", "text"), [("zipf", "zipf:4000:2.00"), ("hotcold", "hotcold:4000:250:95")])
@pytest.mark.parametrize("pace", [1, 8])
def test_form_4_pages_of_unequal_rates(work, text, pace):
    """V_{i+1} = sum of 1 - e^(-l_p T_i) over all pages, each round from its own length.

    The rarest pages are met by a warm-up of 10^6 ticks (hot and cold: 12 times each) or not (zipf): a first store is to a page
    and to its table, whose frame counts then, too: at most 4 tables of the work, 8 pages of slack in the zone.
    """
    sim = moved(frames=4096, work=text, write=100, pace=pace, migrate_at=1_000_000, **LARGE)
    for r in live(sim):
        assert close(r.dirtied, *met(rates(work, 4000), r.ticks), slack=12 if work == "zipf" else 0)


def test_form_4_a_hot_set_is_a_floor_that_more_rounds_cannot_lower():
    """Clark's writable working set: every round's set holds all H hot pages, and the pause cannot be shorter than H / B."""
    downtimes = []
    for rounds in (5, 10, 20):
        sim = moved(
            frames=4096,
            work="hotcold:4000:250:95",
            write=100,
            pace=20,
            migrate_at=300_000,
            policy="numbers",
            rounds=rounds,
            target=1,
            **LARGE,
        )
        assert len(live(sim)) == rounds and dirtied(sim).min() >= 250
        downtimes.append(sim.migration.state.downtime / sim.migration.link.page)
        assert downtimes[-1] >= 250
    v = dirtied(sim)[5:]
    sd = met(rates("hotcold", 4000), round(20 * v.mean()))[1]
    slope = 20 * 0.05  # cold stores while one page goes over the wire, nearly all of them to fresh pages
    assert max(downtimes) - min(downtimes) <= SIGMAS * sd * math.sqrt(2) / (1 - slope * math.exp(-slope * v.mean() / 3750))


def test_form_4_distinct_pages_of_zipf_grow_with_a_root_of_time():
    """alpha = 2: ~ t^(1/2). The first round at 1 and at 16 ticks a page: four times the pages in sixteen times the time."""
    few, many = (
        live(moved(frames=4096, work="zipf:4000:2.00", write=100, pace=pace, migrate_at=1_000_000, **LARGE))[0].dirtied
        for pace in (1, 16)
    )
    relative = sum(met(rates("zipf", 4000), 4096 * pace)[1] / n for pace, n in ((1, few), (16, many)))
    slope = math.log(many / few) / math.log(16)
    assert abs(slope - 0.5) <= (SIGMAS * relative + 24 / few) / math.log(16)  # of tables 12 in each


# ---- 5: fake dirty


@pytest.mark.parametrize(("lt", "pace", "share", "expected"), [(0.1, 1, 10, 0.492), (1, 1, 100, 0.418), (10, 10, 100, 0.100)])
def test_form_5_the_share_of_pages_that_were_sent_in_vain(lt, pace, share, expected):
    """A page is sent at a time that is uniform in the round: set 1 - e^-lT, needed 1 - (1 - e^-lT) / lT.

    The guest's frames are sent in their order, and N is all of them but the zone of tables at the bottom (32 of 8192: 0.4 %).
    Pages are as good as independent. What is sent in one piece, 1/256 of a round, counts as sent at its beginning.
    """
    n = 8192 - 32
    sim = moved(frames=8192, pace=pace, **uniform(n, write=share))
    r, rate = live(sim)[0], share / 100 / n
    lt_exact = rate * r.ticks
    assert int(sim.machine.sys[0].zone) == 32 and lt_exact == pytest.approx(lt, rel=0.01)
    p_set, p_needed = 1 - math.exp(-lt_exact), 1 - (1 - math.exp(-lt_exact)) / lt_exact
    fake = p_set - p_needed
    assert fake / p_set == pytest.approx(expected, abs=2e-3)
    assert close(r.needless, n * fake, math.sqrt(n * fake * (1 - fake)), slack=n * lt_exact / 256)
    assert close(r.dirtied, *distinct(n, r.ticks, share / 100))


# ---- 9: superpages


@pytest.mark.parametrize("seed", [1, 2])
def test_form_9_splits_of_superpages(seed):
    """k uniform stores over S leaves split S (1 - (1 - 1/S)^k) of them; a page dirtied costs 512 E2M / E4K if kept at 2 MiB.

    The first leaf has the zone's tables, the last some frames that the work does not have: each leaf has its own share.
    """
    frames, n = 32768, 32600
    sim = Simulation(scenario(frames=frames, superpages=1, **uniform(n, seed, pace=20)))
    zone, start = int(sim.machine.sys[0].zone), sim.scenario.migrate_at
    sim.run(start)
    first = zone + np.arange(n)
    share = np.bincount(first >> 9, minlength=frames >> 9) / n
    before = sim.counters()["p2m_split"]
    for k in (16, 32, 64, 128, 256, 512):
        sim.run(k - (sim.tick - start))
        split, dirty = sim.counters()["p2m_split"] - before, sim.machine.dirty_frames().size
        (e2m, sd2m), (e4k, sd4k) = met(share, k), distinct(n, k)
        assert close(split, e2m, sd2m) and close(dirty, e4k, sd4k)
        worst = SIGMAS * (sd2m / e2m + sd4k / e4k)
        assert 512 * split / dirty == pytest.approx(512 * e2m / e4k, rel=worst)
    assert split >= 63  # of 64: 512 stores are 8 for each
