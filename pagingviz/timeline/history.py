"""Counters and gauges over time: points evenly spaced, the space doubling when there are too many of them."""

from __future__ import annotations

import copy
from typing import Self

import numpy as np

SAMPLES = 512  # most points of a history
LEAD = 100  # ticks before a migration with which its own history begins
AFTER = 5  # it goes on for a fifth of the migration's length
HISTORY = (
    "exits_page_fault",
    "ept_misconfig",
    "ept_violation",
    "npf_recalc",
    "npf_write",
    "pml_full",
    "p2m_split",
    "guest_faults",
    "tlb_miss",
    "pages_marked",
    "dirty_count",
    "free_pages",
    "total_pages",
    "cleans",
)


class History:
    """Points of one stretch of time, at the multiples of a stride."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, ...]] = []
        self._stride = 1

    def next(self, tick: int) -> int:
        """The tick after `tick` at which the next point is due that is not there yet."""
        last = max(tick, self._rows[-1][0]) if self._rows else tick
        return (last // self._stride + 1) * self._stride

    def sample(self, tick: int, record: np.void) -> None:
        """Take a point if one is due. record: of the machine at `tick`."""
        if tick % self._stride or self._rows and self._rows[-1][0] >= tick:
            return
        self._rows.append((tick, *(int(record[name]) for name in HISTORY)))
        if len(self._rows) > SAMPLES:
            self._stride *= 2
            self._rows = [row for row in self._rows if row[0] % self._stride == 0]

    def forget(self, tick: int) -> None:
        """Points from `tick` on are true no longer."""
        self._rows = [row for row in self._rows if row[0] < tick]

    def copy(self) -> Self:
        """A history of its own with the same points."""
        other = copy.copy(self)
        other._rows = list(self._rows)
        return other

    def columns(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """(ticks int64[n], {name: int64[n]}), n > 0."""
        rows = np.array(self._rows or [(0, *[0] * len(HISTORY))], np.int64)
        return rows[:, 0], {name: rows[:, i + 1] for i, name in enumerate(HISTORY)}


class Course(History):
    """Points of a migration that begins at the tick `began`, from a little before it on."""

    def __init__(self, began: int) -> None:
        super().__init__()
        self._first = began - LEAD

    def next(self, tick: int) -> int:
        return super().next(max(tick, self._first - 1))

    def sample(self, tick: int, record: np.void) -> None:
        if tick >= self._first:
            super().sample(tick, record)
