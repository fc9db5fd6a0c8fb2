"""What a tick's record tells of the pool being too full: how many pages were wanted and free, and what went for them."""

from dataclasses import dataclass

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import xen
from pagingviz.machine.machine import Machine
from pagingviz.reading.recycling import wanted_by_a_fault

KINDS = ("PREALLOC_UNPIN", "PREALLOC_UNHOOK")
_UNPIN, _UNHOOK = (int(ev.CODES[kind]) for kind in KINDS)
_TAKES = tuple(int(ev.CODES[kind]) for kind in ("PROMOTE", "TREE_ALLOC", "DOMF_DYING"))  # what the pages were wanted for
_WALK, _DEATH = int(ev.GUEST_WALK), int(ev.DEMOTE)


@dataclass(frozen=True)
class Recycled:
    """Room made once. wanted: pages asked for, 0 when the record does not say; free: pages that were free before.

    unpinned: (guest frame, level) of the shadows that lost their pin, in their order: roots, and L3 shadows of a 64-bit guest,
    which Xen pins as well (SHOPT_LINUX_L3_TOPLEVEL); unhooked: of the loaded roots that lost all entries; died: how many
    shadows that destroyed.
    """

    wanted: int
    free: int
    unpinned: list[tuple[int, int]]
    unhooked: list[tuple[int, int]]
    died: int


def recyclings(machine: Machine, events: np.ndarray) -> list[Recycled]:
    """Each time that a tick had to make room, in order. events: of the tick, in full, EVENT_DTYPE[n]."""
    kinds = events["kind"].astype(np.int64)
    at = np.flatnonzero((kinds == _UNPIN) | (kinds == _UNHOOK))
    out, k = [], 0
    while k < at.size:
        later = np.flatnonzero(np.isin(kinds[at[k] :], (*_TAKES, _WALK)))
        end = int(at[k] + later[0]) if later.size else events.size
        rows = events[at[(at >= at[k]) & (at < end)]]
        unpinned, unhooked = (
            [(int(e["gfn"]), int(e["level"])) for e in rows if e["kind"] == kind] for kind in (_UNPIN, _UNHOOK)
        )
        died = int(np.count_nonzero(kinds[at[k] : end] == _DEATH))
        out.append(Recycled(_wanted(machine, events, int(at[k]), end), int(rows[0]["detail"]), unpinned, unhooked, died))
        k += rows.size
    return out


def _wanted(machine: Machine, events: np.ndarray, first: int, end: int) -> int:
    """Pages that were asked for when event `first` was written; `end`: of the event that says what for, or how many there are.

    Source: multi.c: sh_page_fault; common.c: shadow_prealloc.
    """
    what = int(events["kind"][end]) if end < events.size else 0
    if what == ev.DOMF_DYING:
        return int(events["detail"][end])
    if what == ev.TREE_ALLOC:
        return 1
    if first and events["kind"][first - 1] == _WALK:
        return wanted_by_a_fault(machine, int(events["vcpu"][first - 1]))
    return int(xen.SH_PAGES[int(events["detail"][end])]) if what == ev.PROMOTE else 0
