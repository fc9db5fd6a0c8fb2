"""Migrations for tests: driven to their end, and what probability theory says of the pages that random stores reach.

Unless asked otherwise the guest is EPT's, without page-modification log: there the walker's own stores to guest page tables set
no bit, so that only the work's stores count. With tracking=free a page on the wire takes exactly `pace` ticks.
"""

import math

import numpy as np

from pagingviz.migration import Migration
from pagingviz.migration.effects import OpenRecord, SendPages
from pagingviz.scenario.scenario import from_mapping
from pagingviz.timeline.simulation import Simulation

FIELDS = {
    "scenario": "blackboard",
    "clean_every": 0,
    "do": "",
    "trace": "",
    "road": "hap",
    "pml": 0,
    "tracking": "free",
    "migrate": "precopy",
}
SMALL = {
    "work": "zipf:100:0.80,fork:20",
    "frames": 256,
    "quantum": 50,
    "write": 40,
    "tracking": "costs",
    "pool": 128,
    "pace": 10,
    "migrate_at": 3000,
}
ROADS = {
    "shadow": {"road": "shadow"},
    "pv": {"road": "pv"},
    "ept": {},
    "npt": {"hap": "npt"},
    "pml": {"pml": 1},
    "superpages": {"superpages": 1, "frames": 1024},
    "two vCPUs": {"road": "shadow", "vcpus": 2},
}
SIGMAS = 4.5  # of a normal variable beyond which a value is an error: 7 of a million. The seeds are fixed: it is so or not.


def scenario(**fields):
    """The scenario of FIELDS with some fields changed."""
    return from_mapping(FIELDS | fields)


def to_the_end(sim, stride=1 << 20):
    """Run until the migration has nothing left to do."""
    while sim.migration.state.next <= 10**9:
        sim.run(min(stride, sim.migration.state.next - sim.tick))
    return sim


def moved(**fields):
    """A simulation whose migration is over."""
    return to_the_end(Simulation(scenario(**fields)))


def warmth(pages, percent=100):
    """Ticks after which `percent` of uniform accesses have met every one of `pages` pages, but in e^-7 of all runs."""
    return math.ceil(pages * (math.log(pages) + 7) * 100 / percent)


def distinct(pages, stores, share=1.0):
    """(mean, standard deviation) of the distinct pages met by `stores` ticks; each stores with probability `share`.

    Form 2: N (1 - q1) and N q1 + N (N-1) q2 - N^2 q1^2, with q1, q2 the chance that one, two given pages are spared.
    """
    n = pages
    one, two = (1 - share / n) ** stores, (1 - 2 * share / n) ** stores
    return n * (1 - one), math.sqrt(max(0.0, n * one + n * (n - 1) * two - (n * one) ** 2))


def met(rates, ticks):
    """(mean, standard deviation at most) of the distinct pages of those stored to with probability `rates` (float[n]) a tick.

    Form 4. The indicators of a multinomial sample are negatively associated: the sum of their variances bounds it.
    """
    p = 1 - (1 - rates) ** ticks
    return float(p.sum()), math.sqrt(float((p * (1 - p)).sum()))


def close(value, mean, sd, slack=0.0):
    """Whether a count is within SIGMAS standard deviations of its mean; `slack`: of ours, stated where it is given."""
    return abs(value - mean) <= SIGMAS * sd + slack


def live(sim):
    """Rounds in which the guest ran."""
    return [r for r in sim.migration.state.rounds if r.kind == "live"]


def dirtied(sim):
    """What the readings found, one a live round."""
    return np.array([r.dirtied for r in live(sim)])


def small(road, **fields):
    """Fields of a small guest of several processes, on a road of ROADS."""
    return SMALL | ROADS[road] | fields


def intercept(monkeypatch, effect_class, change):
    """From now on an effect of this class comes to what `change(migration, effect, carry_out)` gives; carry_out() does it."""
    apply = Migration.apply

    def changed(mig, effect):
        if isinstance(effect, effect_class):
            return change(mig, effect, lambda: apply(mig, effect))
        return apply(mig, effect)

    monkeypatch.setattr(Migration, "apply", changed)


def wiretap(monkeypatch):
    """What goes onto the link from now on: [(number of the round, frames or None)]; None: a new PAGE_DATA record."""
    heard = []

    def hear(mig, effect, carry_out):
        heard.append((mig.state.rounds[-1].number, getattr(effect, "frames", None)))
        return carry_out()

    intercept(monkeypatch, SendPages | OpenRecord, hear)
    return heard


def by_round(heard):
    """{number of the round: [frames of each record]}, in the order in which they went."""
    out = {}
    for number, frames in heard:
        records = out.setdefault(number, [])
        if frames is None:
            records.append(np.zeros(0, np.int64))
        else:
            if not records:  # post-copy has no records
                records.append(np.zeros(0, np.int64))
            records[-1] = np.concatenate([records[-1], frames])
    return out


def guest(sim):
    """What the guest can see, how many operations it has done, and which process each vCPU runs."""
    s = sim.machine.sys[0]
    return sim.machine.guest_digests(), int(s.ops), s.cur[: int(s.vcpus)].tolist()


def never_moved(sim):
    """The same guest after as many operations, without a migration."""
    other = Simulation(sim.scenario.replace(migrate="no", fail="", do=""))
    other.run(sim.tick - sim.migration.state.paused)
    return other
