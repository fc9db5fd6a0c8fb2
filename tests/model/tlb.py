"""The TLB of one vCPU: two levels, set associative, true LRU."""

from collections import defaultdict
from dataclasses import dataclass, replace

from .config import CR_WP, WRITE
from .walk import allowed


@dataclass
class TlbEntry:
    """A finished translation. `write`: stores by anyone, W in effect on all levels and the leaf's D set already, so a
    write needs no walk; `kernel_write`: stores by the supervisor through a read-only entry (CR0.WP = 0), D set;
    `big`: a piece of a superpage of 2**big pages."""

    vpn: int
    mfn: int
    write: bool
    user: bool
    nx: bool
    stamp: int = 0
    kernel_write: bool = False
    big: int = 0
    tables: dict | None = None  # of the walk that made it, where it was one of the guest's own: {level: frame}

    def lets(self, kind, user, cr):
        """Whether this access may use the entry as it stands."""
        if kind == WRITE and not (self.write or self.kernel_write and not user):
            return False
        return allowed(True, self.user, self.nx, kind, user, cr | CR_WP)


class TlbLevel:
    """`size` sets x `ways` entries; the set is the low bits of the virtual page number.

    Sets that were not used since the last flush are left out.
    """

    def __init__(self, size, ways):
        self.size, self.sets = size, defaultdict(lambda: [None] * ways)

    def ways_of(self, vpn):
        return self.sets[vpn % self.size]

    def find(self, vpn):
        return next((e for e in self.ways_of(vpn) if e is not None and e.vpn == vpn), None)

    def fill(self, entry):
        """In place when the page is there; else the first empty way;
        else the least recently used, lowest way on a tie."""
        ways = self.ways_of(entry.vpn)
        same = [i for i, e in enumerate(ways) if e is not None and e.vpn == entry.vpn]
        empty = [i for i, e in enumerate(ways) if e is None]
        oldest = min(range(len(ways)), key=lambda i: (ways[i].stamp if ways[i] else -1, i))
        ways[(same or empty or [oldest])[0]] = replace(entry)

    def drop(self, doomed):
        for ways in self.sets.values():
            ways[:] = [None if e is not None and doomed(e) else e for e in ways]

    def clear(self):
        self.sets.clear()

    def contents(self):
        """{(set, way): (vpn, mfn, write, user, nx, stamp, kernel_write, big)} of the valid entries."""
        return {
            (s, w): (e.vpn, e.mfn, bool(e.write), bool(e.user), bool(e.nx), e.stamp, bool(e.kernel_write), e.big)
            for s, ways in self.sets.items()
            for w, e in enumerate(ways)
            if e is not None
        }


SHAPES = {  # (sets, ways) twice
    "skylake": ((16, 4), (128, 12)),
    "haswell": ((16, 4), (128, 8)),
    "nehalem": ((16, 4), (128, 4)),
    "zen": ((1, 64), (128, 12)),
}


class Tlb:
    """Two levels of the sizes of a core."""

    def __init__(self, core="skylake"):
        self.l1, self.l2 = (TlbLevel(*shape) for shape in SHAPES[core])
        self.clock = 0

    def lookup(self, vpn, kind, user, cr=CR_WP):
        """(name of the counter, entry or None). An entry without the rights needed is a miss."""
        self.clock += 1
        for name, level in (("tlb_l1_hit", self.l1), ("tlb_l2_hit", self.l2)):
            entry = level.find(vpn)
            if entry is not None and entry.lets(kind, user, cr):
                entry.stamp = self.clock
                if level is self.l2:
                    self.l1.fill(entry)
                return name, entry
        return "tlb_miss", None

    def fill(self, entry):
        entry.stamp = self.clock
        self.l2.fill(entry)
        self.l1.fill(entry)

    def invlpg(self, vpn):
        """The page, and every piece of the superpage it lies in."""
        for level in (self.l1, self.l2):
            level.drop(lambda e: e.vpn >> e.big == vpn >> e.big)

    def flush(self):
        self.l1.clear()
        self.l2.clear()
