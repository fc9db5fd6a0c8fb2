"""Random raw PV guests: tables that are validated or could be, and a program of hypercalls, stores and accesses that uses them,
changes them and asks for what is not allowed. Everything follows from a seed."""

import random
from dataclasses import dataclass

from tests.model.config import (
    FETCH,
    NX,
    PSE,
    RAW_CR3,
    RAW_FLUSH,
    RAW_GRANT_UNMAP,
    RAW_GRANT_WRITE,
    RAW_INVLPG,
    RAW_MMU_UPDATE,
    RAW_PIN,
    RAW_STORE,
    RAW_UNPIN,
    RAW_UPDATE_VA,
    RAW_XEN_WRITE,
    READ,
    WRITE,
    A,
    D,
    P,
    Row,
    U,
    W,
    machine_frame,
)

DIRECT, BASE, SECOND = 0xFFFF_8800_0000_0000, 0x4000_0000, 0x80_4000_0000  # of all frames; of the user's pages
FRAMES, ZONE = 72, 28
LINK, LEAF, READ_ONLY = P | W | U | A, P | W | U | A | D, P | U | A | D
DATA = range(ZONE, ZONE + 12)


@dataclass
class Guest:
    """tables {frame: {slot: entry}} with the guest's frames, cr3, program: what agree_raw.Pair takes."""

    tables: dict
    cr3: int
    program: list


