"""Compile (or load from the cache) every kernel once, with the real types, on a tiny machine; says how far it has come.

A server compiles in a process of its own (`apart`) and loads what that has stored: a compiler in one of the server's threads
would hold up every visitor's page.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import xen
from pagingviz.arch.words import ONE, ZERO, U
from pagingviz.core import run
from pagingviz.core.audit import audit
from pagingviz.core.build.by_address import compile_by_address
from pagingviz.core.build.jit import CACHE, compiling
from pagingviz.core.one_walk import one_walk
from pagingviz.core.read_only import nested_cells
from pagingviz.machine.machine import Machine
from pagingviz.scenario.scenario import load
from pagingviz.timeline import own_process
from pagingviz.work.programs import Programs

LOADING = 0.02  # share of the whole that is left when all is compiled: loading it
_lock = threading.Lock()
_done = 0.0
_began = 0.0


def progress() -> float:
    """0.0 to 1.0: the share of the warm-up that is done. 1.0 means that nothing compiles any more."""
    return _done


def remaining() -> int | None:
    """Seconds to go, if the rest takes as long as what is done; None while too little is done to tell."""
    spent = time.monotonic() - _began
    return math.ceil(spent / _done * (1 - _done)) if _began and _done > LOADING else None


def sentence() -> str:
    """How far the warm-up is, for somebody who waits for it."""
    if CACHE and _complete(CACHE).exists():
        return "The simulator is being loaded: a moment."
    seconds = remaining()
    rest = f"about {seconds} seconds to go" if seconds is not None else "it has just begun"
    return f"The simulator is being compiled for this computer, which is done only once: {100 * _done:.0f}%, {rest}."


def warm(tell: Callable[[float], None] = lambda share: None) -> None:
    """Run the warm-up unless it has run; waits if another thread, or another process on this machine, is at it.

    `tell` is called with the share that is done, after each step.
    """
    global _done, _began
    with _lock:
        if _done >= 1.0:
            return
        _began = _began or time.monotonic()
        with compiling():
            for share in _steps():
                _done = max(_done, min(_done + share, 0.99))
                tell(_done)
            if CACHE:
                _complete(CACHE).touch()
        _done = 1.0


def apart() -> None:
    """Compile in another process what the cache does not have, then load it. Should that process fail, compile here."""
    if CACHE and CACHE.name.startswith("kernels-") and not _complete(CACHE).exists():  # else no other process finds the folder
        with _lock:
            _compile_apart()
    warm()


def _compile_apart() -> None:
    global _done, _began
    _began = _began or time.monotonic()
    with own_process.start(__name__) as process:
        assert process.stdout
        for line in process.stdout:
            _done = float(line) * (1 - LOADING)
    if process.returncode:
        logging.getLogger("pagingviz").warning("the compiler's own process ended with %s", process.returncode)
        _done = 0.0


def _complete(cache: Path) -> Path:
    """The file that says that a folder of compiled kernels has all of them."""
    return cache / "complete"


def _steps() -> Iterator[float]:
    """Compile the kernels called by address, then call the others; after each yield its share of a cold compile (measured)."""
    for _, total in compile_by_address():
        yield 0.7 / total
    scenario = load("blackboard")
    work = Programs(scenario)
    op, credit = np.empty(4, np.uint64), np.empty(4, np.uint32)
    work.fill(op, credit, 0)
    machine = Machine(scenario, work)
    a = machine.mem
    machine.live_tables()
    nested_cells(machine.sys, machine.cpu, a, ZERO, ZERO)
    yield 0.05
    run.command(machine.sys, machine.cpu, a, U(xen.CMD_FLUSH), ZERO)
    run.refuse(machine.sys, a, U(xen.CMD_DM))
    run.migration_event(machine.sys, a, ev.SUSPEND, ZERO, ZERO)
    yield 0.06
    run.run(machine.sys, machine.cpu, a, op, credit)
    yield 0.06
    audit(machine.sys, machine.cpu, a)
    yield 0.05
    one_walk(machine.sys, machine.cpu, a, ZERO, ZERO, ZERO, ONE)  # it leaves its mark: this machine is not used any more
    yield 0.02
    for generator in ("uniform:8", "zipf:8", "sequential:8", "fork:8", "hotcold:8", "idle"):
        Programs(scenario.replace(trace="", work=generator, order="")).fill(op, credit, 0)
        yield 0.01


if __name__ == "__main__":  # the compiler's own process; the server and the browser go first
    if hasattr(os, "nice"):
        os.nice(5)
    warm(lambda share: print(share, flush=True))
