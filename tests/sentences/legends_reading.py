"""What the proofs of legends read of a cell and of the machine behind it, without the functions that draw the cell."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE
from pagingviz.boards.palette import PINNED
from pagingviz.reading import nested
from pagingviz.reading.translate import translate
from tests.sentences.proofs_captions import guest_tables


@dataclass
class Cell:
    """A cell of a board. m: the moment, as proofs of captions have it; at: its number; word: what is drawn."""

    m: Any
    plan: Any
    at: int
    word: int

    @property
    def key(self):
        """The first frame or the page that it stands for."""
        return int(self.plan.key[self.at])

    @property
    def frames(self):
        """All frames that it stands for."""
        return range(self.key, min(self.key + self.plan.per_cell, self.m.sim.scenario.frames))

    @property
    def thick(self):
        """Whether its edge is thick."""
        return bool(self.word & PINNED)


# ---- what is read of the machine


def of(m, reading):
    """A reading of a moment, made once."""
    kept = m.__dict__.setdefault("kept", {})
    if reading not in kept:
        kept[reading] = reading(m)
    return kept[reading]


def stale(m):
    """Guest frames of the tables that stand in the vCPUs' places for tables out of sync."""
    return {int(m.m.view("m2p")[int(mfn - xen.RAM_BASE)]) for mfn in m.s.oos if mfn != NONE}


def mapped(m):
    """Frames that a present level-1 shadow entry maps, bool[frames]."""
    pool, kind, key = m.m.view("pool").reshape(-1, 512), m.m.view("ptype"), m.m.view("pkey")
    head = np.where(kind == xen.SH_MORE, key, np.arange(kind.size)).astype(np.intp)
    words = pool[xen.SH_LEVEL[kind[head].astype(np.intp)] == 1]
    mfn = (words[words & x86.P != 0] & x86.FRAME_MASK) >> x86.PAGE_BITS
    out = np.zeros(m.m.view("info").size, bool)
    out[m.m.view("m2p")[(mfn - xen.RAM_BASE).astype(np.intp)].astype(np.intp)] = True
    return out


def tree(m):
    """Pool pages of the bitmap's tree, from its root down."""
    pool, below = m.m.view("pool").reshape(-1, 512), [int(m.s.tree_root)] if m.s.tree_root != NONE else []
    found = set(below)
    for _ in range(3):
        below = [int(word) - 1 for page in below for word in pool[page] if word]
        found |= set(below)
    return found


def levels_of_pages(m):
    """{pool page: level of the nested table in it}, walked down from the root."""
    pool, pages, out = m.m.view("pool").reshape(-1, 512), [int(m.s.hap_root)], {}
    for level in (4, 3, 2, 1):
        out |= dict.fromkeys(pages, level)
        words = pool[pages].reshape(-1)
        there = words[(words & (x86.P if m.s.npt else x86.EPT_RWX) != 0) & (words & x86.PSE == 0)]
        pages = ((there & x86.FRAME_MASK) >> x86.PAGE_BITS).astype(int).tolist() if level > 1 else []
    return out


def walk(m, gfn, down_to=1):
    """[(level, entry)] of the nested tables on the way of a frame."""
    pool, page, out = m.m.view("pool").reshape(-1, 512), int(m.s.hap_root), []
    for level in range(4, down_to - 1, -1):
        entry = pool[page, gfn >> 9 * (level - 1) & 511]
        out.append((level, entry))
        if not entry & (x86.P if m.s.npt else x86.EPT_RWX) or level < 4 and entry & x86.PSE:
            break
        page = int((entry & x86.FRAME_MASK) >> x86.PAGE_BITS)
    return out


def waits(m, entry):
    """Whether a present entry is marked: NPT without US, EPT with memory type 7."""
    return not entry & x86.US if m.s.npt else entry & x86.EPT_EMT == x86.EPT_EMT


def leaf(m, gfn):
    """(level, type, entry) of the leaf of a frame; None where a mark waits on its way."""
    steps = walk(m, gfn)
    level, entry = steps[-1]
    return None if any(waits(m, e) for _, e in steps) else (level, nested.KINDS[nested.kind(entry)], entry)


