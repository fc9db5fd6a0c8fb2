"""Maps whose cells stand for several frames each: the size of a cell in words, and what the frames of one cell are like."""

import numpy as np

from pagingviz.boards.cells import nested_leaves
from pagingviz.boards.nested_tables import SIZES


def counts(m, first, n):
    """Rows (name, value) of the card about the n frames from gfn `first` on."""
    gfn = np.arange(first, min(first + n, m.scenario.frames))
    rows = [("this cell", f"{gfn.size:,} frames, gfn {first:#x} to {gfn[-1]:#x}; below: the first of them")]
    if m.scenario.road == "bare":
        return rows
    dirty = m.dirty_frames()
    rows.append(("dirty", f"{np.count_nonzero((dirty >= first) & (dirty <= gfn[-1])):,} of {gfn.size:,} bits set"))
    if m.scenario.road == "hap":
        _, level, pending = nested_leaves(m, gfn)
        rows.append(("pending", f"{np.count_nonzero(pending):,} of {gfn.size:,} frames"))
        sizes = [f"{np.count_nonzero(level == size):,} by {name}" for size, name in SIZES.items() if np.any(level == size)]
        rows.append(("mapped", ", ".join(sizes) + " leaves"))
    return rows
