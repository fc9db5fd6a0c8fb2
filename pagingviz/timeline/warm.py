"""Compile (or load from the cache) every kernel once, with the real types, on a tiny machine; says how far it has come."""

import threading
from collections.abc import Iterator

import numpy as np

from pagingviz.arch import xen
from pagingviz.arch.words import ZERO, U
from pagingviz.core import run
from pagingviz.core.audit import audit
from pagingviz.core.build.by_address import compile_by_address
from pagingviz.core.build.jit import compiling
from pagingviz.core.read_only import nested_cells
from pagingviz.machine.machine import Machine
from pagingviz.scenario.scenario import load
from pagingviz.work.work import Work

COMPILING = "The simulator is being compiled for this computer: once a server, less than a minute."
_lock = threading.Lock()
_done = 0.0


def progress() -> float:
    """0.0 to 1.0: the share of the warm-up that is done. 1.0 means that nothing compiles any more."""
    return _done


def warm() -> None:
    """Run the warm-up unless it has run; waits if another thread, or another process on this machine, is at it."""
    global _done
    with _lock:
        if _done >= 1.0:
            return
        with compiling():
            for share in _steps():
                _done = min(_done + share, 0.99)
        _done = 1.0


def _steps() -> Iterator[float]:
    """Compile the kernels called by address, then call the others; after each yield its share of a cold compile (measured)."""
    for _, total in compile_by_address():
        yield 0.7 / total
    scenario = load("blackboard")
    work = Work(scenario)
    op, credit = np.empty(4, np.uint64), np.empty(4, np.uint32)
    work.fill(op, credit, 0)
    machine = Machine(scenario, work)
    a = machine.mem
    machine.live_tables()
    nested_cells(machine.sys, machine.cpu, a, ZERO, ZERO)
    yield 0.05
    run.command(machine.sys, machine.cpu, a, U(xen.CMD_FLUSH), ZERO)
    yield 0.06
    run.run(machine.sys, machine.cpu, a, op, credit)
    yield 0.06
    audit(machine.sys, machine.cpu, a)
    yield 0.07
    for generator in ("uniform:8", "zipf:8", "sequential:8", "fork:8", "hotcold:8", "idle"):
        Work(scenario.replace(trace="", work=generator, order="")).fill(op, credit, 0)
        yield 0.01
