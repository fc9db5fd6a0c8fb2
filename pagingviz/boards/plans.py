"""Plans: what a map shows where. A plan depends on the scenario and its work only, so cells never move between frames."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from pagingviz.arch import xen
from pagingviz.arch.state import CELLS
from pagingviz.boards.palette import (
    AGE_OLDEST,
    AGE_YOUNGEST,
    DIRTY,
    DIRTY_BEFORE,
    FREE,
    OUT_OF_SYNC,
    OUTSIDE,
    PENDING,
    READ_ONLY,
    SUPERPAGE,
    TABLE,
    WRITABLE,
)
from pagingviz.boards.sheet import DATA_CELLS, Sheet
from pagingviz.scenario.frames import hap_pages

BITS = ("round", "often", "who")  # what the cells of the dirty bitmap tell; the address has the same words
BOARDS = ("guest-tables", "shadow-pool", "ept-npt", "dirty-bitmap")
TABLES = "nested-tables"  # a board of its own page; the home page keeps its four
MOST_OF_A_LEVEL = 256  # cells of one level of nested tables: so many can be read beside the leaf map
LARGEST = int(CELLS)  # cells of one map; more frames than that are shown several to a cell, and the plan says so
SIZE = -2  # a legend's entry about the size of a cell: it has no fill code
YOUNG, OLD = 16, 28


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
    levels: tuple = field(default=(), repr=False)  # of nested tables: (level, first cell, cells, entries in a cell)
    heads: tuple = ()  # text above each column
    place: tuple = ()  # (column, row) of the page, where it is not the board that decides
    bits: str = ""  # of the dirty bitmap: one of BITS
    marks: tuple = ("pinned", "changed in this tick")  # what a thick edge and an outline say


def plan(scenario, work, board, pages=None, bits="round"):
    """The plan of a board for a machine of this scenario; `pages`: pool pages to show when the pool was made larger;
    `bits`: one of BITS."""
    if board == "shadow-pool":
        if scenario.road == "hap":
            pages = hap_pages(scenario, work)
        if scenario.road == "pv" and scenario.floor:
            from pagingviz.machine.machine import least_real_pool

            pages = max(least_real_pool(scenario), pages or 0)
        return _pool(scenario.road, scenario.pool if pages is None else pages, _kinds(scenario, work))
    if board == "guest-tables":
        return _guest(scenario, work)
    if board == TABLES:
        return _tables(scenario.road, scenario.frames, scenario.hap, bool(scenario.superpages), bool(scenario.pml))
    told = bits if board == "dirty-bitmap" else ""
    return _frames(scenario.road, scenario.frames, board, bool(scenario.pml), scenario.superpages, told)


def _kinds(scenario, work):
    """Letters that the pool of such a machine can show beside those of every machine, for the legend."""
    if scenario.road == "pv":
        return "o" if scenario.xen == "4.17" else ""
    if scenario.road != "shadow":
        return ""
    raw = work.shown is not None
    oos = scenario.oos and scenario.shopt & int(xen.SHOPT_OUT_OF_SYNC)
    return "".join(
        letter
        for letter, there in (
            ("f", raw or big_direct_map(scenario)),
            ("+", raw or work.levels == 2),
            ("O", oos),
            ("o", oos or scenario.xen == "4.17"),
            ("P", work.p2m_pages),
            ("m", True),
        )
        if there
    )


def big_direct_map(scenario):
    """Whether the guest's kernel maps memory with superpages."""
    return scenario.direct_map_pages != "4k"


def _width(cells):
    """Columns of a map with one cell a frame: wide, as the panels are, and a power of two so that rows mean something."""
    return 32 if cells <= 512 else 64 if cells <= 1024 else 128


def _share(frames):
    """Frames in one cell: 1 up to LARGEST frames, then a power of two."""
    k = 1
    while frames > LARGEST * k:
        k *= 2
    return k


def size(frames):
    """Memory of so many frames in words, a power of two."""
    kib = 4 * frames
    return f"{kib} KiB" if kib < 1024 else f"{kib >> 10} MiB"


