"""The tree behind the dirty bitmap: its pages by level, and what each of them covers."""

from dataclasses import dataclass

import numpy as np

from pagingviz.arch import xen
from pagingviz.arch.words import NONE

LEVELS = ("leaf", "node", "node", "root")


@dataclass(frozen=True)
class TreePage:
    """One page of the tree.

    level: 4 the root, 1 a leaf; parent: position in the list, -1 for the root; page: of the pool; first: the first frame it
    covers; frames: how many it covers, within the guest or not; used: children, or bits set in a leaf.
    """

    level: int
    parent: int
    page: int
    first: int
    frames: int
    used: int

    @property
    def name(self):
        """root, L3 node, L2 node, leaf."""
        return LEVELS[self.level - 1] if self.level in (1, 4) else f"L{self.level} {LEVELS[self.level - 1]}"


def dirty_tree(machine):
    """The allocated pages, parents before children, each level by frame: [TreePage], [] while there are none."""
    root = machine.sys[0].tree_root
    if root == NONE:
        return []
    pool = machine.view("pool").reshape(-1, 512)
    out, open_ = [], [(-1, int(root), 0)]
    for level in (4, 3, 2, 1):
        frames, below = 1 << int(xen.LEAF_BITS) + 9 * (level - 1), []
        for parent, page, first in open_:
            at = np.flatnonzero(pool[page])
            used = int(np.bitwise_count(pool[page]).sum()) if level == 1 else at.size
            out.append(TreePage(level, parent, page, first, frames, used))
            if level > 1:
                child = len(out) - 1
                below += [(child, int(pool[page, i]) - 1, first + int(i) * (frames >> 9)) for i in at]
        open_ = below
    return out
