"""Compile (or load from the cache) every kernel once, with the real types, on tiny machines; says how far it has come."""

import threading

from pagingviz.fields import ScenarioError

ROADS = ("shadow", "hap", "bare")
_lock = threading.Lock()
_done = 0.0


def progress():
    """0.0 to 1.0: the share of the warm-up that is done. 1.0 means that nothing compiles any more."""
    return _done


def warm():
    """Run the warm-up unless it has run; waits if another thread is at it."""
    global _done
    with _lock:
        if _done >= 1.0:
            return
        steps = [lambda road=road: _exercise(road) for road in ROADS] + [_generators]
        for i, step in enumerate(steps):
            step()
            _done = (i + 1) / len(steps)


def _exercise(road):
    """Every kernel entry point on one road."""
    from pagingviz.scenario import load
    from pagingviz.simulation import Simulation

    simulation = Simulation(load("blackboard").replace(road=road, do="enable@2,flush@3"))
    simulation.seek(8)
    simulation.audit()
    simulation.command("clean")


def _generators():
    """The fill kernels that the blackboard scenario does not use."""
    import numpy as np

    from pagingviz.scenario import load
    from pagingviz.workload import Work

    for work in ("uniform:8", "zipf:8", "sequential:8", "fork:8", "idle"):
        try:
            Work(load("blackboard").replace(trace="", work=work)).fill(np.empty(4, np.uint64), np.empty(4, np.uint32), 0)
        except ScenarioError:
            continue
