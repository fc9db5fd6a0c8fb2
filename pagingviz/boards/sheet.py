"""The arrangement of the guest's page-table entries on the board of guest tables: table after table, row by row."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pagingviz.reading.guest_entries import Entries, address_bits, entry_numbers, process_entries
from pagingviz.scenario.fields import MAX_FRAMES
from pagingviz.work.work import Shown

DATA_CELLS = 32  # cells for the direct map of the data frames


@dataclass(frozen=True, kw_only=True)
class CellsOfEntries(Entries):
    """Entries with their cells: int[n], flat cell numbers; span: int[n], how many entries each cell stands for."""

    cell: np.ndarray
    span: np.ndarray

    def only(self, at: int, top: bool) -> CellsOfEntries:
        """The entry at a position alone. top: in a root; else it lies below the only entry of the group before it."""
        one = slice(at, at + 1)
        parent = self.parent[one] if top else np.zeros(1, int)
        return replace(
            self, parent=parent, index=self.index[one], page=self.page[one], cell=self.cell[one], span=self.span[one]
        )

    @property
    def is_direct_map(self) -> bool:
        """Whether these are the leaves of the kernel's direct map, of which the first ones map the frames of tables."""
        return self.slot < 0 and self.level == 1 and self.frame < 0


def on_the_way(groups: tuple[CellsOfEntries, ...], cell: int) -> tuple[CellsOfEntries, ...]:
    """Of the entries of a board only that of a cell, and those through which a walk comes to it: enough to draw the cell.

    Where that cannot be told beforehand (the kernel's tables, and cells of no entry) all of them.
    """
    for e in groups:
        hit = np.flatnonzero(e.cell == cell)
        if hit.size and e.frame >= 0:  # the table is known: no walk
            return (e.only(int(hit[0]), top=True),)
        if hit.size and e.slot >= 0:
            way: list[CellsOfEntries] = []
            at, tables = int(hit[0]), [g for g in groups if g.slot == e.slot and g.level >= e.level]
            for g in reversed(tables):
                way.insert(0, g.only(at, top=g is tables[0]))
                at = int(g.parent[at])
            return tuple(way)
    return groups


class Sheet:
    """Takes entries row by row: a gap of one blank cell between tables, a new row for each process and for its L1 entries."""

    def __init__(self, width: int, levels: int):
        self.width, self.row, self.column = width, 0, 0
        self.levels = levels
        self.bits = address_bits(levels)
        self.labels: list[tuple[int, str]] = []
        self.entries: list[CellsOfEntries] = []

    def _line(self, label: str = "") -> None:
        """Go to the start of a fresh row."""
        if self.column:
            self.row, self.column = self.row + 1, 0
        if label:
            self.labels.append((self.row, label))

    def _take(self, n: int) -> np.ndarray:
        """Flat cells of the next n entries, wrapping at the width."""
        flat = self.row * self.width + self.column + np.arange(n)
        end = self.column + n
        self.row, self.column = self.row + end // self.width, end % self.width
        return flat

    def _gap(self) -> None:
        if self.column:
            self._take(1)

    def _add(self, e: Entries, cell: np.ndarray, span: np.ndarray | None = None) -> None:
        span = np.ones(cell.size, int) if span is None else span
        self.entries.append(CellsOfEntries(e.slot, e.level, e.parent, e.index, e.page, e.frame, cell=cell, span=span))

    def process(self, slot: int, name: str, pages: np.ndarray, direct_map: int) -> None:
        """All levels of one process: its top (with the kernel's entry), the next ones on the same line, then the L1 entries.

        The arguments are those of process_entries: pages, int64[n], are the virtual pages that the process uses.
        """
        self._line(name[:10])
        top, *below = process_entries(slot, pages, self.levels, direct_map)
        self._add(top, self._take(top.index.size))
        for e in below:
            if e.level == 1:
                self._line()
            cell = [np.zeros(0, int)]
            for table in np.unique(e.parent):
                self._gap()
                cell.append(self._take(int(np.count_nonzero(e.parent == table))))
            self._add(e, np.concatenate(cell))
        self._line()

    def kernel(self, frames: int, zone: int, direct_map: int) -> None:
        """The direct map: its upper entries, then the leaves: one a cell where tables may lie, data frames summed up."""
        self._line("kernel")
        first, bits = direct_map >> 12, self.bits
        share = -(-(frames - zone) // DATA_CELLS)
        gfn = np.concatenate([np.arange(zone), np.arange(zone, frames, share)])
        span = np.diff(np.append(gfn, frames))
        l1s = np.arange(-(-frames >> bits)) if frames <= MAX_FRAMES else np.unique(gfn >> bits)  # of more only those shown
        gibs = np.unique(l1s >> bits) if self.levels > 2 else np.zeros(0, int)
        for level, tables in ((3, gibs), (2, l1s)):
            if level > self.levels:
                continue
            page = first + (tables << bits * (level - 1))
            above = np.zeros(tables.size, int)
            if level < self.levels:
                above += (page >> 27) - (first >> 27) if level == 3 else np.searchsorted(gibs, tables >> bits)
            index = entry_numbers(page >> bits * (level - 1), level, self.levels)
            if level == self.levels == 3:  # PAE's top has four entries
                index = index & 3
            self._add(Entries(-1, level, above, index, page), self._take(tables.size))
            self._gap()
        self._line()
        above = np.searchsorted(l1s, gfn >> bits)
        self._add(Entries(-1, 1, above, gfn & (1 << bits) - 1, first + gfn), self._take(gfn.size), span)
        self._line()

    def table(self, shown: Shown) -> None:
        """Entries of one table of a raw guest, on lines of their own."""
        self._line(shown.label)
        index = np.array(shown.index)
        page = shown.page + index * (1 << self.bits * (shown.level - 1))
        root = np.zeros(index.size, int)
        self._add(Entries(-1, shown.level, root, index, page, shown.frame), self._take(index.size))
        self._line()