class Maker:
    """`level`: {frame: the level it was made for}. Tables of no root are spare: they may be hung in, pinned or loaded, unless
    one of their entries or a writable mapping of their own forbids it."""

    def __init__(self, seed, vcpus):
        self.r, self.vcpus = random.Random(seed), vcpus
        self.tables, self.level, self.pages = {}, {}, []
        self.next = 0

    def table(self, level, entries=()):
        frame, self.next = self.next, self.next + 1
        self.tables[frame], self.level[frame] = dict(entries), level
        return frame

    def data(self):
        return self.r.choice(DATA)

    def leaf(self, bad=0.0):
        """An L1 entry: a page of data, to be written or not, or a table to be read; with luck one that is not allowed."""
        r = self.r
        if r.random() < bad:
            return r.choice([r.randrange(self.next) << 12 | LEAF, self.data() << 12 | LEAF | 1 << r.choice([41, 51])])
        if r.random() < 0.2:
            return r.randrange(self.next) << 12 | READ_ONLY
        out = self.data() << 12 | LEAF
        for bit, odds in ((W, 0.2), (A, 0.15), (D, 0.25), (U, 0.1), (P, 0.05)):
            out &= ~(bit if r.random() < odds else 0)
        return out | (NX if r.random() < 0.1 else 0)

    def build(self):
        """Root 0 with the direct map and two ranges of pages, root 8 that shares tables with it, then the spare ones."""
        r = self.r
        root, l3, l2, direct = (self.table(level) for level in (4, 3, 2, 1))
        self.tables[root][DIRECT >> 39 & 511] = l3 << 12 | LINK
        self.tables[l3][0], self.tables[l2][0] = l2 << 12 | LINK, direct << 12 | LINK
        self.range(root, BASE, 10)
        other = self.table(4, self.tables[root])
        self.range(other, SECOND, 6)
        spare = self.next
        for _ in range(3):
            self.table(1, {k: self.leaf(0.03) for k in r.sample(range(8), 5)})
        for level in (2, 2, 3, 4, 4):
            below = [f for f in self.level if self.level[f] == level - 1]
            kernel = {DIRECT >> 39 & 511: l3 << 12 | LINK} if level == 4 else {}
            self.table(level, kernel | {k: self.link(r.choice(below)) for k in r.sample(range(4), 2)})
        for frame in range(spare, self.next):
            if r.random() < 0.15:
                self.tables[frame][r.randrange(8)] = self.odd(self.level[frame])
            for slot, entry in self.tables[frame].items():
                self.tables[frame][slot] = entry & ~(1 << 41 | 1 << 51)  # only RAM can be given before the start
        for _ in range(2):
            self.table(1)
        free = [f for f in range(spare, self.next) if r.random() < 0.2]
        for gfn in range(FRAMES):
            closed = gfn < self.next and gfn not in free
            self.tables[direct][gfn] = gfn << 12 | P | A | (D if r.random() < 0.7 else 0) | (0 if closed else W)
        return root

    def range(self, root, va, pages):
        """Tables for pages at an address: an L3, an L2 and two L1 of their own."""
        l1s = [self.table(1) for _ in range(2)]
        l2 = self.table(2, {k: l1 << 12 | LINK for k, l1 in enumerate(l1s)})
        l3 = self.table(3, {va >> 30 & 511: l2 << 12 | LINK})
        self.tables[root][va >> 39 & 511] = l3 << 12 | LINK
        for k in range(pages):
            self.tables[l1s[k % 2]][k // 2] = self.leaf()
            self.pages.append(va + (k % 2 << 21) + (k // 2 << 12))

    def link(self, frame):
        return frame << 12 | (LINK if self.r.random() < 0.8 else P | U)

    def odd(self, level):
        """An entry that a table of this level should not have, in the guest's frames."""
        r = self.r
        if level == 1:
            return self.leaf(1.0)
        other = r.randrange(self.next) << 12
        return r.choice([other | LINK, other | LINK | PSE, self.data() << 12 | LINK, other | LINK | 1 << 41])

    # ---- program
    def placed(self, entry):
        """The entry with a machine frame; a few name a frame that is not the guest's."""
        if not entry & P or self.r.random() < 0.02:
            return entry
        gfn = entry >> 12 & 0xFFFF
        return entry & ~(0xFFFF << 12) | machine_frame(gfn, FRAMES) << 12

    def entry(self, level):
        """A value for an entry of a table that was made for this level."""
        r = self.r
        if r.random() < 0.15:
            return 0
        if r.random() < 0.12:
            return self.placed(self.odd(level))
        if level == 1:
            return self.placed(self.leaf())
        return self.placed(self.link(r.choice([f for f in self.level if self.level[f] == level - 1])))

    def slot(self, frame):
        r = self.r
        return r.choice(list(self.tables[frame]) or [0]) if r.random() < 0.8 else r.randrange(8)

    def update(self, v):
        frame = self.r.choice([f for f in self.level if f != 3])
        slot = self.slot(frame)
        if slot == DIRECT >> 39 & 511 or frame < 3 and slot == 0:  # the kernel keeps its direct map
            slot = 5
        at = (self.r.choice(DATA) if self.r.random() < 0.03 else frame) << 12 | slot << 3
        return [Row(RAW_MMU_UPDATE, at, self.entry(self.level[frame]), vcpu=v)]

    def store(self, v):
        """A kernel's store to a table by the direct map."""
        r = self.r
        frame = r.choice([f for f in self.level if f != 3 and (self.level[f] == 1 or r.random() < 0.2)])
        value, va = self.entry(self.level[frame]), DIRECT + frame * 4096 + self.slot(frame) * 8
        roll = r.random()
        if roll < 0.1:
            return [Row(RAW_STORE, va + 4 * r.randrange(2), value & 0xFFFF_FFFF, 4, 0, v)]
        return [Row(RAW_STORE, va, value, 8, int(roll > 0.97), v)]

    def remap(self, v):
        """update_va_mapping: a page of the user's, or what the direct map lets be done with a frame."""
        r = self.r
        invlpg = int(r.random() < 0.7)
        if r.random() < 0.55:
            va = r.choice(self.pages) + (r.randrange(1 << 22) << 12 if r.random() < 0.1 else 0)
            return [Row(RAW_UPDATE_VA, va, self.entry(1), invlpg, 0, v)]
        gfn = r.choice([*self.level, *DATA])
        value = gfn << 12 | P | A | D | (W if r.random() < 0.4 else 0)
        return [Row(RAW_UPDATE_VA, DIRECT + gfn * 4096, self.placed(value), invlpg, 0, v)]

    def access(self, v):
        r = self.r
        va = r.choice(self.pages) + r.choice([0, 8, 0, 4096]) if r.random() < 0.75 else DIRECT + r.randrange(FRAMES) * 4096
        if r.random() < 0.01:
            va = 1 << 50
        return [Row(r.choice([FETCH, READ, READ, WRITE, WRITE, WRITE]), va, 0, 0, int(r.random() < 0.6), v)]

    def rows(self):
        r, v = self.r, self.r.randrange(self.vcpus)
        frame = r.choice(list(self.level))
        level = self.level[frame] if r.random() < 0.85 else r.randrange(1, 5)
        roots = [f for f in self.level if self.level[f] == 4]
        return r.choices(
            [
                lambda: self.access(v),
                lambda: self.update(v),
                lambda: self.store(v),
                lambda: self.remap(v),
                lambda: [Row(RAW_PIN, frame << 12, level, vcpu=v)],
                lambda: [Row(RAW_UNPIN, frame << 12, vcpu=v)],
                lambda: [Row(RAW_CR3, value=r.choice(roots) if r.random() < 0.9 else r.choice([frame, self.data()]), vcpu=v)],
                lambda: [Row(RAW_FLUSH, vcpu=v)],
                lambda: [Row(RAW_INVLPG, r.choice(self.pages), vcpu=v)],
                lambda: [Row(RAW_XEN_WRITE, r.choice(self.pages), vcpu=v)],
                lambda: [Row(RAW_GRANT_WRITE, value=DATA[0], vcpu=v)],
                lambda: [Row(RAW_GRANT_UNMAP, value=DATA[0], vcpu=v)],
            ],
            (34, 14, 10, 12, 4, 4, 7, 3, 3, 3, 1, 1),
        )[0]()


def random_pv_guest(seed, vcpus, length, nx):
    """A Guest that follows from the seed. nx: EFER.NXE is on; without it no table may hold the bit, but the program tries."""
    maker = Maker(seed, vcpus)
    root, program = maker.build(), []
    while len(program) < length:
        program += maker.rows()
    if not nx:
        maker.tables = {frame: {k: e & ~NX for k, e in entries.items()} for frame, entries in maker.tables.items()}
    return Guest(maker.tables, root, program)
