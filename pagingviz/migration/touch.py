"""Which frames the guest touches while it runs for some ticks: post-copy must have fetched or pushed all of them.

They are found in the guest's own tables after those ticks, so that no event of each access is needed: the tables on the way to
each page, the pages themselves, and all frames that were stored to. A page that was only read, and unmapped again in the same
ticks, is left out.
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


def touched(machine: Machine, op: np.ndarray, versions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(index, int64[n], of the frames that the operations `op`, uint64[ticks], have touched; at which of them first, int64[n]).

    In the order of the first touch; of a frame that was only stored to, by the kernel, it counts as the last operation.
    `versions`: uint64[modelled], those before the operations.
    """
    kind = op & operation.OP_KIND
    tick = np.flatnonzero(kind <= x86.WRITE)
    key, first = np.unique(op[tick] & ~operation.OP_KIND, return_index=True)
    order = np.argsort(first)
    key, tick = key[order], tick[first[order]]
    found = ways(machine, key >> operation.OP_PROC_SHIFT & operation.OP_PROC_MASK, key >> operation.OP_VPN_SHIFT)
    gfn, when = found.T.reshape(-1), np.repeat(tick, len(found))
    real = (gfn >= 0) & (gfn < int(machine.sys[0].frames))
    index, when = machine.modelled.index(gfn[real]), when[real]
    known = index < machine.modelled.count
    stored = np.flatnonzero(machine.view("ver") != versions)
    both = np.concatenate([index[known], stored])
    when = np.concatenate([when[known], np.full(stored.size, op.size - 1)])
    _, first = np.unique(both, return_index=True)
    first = np.sort(first)
    return both[first], when[first]
