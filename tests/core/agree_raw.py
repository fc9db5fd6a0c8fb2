"""Raw guests on kernels and slow model side by side: rows of a program, commands between them, everything compared."""

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, U
from pagingviz.core import run as kernels
from pagingviz.machine.event_record import events_between
from pagingviz.machine.machine import Machine
from pagingviz.work.raw_guest import RawWork
from tests.core.agree import config_of, differences, read_words, scenario_of
from tests.model import Livelock, Model, Raw, Row

# Trace events that both sides tell in the same words (the rest of the kernels' events are for the eye only).
COMPARED = (
    "FIXUP",
    "NOT_SHADOW",
    "EMULATE",
    "EMULATE_UNSHADOW_USER",
    "EMULATE_UNSHADOW_EVTINJ",
    "EMULATE_UNSHADOW_UNHANDLED",
    "WRMAP_BF",
    "RESYNC_FULL",
    "RESYNC_ONLY",
    "PREALLOC_UNPIN",
    "UNSYNC",
    "GUEST_PF",
    "GP",
    "MARK_DIRTY",
    "MMU_UPDATE",
    "PTWR",
    "PIN",
    "REFUSED",
    "GRANT_UNMAP",
    "PML_LOG",
    "INVEPT",
)
WITH_LEVEL = {*COMPARED[:6], "MMU_UPDATE", "PTWR", "PIN"}
WITH_DETAIL = {"FIXUP", "EMULATE", "GUEST_PF", "MMU_UPDATE", "PTWR", "PIN", "REFUSED"}
NO_ADDRESS = {"WRMAP_BF", "RESYNC_FULL", "RESYNC_ONLY", "PREALLOC_UNPIN", "UNSYNC", "MARK_DIRTY", "PML_LOG", "INVEPT"}
NO_FRAME = {"NOT_SHADOW", "GUEST_PF", "GP", "INVEPT"}
NO_VCPU = {"PREALLOC_UNPIN", "MARK_DIRTY", "RESYNC_FULL", "RESYNC_ONLY", "WRMAP_BF", "INVEPT"}


class Pair:
    """One raw guest twice. `tables`: {frame: {slot: entry}}; `program`: model Rows; fields as in a scenario."""

    def __init__(self, *, tables, cr3, program, zone=24, cr=int(x86.CR_WP | x86.CR_NXE | x86.CR_PSE | x86.CR_PG), **fields):
        scenario = scenario_of(**fields)
        levels = x86.GUEST_LEVELS[x86.GUESTS.index(scenario.guest)]
        rows = [(r.code, r.va, r.value, r.size, r.user, r.vcpu) for r in program]
        self.work = RawWork(levels=levels, zone=zone, frames=scenario.frames, cr3=cr3, tables=tables, program=rows, cr=cr)
        self.machine = Machine(scenario, self.work)
        self.model = Model(config_of(scenario, zone, cr=cr, raw=Raw(tables, cr3, tuple(program))))
        self.seen = int(self.machine.sys[0].ev_n)
        self.told = len(self.model.events)
        self.stuck = False

    @property
    def crashed(self):
        return bool(self.model.crashed or self.machine.sys[0].crashed)

    @property
    def over(self):
        """The domain has crashed, or would loop for ever."""
        return self.crashed or self.stuck

    def step(self):
        """The next row on both."""
        try:
            self.model.tick()
        except Livelock:
            self.stuck = True
            return
        op, credit = np.zeros(1, np.uint64), np.zeros(1, np.uint32)
        self.work.fill(op, credit, self.machine.tick)
        kernels.run(self.machine.sys, self.machine.cpu, self.machine.mem, op, credit)

    def command(self, name, arg=None):
        code = U(xen.COMMANDS.index(name))
        kernels.command(self.machine.sys, self.machine.cpu, self.machine.mem, code, U(arg or 0))
        self.model.command(name, arg)

    def events(self):
        """(kernels' events, model's events) since the last look, each [(kind, vcpu, gva, gfn, level, detail)]."""
        last = int(self.machine.sys[0].ev_n)
        rows = events_between(self.machine, self.seen, last).tolist()
        self.seen = last
        have = [(ev.NAMES[kind], vcpu, gva, gfn, level, detail) for _, kind, vcpu, gva, gfn, _, level, detail in rows]
        want = [(name, *rest) for _, name, *rest in self.model.events[self.told :]]
        self.told = len(self.model.events)
        return [_plain(e) for e in have if e[0] in COMPARED], [_plain(e) for e in want if e[0] in COMPARED]

    def differences(self):
        """[(what, kernels, model)] of state, counters and events; after a crash only the crash itself is compared."""
        if self.stuck:
            return []
        have, want = self.events()
        if self.crashed:
            codes = int(self.machine.sys[0].crashed), self.model.crashed
            return [("crashed", *codes)] if codes[0] != codes[1] else []
        out = differences(self.machine, self.model)
        if have != want:
            out.append(("events", have, want))
        return out

    def guest(self):
        """What the guest can see of itself."""
        words = read_words(self.machine, "tables", range(self.work.zone))
        return {"versions": self.machine.view("ver").tolist(), "words": words, "faults": int(self.machine.sys[0].fault_hash)}


def _plain(event):
    kind, vcpu, gva, gfn, level, detail = event
    gfn = None if gfn == int(NONE) else gfn
    return (
        kind,
        None if kind in NO_VCPU else vcpu,
        None if kind in NO_ADDRESS else gva,
        None if kind in NO_FRAME else gfn,
        level if kind in WITH_LEVEL else None,
        detail if kind in WITH_DETAIL else None,
    )


__all__ = ["Pair", "Row"]
