"""Random raw guests: page tables full of oddities, and a program that uses and abuses them. Everything follows from a seed.

The tables are plausible (a direct map or a self map where some kernel has it, a few shared tables per level) so that most
accesses get somewhere, but any entry may be anything: a table may serve at two levels, map itself, lack bits, have reserved
ones.
"""

import random
from dataclasses import dataclass

from tests.model.config import (
    CR_AC,
    CR_NXE,
    CR_PG,
    CR_PGE,
    CR_SMAP,
    CR_SMEP,
    CR_WP,
    FETCH,
    LEVELS,
    NX,
    PSE,
    RAW_CR,
    RAW_CR3,
    RAW_DYING,
    RAW_EVENT,
    RAW_INVLPG,
    RAW_NOP,
    RAW_STORE,
    RAW_XEN_WRITE,
    READ,
    WRITE,
    A,
    D,
    P,
    Row,
    U,
    W,
)

LINUX = {4: 0xFFFF_8800_0000_0000, 3: 0xC000_0000, 2: 0xC000_0000}
MOVED = {4: 0xFFFF_8880_0000_0000, 3: 0x8000_0000, 2: 0x8000_0000}
SELF = {"windows": {4: 493, 3: 3, 2: 768}, "freebsd": {4: 256, 3: 2, 2: 767}}  # slot of the root that maps the tables
LINEAR = {
    "windows": {4: 0xFFFF_F680_0000_0000, 3: 0xC000_0000, 2: 0xC000_0000},  # where L1 tables appear then
    "freebsd": {4: 0xFFFF_8000_0000_0000, 3: 0xBF80_0000, 2: 0xBFC0_0000},
}
ALIAS = 60  # pages from a direct map to its alias
LOW_VA = {4: 0x0000_0001_4000_0000, 3: 0x4000_0000, 2: 0x4000_0000}


@dataclass
class Guest:
    """tables {frame: {slot: entry}}, cr3, program: what agree_raw.Pair takes. `roots`: all roots."""

    tables: dict
    cr3: int
    program: list
    roots: list


