"""Checkpoints of a machine: copies in reused slots, spaced by CPU time spent, thinned with age, within a budget of memory."""

from __future__ import annotations

import bisect
import threading
import weakref
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from pagingviz.machine.machine import Machine

SPACING = 0.04  # CPU seconds of replay between checkpoints: what a step back may cost
VISITOR_BYTES = 48 << 20
SERVER_BYTES = 1 << 30

State = tuple[Any, ...]  # parts that have nbytes: the machine's arrays and, with a migration, where that stands


class Restorable(Protocol):
    """What checkpoints are taken of: a Machine, or a Simulation with its migration."""

    def snapshot(self, slot: State | None = None) -> State:
        """Copies of all that changes, in the arrays of `slot` where they fit."""

    def restore(self, state: State) -> None:
        """Put a snapshot back."""


_all: weakref.WeakSet[Checkpoints] = weakref.WeakSet()
_lock = threading.Lock()  # of the server's account; taken before, never after, the lock of one visitor's checkpoints


class Checkpoints:
    """States of one machine by tick. A state is the one before the commands of its tick. Another thread may thin them.

    `most`: bytes that they may hold, VISITOR_BYTES unless said.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.spent = 0.0  # CPU seconds since the last checkpoint
        self._ticks: list[int] = []
        self._states: list[State] = []
        self._spare: State | None = None
        self._held = 0  # bytes of all states and of the spare one
        self._mine = threading.Lock()
        with _lock:
            _all.add(self)

    @property
    def ticks(self) -> tuple[int, ...]:
        """Ticks of the states that are kept, ascending."""
        return tuple(self._ticks)

    @property
    def bytes(self) -> int:
        """Memory held."""
        return self._held

    def add(self, tick: int, machine: Restorable) -> None:
        """Keep the present state of `machine` as that of `tick`."""
        with self._mine:
            i = bisect.bisect_left(self._ticks, tick)
            if i < len(self._ticks) and self._ticks[i] == tick:
                return
            self._held -= _size(self._spare)
            state = machine.snapshot(self._spare)
            self._spare = None
            self._ticks.insert(i, tick)
            self._states.insert(i, state)
            size, most = _size(state), self.most or VISITOR_BYTES
            self._held += size
            while len(self._ticks) > 2 and size * (len(self._ticks) + 1) > most:  # one more is the spare
                self._drop(self._least_useful(tick))
        _respect_server(self)

    def consider(self, tick: int, machine: Restorable) -> None:
        """Add a checkpoint if enough CPU time has been spent since the last one."""
        if self.spent > SPACING:
            self.spent = 0.0
            self.add(tick, machine)

    def restore(self, tick: int, machine: Restorable) -> int:
        """Put the latest state at or before `tick` into `machine` and return its tick."""
        with self._mine:
            i = bisect.bisect_right(self._ticks, tick) - 1
            machine.restore(self._states[i])
            self.spent = 0.0
            return self._ticks[i]

    def latest(self, tick: int) -> int:
        """Tick of the latest state at or before `tick`."""
        with self._mine:
            return self._ticks[bisect.bisect_right(self._ticks, tick) - 1]

    def forget(self, tick: int) -> None:
        """Drop the states after `tick`: a new command at `tick` has made them untrue."""
        with self._mine:
            i = bisect.bisect_right(self._ticks, tick)
            self._held -= sum(map(_size, self._states[i:]))
            del self._ticks[i:], self._states[i:]

    def thin(self) -> None:
        """Give memory back: every second state goes, never the first nor the newest."""
        with self._mine:
            self._held -= sum(map(_size, self._states[1:-1:2])) + _size(self._spare)
            del self._ticks[1:-1:2], self._states[1:-1:2]
            self._spare = None

    def _least_useful(self, now: int) -> int:
        """Index whose removal leaves the smallest gap for its age; never the first (tick 0) nor the newest."""
        t = self._ticks
        return min(range(1, len(t) - 1), key=lambda i: (t[i + 1] - t[i - 1]) / (abs(now - t[i]) + 1))

    def _drop(self, i: int) -> None:
        self._held -= _size(self._spare)
        self._spare = self._states[i]
        del self._ticks[i], self._states[i]


def _size(state: State | None) -> int:
    """Bytes of a state."""
    return sum(part.nbytes for part in state) if state else 0


def _respect_server(newest: Checkpoints) -> None:
    """Keep all visitors together below SERVER_BYTES; the largest of the others thin first."""
    with _lock:
        others = sorted((c for c in _all if c is not newest), key=lambda c: -c.bytes)
        total = sum(c.bytes for c in others) + newest.bytes
        for c in others:
            if total <= SERVER_BYTES:
                return
            before = c.bytes
            c.thin()
            total -= before - c.bytes


def freeze(machine: Machine) -> dict[str, np.ndarray]:
    """What brings a machine of the same scenario, in any process, to this state, its record of events too.

    Returns {"sys": SYS_DTYPE[1], "cpu": CPU_DTYPE[vcpus], "mem": uint64[used words of the arena], "ring": uint64[words]}.
    """
    sys = machine.sys.view(np.ndarray).copy()
    sys["addresses"] = 0  # of kernels in this process
    return {"sys": sys, "cpu": machine.cpu.view(np.ndarray), "mem": machine.mem[: machine.used], "ring": machine.view("ring")}


def thaw(machine: Machine, frozen: Mapping[str, np.ndarray]) -> None:
    """Put into a machine what `freeze` returned: "sys" SYS_DTYPE[1], "cpu" CPU_DTYPE[vcpus], "mem" and "ring" uint64[words]."""
    addresses = machine.sys["addresses"].copy()
    machine.sys.view(np.ndarray)[:], machine.cpu.view(np.ndarray)[:] = frozen["sys"], frozen["cpu"]
    machine.sys["addresses"] = addresses
    machine.mem[: frozen["mem"].size] = frozen["mem"]
    machine.view("ring")[:] = frozen["ring"]
