"""Where each page-table entry of the guest stands on the map of guest page tables: table after table, row by row."""

from dataclasses import dataclass

import numpy as np

from pagingviz.scenario.fields import MAX_FRAMES

DATA_CELLS = 32  # cells for the direct map of the data frames


@dataclass(frozen=True)
class Entries:
    """The page-table entries of one kind on the guest map, in one go of numpy: all of one process and level.

    slot: uint8 process, or -1 for the kernel; level 4..1; parent: position of the table's own entry among the entries of the
    level above (0 for a root); index: entry number 0..511; page: first vpn the entry covers; cell: flat cell number.
    """

    slot: int
    level: int
    parent: np.ndarray
    index: np.ndarray
    page: np.ndarray
    cell: np.ndarray
    span: np.ndarray | None = None  # entries in each cell, where cells of the direct map hold several
    frame: int = -1  # the table's frame where it is known beforehand (raw guests): nothing is walked then


class Sheet:
    """Places entries row by row: a gap of one blank cell between tables, a new row for each process and for its leaves."""

    def __init__(self, width, levels):
        self.width, self.row, self.at = width, 0, 0
        self.levels = levels
        self.bits = 10 if levels == 2 else 9  # of the address, a level
        self.labels, self.entries = [], []

    def _line(self, label=None):
        """Go to the start of a fresh row."""
        if self.at:
            self.row, self.at = self.row + 1, 0
        if label:
            self.labels.append((self.row, label))

    def _place(self, n):
        """Flat cells of the next n entries, wrapping at the width."""
        flat = self.row * self.width + self.at + np.arange(n)
        end = self.at + n
        self.row, self.at = self.row + end // self.width, end % self.width
        return flat

    def _gap(self):
        if self.at:
            self._place(1)

    def _index(self, page, level):
        """Entry numbers, in tables of `level`, of the entries that map vpns `page` >> bits."""
        return page & ((1 << self.bits) - 1 if level < 4 else 511)

    def process(self, slot, name, pages, direct_map):
        """All levels of one process: its top (with the kernel's entry), the next ones on the same line, then the L1 entries."""
        self._line(name[:10])
        top, bits = self.levels, self.bits
        tops = np.unique(pages >> bits * (top - 1))
        own = tops
        if top > 2:
            tops = np.append(tops, (direct_map >> 12) >> bits * (top - 1) & (511 if top == 4 else 3))
        first = tops << bits * (top - 1)
        self.entries.append(Entries(slot, top, np.zeros(tops.size, int), self._index(tops, top), first, self._place(tops.size)))
        above = own
        for level in range(top - 1, 0, -1):
            mine = np.unique(pages >> bits * (level - 1))
            parent = np.searchsorted(above, mine >> bits)
            if level == 1:
                self._line()
            cell = []
            for table in np.unique(parent):
                self._gap()
                cell.append(self._place(int(np.count_nonzero(parent == table))))
            cell = np.concatenate(cell) if cell else np.zeros(0, int)
            self.entries.append(Entries(slot, level, parent, self._index(mine, level), mine << bits * (level - 1), cell))
            above = mine
        self._line()

    def kernel(self, frames, zone, direct_map):
        """The direct map: its upper entries, then the leaves: one a cell where tables may lie, data frames summed up."""
        self._line("kernel")
        first, bits = direct_map >> 12, self.bits
        share = -(-(frames - zone) // DATA_CELLS)
        gfn = np.concatenate([np.arange(zone), np.arange(zone, frames, share)])
        span = np.diff(np.append(gfn, frames))
        l1s = np.arange(-(-frames >> bits)) if frames <= MAX_FRAMES else np.unique(gfn >> bits)  # of more only those shown
        gibs = np.unique(l1s >> bits) if self.levels > 2 else ()
        for level, tables in ((3, gibs), (2, l1s)):
            if level > self.levels:
                continue
            page = first + (tables << bits * (level - 1))
            above = np.zeros(tables.size, int)
            if level < self.levels:
                above += (page >> 27) - (first >> 27) if level == 3 else np.searchsorted(gibs, tables >> bits)
            index = self._index(page >> bits * (level - 1), level) & (3 if level == self.levels == 3 else ~0)
            self.entries.append(Entries(-1, level, above, index, page, self._place(tables.size)))
            self._gap()
        self._line()
        above = np.searchsorted(l1s, gfn >> bits)
        self.entries.append(Entries(-1, 1, above, gfn & (1 << bits) - 1, first + gfn, self._place(gfn.size), span))
        self._line()

    def table(self, shown):
        """Entries of one table of a raw guest, on lines of their own."""
        self._line(shown.label)
        index = np.array(shown.index)
        page = shown.page + index * (1 << self.bits * (shown.level - 1))
        zero, one = np.zeros(index.size, int), np.ones(index.size, int)
        self.entries.append(Entries(-1, shown.level, zero, index, page, self._place(index.size), one, shown.frame))
        self._line()
