"""The model of one recorded domain: the recordings' guest on the engine, driven row by row, with the tool's operations.

Counters tick on the CPU that runs: what a tool operation (enable, clean, off, setpages) does is counted apart, because the
recordings' last column is the guest's CPU only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import operation, xen
from pagingviz.arch.state import PV_COUNTERS, XEN_COUNTERS
from pagingviz.arch.words import NONE, U
from pagingviz.core import run as kernels
from pagingviz.evidence.xen.exits import EXITS, exit_of
from pagingviz.evidence.xen.guest import FRAMES, NOP, STORE, Guest, Row
from pagingviz.evidence.xen.match import Reading
from pagingviz.evidence.xen.read import BY_GFN, KINDS, Event
from pagingviz.machine.event_record import events_between
from pagingviz.machine.machine import Machine
from pagingviz.scenario.fields import pool_cap
from pagingviz.scenario.scenario import Scenario
from pagingviz.work.raw_guest import RawWork
from pagingviz.work.work import ANY_GIBS, Shown

CHUNK = 32  # rows between two looks at the event ring, which holds events.RING events
KIND = {int(ev.CODES[name]): name for name in KINDS if name in ev.CODES}
_STEPS = {"enable": xen.CMD_ENABLE, "clean": xen.CMD_CLEAN, "off": xen.CMD_OFF, "peek": xen.CMD_PEEK}
_NO_ROWS = ((NOP, 0, 0, 0),)


def scenario_of(settings: Mapping[str, Any], road: str = "shadow") -> Scenario:
    """The scenario of a recorded domain: 32 MiB, one vCPU, libxl's pool, Xen 4.17; `settings` changes fields.

    On the hap road the processor is AMD's unless `settings` name hap or core: its tables are NPT, with 2 MiB leaves.
    """
    processor = {"core": "zen"} if road == "hap" and not {"hap", "core"} & set(settings) else {}
    if road == "hap":  # the recorded guest has tables of its own, but a guest of more than a GiB must say so
        processor["direct_map_pages"] = "large"
    base = Scenario(road=road, superpages=1, frames=FRAMES, xen="4.17", floor=1, trace="", work="idle")
    made = base.replace(**processor | dict(settings))
    return made if "pool" in settings else made.replace(pool=pool_of(road, made.vcpus, made.frames))


def p2m_of(road: str, vcpus: int = 1) -> int:
    """Pages of the pool that no table of the guest's RAM is, as recorded: on the shadow road all of the p2m ("p2m=8").

    On the hap road they are the roots of ten nested p2ms (mm/hap/hap.c: hap_enable), the tables of the special frames below
    4 GiB (0xfc000, 0xfee00: one L2, two L1), and a monitor table for each vCPU. A PV guest has no p2m.
    """
    return {"shadow": 8, "hap": 10 + 3 + vcpus}.get(road, 0)


def pool_of(road: str, vcpus: int = 1, frames: int = FRAMES) -> int:
    """Pages of the pool of a domain: libxl's 256 a vCPU and 2 (hap: 1) a MiB; of a PV guest Xen's own, at ENABLE."""
    mib = frames >> 8
    return {"shadow": 256 * vcpus + 2 * mib, "hap": 256 * vcpus + mib}.get(road, 161)


class RecordedWork(RawWork):
    """The recordings' guest with a program, and room for `aliases` alias tables. The map of guest tables shows what it uses.

    `scenario`: of the domain; `hap_pool`: the largest pool, in pages, that it will have on the hap road; `huge_leaves`: the
    most leaves of 1 GiB that the host had memory for.
    """

    def __init__(
        self,
        guest: Guest,
        program: Iterable[tuple],
        aliases: int,
        scenario: Scenario,
        hap_pool: int = pool_of("hap"),
        huge_leaves: int = ANY_GIBS,
    ) -> None:
        self._guest, self._aliases, self.small_chunks, self.hap_pool = guest, aliases, guest.small_chunks, hap_pool
        self.huge_leaves = huge_leaves
        super().__init__(
            levels=guest.at.levels,
            zone=guest.zone(aliases),
            frames=scenario.frames,
            cr3=guest.at.root,
            tables=guest.tables(aliases),
            program=program,
            cr=guest.cr,
            p2m_pages=p2m_of(scenario.road, scenario.vcpus),
        )

    def _found(self) -> tuple[Shown, ...]:
        return self._guest.shown(self._aliases)


class Model:
    """`aliases`: how many alias tables command 13 will build at most; `largest`: the largest pool that will be asked for;
    `huge_leaves`: as RecordedWork."""

    def __init__(
        self, guest: Guest, scenario: Scenario, aliases: int = 0, largest: int = 0, huge_leaves: int = ANY_GIBS
    ) -> None:
        self.guest = guest
        self.events: list[Event] = []
        self._spare: list[tuple] = []
        self.ept = scenario.road == "hap" and scenario.hap == "ept"
        self.read: Reading | None = None  # what the last operation read, if it was a PEEK or CLEAN that was not refused
        self.invept: int | None = None  # when EPT changed while the guest did not run: Xen invalidates before its next entry
        self._tool: dict[str, int] = {}  # what the operations counted, by counter
        wanted = scenario.pool
        if largest > pool_cap(wanted):
            scenario = scenario.replace(pool=largest)
        work = RecordedWork(guest, _NO_ROWS * (CHUNK + 8), aliases, scenario, max(scenario.pool, largest), huge_leaves)
        self.machine = Machine(scenario, work)
        self._ops = np.arange(CHUNK + 8, dtype=np.uint64) << operation.OP_VPN_SHIFT | operation.RAW
        self._credits = np.zeros(CHUNK + 8, np.uint32)
        if scenario.pool != wanted:
            self.operation("setpages", wanted)

    # ---- doing

    def run(self, rows: list[Row]) -> None:
        """The guest carries out `rows`. Its trace events are appended to self.events."""
        first = 0
        if rows and self.invept is not None:
            self.events.append(Event("INVEPT", tick=self.invept))
            self.invept = None
        while first < len(rows):
            part = rows[first : first + CHUNK]
            while part[-1][0] == STORE and first + len(part) < len(rows):
                part.append(rows[first + len(part)])  # the second half of an entry stays with the first
                if len(part) == CHUNK + 8:
                    break
            self._load(part)
            i = 0
            while i < len(part):
                stop = next((j for j in range(i, len(part)) if part[j][0] == STORE), len(part))
                if stop > i:
                    self._do(i, stop)
                if stop < len(part):
                    self._do(stop, stop + 1)
                i = stop + 1
            first += len(part)

    def operation(self, name: str, number: int = 0) -> bool:
        """A tool operation on the domain: enable, clean, peek, off, or setpages to `number` pages. Whether Xen refused it."""
        before, refusals = self._counts(), self._refusals
        code, value = (xen.CMD_POOL, number) if name == "setpages" else (_STEPS[name], 0)
        first = int(self._sys.ev_n)
        held, faults = self.dirty(), self.fault_count
        kernels.command(self.machine.sys, self.machine.cpu, self.machine.mem, code, U(value))
        self.read = self._handed_out(first, held, faults)
        listed = len(self.events)
        self._collect(first, False)
        if any(event.kind == "INVEPT" for event in self.events[listed:]):  # it is executed when the guest is entered next
            self.events[listed:] = [event for event in self.events[listed:] if event.kind != "INVEPT"]
            self.invept = int(self._sys.tick)
        for key, count in self._counts().items():
            self._tool[key] = self._tool.get(key, 0) + count - before[key]
        return self._refusals > refusals

    def leave(self) -> None:
        """The guest has not been entered again after its last exit: what that owed is still owed."""
        if self.events and self.events[-1].kind == "INVEPT":
            self.invept = self.events.pop().tick

    def snapshot(self) -> tuple:
        """All state, to go back to. Events not yet taken belong to it."""
        slot = self._spare.pop() if self._spare else None
        return self.machine.snapshot(slot), list(self.events), dict(self._tool), self.invept

    def recycle(self, state: tuple) -> None:
        """Nobody will go back to this snapshot: its memory is used for a later one."""
        self._spare.append(state[0])

    def restore(self, state: tuple) -> None:
        """Back to a snapshot."""
        machine, events, tool, self.invept = state
        self.machine.restore(machine)
        self.events, self._tool = list(events), dict(tool)

    # ---- looking

    def take(self) -> list[Event]:
        """The trace events since the last call."""
        events, self.events = self.events, []
        return events

    def counters(self) -> dict[str, int]:
        """Counts of the guest's own CPU since the start."""
        return {key: count - self._tool.get(key, 0) for key, count in self._counts().items()}

    def word(self, frame: int, index: int) -> int:
        """The 8-byte word at `index` of a frame with contents."""
        return int(self.machine.view("tables")[frame * 512 + index])

    def dirty(self) -> frozenset[int]:
        """Frames whose bit is set in the log-dirty bitmap."""
        return frozenset(self.machine.dirty_frames().tolist())

    @property
    def reading(self) -> Reading:
        """What a PEEK would give now, if there is no log to flush."""
        return Reading(self.dirty(), self.dirty_count, self.fault_count)

    @property
    def dirty_count(self) -> int:
        """What PEEK and CLEAN report as dirty_count."""
        return int(self._sys.dirty_count)

    @property
    def fault_count(self) -> int:
        """What PEEK and CLEAN report as fault_count."""
        return int(self._sys.fault_count)

    @property
    def pool_pages(self) -> int:
        """The size of the pool as reported: pages of shadows and pages of the p2m."""
        return int(self._sys.total_pages + self._sys.p2m_pages)

    @property
    def crashed(self) -> bool:
        """The domain was crashed."""
        return bool(self._sys.crashed)

    # ---- inside

    def _handed_out(self, first: int, held: frozenset[int], faults: int) -> Reading | None:
        """What a PEEK or CLEAN read by its own event: the bits that were `held` before it, and those that its flush set.

        `first`: number of the operation's first event; `faults`: the fault_count before it.
        """
        rows = events_between(self.machine, first, int(self._sys.ev_n))
        told = rows["detail"][np.isin(rows["kind"], (ev.PEEK, ev.CLEAN))]
        marked = rows["gfn"][rows["kind"] == ev.MARK_DIRTY].tolist()
        return Reading(held.union(marked), int(told[0]), faults) if told.size else None

    @property
    def _refusals(self) -> int:
        """Operations that Xen refused or could not carry out."""
        return int(self._sys.ignored + self._sys.no_memory)

    @property
    def _sys(self) -> Any:
        return self.machine.sys[0]

    def _counts(self) -> dict[str, int]:
        return {name: int(self._sys[name]) for name in XEN_COUNTERS + PV_COUNTERS}

    def _load(self, rows: list[Row]) -> None:
        """Put `rows` where the engine reads its program (core/raw.py)."""
        words = np.array([(row[0] | row[3] << 24 | (row[5] << 8 if row[5:] else 0), row[1], row[2]) for row in rows], np.uint64)
        self.machine.view("prog")[: words.size] = words.reshape(-1)
        self._sys.rows = len(rows)

    def _do(self, first: int, last: int) -> None:
        """Rows first..last-1 of what is loaded; a store comes alone, so that a fast emulation can be told."""
        m, s = self.machine, self._sys
        seen, fast = int(s.ev_n), int(s.shadow_fault_fast_emulate)
        kernels.run(m.sys, m.cpu, m.mem, self._ops[first:last], self._credits[first:last])
        self._collect(seen, int(s.shadow_fault_fast_emulate) > fast)

    def _collect(self, first: int, fast: bool) -> None:
        """Trace events of the ring from number `first` on; flags of a fast emulation are nobody's: None."""
        s = self._sys
        n = int(s.ev_n)
        if n == first:
            return
        for tick, kind, _, gva, gfn, mfn, level, detail in events_between(self.machine, first, n).tolist():
            name = KIND.get(kind)
            if kind == ev.NPF_RECALC or kind == ev.HVM_NPF:
                self._exit(tick, kind, gfn, mfn, detail)
            elif self.ept and kind in EXITS:
                self.events.append(exit_of(self.guest, kind, gva, gfn, level, detail, tick))
            if name is None:
                continue
            if name in BY_GFN:
                self.events.append(Event(name, gfn=gfn, tick=tick))
            else:
                flags = None if name == "EMULATE" and fast else level >> 16
                value = detail if name == "EMULATE" else None
                self.events.append(Event(name, va=gva, flags=flags, value=value, tick=tick))

    def _exit(self, tick: int, kind: int, gfn: int, mfn: int, gpa: int) -> None:
        """What Xen traces of an NPF exit: the exit, the p2m entry when its type changed, and the fault when it was one."""
        self.events.append(Event("NPF", tick=tick))
        if kind == ev.HVM_NPF:
            if mfn != int(NONE):
                self.events.append(Event("MEM_SET_P2M_ENTRY", gfn=gfn, tick=tick))
            self.events.append(Event("HVM_NPF", va=gpa, tick=tick))
