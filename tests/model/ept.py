"""What EPT is made of: entries, tables of them, and the exits that they cause."""

from dataclasses import dataclass, replace

import numpy as np

RAM_RW, RAM_LOGDIRTY = 0, 2  # p2m types
WRITE_BACK, POISON = 6, 7  # EPT memory types; 7 is reserved on purpose: "recompute me"
ROOT = 0


@dataclass
class Ept:
    """One EPT entry (ept_entry_t), field by field. Absent entries are not stored."""

    mfn: int
    r: int = 1
    w: int = 1
    x: int = 1
    emt: int = 0
    ipat: int = 0
    sp: int = 0
    a: int = 1
    d: int = 0
    recalc: int = 0
    type: int = RAM_RW

    def raw(self):
        """The 64-bit word, with suppress_ve set."""
        flags = self.r | self.w << 1 | self.x << 2 | self.emt << 3 | self.ipat << 6 | self.sp << 7 | self.a << 8 | self.d << 9
        return flags | self.recalc << 10 | self.mfn << 12 | self.type << 52 | 1 << 63

    def waits(self):
        """Whether its type, or that of what lies below, is to be computed anew."""
        return self.emt == POISON


class EptExit(Exception):
    """A VM exit: `reason` "misconfig", "violation" or another at `gfn`; `fetch`: a violation by a fetch."""

    def __init__(self, reason, gfn, fetch=False):
        super().__init__(f"EPT {reason} at gfn {gfn:#x}")
        self.reason, self.gfn, self.fetch = reason, gfn, fetch


def slot_of(gfn, level):
    return gfn >> 9 * (level - 1) & 511


def inside(gfn, level):
    """Number of `gfn` within a leaf of that level."""
    return gfn % 512 ** (level - 1)


class Table(dict):
    """A dictionary {slot: entry} without absent entries.

    After a split it stands for 512 leaves that differ by their frames alone. An entry is made when it is first used: `rest` is
    the first one, from which the others follow, and `step` how many frames each maps.
    """

    def __init__(self, entries=(), rest=None, step=1):
        super().__init__(entries)
        self.rest, self.step = rest, step

    def __missing__(self, slot):
        if self.rest is None:
            raise KeyError(slot)
        entry = self[slot] = self.untouched(slot)
        return entry

    def untouched(self, slot):
        """The entry of a slot that nothing has used since the split."""
        return replace(self.rest, mfn=self.rest.mfn + slot * self.step)

    def each(self):
        """Everything there is to change when all entries change."""
        return [*self.values()] + [self.rest] * (self.rest is not None)

    def words(self):
        """The table as it stands in memory."""
        out = np.zeros(512, np.uint64)
        if self.rest is not None:
            out[:] = np.uint64(self.rest.raw()) + (np.arange(512, dtype=np.uint64) * np.uint64(self.step) << np.uint64(12))
        for slot, entry in self.items():
            out[slot] = entry.raw()
        return out.tobytes()
