"""The time of the guest's processor: cycles of its operations, and those that the hypervisor took away from it.

The engine counts events, and the table of costs (arch/costs.py) gives the price of each. With tracking=free only the
operations themselves take time.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pagingviz.arch import costs
from pagingviz.arch.state import COUNTERS, SYS_DTYPE
from pagingviz.machine.machine import Machine

_CAUSES = (*costs.CAUSES, *costs.OTHER, *costs.PAUSES)
_AT = SYS_DTYPE.fields[COUNTERS[0]][1] // 8  # type: ignore[index]  # a record has fields
_WORDS = np.array([_AT + COUNTERS.index(counter) for _, counter, _ in _CAUSES])
_RUNNING = len(costs.CAUSES) + len(costs.OTHER)  # the rest is paid while the domain is paused


class Clock:
    """Time of one machine from its counters. `table`: cycles by key of costs.COSTS; `free`: tracking costs nothing."""

    def __init__(self, machine: Machine, op: int, free: bool, table: Mapping[str, int] = costs.DEFAULT) -> None:
        self.words = machine.sys.view(np.ndarray).view(np.uint64)
        self.op = op
        each = [0 if free else costs.cycles(price, table) for _, _, price in _CAUSES]
        self._running = np.array(each[:_RUNNING] + [0] * len(costs.PAUSES), np.int64)
        self._table = {key: 0 for key in table} if free else dict(table)
        self._pausing = np.array([0] * _RUNNING + each[_RUNNING:], np.int64)

    def counts(self) -> np.ndarray:
        """The counters that have a price, now: uint64[causes], in the order of costs.CAUSES, OTHER, PAUSES."""
        return self.words[_WORDS]

    def ran(self, ticks: int, since: np.ndarray, throttle: int = 0) -> int:
        """Cycles of `ticks` operations and of the exits since those counts (uint64[causes]).

        `throttle`: percent of its time that the guest sleeps.
        """
        spent = ticks * self.op + int((self.counts() - since).astype(np.int64) @ self._running)
        return spent * 100 // (100 - throttle)

    def paused(self, since: np.ndarray) -> int:
        """Cycles that a command took while the domain was paused; since: counts before it, uint64[causes]."""
        return int((self.counts() - since).astype(np.int64) @ self._pausing)

    def price(self, counts: Mapping[str, int]) -> int:
        """Cycles of what tracking costs beside exits; `counts` by key of costs.COSTS."""
        return costs.cycles(counts, self._table)

    def exits(self, since: np.ndarray) -> dict[str, int]:
        """How often each cause of costs.CAUSES came since those counts (uint64[causes]); those that never came are left out."""
        delta = (self.counts() - since).tolist()
        return {name: n for (name, _, _), n in zip(costs.CAUSES, delta, strict=False) if n}
