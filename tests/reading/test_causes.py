"""What a chain of causes says of the past is so: each rule by the state of the machine between the two events."""

import random

import pytest

from pagingviz.arch import events as ev
from pagingviz.boards.why import answered, at_home
from pagingviz.reading import nested, shadows
from pagingviz.reading.causes import RULES, Moment, cause
from pagingviz.story import because
from pagingviz.timeline.simulation import Simulation
from tests.boards.many_machines import MACHINES, SOME

LOOKED_AT = 6  # ticks between the two events at which the state is looked at
OF_EACH = 6  # events of a kind on one machine


def dirty(sim, gfn):
    return int(gfn) in sim.machine.dirty_frames()


MET = {  # rules that are found on a machine; on the others at least those of any shadows
    "shadow": {"clear", "lost", "made", "shadowed", "stale"},
    "shadow, no tables out of sync": {"clear", "lost", "made", "shadowed"},
    "bare": set(),
    "PV": {"clear", "lost", "made", "shadowed"},
    "EPT": {"logged", "poisoned"},
    "EPT, PML": {"logged", "poisoned"},
    "NPT": {"clear", "poisoned", "protected"},
}
HOLDS = {  # by rule: what is so after each tick from that of the earlier event to the one before the later event's
    "shadowed": lambda sim, e: shadows.shadowed_tables(sim.machine)[int(e["gfn"])],
    "made": lambda sim, e: shadows.shadowed_frame(sim.machine, int(e["mfn"])) == int(e["gfn"]),
    "stale": lambda sim, e: shadows.out_of_sync(sim.machine)[int(e["gfn"])],
    "logged": lambda sim, e: int(e["gfn"]) in sim.machine.logged_frames(),
    "clear": lambda sim, e: sim.machine.sys[0].log_dirty and not dirty(sim, e["gfn"]),
    "poisoned": lambda sim, e: nested.waiting(sim.machine, nested.path(sim.machine, int(e["gfn"]))),
    "protected": lambda sim, e: sim.machine.sys[0].log_dirty and not dirty(sim, e["gfn"]),
    "lost": lambda sim, e: True,  # below
}


def events_with_rules(sim, kinds):
    """Up to OF_EACH moments of each kind of event that has a rule, taken at random from the first 700 ticks."""
    luck, left = random.Random(7), dict.fromkeys(kinds, OF_EACH)
    for tick in luck.sample(range(1, 701), 700):
        sim.seek(tick)
        events = sim.events()
        for k, e in enumerate(events, 1):
            name = ev.NAMES[int(e["kind"])]
            if left.get(name):
                left[name] -= 1
                yield Moment(tick, k, events.size), e.copy()
                sim.seek(tick)


@pytest.mark.slow
@pytest.mark.parametrize("name", MACHINES)
def test_what_a_rule_says_was_so_all_the_time(warm, name):
    sim, met = Simulation(SOME.replace(**MACHINES[name])), set()
    for at, e in events_with_rules(sim, RULES):
        found = answered(at_home(sim, cause(sim, at)))
        if found is None:
            continue
        rule, earlier = found
        met.add(rule.name)
        assert (earlier.tick, earlier.k) < (at.tick, at.k)
        sim.seek(earlier.tick)
        kind = ev.NAMES[int(sim.events()[earlier.k - 1]["kind"])]
        assert kind in rule.kinds
        between = range(earlier.tick, at.tick)
        for tick in sorted({*between[:2], *between[-2:], *between[:: max(1, len(between) // LOOKED_AT)]}):
            sim.seek(tick)
            assert HOLDS[rule.name](sim, e), (rule.name, ev.NAMES[int(e["kind"])], tick, earlier, at)
        if rule.name == "lost":
            refilled(sim, e, earlier.tick, at)
    assert met >= MET.get(name, {"clear", "made", "shadowed"}), met


def refilled(sim, e, blown, at):
    """All shadows went in tick `blown`; the entry that the FIXUP `e` fills had been filled before, and not since."""
    page = e["gva"] >> 12

    def filled(tick):
        sim.seek(tick)
        events = sim.events()
        fixup = events[events["kind"] == ev.FIXUP]
        return bool(((fixup["gva"] >> 12 == page) & (fixup["gfn"] == e["gfn"])).any())

    assert not any(filled(tick) for tick in range(blown + 1, at.tick))
    assert any(filled(tick) for tick in range(blown, 0, -1))


def test_every_rule_has_its_sentence_and_its_check():
    names = {rule.name for rules in RULES.values() for rule in rules}
    assert names == set(because.RULES) == set(HOLDS)
