"""Machines of every kind, with commands and a full pool, on which cells of maps are asked why they are as they are.

`check` holds an answer against the machine; boards/test_since.py and `make soak` draw what it is asked about.
"""

from itertools import pairwise

from pagingviz.arch import events as ev
from pagingviz.boards.cell_words import differ
from pagingviz.boards.registry import REGISTRY
from pagingviz.boards.scene import Scene
from pagingviz.boards.why import MOST, answered, at_home, why
from pagingviz.reading.causes import Moment
from pagingviz.scenario.scenario import load
from pagingviz.story import commands
from pagingviz.story.because import BEGINNING
from pagingviz.story.sentences import sentence
from pagingviz.timeline.simulation import Simulation

TICKS = 700  # in which the commands of the machines lie
PAGES = 60  # of their pools at the largest
DO = "enable@40,pool:20@90,clean@150,pool:60@200,peek@201,blow@260,off@300,enable@301,flush@333,dm:9:3@370,clean@420"
SOME = load("blackboard").replace(frames=512, pool=24, trace="gzip", work="fork:12,zipf:32", quantum=23, write=50, do=DO)
MACHINES = {
    "shadow": {},
    "shadow, no tables out of sync": {"oos": 0, "xen": "4.17"},
    "shadow, PAE": {"guest": "pae", "direct_map_pages": "large", "frames": 1024},
    "shadow, 32 bits, two vCPUs": {"guest": "hvm32", "vcpus": 2, "pool": 60},
    "bare": {"road": "bare"},
    "PV": {"road": "pv", "floor": 0},
    "EPT": {"road": "hap", "superpages": 1, "frames": 4096},
    "EPT, PML": {"road": "hap", "superpages": 1, "frames": 4096, "core": "skylake", "vcpus": 2},
    "NPT": {"road": "hap", "hap": "npt", "superpages": 1, "frames": 4096, "clean_every": 70},
}
_sims = {}


def machine(name):
    """One machine for all draws of a name."""
    if name not in _sims:
        _sims[name] = Simulation(SOME.replace(**MACHINES[name]))
    return _sims[name]


def word(sim, plan, cell):
    return REGISTRY[plan.id].cells(Scene(sim), plan).reshape(-1)[cell]


def check(sim, plan, cell):
    """AssertionError when the answer for a cell at the present tick is not true."""
    tick, digest, now = sim.tick, sim.machine.digest(), word(sim, plan, cell)
    answer = answered(at_home(sim, why(sim, plan, cell)))
    assert sim.tick == tick and sim.machine.digest() == digest
    changed(sim, plan, cell, tick, now, answer.since)
    causes(sim, answer)


def changed(sim, plan, cell, tick, now, at):
    """The cell, whose word was `now` at `tick`, has it since the moment `at`."""
    assert 0 <= at.tick <= tick and (1 <= at.k <= at.n if at.tick else at == Moment(0, 0, 0))
    if at.tick:
        sim.seek(at.tick - 1)
        assert differ(word(sim, plan, cell), now), "one tick earlier"
        sim.seek(at.tick)
        for k in range(max(1, at.k - 1), min(at.n, at.k + 3) + 1):
            sim.micro(k)
            assert differ(word(sim, plan, cell), now) == (k < at.k), "within the tick"
    sim.seek(at.tick)
    while sim.tick < tick:  # every tick at first, then fewer
        assert not differ(word(sim, plan, cell), now), sim.tick
        sim.run(min(tick - sim.tick, 1 + (sim.tick - at.tick) // 10))


def causes(sim, answer):
    """Each link of the chain is about what happened then, earlier than the one before it; the last needs no other."""
    assert 1 <= len(answer.chain) <= MOST
    assert (answer.chain[0].tick, answer.chain[0].k) == (answer.since.tick, answer.since.k)
    ticks = [(link.tick, link.k) for link in answer.chain]
    assert all(a > b for a, b in pairwise(ticks)), "each link is earlier than the one before it"
    if not answer.since.tick:
        assert [link.text for link in answer.chain] == [BEGINNING]
        return
    for link in answer.chain:
        sim.seek(link.tick)
        assert link.n == sim.events().size and sentence(sim)[0] in link.text
    kinds = {ev.NAMES[kind] for kind in sim.events()["kind"].tolist()}
    assert kinds & {"ACCESS", "EXIT", "FORK", "CR3_LOAD", *commands.KINDS}, "an operation of the guest or a command"
