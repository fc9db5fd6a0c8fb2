"""A guest given entry by entry: page tables, a program of single operations, nothing else. It is a Work.

For golden scenarios, properties and recordings, where every table entry and every access matters. Tick t performs row t - 1 of
the program; after its last row the guest is idle. The rules are in core/raw.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from pagingviz.arch import operation, x86
from pagingviz.work.work import ANY_GIBS, ProcessSpec, Shown

CODES: dict[str, int] = {
    "fetch": int(operation.RAW_FETCH),
    "read": int(operation.RAW_READ),
    "write": int(operation.RAW_WRITE),
    "store": int(operation.RAW_STORE),
    "cr3": int(operation.RAW_CR3),
    "invlpg": int(operation.RAW_INVLPG),
    "xen_write": int(operation.RAW_XEN_WRITE),
    "nop": int(operation.RAW_NOP),
    "event": int(operation.RAW_EVENT),
    "dying": int(operation.RAW_DYING),
    "cr": int(operation.RAW_CR),
    "update_va": int(operation.RAW_UPDATE_VA),
    "mmu_update": int(operation.RAW_MMU_UPDATE),
    "pin": int(operation.RAW_PIN),
    "unpin": int(operation.RAW_UNPIN),
    "flush": int(operation.RAW_FLUSH),
    "grant_write": int(operation.RAW_GRANT_WRITE),
    "grant_unmap": int(operation.RAW_GRANT_UNMAP),
}
_CR = int(x86.CR_WP | x86.CR_NXE | x86.CR_PSE | x86.CR_PG)


class RawWork:
    """levels: 4, 3 (PAE) or 2; zone: frames 0..zone-1 have contents; cr3: frame of the first root (PAE: of its four entries).

    tables: {frame: {index: entry}} before tick 0 (indices of 8-byte entries, of 4-byte ones for levels=2); program: rows (code
    of CODES or its number, va, value, size, user, vcpu), of which the last ones may be left out; cr: x86.CR_* bits;
    p2m_pages: pool pages that the p2m holds from the start; small_chunks: numbers of 2 MiB chunks that the hap road maps by
    4 KiB leaves whatever the scenario says; huge_leaves: how many GiBs from frame 0 on it may map by one leaf each; hap_pool:
    pages of the pool of the hap road, 0: as many as it can need.
    """

    slots, hap_pool, huge_leaves = 0, 0, ANY_GIBS
    notices: tuple[str, ...] = ()
    processes: tuple[ProcessSpec, ...] = ()
    small_chunks: Collection[int] = ()
    need_frames = 0  # there is state for every frame

    def __init__(
        self,
        *,
        levels: int = 4,
        zone: int,
        frames: int,
        cr3: int,
        tables: Mapping[int, Mapping[int, int]],
        program: Iterable[tuple],
        cr: int = _CR,
        p2m_pages: int = 0,
    ):
        self.levels, self.zone, self.frames, self.cr3, self.cr, self.p2m_pages = levels, zone, frames, cr3, cr, p2m_pages
        self.tables = {frame: dict(entries) for frame, entries in tables.items()}
        self.program = self._rows(program)
        self.shown: tuple[Shown, ...] = self._found()

    def _found(self) -> tuple[Shown, ...]:
        """All given entries of the tables that the root leads to at the start, from the top down."""
        bits, found, level = 10 if self.levels == 2 else 9, [], self.levels
        at = {self.cr3: 0}  # frame -> first vpn
        while level and at:
            below: dict[int, int] = {}
            for frame, page in at.items():
                entries = self.tables.get(frame, {})
                if entries:
                    found.append(Shown(f"L{level} {frame:x}", level, frame, page, tuple(sorted(entries))))
                for i, entry in sorted(entries.items()):
                    target = (entry & int(x86.FRAME_MASK)) >> 12
                    if entry & 1 and target in self.tables and not (entry & int(x86.PSE) and level < 4):
                        below.setdefault(target, page + (i << bits * (level - 1)))
            at, level = below, level - 1
        return tuple(found)

    @staticmethod
    def _rows(program: Iterable[tuple]) -> np.ndarray:
        """uint64[n, 3], as core/raw.py reads it."""
        rows = []
        for row in program:
            cells: list[Any] = [*row, *(0,) * (6 - len(row))]
            code, va, value, size, user, vcpu = cells
            number = int(CODES[code]) if isinstance(code, str) else int(code)
            if number == operation.RAW_STORE and not size:
                size = 8
            rows.append((number | vcpu << 8 | user << 16 | size << 24, va, value))
        return np.array(rows, np.uint64).reshape(-1, 3)

    def contents(self) -> np.ndarray:
        """The words of all frames with contents: uint64[zone, 512]."""
        words = np.zeros((self.zone, 512), np.uint64)
        for frame, entries in self.tables.items():
            for i, entry in entries.items():
                if self.levels == 2:
                    words[frame, i >> 1] |= np.uint64(entry << 32 * (i & 1))
                else:
                    words[frame, i] = entry
        return words

    def busy(self, vcpu: int) -> bool:
        """Any vCPU may have rows of the program."""
        return True

    def fill(self, op: np.ndarray, credit: np.ndarray, t0: int) -> None:
        """As Work.fill: op u64[n], credit u32[n]. Tick t0 + 1 performs row t0 of the program."""
        op[:] = (np.arange(t0, t0 + op.size, dtype=np.uint64) << operation.OP_VPN_SHIFT) | operation.RAW
        credit[:] = 0
