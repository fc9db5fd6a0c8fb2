"""How busy the server is: who may run a machine now. One process serves all visitors, and Python runs one of them at a time.

A visitor who runs asks for a batch about once a second. The cost of a frame is measured; when those who run already need
what there is at LEAST_RATE frames a second each, the next one waits, and a message says why. Nobody who runs is ever stopped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LEAST_RATE = 10  # frames a second below which running is no pleasure
SHARE = 0.85  # of one core's time that frames may take: the rest is Streamlit's
REMEMBERED = 3.0  # s without an ask after which a visitor no longer runs
WEIGHT = 0.1  # of the newest batch in the mean cost


class Crowd:
    """Who runs, and what a frame costs. `clock` returns seconds; times are in seconds. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._running: dict[object, float] = {}  # visitor -> time of the last ask
        self._cost = 0.0

    def admit(self, visitor: object) -> bool:
        """Note that `visitor` asks for a batch. False when there is no room for one more."""
        now = self._clock()
        with self._lock:
            self._running = {who: when for who, when in self._running.items() if now - when < REMEMBERED}
            if visitor not in self._running and (len(self._running) + 1) * LEAST_RATE * self._cost > SHARE:
                return False
            self._running[visitor] = now
            return True

    def spent(self, seconds: float, frames: int) -> None:
        """Note the processor time of one batch."""
        if frames:
            with self._lock:
                self._cost += WEIGHT * (seconds / frames - self._cost)

    def rate(self, asked: float) -> float:
        """Frames a second that each of those who run can have: what was asked for, or an even share of half the time there is.

        The other half goes to what a batch costs besides its frames. Never below LEAST_RATE and a little.
        """
        with self._lock:
            share = SHARE / 2 / max(self._cost * len(self._running), 1e-9)
        return min(asked, max(share, 1.2 * LEAST_RATE))

    def leave(self, visitor: object) -> None:
        """The visitor has paused or gone."""
        with self._lock:
            self._running.pop(visitor, None)

    @property
    def size(self) -> int:
        """How many run at present."""
        return len(self._running)


CROWD = Crowd()  # one a server