class Maker:
    """levels 4, 3 or 2. tame: no gfn outside RAM, no reserved bits, no stores to the tables that map the tables, and each
    store followed by a CR3 load of every vCPU. Such a guest may not notice which road it runs on. beyond: entries may map
    what is no memory, which only the shadow road has an answer to."""

    def __init__(self, seed, levels, frames, zone, vcpus, big, tame, beyond):
        self.r, self.levels, self.frames, self.zone, self.vcpus = random.Random(seed), levels, frames, zone, vcpus
        self.big, self.tame, self.beyond = big, tame, beyond
        self.bits = 10 if levels == 2 else 9
        self.size = 4 if levels == 2 else 8
        self.slots = 1 << self.bits
        strict = big and not beyond  # a 2 MiB entry met at another level would map what is no memory
        self.style = self.r.choice(["linux", "linux", "moved"] + ["windows", "freebsd"] * (not strict))
        self.strict = strict
        self.free = list(range(zone - 1, -1, -1))
        self.tables, self.by_level = {}, {level: [] for level in range(1, 5)}
        self.base = LINUX[levels] if self.style == "linux" else MOVED[levels]
        self.event, self.cr = [0] * vcpus, 0
        self.pages = {}  # root -> addresses mapped under it
        self.kernel, self.kernel_slots = set(), set()
        self.loaded = []  # root of each vCPU

    # ---- tables
    def table(self, level):
        frame = self.free.pop()
        self.tables[frame] = {}
        self.by_level[level].append(frame)
        return frame

    def index(self, va, level):
        return va >> 12 + self.bits * (level - 1) & (3 if level == 3 == self.levels else self.slots - 1)

    def map(self, root, va, entry, upper):
        """One L1 entry, with the tables above it made where they are missing."""
        table = root
        for level in range(self.levels, 1, -1):
            slots, k = self.tables[table], self.index(va, level)
            if k not in slots:
                slots[k] = self.table(level - 1) << 12 | (P if level == 3 == self.levels else upper)
            table = slots[k] >> 12 & 0xFF_FFFF
        self.tables[table][self.index(va, 1)] = entry

    def data(self):
        """A frame for a page of data; now and then one that holds a table, seldom a root."""
        r = self.r
        if r.random() < 0.12:
            return r.randrange(self.zone) if r.random() < 0.05 else r.choice(self.by_level[1] + self.by_level[2][1:] or [0])
        return self.zone + r.randrange(min(14, self.frames - self.zone))

    def flags(self, leaf):
        """Flags of an entry that mostly works."""
        r = self.r
        out = P | (W if r.random() < (0.85 if leaf else 0.95) else 0) | (U if r.random() < (0.7 if leaf else 0.9) else 0)
        out |= (A if r.random() < 0.7 else 0) | (D if leaf and r.random() < 0.6 else 0)
        if self.levels > 2 and r.random() < 0.06:
            out |= NX
        if not self.tame and r.random() < 0.02:
            out &= ~P
        return out

    def entry(self, level):
        """A random entry for a table of that level."""
        r = self.r
        roll = r.random()
        if roll < 0.2:
            return 0
        if roll < 0.26:
            return self.data() << 12 | self.flags(True) & ~P
        if level == 1:
            frame = self.data()
            if self.beyond and r.random() < 0.04:
                frame = self.frames + r.randrange(50)
            out = frame << 12 | self.flags(True)
        elif level == 2 and self.big and r.random() < 0.45:
            out = r.randrange(self.frames >> self.bits) << 12 + self.bits | self.flags(True) | PSE
            out |= 1 << 12 if r.random() < 0.05 else 0  # PAT of a superpage
        else:
            below = self.by_level[level - 1]
            frame = r.choice(below) if below and (self.strict or r.random() < 0.9) else r.randrange(self.zone)
            out = frame << 12 | (P if level == 3 == self.levels else self.flags(False))
        if not self.tame and r.random() < 0.03:
            if self.levels == 2:
                out |= 1 << 14 if out & PSE and level == 2 and self.beyond else 0  # PSE-36: above all memory
            else:
                out |= 1 << 14 if out & PSE and level == 2 else 1 << r.choice([41, 51])
        return out

    def build(self):
        r = self.r
        roots = [self.table(self.levels) for _ in range(r.choice([1, 2, 2, 3]))]
        direct = [(0, gfn) for gfn in range(self.zone + 10)]
        for n, gfn in direct + [(n, gfn) for n in (1, 2) for gfn in range(self.zone)]:  # the map, and two aliases
            entry = gfn << 12 | P | W | (A if r.random() < 0.8 else 0) | (D if r.random() < 0.7 else 0)
            self.map(roots[0], self.base + (n * ALIAS + gfn) * 4096, entry, P | W | A)
        if self.style in SELF and self.levels != 3:
            self.tables[roots[0]][SELF[self.style][self.levels]] = roots[0] << 12 | P | W | A | D
        elif self.style in SELF:
            l2s = [self.tables[roots[0]].setdefault(k, self.table(2) << 12 | P) >> 12 for k in range(4)]
            first = 0 if self.style == "windows" else 508
            for k in range(4):
                self.tables[l2s[SELF[self.style][3]]][first + k] = l2s[k] << 12 | P | W | A | D
        kernel = {k: e for k, e in self.tables[roots[0]].items() if k}
        self.kernel, self.kernel_slots = set(self.tables) - set(roots), set(kernel)
        for root in roots[1:]:
            for k, e in kernel.items():
                own = self.style in SELF and self.levels != 3 and k == SELF[self.style][self.levels]
                self.tables[root][k] = root << 12 | P | W | A | D if own else e
        for root in roots:
            self.pages[root] = []
            for _ in range(r.randrange(2, 5)):
                va = LOW_VA[self.levels] + r.randrange(2) * (1 << 12 + self.bits) + r.choice([0, 0, 500]) * 4096
                va += r.randrange(2) * (1 << 30) if self.levels > 2 else 0
                for k in range(r.randrange(1, 12) if len(self.free) > 6 else 0):
                    gfn = self.frames + 3 if r.random() < 0.02 and self.beyond else self.data()
                    self.map(root, va + k * 4096, gfn << 12 | self.flags(True), self.flags(False) | P)
                    self.pages[root].append(va + k * 4096)
            self.pages[root] = self.pages[root] or [LOW_VA[self.levels]]
        for frame in list(self.tables):
            if r.random() < 0.25 and not (self.tame and frame in self.kernel):
                self.tables[frame][r.randrange(self.slots)] = self.entry(self.level_of(frame))
        self.roots = roots
        return roots

    def level_of(self, frame):
        return next((level for level, frames in self.by_level.items() if frame in frames), 1)

    # ---- program
    def linear(self, va):
        """Where the self map shows the L1 entry of an address."""
        return LINEAR[self.style][self.levels] + ((va & (1 << 48) - 1) >> (10 if self.levels == 2 else 9))

    def address(self, v, plain_write=False):
        r = self.r
        if not self.cr & CR_PG:
            return r.randrange(self.frames) * 4096 if r.random() < 0.4 else r.randrange(self.zone + 16) * 4096
        roll, mine = r.random(), self.pages[self.loaded[v]]
        if roll < 0.62:
            return r.choice(mine) + 8 * r.randrange(3)
        if roll < 0.7:
            return r.choice(mine) + r.randrange(40) * 4096
        if roll < 0.93:
            frame = r.randrange(self.zone + 10)
            if plain_write and frame in self.tables and r.random() < 0.9:  # the emulator does not know such a store
                frame = self.zone + frame % 10
            return self.base + frame * 4096
        if self.style in SELF:
            return self.linear(r.choice(mine))
        return r.choice(mine) & ~0x3FFF_FFFF | r.randrange(1 << 30) & ~7

    def vcpu(self):
        return self.r.randrange(self.vcpus)

    def store(self, vcpu, frame=None):
        """Rows of one or a few stores to a table."""
        r = self.r
        frame = self.victim() if frame is None else frame
        level = self.level_of(frame)
        used = list(self.tables[frame]) or [0]
        slot = r.choice([r.choice(used), r.choice(used), r.randrange(self.slots)])
        if self.tame and level == self.levels and slot in self.kernel_slots:
            slot = 1
        value = self.entry(level)
        if level == self.levels == 3 and slot > 3:
            slot &= 3
        alias = r.choice([0, 0, 0, 1, 2]) * ALIAS * 4096
        va = (self.base + alias if self.cr & CR_PG else 0) + frame * 4096 + slot * self.size
        if self.style in SELF and self.cr & CR_PG and not self.tame and r.random() < 0.5:
            page = r.choice(self.pages[self.loaded[vcpu]])
            va, value = self.linear(page), self.entry(1)
        if self.levels == 3 and r.random() < 0.5:
            halves = [(0, value & 0xFFFF_FFFF), (4, value >> 32)]
            r.shuffle(halves)
            rows = [Row(RAW_STORE, va + at, half, 4, 0, vcpu) for at, half in halves]
            if r.random() < 0.3:
                rows.insert(1, Row(r.choice([RAW_NOP, READ, FETCH, WRITE]), self.address(vcpu, True), 0, 0, 0, vcpu))
            return rows
        if self.levels != 2 and r.random() < 0.08:
            return [Row(RAW_STORE, va, value & 0xFFFF_FFFF, 4, 0, vcpu)]
        if self.levels == 2 and r.random() < 0.1:
            return [Row(RAW_STORE, va & ~7, value | self.entry(level) << 32, 8, 0, vcpu)]
        return [Row(RAW_STORE, va, value, self.size, int(r.random() < 0.04), vcpu)]

    def victim(self):
        """A table to store into."""
        return self.r.choice([frame for frame in self.tables if not (self.tame and frame in self.kernel)])

    def storm(self, v):
        """Stores to many L1 tables, by several addresses, with no CR3 load between: more than may be out of sync at once."""
        rows = []
        for frame in self.r.sample(self.by_level[1], min(5, len(self.by_level[1]))):
            slot = self.r.randrange(self.slots)
            for alias in self.r.sample(range(3), self.r.choice([1, 1, 3])):
                va = self.base + (alias * ALIAS + frame) * 4096 + slot * self.size
                rows.append(Row(RAW_STORE, va, self.entry(1) & ((1 << 8 * self.size) - 1), self.size, 0, v))
        return rows

    def load(self, v):
        self.loaded[v] = self.r.choice(self.roots)
        return Row(RAW_CR3, value=self.loaded[v], vcpu=v)

    def reload(self):
        return [self.load(v) for v in range(self.vcpus)]

    def rows(self):
        r, v = self.r, self.vcpu()
        roll = r.random()
        if not self.cr & CR_PG and r.random() < 0.05:
            self.cr = self.start | CR_PG
            return [Row(RAW_CR, value=self.cr, vcpu=v)]
        if roll < 0.48:
            user, kind = int(r.random() < 0.35), r.choice([FETCH, READ, READ, WRITE, WRITE, WRITE])
            return [Row(kind, self.address(v, kind == WRITE), 0, 0, user, v)]
        if roll < 0.7:
            out = self.store(v)
            if r.random() < 0.3:  # a run of zeros: a process dies
                frame = self.victim()
                start = r.randrange(self.slots - 4) if frame not in self.roots else 0
                base = self.base if self.cr & CR_PG else 0
                out = [
                    Row(RAW_STORE, base + frame * 4096 + (start + k) * self.size, 0, self.size, 0, v)
                    for k in range(r.randrange(2, 5))
                ]
            return out + (self.reload() if self.tame else [])
        if roll < 0.72 and self.cr & CR_PG and not self.tame:
            return self.storm(v)
        if roll < 0.8:
            return [self.load(v)]
        if roll < 0.88:
            return [Row(RAW_INVLPG, self.address(v), vcpu=v)]
        if roll < 0.92:
            return [Row(RAW_XEN_WRITE, self.address(v, True), vcpu=v)]
        if roll < 0.94:
            return [Row(RAW_NOP, vcpu=v)]
        if roll < 0.955 and not self.tame:
            self.event[v] = (self.event[v] ^ 1) if self.cr & CR_WP else 0
            rows = [Row(RAW_EVENT, value=self.event[v], vcpu=v)]
            if self.event[v]:  # it meets the emulator half-way
                twice = self.store(v, r.choice(self.by_level[1] + self.by_level[2]))
                rows = [*twice, *rows, *twice]
            return rows
        if roll < 0.97:
            return [Row(RAW_DYING, value=r.choice(self.roots), vcpu=v)]
        if roll < 0.985 and not self.tame and self.cr & CR_PG:
            self.cr ^= r.choice([CR_SMEP, CR_SMAP, CR_AC, CR_PGE, CR_WP, CR_NXE])
            if r.random() < 0.1:
                self.start, self.cr = self.cr, 0
            events = [Row(RAW_EVENT, value=0, vcpu=k) for k in range(self.vcpus)]
            self.event = [0] * self.vcpus
            return [*events, Row(RAW_CR, value=self.cr, vcpu=v)]
        return self.store(v) + (self.reload() if self.tame else [])

    def guest(self, length, cr):
        self.cr = self.start = cr
        roots = self.build()
        self.loaded, program = [roots[0]] * self.vcpus, []
        if not cr & CR_PG:
            self.start = cr | CR_WP
        while len(program) < length:
            program += self.rows()
        return Guest(self.tables, roots[0], program, roots)


def random_guest(seed, guest, frames, zone, vcpus, length, cr, big=False, tame=False, beyond=False):
    """A Guest that follows from the seed. guest: scenario field; cr: control bits it starts with."""
    return Maker(seed, LEVELS[guest], frames, zone, vcpus, big, tame, beyond).guest(length, cr)
