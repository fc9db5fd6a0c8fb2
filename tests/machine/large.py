"""Guests of 64 GiB and of 1 TiB."""

from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation

GIB, TIB = 1 << 18, 1 << 28
KINDS = {"ept": {"hap": "ept", "pml": 0}, "npt": {"hap": "npt"}, "pml": {"pml": 1}}


def large(frames=TIB, kind="ept", road="hap", work="zipf:3000:0.6", do="", **fields):
    pages = {"superpages": 2, "direct_map_pages": "huge", "trace": "", "order": "", "clean_every": 0}
    return Simulation(load("blackboard").replace(road=road, frames=frames, work=work, do=do, **pages | KINDS[kind] | fields))
