"""What the guest does at which tick, and what it needs of the guest's memory: the protocol of everything that can stand there.

programs.Programs are recorded programs and generators of a scenario, raw_guest.RawWork a guest given entry by entry.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pagingviz.scenario.frames import Demand

ANY_GIBS = 1 << 20  # of huge_leaves: more than any guest has


@dataclass(frozen=True, eq=False)
class ProcessSpec:
    """One process slot. pages: u64 (n,), ascending vpns it may touch; writable, executable: bool (n,).

    events: length of a recorded program, 0 for generators; child: the slot is the child of the one before it.
    """

    name: str
    source: str
    pages: np.ndarray
    writable: np.ndarray
    executable: np.ndarray
    events: int = 0
    is_trace: bool = False
    child: bool = False


@dataclass(frozen=True)
class Shown:
    """Entries `index` of the table in `frame`, whose entry 0 maps vpn `page`: a part of the map of guest tables."""

    label: str
    level: int
    frame: int
    page: int
    index: tuple[int, ...]


class Work(Demand, Protocol):
    """The operations of a guest as a function of the tick: the same tick always has the same ones."""

    @property
    def processes(self) -> Sequence[ProcessSpec]:
        """The process slots; none in a guest given entry by entry."""

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences: what of the recorded programs was left out, or lies at other addresses than recorded."""

    @property
    def slots(self) -> int:
        """Number of process slots."""

    @property
    def levels(self) -> int:
        """Levels of the guest's page tables: 4, 3 or 2."""

    @property
    def program(self) -> np.ndarray:
        """The rows of a guest given entry by entry, uint64[rows, 3] (core/raw.py); no rows in any other."""

    @property
    def p2m_pages(self) -> int:
        """Pages of the pool that hold the p2m from the start."""

    @property
    def small_chunks(self) -> Collection[int]:
        """Numbers of the 2 MiB chunks that the hap road maps by 4 KiB leaves whatever the scenario says."""

    @property
    def huge_leaves(self) -> int:
        """How many GiBs from frame 0 on the hap road may map by one leaf each where the scenario allows it."""

    @property
    def shown(self) -> tuple[Shown, ...] | None:
        """What the map of guest tables shows; None: what the processes can touch."""

    def busy(self, vcpu: int) -> bool:
        """Whether that vCPU has anything to do."""

    def fill(self, op: np.ndarray, credit: np.ndarray, t0: int) -> None:
        """Write the operations of ticks t0..t0+n, as the run loop takes them (arch/operation.py): op u64[n], credit u32[n]."""
