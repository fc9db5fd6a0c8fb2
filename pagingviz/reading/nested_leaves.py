"""The nested tables by frame: the leaf of each frame of the guest, many frames at a time."""

import numpy as np

from pagingviz.arch.words import U
from pagingviz.core.read_only import nested_cells
from pagingviz.machine.machine import Machine
from pagingviz.reading import nested


def leaves(machine: Machine, gfn: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(entry uint64[n], level int64[n], pending bool[n]: on some entry of its way) of the leaf of each frame.

    gfn: int[n]; all frames unless given, which is for small guests. Where no leaf is, the entry that is not present.
    """
    pool = machine.view("pool").reshape(-1, 512)
    gfn = np.arange(machine.scenario.frames) if gfn is None else np.asarray(gfn)
    page = np.full(gfn.size, int(machine.sys[0].hap_root))
    entry, leaf_level = np.zeros(gfn.size, U), np.zeros(gfn.size, int)
    pending, open_ = np.zeros(gfn.size, bool), np.ones(gfn.size, bool)
    for level in nested.LEVELS:
        e = pool[page, gfn >> 9 * (level - 1) & 511]
        entry, leaf_level = np.where(open_, e, entry), np.where(open_, level, leaf_level)
        pending |= open_ & nested.pending(machine, e)
        open_ &= ~nested.is_leaf(level, e) & nested.present(machine, e)
        page = np.where(open_, nested.target(e), page)
    return entry, leaf_level, pending


WRITABLE, LOGGED, PENDING = 0, 3, 6  # states of `worst_states`: the first two are of 4 KiB leaves, + 1 of 2 MiB, + 2 of 1 GiB


def worst_states(machine: Machine, group: int, n: int) -> np.ndarray:
    """The worst state of any frame in each of the first n groups of `group` frames, a power of two: intp[n].

    LOGGED is ram_logdirty; PENDING: a change waits somewhere on the way. Where nothing is mapped it is WRITABLE.
    """
    nested_cells(machine.sys, machine.cpu, machine.mem, U(group.bit_length() - 1), U(n))
    return machine.view("tmp")[:n].astype(np.intp)
