"""Plans: what a map shows where. A plan depends on the scenario and its work only, so cells never move between frames."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from pagingviz.palette import DIRTY, DIRTY_BEFORE, FREE, PENDING, READ_ONLY, SUPERPAGE, TABLE, WRITABLE

BOARDS = ("guest-tables", "shadow-pool", "ept-npt", "dirty-bitmap")
LARGEST = 128 * 128  # cells of one map; more frames than that are shown several to a cell, and the plan says so
DATA_CELLS = 32  # cells for the direct map of the data frames
YOUNG, OLD = 16, 28


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


@dataclass(frozen=True)
class Plan:
    """The arrangement of one map. `key` is by cell the frame or pool page it stands for, -1 where none."""

    id: str
    title: str
    unit: str
    width: int
    height: int
    labels: tuple  # (row, text)
    legend: tuple  # (letter, fill code, text)
    road: str
    per_cell: int = 1
    key: np.ndarray = field(default=None, repr=False)
    entries: tuple = field(default=(), repr=False)


def plan(scenario, work, board, pages=None):
    """The plan of a board for a machine of this scenario; `pages`: pool pages to show when the pool was made larger."""
    if board == "shadow-pool":
        return _pool(scenario.road, scenario.pool if pages is None else pages, scenario.frames)
    if board == "guest-tables":
        return _guest(scenario, work)
    return _frames(scenario.road, scenario.frames, board)


def _width(cells):
    """Columns of a map with one cell a frame: wide, as the panels are, and a power of two so that rows mean something."""
    return 32 if cells <= 512 else 64 if cells <= 1024 else 128


def _share(frames):
    """Frames in one cell: 1 up to LARGEST frames, then a power of two."""
    k = 1
    while frames > LARGEST * k:
        k *= 2
    return k


@lru_cache(maxsize=256)
def _frames(road, frames, board):
    k = _share(frames)
    n = -(-frames // k)
    width = _width(n)
    key = np.full(-(-n // width) * width, -1)
    key[:n] = np.arange(n) * k
    what = "bit" if board == "dirty-bitmap" else "guest frame of 4 KiB"
    unit = f"1 cell = 1 {what}" if k == 1 else f"1 cell = {k} {what}s, showing the worst of them"
    if board == "dirty-bitmap":
        title = "Dirty bitmap"
        legend = (("D", DIRTY, "written since the last CLEAN"), ("d", DIRTY_BEFORE, "in the round before"),
                  ("T", TABLE, "page table, clean"), (".", FREE, "clean"))  # fmt: skip
    elif road == "hap":
        title = "EPT / NPT"
        legend = (("W", WRITABLE, "ram_rw"), ("R", READ_ONLY, "ram_logdirty: no write"), ("S", SUPERPAGE, "2 MiB leaf"),
                  ("?", PENDING, "recalculation pending"))  # fmt: skip
    else:
        title = "EPT / NPT"
        legend = (("W", WRITABLE, "mapped writable"), ("R", READ_ONLY, "mapped read-only"),
                  ("T", TABLE, "page table: write-protected"), (".", FREE, "in no shadow"))  # fmt: skip
    if road == "bare":
        key[:] = -1
        unit, legend = "no hypervisor on the bare road", ()
    return Plan(board, title, unit, width, key.size // width, (), legend, road, k, key)


@lru_cache(maxsize=256)
def _pool(road, pages, frames):
    if road == "hap":
        from pagingviz.machine import hap_pages

        pages = hap_pages(frames)
        title, unit = "HAP pool", "1 cell = 1 page for EPT tables and the bitmap's tree"
        legend = (
            ("4", YOUNG, "EPT root"),
            ("1", OLD, "to 4: EPT table, by level"),
            ("l", YOUNG, "log-dirty tree"),
            (".", FREE, "free"),
        )
    else:
        title, unit = "Shadow pool", "1 cell = 1 page; bright = young, dark = old"
        legend = (("4", YOUNG, "root; thick: pinned"), ("1", OLD, "to 3: shadow, by level"), ("l", YOUNG, "log-dirty tree"),
                  ("m", YOUNG, "monitor"), (".", FREE, "free"))  # fmt: skip
    if road == "bare":
        pages, unit, legend = 32, "no hypervisor on the bare road", ()
    width = 8 if pages <= 32 else 16 if pages <= 128 else 32 if pages <= 1024 else 64 if pages <= 4096 else 128
    key = np.full(-(-pages // width) * width, -1)
    if road != "bare":
        key[:pages] = np.arange(pages)
    return Plan("shadow-pool", title, unit, width, key.size // width, (), legend, road, 1, key)


# ---- guest tables: the entries that the work can ever use, process by process, then the kernel's direct map


def _guest(scenario, work):
    processes = tuple((p.name, p.pages.tobytes()) for p in work.processes)
    signature = (processes, scenario.frames, work.zone, scenario.direct_map_base)
    return _guest_cached(signature, scenario.road)


@lru_cache(maxsize=64)
def _guest_cached(signature, road):
    processes, frames, zone, direct_map = signature
    pages = [np.frombuffer(raw, np.uint64).astype(np.int64) for _, raw in processes]
    total = sum(p.size for p in pages) + zone + DATA_CELLS
    width = next((w for w in (32, 64, 96, 128) if total * 1.25 <= w * w * 0.6), 128)
    sheet = _Sheet(width)
    for slot, (name, _) in enumerate(processes):
        sheet.process(slot, name, pages[slot], int(direct_map >> 39) & 511)
    sheet.kernel(frames, zone, direct_map)
    key = np.full(sheet.row * width, -1)
    unit = "1 cell = 1 entry the work can use, the rest stay empty; the direct map of data frames: several entries a cell"
    legend = (("W", WRITABLE, "writable; thick: guest D set"), ("R", READ_ONLY, "read-only"),
              ("T", TABLE, "table; thick: it has a shadow"),
              ("w", WRITABLE, "small letter: A clear"), (".", FREE, "not present"))  # fmt: skip
    return Plan("guest-tables", "Guest page tables", unit, width, sheet.row, tuple(sheet.labels), legend, road, 1, key,
                tuple(sheet.entries))  # fmt: skip


class _Sheet:
    """Places entries row by row: a gap of one blank cell between tables, a new row for each process and for its leaves."""

    def __init__(self, width):
        self.width, self.row, self.at = width, 0, 0
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

    def process(self, slot, name, pages, kslot):
        """All levels of one process: L4 (with the kernel's entry), L3 and L2 on one line, then the L1 entries."""
        self._line(name[:10])
        tops = np.append(np.unique(pages >> 27), kslot)
        self.entries.append(Entries(slot, 4, np.zeros(tops.size, int), tops & 511, tops << 27, self._place(tops.size)))
        above = tops[:-1]
        for level in (3, 2, 1):
            mine = np.unique(pages >> (9 * (level - 1)))
            parent = np.searchsorted(above, mine >> 9)
            if level == 1:
                self._line()
            cell = []
            for table in np.unique(parent):
                self._gap()
                cell.append(self._place(int(np.count_nonzero(parent == table))))
            cell = np.concatenate(cell) if cell else np.zeros(0, int)
            self.entries.append(Entries(slot, level, parent, mine & 511, mine << (9 * (level - 1)), cell))
            above = mine
        self._line()

    def kernel(self, frames, zone, direct_map):
        """The direct map: its L3 and L2 entries, then the leaves: one a cell where tables may lie, data frames summed up."""
        self._line("kernel")
        first = direct_map >> 12
        l1s = -(-frames // 512)
        for level, n in ((3, 1), (2, l1s)):
            index = ((first >> (9 * (level - 1))) & 511) + np.arange(n)
            page = first + np.arange(n) * (512 if level == 2 else 0)
            self.entries.append(Entries(-1, level, np.zeros(n, int), index, page, self._place(n)))
            self._gap()
        self._line()
        share = -(-(frames - zone) // DATA_CELLS)
        gfn = np.concatenate([np.arange(zone), np.arange(zone, frames, share)])
        span = np.diff(np.append(gfn, frames))
        self.entries.append(Entries(-1, 1, gfn >> 9, gfn & 511, first + gfn, self._place(gfn.size), span))
        self._line()
