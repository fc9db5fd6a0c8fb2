"""The history of the dirty bits: in which round each was set last, by whom, and in how many rounds."""

import numpy as np

from pagingviz.arch import xen
from pagingviz.machine.machine import Machine


def history(machine: Machine) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(round in which the bit was set last or -1, xen.MK_* of who set it, number of rounds in which it was set).

    Each int64[modelled], one item for each frame that has state, in the order of `machine.modelled.frames()`.
    """
    words = machine.view("dround")
    last, who, times = words & xen.DR_ROUND, words >> xen.DR_CAUSE_SHIFT & xen.DR_CAUSE, words >> xen.DR_ROUNDS_SHIFT
    return last.astype(np.int64) - 1, who.astype(np.int64), times.astype(np.int64)


def dirty_before(machine: Machine) -> np.ndarray:
    """Frames whose bit was set last in the round before the present one, int64[n]."""
    words, s = machine.view("dround"), machine.sys[0]
    return machine.modelled.frames()[(words & xen.DR_ROUND == s.dirty_round) & (s.dirty_round > 0)]
