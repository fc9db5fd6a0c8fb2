"""A guest on nested paging: the kernels' machine and the slow model beside it, moved together and compared at every step."""

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import x86
from pagingviz.core.audit import audit
from pagingviz.core.audit.rules import rule_of
from pagingviz.core.build.jit import PLAIN
from pagingviz.machine.event_record import events_between
from tests.core.agree import build, command, differences, tick
from tests.model import FETCH, FORK, IDLE, READ, WRITE, Op
from tests.model.invariants import broken_rule

BASE = 0x10000


class Pair:
    """The kernels' machine, and the slow model beside it."""

    def __init__(self, road="shadow", frames=128, zone=64, pool=64, **fields):
        self.m, self.model = build(zone=zone, road=road, frames=frames, pool=pool, **fields)
        self.s, self.view = self.m.sys[0], self.m.view
        self.audited = not PLAIN or frames < 512**2

    def _moved(self, act, *arguments):
        before = self.m.counters()
        act(self.m, self.model, *arguments)
        assert differences(self.m, self.model) == []
        assert broken_rule(self.model) == ""
        assert not self.audited or rule_of(audit(self.m.sys, self.m.cpu, self.m.mem)).sentence == ""
        return {name: n - before[name] for name, n in self.m.counters().items() if n != before[name]}

    def touch(self, vpn, kind=READ, proc=0, execute=0):
        """Counters that one user access moves. execute: whether the guest lets the page be executed; all accesses to a page
        must say the same."""
        return self._moved(tick, Op(proc, vpn, kind, vma_x=execute or int(kind == FETCH)))

    def nested_leaf(self, gfn):
        """(level, entry) of the leaf of EPT or NPT that maps a frame."""
        page = int(self.s.hap_root)
        for level in (4, 3, 2, 1):
            entry = int(self.view("pool")[page * 512 + (gfn >> 9 * (level - 1) & 511)])
            if level == 1 or entry & int(x86.EPT_SP):
                return level, entry
            page = entry >> 12 & 0xFF_FFFF_FFFF

    def events(self, act, *arguments, **more):
        """[(kind, gfn, level, detail)] of the events of an act, without those of the guest's own tables."""
        first = int(self.s.ev_n)
        act(*arguments, **more)
        rows = events_between(self.m, first, int(self.s.ev_n))
        return [(ev.NAMES[int(e["kind"])], int(e["gfn"]), int(e["level"]), int(e["detail"])) for e in rows]

    def idle(self):
        return self._moved(tick, Op(kind=IDLE))

    def fork(self, proc=0):
        return self._moved(tick, Op(proc, kind=FORK))

    def do(self, name, argument=None):
        return self._moved(command, name, argument)

    def table(self, vpn, level, proc=0):
        """Guest frame of the table of `level` on the way of a page."""
        frame = int(self.view("roots")[proc])
        for upper in range(4, level, -1):
            frame = self.entry(frame, vpn >> 9 * (upper - 1) & 511) >> 12 & 0xFFFFF
        return frame

    def entry(self, table, slot):
        return int(self.view("tables")[table * 512 + slot])

    def leaf(self, vpn):
        """The guest's own leaf entry."""
        return self.entry(self.table(vpn, 1), vpn & 511)

    def gfn(self, vpn):
        return self.leaf(vpn) >> 12 & 0xFFFFF

    def dirty(self):
        return set(np.flatnonzero(self.m.dirty_bits()).tolist())


def after(pair, *vpns, kind=WRITE):
    for vpn in vpns:
        pair.touch(vpn, kind)
    return pair
