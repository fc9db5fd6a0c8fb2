"""What the machine knows about one frame of the guest, as plain values."""

from dataclasses import dataclass

import numpy as np

from pagingviz.arch import xen
from pagingviz.machine.machine import Machine
from pagingviz.reading import dirty_bits
from pagingviz.scenario.frames import machine_frames

_TYPES = range(1, 13)  # SH_* of shadows of guest tables, each a bit of a frame's flags


@dataclass(frozen=True)
class Frame:
    """A guest frame. stores: version of its contents, None where no program can reach it.

    dirty: its bit is set; last_round, marked_by (xen.MK_*), rounds: when the bit was set last, by whom, in how many rounds,
    rounds is 0 where it never was; of a PV guest pv_type: PGT_* as a number 0..5, and pinned; uses: the type's count (PV), or
    the number of writable mappings (shadow); shadow_types: SH_* of its shadows; table: a page table of the guest stands in it.
    """

    gfn: int
    stores: int | None
    dirty: bool
    last_round: int
    marked_by: int
    rounds: int
    pv_type: int
    pinned: bool
    uses: int
    shadow_types: tuple[int, ...]
    out_of_sync: bool
    dying: bool
    table: bool


def read_frame(machine: Machine, gfn: int) -> Frame:
    """The facts about guest frame `gfn`, which is below the number of frames of the guest."""
    at = int(machine.modelled.index(gfn))
    has_state, bare = at < machine.modelled.count, machine.scenario.road == "bare"
    last, who, rounds = (int(part[at]) if has_state and not bare else 0 for part in dirty_bits.history(machine))
    info = int(machine.view("info")[gfn]) if machine.scenario.road in ("pv", "shadow") else 0
    return Frame(
        gfn=gfn,
        stores=int(machine.view("ver")[at]) if has_state else None,
        dirty=gfn in machine.dirty_frames(),
        last_round=last,
        marked_by=who,
        rounds=rounds,
        pv_type=(info & int(xen.PGT_TYPE)) >> int(xen.PGT_SHIFT),
        pinned=bool(info & int(xen.PGT_PINNED)),
        uses=info & int(xen.TYPECOUNT),
        shadow_types=tuple(kind for kind in _TYPES if info >> (32 + kind) & 1),
        out_of_sync=bool(info & int(xen.OOS)),
        dying=bool(info & int(xen.DYING)),
        table=bool(gfn in machine.live_tables()),
    )


def machine_frame(machine: Machine, gfn: int) -> int:
    """The machine frame behind guest frame `gfn`."""
    return int(machine_frames(machine.scenario, np.array([gfn], np.uint64))[0])