_OFTEN = (
    ("4", AGE_YOUNGEST + 2, "in more than 3 of 4 rounds"),
    ("3", AGE_YOUNGEST + 6, "in more than half"),
    ("2", AGE_YOUNGEST + 10, "in more than 1 of 4"),
    ("1", AGE_OLDEST - 1, "less often"),
    (".", FREE, "never"),
)


def _who(road, pml):
    """The legend of the bitmap by who set a bit; what cannot happen on this road is not in it."""
    rows = (
        ("s", DIRTY, "store of the guest", True),
        ("A", TABLE, "A/D bits of the table in it", True),
        ("e", TABLE, "emulated store to a table", road != "hap"),
        ("l", PENDING, "processor's log", road == "hap" and pml),
        ("X", OUTSIDE, "hypervisor", True),
        ("v", OUTSIDE, "device model", True),
        (".", FREE, "nobody", True),
    )
    return tuple(row[:3] for row in rows if row[3])


@lru_cache(maxsize=256)
def _frames(road, frames, board, pml, superpages, bits):
    k = _share(frames)
    n = -(-frames // k)
    width = _width(n)
    key = np.full(-(-n // width) * width, -1)
    key[:n] = np.arange(n) * k
    what = "bit" if board == "dirty-bitmap" else "guest frame of 4 KiB"
    unit = f"1 cell = 1 {what}" if k == 1 else f"1 cell = {size(k)} = {k:,} frames, showing the worst of them"
    if board == "dirty-bitmap":
        title = "Dirty bitmap"
        legend = (
            ("D", DIRTY, "written since the last CLEAN"),
            ("d", DIRTY_BEFORE, "in the round before"),
            *((("l", PENDING, "in the processor's log"),) if pml and road == "hap" else ()),
            ("T", TABLE, "page table, clean"),
            (".", FREE, "clean"),
        )
        if bits == "often":
            title, legend = "Dirty bitmap: how often", _OFTEN
        elif bits == "who":
            title, legend = "Dirty bitmap: who set the bit last", _who(road, pml)
    elif road == "hap":
        title = "EPT / NPT"
        gib = (("G", SUPERPAGE, "1 GiB leaf"),) if superpages == 2 else ()
        legend = (
            ("W", WRITABLE, "ram_rw"),
            ("R", READ_ONLY, "ram_logdirty: no write unseen"),
            ("S", SUPERPAGE, "2 MiB leaf"),
            *gib,
            ("?", PENDING, "recalculation pending"),
        )
    else:
        title = "EPT / NPT"
        legend = (
            ("W", WRITABLE, "mapped writable"),
            ("R", READ_ONLY, "mapped read-only"),
            ("T", TABLE, "page table: write-protected"),
            ("O", OUT_OF_SYNC, "page table out of sync"),
            (".", FREE, "in no shadow"),
        )
    if road == "pv" and board == "ept-npt":
        legend = legend[:3] + legend[4:]
    if road == "bare":
        key[:] = -1
        unit, legend = "no hypervisor on the bare road", ()
    elif k > 1:
        title, legend = f"{title}, 1 cell = {size(k)}", (*legend, ("", SIZE, f"1 cell = {k:,} frames: the worst of them"))
    return Plan(board, title, unit, width, key.size // width, (), legend, road, k, key, bits=bits)


@lru_cache(maxsize=256)
def _tables(road, frames, hap, superpages, pml):
    """Nested tables, rows for each level. An entry's cell is where what it covers belongs: a table that comes has its place."""
    if road != "hap":
        unit = "no hypervisor on the bare road" if road == "bare" else f"no nested tables on the {road} road"
        return Plan(TABLES, "Nested tables", unit, 32, 2, (), (), road, 1, np.full(64, -1))
    blocks, row = [], 0
    entries = [-(-frames // 512 ** (level - 1)) for level in (4, 3, 2, 1)]
    per = [1 << max(0, (n - 1).bit_length() - MOST_OF_A_LEVEL.bit_length() + 1) for n in entries]
    cells = [-(-n // k) for n, k in zip(entries, per, strict=True)]
    width = 32
    for level, n, k in zip((4, 3, 2, 1), cells, per, strict=True):
        blocks.append((level, row * width, n, k))
        row += -(-n // width)
    key = np.full(row * width, -1)
    for level, at, n, k in blocks:
        key[at : at + n] = np.arange(n) * k << 9 * (level - 1)
    labels = tuple((at // width, f"L{level}" + (f" x{k:,}" if k > 1 else "")) for level, at, _, k in blocks)
    several = [f"L{level}: {k:,} entries a cell" for level, _, _, k in blocks if k > 1]
    unit = "1 cell = 1 entry" + "".join(f"; {text}" for text in several) + (", showing the worst of them" if several else "")
    legend = (
        ("T", TABLE, "leads to a table"),
        ("W", WRITABLE, "leaf, writable; thick: D set" + (", else PML logs the next store" if pml else "")),
        ("R", READ_ONLY, "leaf, read-only"),
        *((("S", SUPERPAGE, "superpage leaf"),) if superpages else ()),
        ("?", PENDING, "recalculation waits in it"),
        *(((".", FREE, "no entry: a larger leaf maps it"),) if superpages else ()),
    )
    return Plan(TABLES, f"{hap.upper()} tables", unit, width, row, labels, legend, road, 1, key, (), tuple(blocks))


@lru_cache(maxsize=256)
def _pool(road, pages, kinds):
    if road == "hap":
        title, unit = "HAP pool", "1 cell = 1 page for nested tables and the bitmap's tree"
        legend = (
            ("4", YOUNG, "nested root"),
            ("1", OLD, "to 4: nested table, by level"),
            ("l", YOUNG, "log-dirty tree"),
            (".", FREE, "free"),
        )
    else:
        title, unit = "Shadow pool", "1 cell = 1 page; bright = young, dark = old"
        extra = (
            ("f", YOUNG, "fl1: splinters of a superpage"),
            ("+", YOUNG, "further page of a shadow"),
            ("O", OUT_OF_SYNC, "L1 of a table out of sync"),
            ("o", YOUNG, "its snapshot"),
            ("P", YOUNG, "p2m"),
            ("m", YOUNG, "monitor"),
        )
        legend = (
            ("4", YOUNG, "root; thick: pinned"),
            ("1", OLD, "to 3: shadow, by level"),
            *(entry for entry in extra if entry[0] in kinds),
            ("l", YOUNG, "log-dirty tree"),
            (".", FREE, "free"),
        )
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
    big = big_direct_map(scenario)
    signature = (processes, scenario.frames, work.zone, scenario.direct_map_base, work.levels, big, work.shown)
    return _guest_cached(signature, scenario.road)


@lru_cache(maxsize=64)
def _guest_cached(signature, road):
    processes, frames, zone, direct_map, levels, big, shown = signature
    pages = [np.frombuffer(raw, np.uint64).astype(np.int64) for _, raw in processes]
    total = sum(p.size for p in pages) + zone + DATA_CELLS if shown is None else sum(len(table.index) for table in shown)
    width = next((w for w in (32, 64, 96, 128) if total * 1.25 <= w * w * 0.6), 128)
    sheet = Sheet(width, levels)
    if shown is None:
        for slot, (name, _) in enumerate(processes):
            sheet.process(slot, name, pages[slot], direct_map)
        sheet.kernel(frames, zone, direct_map)
    else:
        for table in shown:
            sheet.table(table)
    key = np.full(sheet.row * width, -1)
    unit = "1 cell = 1 entry the work can use, the rest stay empty; the direct map of data frames: several entries a cell"
    legend = (
        ("W", WRITABLE, "writable; thick: guest D set"),
        ("R", READ_ONLY, "read-only"),
        ("T", TABLE, "table; thick: it has a shadow"),
        *((("O", OUT_OF_SYNC, "table out of sync"),) if road == "shadow" else ()),
        *((("S", SUPERPAGE, "superpage"),) if big or shown else ()),
        ("w", WRITABLE, "small letter: A clear"),
        (".", FREE, "not present"),
    )
    return Plan(
        "guest-tables",
        "Guest page tables",
        unit,
        width,
        sheet.row,
        tuple(sheet.labels),
        legend,
        road,
        1,
        key,
        tuple(sheet.entries),
    )
