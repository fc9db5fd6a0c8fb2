"""Which frames a stretch of the guest's work touches: what post-copy must have, sooner or later.

Read off the guest's own tables after the stretch, so that it needs no event of each access: the tables on each way, the pages
at their ends, and all that was stored to. Left out: what was mapped and unmapped again within one stretch, reads only.
"""

from __future__ import annotations

import numpy as np

from pagingviz.arch import operation, x86
from pagingviz.arch.words import NONE, U
from pagingviz.machine.guest_tables import guest_entries, targets
from pagingviz.machine.machine import Machine

_BITS = {4: (27, 18, 9, 0), 3: (18, 9, 0), 2: (10, 0)}


def ways(machine: Machine, proc: np.ndarray, vpn: np.ndarray) -> np.ndarray:
    """Frames on the way to each page: int64[levels + 1, n] from the root to the page; -1 where there is none."""
    m, levels = machine, int(machine.sys[0].guest_levels)
    roots = m.view("uroots" if m.sys[0].pv else "roots")[proc.astype(np.intp)]
    at = np.where(roots == NONE, -1, roots.astype(np.int64))
    out = [at]
    bits = 10 if levels == 2 else 9
    big = np.zeros(at.size, bool)
    for shift in _BITS[levels]:
        index = (vpn >> U(shift) & U((1 << bits) - 1)).astype(np.intp)
        if levels == 3 and shift == 18:
            index &= 3
        entry = guest_entries(m, at, index)
        there = (entry & x86.P != 0) & ~big
        below = np.where(there, targets(m, entry), -1)
        large = there & (entry & x86.PSE != 0) & (shift > 0)
        below[large] += (vpn[large] & U((1 << shift) - 1)).astype(np.int64)
        at = below
        big |= large
        out.append(np.where(there, at, -1))
    return np.stack(out)


def touched(machine: Machine, op: np.ndarray, versions: np.ndarray) -> np.ndarray:
    """Places (int64[n]) of the frames that the operations `op`, uint64[ticks], have touched, in the order of the first touch.

    `versions`: uint64[modelled], those before the operations.
    """
    kind = op & operation.OP_KIND
    seen = op[kind <= x86.WRITE]
    key, first = np.unique(seen & ~operation.OP_KIND, return_index=True)
    key = key[np.argsort(first)]
    found = ways(machine, key >> operation.OP_PROC_SHIFT & operation.OP_PROC_MASK, key >> operation.OP_VPN_SHIFT)
    gfn = found.T.reshape(-1)
    stored = np.flatnonzero(machine.view("ver") != versions)
    places = machine.modelled.index(gfn[(gfn >= 0) & (gfn < int(machine.sys[0].frames))])
    both = np.concatenate([places[places < machine.modelled.count], stored])
    _, first = np.unique(both, return_index=True)
    return both[np.sort(first)]
