"""Which events can change a cell: what a search for its last change (boards.since) looks at.

Too many of them cost time, too few make it wrong.

A board has kinds of events that can change any of its cells, and kinds that can change only the cells of the frame, page or
entry that they name. A test draws cells at random and finds that nothing else changes them (tests/boards/test_since.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import x86
from pagingviz.boards.board import Plan

_COMMANDS = "ENABLE CLEAN OFF BLOW REVOKE SET_ALLOCATION NO_MEMORY MODIFIED_MEMORY DOMF_DYING"
_OF_TABLES = "UNSYNC RESYNC_FULL RESYNC_ONLY UNSHADOW EARLY_UNSHADOW"
_SHADOWS = f"PROMOTE DEMOTE PREALLOC_UNPIN PREALLOC_UNHOOK {_OF_TABLES}"
_PV = "MMU_UPDATE PTWR PIN GRANT_UNMAP"
_NESTED = "EPT_MISCONFIG NPF_RECALC P2M_SPLIT P2M_SHATTER"
_LOG = "PML_FULL PML_FLUSH"
_EMULATED = "EMULATE EMULATE_UNSHADOW_USER EMULATE_UNSHADOW_EVTINJ EMULATE_UNSHADOW_UNHANDLED VALIDATE"


def _codes(*names: str) -> np.ndarray:
    return np.array([ev.CODES[name] for name in " ".join(names).split()])


@dataclass(frozen=True)
class Changes:
    """What can change the cells of a board.

    all_: int[n], kinds of events that can change any cell; own: int[n], kinds that can only change the cell that they name:
    by the frame in their `field` (gfn; of the pool: mfn), or, where that is "entry", by the number of an entry.
    """

    all_: np.ndarray
    own: np.ndarray
    field: str = "gfn"

    @property
    def kinds(self) -> frozenset[int]:
        """Every kind that can change a cell."""
        return frozenset(int(code) for code in (*self.all_, *self.own))

    def of(self, events: np.ndarray, plan: Plan, cell: int) -> np.ndarray:
        """Which of n events, EVENT_DTYPE[n], can change a cell, bool[n]."""
        return np.isin(events["kind"], self.all_) | self.names(events, plan, cell)

    def names(self, events: np.ndarray, plan: Plan, cell: int) -> np.ndarray:
        """Which of n events, EVENT_DTYPE[n], name something of the cell, bool[n]."""
        first, own = int(plan.key[cell]), np.isin(events["kind"], self.own)
        if self.field == "entry":
            return own & _names_entry(events, plan, cell)
        if self.field == "mfn" and any(letter == "+" for letter, _, _ in plan.legend):
            return own  # a shadow may have several pages, of which the event names the first
        named = events[self.field].astype(np.int64)
        return own & (named >= first) & (named < first + plan.per_cell)


def _names_entry(events: np.ndarray, plan: Plan, cell: int) -> np.ndarray:
    """Which of n events are about an entry with the number of the cell's entry, bool[n]; all for an entry of the kernel.

    The number stands in `level` of a store. What sets A and D has the level of the table there, and the address. What becomes
    of a table is seen in the entry that leads to it, and in no entry of level 1.
    """
    for e in plan.entries:
        hit = np.flatnonzero(e.cell == cell)
        if hit.size and e.slot >= 0:
            number = np.uint64(int(e.index[hit[0]]) & _LOW)
            walked = events["level"] == e.level
            if e.level == 1:
                walked &= events["gva"] >> x86.PAGE_BITS & np.uint64(_LOW) == number
            stored = np.isin(events["kind"], _STORES)
            other = np.where(stored, events["level"] & np.uint64(_LOW) == number, e.level > 1)
            return np.where(events["kind"] == ev.AD_UPDATE, walked, other)
    return np.ones(events.size, bool)


_STORES = _codes("PTE_STORE", _EMULATED)
_LOW = 255  # of an entry's number: so much of it fits any guest's tables
CHANGES = {  # by board
    "guest-tables": Changes(
        _codes(_PV, "FORK EXIT ENABLE CLEAN OFF BLOW"),
        _codes("PTE_STORE", _EMULATED, _SHADOWS, "AD_UPDATE GUEST_PF COW_BREAK FRAME_ALLOC FRAME_FREE"),
        "entry",
    ),
    "shadow-pool": Changes(
        _codes(_COMMANDS, _OF_TABLES, _NESTED, _LOG, "CR3_LOAD TREE_ALLOC PIN WRMAP PREALLOC_UNHOOK"),
        _codes("PROMOTE DEMOTE PREALLOC_UNPIN"),
        "mfn",
    ),
    "ept-npt": Changes(
        _codes(_COMMANDS, _SHADOWS, _PV, _NESTED, _LOG, _EMULATED, "PREFETCH INVLPG FORK EXIT"),
        _codes("FIXUP WRMAP FRAME_ALLOC FRAME_FREE EPT_VIOLATION HVM_NPF PML_LOG MARK_DIRTY"),
    ),
    "dirty-bitmap": Changes(_codes(_COMMANDS, _LOG, "FORK EXIT"), _codes("MARK_DIRTY PML_LOG FRAME_ALLOC FRAME_FREE")),
    "nested-tables": Changes(_codes(_COMMANDS, _NESTED, _LOG, "EPT_VIOLATION HVM_NPF PML_LOG TLB_MISS"), _codes()),
}
