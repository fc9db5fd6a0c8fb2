"""Entries of the guest's own page tables, many at a time: their present values, and which of them map a frame."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from pagingviz.arch import x86
from pagingviz.arch.words import NONE, U
from pagingviz.machine.guest_tables import guest_entries, is_big, targets
from pagingviz.machine.machine import Machine
from pagingviz.work.raw_guest import RawWork
from pagingviz.work.work import Work

NO_TABLE = -1  # instead of a table's frame: the table does not exist yet
IN_2M, IN_1G = -2, -3  # the same: a superpage stands where the table would be (of a 32-bit guest 4 MiB instead of 2 MiB)


@dataclass(frozen=True)
class Entries:
    """n entries of one kind: all that the work can use of one process and level.

    slot: process, or -1 for the kernel; level 4..1; parent: int[n], position of the table's own entry among the entries of
    the level above (0 for a root); index: int[n], entry number 0..1023; page: int64[n], first virtual page that the entry
    covers; frame: the table's frame where it is known beforehand (raw guests), else NO_TABLE: then the tables are walked.
    """

    slot: int
    level: int
    parent: np.ndarray
    index: np.ndarray
    page: np.ndarray
    frame: int = NO_TABLE


Kind = TypeVar("Kind", bound=Entries)


class Values(NamedTuple, Generic[Kind]):
    """The present values of `entries`: frame int64[n] of the table of each, or NO_TABLE, IN_2M, IN_1G; value uint64[n]."""

    entries: Kind
    frame: np.ndarray
    value: np.ndarray


def read_entries(machine: Machine, groups: Iterable[Kind]) -> list[Values[Kind]]:
    """The present values of groups of entries, of which each process's come from the top level to level 1.

    Below a superpage there is no table: its pieces have the value that an entry would have there, with PSE set.
    """
    s, roots = machine.sys[0], machine.view("roots")
    live = roots[roots != NONE]
    top = int(s.guest_levels)
    out = []
    above: dict[int, np.ndarray] = {}  # by process, of the level above: the entries, and the frames of their tables
    parts: dict[int, np.ndarray] = {}
    for e in groups:
        pieces = None
        if e.frame >= 0:
            frame = np.full(e.index.size, e.frame)
        elif e.slot >= 0 and e.level == top:
            root = roots[e.slot]
            frame = np.full(e.index.size, NO_TABLE if root == NONE else int(root))
        elif e.slot < 0 and e.level == 3 and top == 4:
            frame = int(s.kl3) + e.parent
        elif e.slot < 0 and e.level == top:
            frame = np.full(e.index.size, int(live[0]) if live.size else NO_TABLE)
        else:
            upper = above[e.slot]  # few entries, with many below each: where they lead is read once
            below = np.where(upper & x86.P != 0, targets(machine, upper), NO_TABLE)
            big = is_big(e.level + 1, upper)
            if e.level < 3 and big.any():
                below[big] = np.where(parts[e.slot] == IN_1G, IN_1G, IN_1G if e.level == 2 else IN_2M)[big]
                pieces = upper[e.parent] + (e.index.astype(np.uint64) << U(12 + 9 * (e.level - 1)))
            frame = below[e.parent]
        value = guest_entries(machine, frame, e.index)
        if pieces is not None:
            value = np.where(frame < NO_TABLE, pieces, value)
        above[e.slot], parts[e.slot] = value, frame
        out.append(Values(e, frame, value))
    return out


def pointing_at(machine: Machine, values: Values, gfn: int) -> np.ndarray:
    """Which of the entries are present and hold guest frame `gfn`, bool[n]."""
    return (values.value & x86.P != 0) & (targets(machine, values.value) == gfn)


def process_entries(slot: int, pages: np.ndarray, levels: int, direct_map: int) -> list[Entries]:
    """All entries that a process can use, a group a level from the top down; the top has the kernel's entry at its end.

    pages: int64[n], the virtual pages that it uses; levels: of the guest's tables; direct_map: address at which the kernel's
    direct map begins.
    """
    bits = address_bits(levels)
    above = np.unique(pages >> bits * (levels - 1))
    top = above if levels == 2 else np.append(above, kernel_entry(levels, direct_map))
    out = [Entries(slot, levels, np.zeros(top.size, int), entry_numbers(top, levels, levels), top << bits * (levels - 1))]
    for level in range(levels - 1, 0, -1):
        own = np.unique(pages >> bits * (level - 1))
        parent = np.searchsorted(above, own >> bits)
        out.append(Entries(slot, level, parent, entry_numbers(own, level, levels), own << bits * (level - 1)))
        above = own
    return out


def address_bits(levels: int) -> int:
    """Bits of an address that choose an entry, in guest tables of so many levels."""
    return 10 if levels == 2 else 9


def kernel_entry(levels: int, direct_map: int) -> int:
    """Number of the top entry that leads to the kernel's direct map, in tables of 3 (PAE) or 4 levels."""
    return (direct_map >> 12) >> 9 * (levels - 1) & (511 if levels == 4 else 3)


def entry_numbers(page: np.ndarray, level: int, levels: int) -> np.ndarray:
    """Entry numbers, int64[n], in tables of `level` of a guest with so many levels. page: int64[n], shifted to that level."""
    return page & ((1 << address_bits(levels)) - 1 if level < 4 else 511)


def mappings(machine: Machine, work: Work | RawWork, gfn: int) -> list[tuple[int, int]]:
    """(process, virtual page) of all pages of processes at which guest frame `gfn` is mapped."""
    out, direct_map = [], machine.scenario.direct_map_base
    for slot, process in enumerate(work.processes):
        groups = process_entries(slot, process.pages.astype(np.int64), work.levels, direct_map)
        values = read_entries(machine, groups)[-1]
        out += [(slot, int(page)) for page in values.entries.page[pointing_at(machine, values, gfn)]]
    return out


def readers_of_table(machine: Machine, gva: int, user: bool, gfn: int, level: int) -> list[int]:
    """The processes whose own walk of `gva` reads the table of `level` in frame `gfn`; user: whether it is made at CPL 3."""
    s, out = machine.sys[0], []
    top = int(s.guest_levels)
    for slot, root in enumerate(machine.view("uroots" if s.pv and user else "roots")):
        table, at = int(root), top
        while root != NONE and at > level and 0 <= table < s.zone:
            mask = 3 if at == 3 == top else (1 << address_bits(top)) - 1
            e = guest_entries(machine, np.array([table]), np.array([gva >> 12 + address_bits(top) * (at - 1) & mask]))
            if not e[0] & x86.P or is_big(at, e)[0]:
                break
            table, at = int(targets(machine, e)[0]), at - 1
        if root != NONE and at == level and table == gfn:
            out.append(slot)
    return out


def address(machine: Machine, page: int) -> int:
    """Guest-virtual address of a virtual page: canonical in a 64-bit guest, of 32 bits in the others."""
    gva = page << 12
    if machine.sys[0].guest_levels != 4:
        return gva & 0xFFFFFFFF
    return gva & (1 << 48) - 1 | (0xFFFF << 48 if gva >> 47 & 1 else 0)
