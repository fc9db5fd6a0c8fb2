"""What a guest's own page tables say, many entries at a time: numpy on the machine's arrays, nothing is changed."""

from __future__ import annotations

import numpy as np

from pagingviz.arch import x86, xen
from pagingviz.arch.words import ZERO, U
from pagingviz.machine.machine import Machine
from pagingviz.scenario.roads import road_of


def guest_entries(machine: Machine, frame: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Entries `index` of the guest tables in `frame` (int arrays; a frame outside the table zone reads 0): uint64[n]."""
    s, words = machine.sys[0], machine.view("tables")
    inside = (frame >= 0) & (frame < int(s.zone))
    every = bool(inside.all())
    at = frame if every else np.where(inside, frame, 0)
    if s.guest_levels == 2:
        value = words.view("<u4")[(at << 10) + index].astype(np.uint64)
    else:
        value = words[(at << 9) + index]
    return value if every else np.where(inside, value, ZERO)


def is_big(level: int, value: np.ndarray | np.uint64) -> np.ndarray:
    """Whether an entry, uint64[n], of a table of that level is present and maps a superpage itself: bool[n]."""
    return (value & x86.P != 0) & (value & x86.PSE != 0) & (level in (2, 3))


def targets(machine: Machine, value: np.ndarray | np.uint64) -> np.ndarray:
    """Guest frames that the entries `value`, uint64[n], point to: int64[n], 0 where one is not present.

    A PV guest's entries hold machine frames, which are led back.
    """
    frame = (value & x86.FRAME_MASK) >> x86.PAGE_BITS
    if road_of(machine.scenario).paravirtual:
        frame = machine.view("m2p")[np.minimum(frame - xen.RAM_BASE, U(machine.scenario.frames - 1)).astype(np.intp)]
    return np.where(value & x86.P != 0, frame, ZERO).astype(np.int64)
