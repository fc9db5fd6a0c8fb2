"""The tree behind the dirty bitmap (Xen mm/paging.c: paging_mark_pfn_dirty): its pages by level, and what each covers."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pagingviz.arch import xen
from pagingviz.arch.words import NONE
from pagingviz.machine.machine import Machine

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
    def name(self) -> str:
        """root, L3 node, L2 node, leaf."""
        return LEVELS[self.level - 1] if self.level in (1, 4) else f"L{self.level} {LEVELS[self.level - 1]}"


class _Level(NamedTuple):
    """The n pages of one level: parent intp[n], position among the pages of the level above; page intp[n]; first int64[n]."""

    parent: np.ndarray
    page: np.ndarray
    first: np.ndarray


def _levels(machine: Machine) -> list[_Level]:
    """The allocated pages of levels 4 to 1, each level by frame; [] while there are none."""
    root = machine.sys[0].tree_root
    if root == NONE:
        return []
    pool = machine.view("pool").reshape(-1, 512)
    out = [_Level(np.array([-1]), np.array([int(root)]), np.zeros(1, np.int64))]
    for level in (4, 3, 2):
        page, first = out[-1].page, out[-1].first
        parent, entry = np.nonzero(pool[page])
        below = pool[page[parent], entry].astype(np.intp) - 1
        out.append(_Level(parent, below, first[parent] + entry * (_covered(level) >> 9)))
    return out


def _covered(level: int) -> int:
    """Frames that a page of a level covers."""
    return 1 << int(xen.LEAF_BITS) + 9 * (level - 1)


def tree_pages(machine: Machine) -> np.ndarray:
    """Pool pages of the tree, intp[n], the root first."""
    return np.concatenate([np.zeros(0, np.intp), *(level.page for level in _levels(machine))]).astype(np.intp)


def dirty_tree(machine: Machine) -> list[TreePage]:
    """The allocated pages, parents before children, each level by frame: [TreePage], [] while there are none."""
    pool = machine.view("pool").reshape(-1, 512)
    out: list[TreePage] = []
    before = 0  # position in the list at which the level above begins
    for level, (parent, page, first) in zip((4, 3, 2, 1), _levels(machine), strict=False):
        used = np.bitwise_count(pool[page]).sum(axis=1) if level == 1 else np.count_nonzero(pool[page], axis=1)
        here = len(out)
        for row in zip(parent.tolist(), page.tolist(), first.tolist(), used.tolist(), strict=True):
            out.append(TreePage(level, row[0] + before if level < 4 else -1, row[1], row[2], _covered(level), row[3]))
        before = here
    return out