def leaf_is(level, kind):
    """A comparison: some frame of the cell has such a leaf, and no mark on its way."""
    return lambda c: any((found := leaf(c.m, gfn)) and found[:2] == (level, kind) for gfn in c.frames)


def guest_entry(c):
    """The guest's entry that a cell stands for; 0 where there is no such table, None for one of many in a cell."""
    m, top = c.m, int(c.m.s.guest_levels)
    e, i = next((e, int(np.flatnonzero(e.cell == c.at)[0])) for e in c.plan.entries if c.at in e.cell)
    if e.is_direct_map:
        return None
    words = m.m.view("tables").view("<u4").reshape(-1, 1024) if top == 2 else m.m.view("tables").reshape(-1, 512)
    bits, roots = (10 if top == 2 else 9), m.m.view("roots")
    if e.frame >= 0:
        return int(words[e.frame][int(e.index[i])])
    root = roots[e.slot] if e.slot >= 0 else next((root for root in roots if root != NONE), NONE)
    if root == NONE:
        return 0
    table, va = int(root), int(e.page[i])
    for level in range(top, 0, -1):
        index = va >> bits * (level - 1) & ((1 << bits) - 1 if level < top or top != 3 else 3)
        entry = int(words[table][index])
        if level == e.level or not entry & 1:
            return entry
        if entry & int(x86.PSE) and level < 4:
            return entry  # what lies under a superpage has its bits
        table = led_to(m, entry)
    return 0


def led_to(m, entry):
    """The guest frame in a guest's entry."""
    frame = entry >> 12 & (1 << 40) - 1
    return int(m.m.view("m2p")[frame - int(xen.RAM_BASE)]) if m.sim.scenario.road == "pv" else frame


def entry_is(check):
    """A comparison: the guest's entry fulfils `check(entry, cell)`; a cell of many entries passes."""
    return lambda c: (entry := guest_entry(c)) is None or bool(check(entry, c))


def is_table(c, entry):
    """Whether the entry leads to a table of the guest, thick where the table has a shadow."""
    gfn = led_to(c.m, entry)
    has = gfn < c.m.m.view("info").size and bool(c.m.m.view("info")[gfn] & xen.SHADOW_FLAGS)
    return gfn in of(c.m, guest_tables) and c.thick == has


def kind(*kinds):
    """A comparison: the page's type is one of these."""
    return lambda c: int(c.m.m.view("ptype")[c.key]) in {int(k) for k in kinds}


def level(n):
    """A comparison: the page begins a shadow of a table of that level, and its guest frame is one of the guest's."""
    return lambda c: (
        int(xen.SH_LEVEL[int(c.m.m.view("ptype")[c.key])]) == n and int(c.m.m.view("pkey")[c.key]) >= int(xen.RAM_BASE)
    )


def nested_level(n):
    """A comparison: the page is a nested table of that level."""
    return lambda c: of(c.m, levels_of_pages).get(c.key) == n


def store(c):
    """How a store of the kernel to the cell's first frame ends."""
    return translate(c.m.m, 0, c.m.sim.scenario.direct_map_base + (c.key << 12), 2, 0).end.kind


def dirty(m):
    """Frames whose bits are set in the tree's leaves."""
    return set(m.m.dirty_frames().tolist())


def logged(m):
    """Frames in the processors' logs."""
    return set(m.m.logged_frames().tolist())


def history(c):
    """(round in which it was set last, cause, number of rounds) of each frame of the cell."""
    frames = c.m.m.modelled.index(np.array(list(c.frames)))
    words = c.m.m.view("dround")
    return [
        (int(w & xen.DR_ROUND) - 1, int(w >> xen.DR_CAUSE_SHIFT & xen.DR_CAUSE), int(w >> xen.DR_ROUNDS_SHIFT))
        for w in words[frames[frames < words.size]]
    ]


def often(low, high):
    """A comparison: the frame of the cell that was dirty most often was so in such a share of the rounds."""
    return lambda c: low < min(max(times for _, _, times in history(c)) / (int(c.m.s.dirty_round) + 1), 1) <= high


def cause(name):
    """A comparison: of some frame of the cell the bit was set last by that."""
    return lambda c: any(who == xen.MARKS.index(name) for _, who, _ in history(c))
