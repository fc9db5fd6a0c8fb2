"""Since when a cell is as it is: one tick earlier it was different, and from then on it never was."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagingviz.boards import since
from pagingviz.boards.cell_words import differ
from pagingviz.boards.registry import REGISTRY
from pagingviz.boards.scene import Scene
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.boards.on_screen import Shown

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


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(MACHINES)), st.integers(1, 700), st.sampled_from(since.BOARDS), st.data())
def test_one_tick_earlier_the_cell_was_different_and_from_then_on_never(warm, name, tick, board, data):
    sim = machine(name)
    sim.seek(tick)
    shown = Shown(sim, board, pages=60)
    cell = data.draw(st.integers(0, shown.plan.key.size - 1))
    digest = sim.machine.digest()

    def word():
        return REGISTRY[board].cells(Scene(sim), shown.plan).reshape(-1)[cell]

    now = word()
    found = since.last_change(sim, shown.plan, cell)
    assert sim.tick == tick and sim.machine.digest() == digest
    assert 0 <= found <= tick
    if found:
        sim.seek(found - 1)
        assert differ(word(), now), "one tick earlier"
    sim.seek(found)
    while sim.tick < tick:  # every tick at first, then fewer
        assert not differ(word(), now), sim.tick
        sim.run(min(tick - sim.tick, 1 + (sim.tick - found) // 20))
