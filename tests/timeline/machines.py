"""The machine of the tests of time travel, and its reference: one that was run to a tick without a stop."""

from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation

ROADS = ("bare", "shadow", "hap")
DO = "enable@40,pool:20@90,clean@150,pool:60@200,peek@201,blow@260,off@300,enable@301,flush@333"
SOME = load("blackboard").replace(frames=512, pool=24, trace="gzip", work="fork:12,zipf:32", quantum=23, write=50, do=DO)


def new(road="shadow", **fields):
    return Simulation(SOME.replace(road=road, **fields))


def fresh_run(road, tick, **fields):
    """The reference: a fresh machine run to `tick` without a stop. It keeps hardly any checkpoint."""
    fresh = Simulation(SOME.replace(road=road, **fields), keep=1)
    fresh.run(tick)
    return fresh


def digest_of_run(road, tick, **fields):
    """The digest of the reference."""
    return fresh_run(road, tick, **fields).machine.digest()
