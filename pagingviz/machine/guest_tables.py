"""What a guest's own page tables say, many entries at a time: numpy on the machine's arrays, nothing is changed."""

import numpy as np

from pagingviz.arch import x86, xen
from pagingviz.arch.words import ZERO, U


def guest_entries(machine, frame, index):
    """Entries `index` of the guest tables in `frame` (int arrays; a frame without kept contents reads 0): uint64[n]."""
    s, words = machine.sys[0], machine.view("tables")
    kept = (frame >= 0) & (frame < int(s.zone))
    every = bool(kept.all())
    at = frame if every else np.where(kept, frame, 0)
    if s.guest_levels == 2:
        value = words.view("<u4")[(at << 10) + index].astype(np.uint64)
    else:
        value = words[(at << 9) + index]
    return value if every else np.where(kept, value, ZERO)


def is_big(level, value):
    """Whether a present entry of `level` maps a superpage itself (bool array)."""
    return (value & x86.P != 0) & (value & x86.PSE != 0) & (level in (2, 3))


def targets(machine, value):
    """Guest frames that entries point to, int64[n], 0 where an entry is not present (a PV guest's hold machine frames)."""
    frame = (value & x86.FRAME_MASK) >> x86.PAGE_BITS
    if machine.scenario.road == "pv":
        frame = machine.view("m2p")[np.minimum(frame - xen.RAM_BASE, U(machine.scenario.frames - 1)).astype(np.intp)]
    return np.where(value & x86.P != 0, frame, ZERO).astype(np.int64)
