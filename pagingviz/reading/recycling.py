"""What decides who goes next: when the pool is too full for a shadow, and when a table needs a place out of sync.

Nothing here changes the machine. What would be destroyed is found on a copy of the reference counts, by the rules of
core/shadow/recycle.py, shadows.py and oos.py, which name their sources. A shadow is named by its head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE
from pagingviz.machine.machine import Machine
from pagingviz.reading import shadows


@dataclass(frozen=True)
class Recycling:
    """What making `wanted` pages free would take now.

    free: pages that are free; unpinned: heads of the shadows that would lose their pin, in order; unhooked: loaded roots that
    would lose all entries after them, in order; freed: how many pages would be free then.
    """

    wanted: int
    free: int
    unpinned: tuple[int, ...]
    unhooked: tuple[int, ...]
    freed: int

    @property
    def enough(self) -> bool:
        """Whether the pages are free at the end. Otherwise the domain crashes."""
        return self.freed >= self.wanted


def wanted_by_a_fault(machine: Machine, vcpu: int = 0) -> int:
    """Pages that sh_page_fault wants free before it makes a shadow: one for each level below the root that it may lack.

    While log-dirty is on, a whole path of the bitmap's tree as well (shadow_prealloc).
    """
    s, levels = machine.sys[0], int(machine.cpu[vcpu].levels)
    kind = int(xen.TYPE_OF_LEVEL[levels, 1])
    pages = int(xen.SH_PAGES[kind]) * (3 if levels == 4 else 1)
    return pages + (int(xen.LOGDIRTY_LEVELS) if s.log_dirty else 0)


def pinned(machine: Machine) -> list[int]:
    """The pinned shadows in the order in which they would be unpinned, from the tail of Xen's list on."""
    out, page, before = [], machine.sys[0].pin_tail, machine.view("pprev")
    while page != NONE:
        out.append(int(page))
        page = before[int(page)]
    return out


def recycling(machine: Machine, wanted: int) -> Recycling:
    """What _shadow_prealloc would do now for `wanted` pages."""
    s = machine.sys[0]
    free = now = int(s.free_pages)
    left = _References(machine)
    unpinned: list[int] = []
    unhooked: list[int] = []
    for head in pinned(machine):
        if now >= wanted:
            break
        unpinned.append(head)
        now += left.drop(head)
    for root in s.root[: shadows.ROOTS * machine.scenario.vcpus]:
        if now >= wanted:
            break
        if root != NONE:
            unhooked.append(int(root))
            now += left.unhook(int(root))
    return Recycling(wanted, free, tuple(unpinned), tuple(unhooked), now)


class _References:
    """The reference counts of all shadows, as they would be after some have gone."""

    def __init__(self, machine: Machine):
        self.machine = machine
        self.count: dict[int, int] = {}
        self.emptied: set[int] = set()

    def drop(self, head: int) -> int:
        """One reference to a shadow goes, and with the last one the shadow: how many pages of the pool become free."""
        count = self.count.get(head, int(self.machine.view("pref")[head])) - 1
        self.count[head] = count
        if count:
            return 0
        return len(shadows.chain(self.machine, head)) + self.unhook(head)

    def unhook(self, head: int) -> int:
        """What the entries of a shadow refer to loses these references: how many pages become free by it."""
        if head in self.emptied:
            return 0
        self.emptied.add(head)
        return sum(self.drop(child) for child in _children(self.machine, head))


def _children(machine: Machine, head: int) -> list[int]:
    """The shadows that the present entries of a shadow of level 2 to 4 refer to, once for each reference; else none."""
    kind = int(machine.view("ptype")[head])
    if xen.SH_LEVEL[kind] == 1:
        return []
    step = 2 if kind == xen.SH_L2_32 else 1  # two entries for each of the guest's: one reference
    pool = machine.view("pool").reshape(-1, 512)
    out: list[int] = []
    for page in shadows.chain(machine, head):
        entries = pool[page, ::step]
        out += ((entries[entries & x86.P != 0] & x86.FRAME_MASK) >> x86.PAGE_BITS).astype(np.intp).tolist()
    return out


# ---- tables out of sync


def places(machine: Machine, vcpu: int) -> list[int | None]:
    """Guest frames of the tables in a vCPU's three places for tables out of sync; None where a place is free."""
    s, m2p = machine.sys[0], machine.view("m2p")
    first = vcpu * xen.OOS_PAGES
    return [None if mfn == NONE else int(m2p[int(mfn - xen.RAM_BASE)]) for mfn in s.oos[first : first + xen.OOS_PAGES]]


def own_place(machine: Machine, gfn: int) -> int:
    """The place that the table in frame `gfn` takes when it goes out of sync: its machine frame modulo three."""
    return int(machine.view("p2m")[gfn]) % xen.OOS_PAGES


def returned_by(machine: Machine, there: list[int | None], place: int) -> int | None:
    """Which of the tables `there`, in a vCPU's places, comes back when another goes out of sync whose own place is `place`.

    None: no table does. there: as `places` gives them. A table that stands in its own place moves on to the next one, and the
    table in that comes back (oos_hash_add).
    """
    first = there[place]
    if first is None or own_place(machine, first) != place:
        return first
    return there[(place + 1) % xen.OOS_PAGES]
