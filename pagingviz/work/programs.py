"""The programs of a scenario, recorded and generated: their operations at any tick, and what they need of the guest's memory.

An entry is a recorded program or a generator; it owns one process slot, a fork generator two (parent, child). Entries
are time-sliced: slot t // quantum of the schedule belongs to entry turns[slot % len(turns)], and its events are
numbered over its own slices only. With several vCPUs entry e runs on vCPU e % vcpus only; a vCPU takes its part of the
schedule, and its own ticks (every vcpus-th of all) are what it counts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pagingviz.arch import operation
from pagingviz.arch.state import ZONE_SLACK
from pagingviz.arch.words import U
from pagingviz.scenario.fields import MAX_FRAMES, Generator, ScenarioError
from pagingviz.scenario.frames import kernel_tables
from pagingviz.scenario.roads import road_of
from pagingviz.scenario.scenario import Scenario, shipped_traces
from pagingviz.work import generators as kernels
from pagingviz.work.below_3_gib import fit
from pagingviz.work.tracefile import Trace, open_trace, read_trace
from pagingviz.work.work import ANY_GIBS, ProcessSpec, Shown

FIRST_VPN = 0x10000  # first page of every generator's memory
_FOLDER = Path(__file__).parent / "traces"


@dataclass(frozen=True, eq=False)
class _Entry:
    slot: int
    vcpu: int
    in_round: np.ndarray  # u64, its slots in one round of its vCPU's schedule
    fill: Callable[..., None]  # kernel (op, credit, runs, found, *args)
    args: tuple


@functools.cache
def shipped(name: str) -> Trace:
    """A recorded program of the package, read once a server."""
    return read_trace((_FOLDER / f"{name}.npz").read_bytes(), f"{name}.npz")


def find_trace(name: str, files: Mapping[str, bytes]) -> Trace:
    """The recorded program of that shipped name, or of that sha256 among `files`."""
    if name in files:
        return open_trace(files[name], f"file {name[:8]}…")  # the name it was uploaded under is not known here
    if name in shipped_traces():
        return shipped(name)
    raise ScenarioError(f"The trace with sha256 {name} is not on this server: please give its file again.")


def _zone(tables: int) -> int:
    return 8 * -(-(tables + int(ZONE_SLACK)) // 8)


class Programs:
    """The operations of `scenario` (a Work); `files` holds the bytes of uploaded traces by sha256.

    notices: sentences about what of the recorded programs was left out or lies at other addresses than recorded.
    Raises ScenarioError when a trace is missing or bad, or when the guest has too few frames for all pages.
    """

    # What a guest given entry by entry has in their stead (raw_guest.RawWork).
    program: np.ndarray = np.empty((0, 3), np.uint64)
    p2m_pages, hap_pool, huge_leaves = 0, 0, ANY_GIBS
    shown: tuple[Shown, ...] | None = None
    small_chunks: Collection[int] = ()

    def __init__(self, scenario: Scenario, files: Mapping[str, bytes] | None = None) -> None:
        self.scenario, self.levels = scenario, scenario.guest_levels
        self.processes: list[ProcessSpec] = []
        self.notices: tuple[str, ...] = ()
        self._entries: list[_Entry] = []
        vcpus = scenario.vcpus
        self._turns = [[entry for entry in scenario.turns if entry % vcpus == vcpu] for vcpu in range(vcpus)]
        for name in scenario.traces:
            self._add_trace(name, find_trace(name, files or {}))
        for generator in scenario.generators:
            self._add_generator(generator)
        self.need_tables = self._tables(scenario.frames)
        self.need_frames = self._frames(scenario.frames)
        if self.need_frames > scenario.frames:
            raise ScenarioError(self._too_small())

    def fill(self, op: np.ndarray, credit: np.ndarray, t0: int) -> None:
        """Write the operations of ticks t0..t0+len(op): op u64, credit u32, both (n,)."""
        vcpus = self.scenario.vcpus
        if vcpus == 1:
            self._fill(op, credit, t0, 0)
            return
        for vcpu in range(vcpus):
            first = (vcpu - t0) % vcpus
            mine = op[first::vcpus]
            part, more = np.full(mine.size, operation.IDLE), np.zeros(mine.size, np.uint32)
            self._fill(part, more, (t0 + first) // vcpus, vcpu)
            mine[:], credit[first::vcpus] = part, more

    def _fill(self, op: np.ndarray, credit: np.ndarray, t0: int, vcpu: int) -> None:
        """The same for the ticks of one vCPU, numbered by themselves; ticks of no entry are left as they are."""
        n, quantum, turns = op.size, self.scenario.quantum, len(self._turns[vcpu])
        runs = np.empty((n // quantum + 2, 3), np.uint64)
        for entry in self._entries:
            if entry.vcpu == vcpu:
                found = kernels.slice_runs(runs, U(t0), U(n), U(quantum), U(turns or 1), entry.in_round)
                if found:
                    entry.fill(op, credit, runs, found, *entry.args)

    @property
    def zone(self) -> int:
        """Frames at the bottom of guest memory that may hold page tables."""
        return _zone(self.need_tables)

    @property
    def slots(self) -> int:
        """Number of process slots."""
        return len(self.processes)

    def busy(self, vcpu: int) -> bool:
        """Whether any program is dealt to that vCPU."""
        return bool(self._turns[vcpu])

    def laps(self, t: int) -> tuple[int, ...]:
        """How often each process slot's recorded program has run to its end before tick t; 0 for generators."""
        done = {entry.slot: self._events_before(entry, t) for entry in self._entries}
        return tuple(done[slot] // p.events if p.is_trace else 0 for slot, p in enumerate(self.processes))

    def _events_before(self, entry: _Entry, t: int) -> int:
        quantum, vcpus, turns = self.scenario.quantum, self.scenario.vcpus, len(self._turns[entry.vcpu])
        slot, rest = divmod(max(0, t - entry.vcpu + vcpus - 1) // vcpus, quantum)
        lap, within = divmod(slot, turns or 1)
        whole = lap * entry.in_round.size + int((entry.in_round < within).sum())
        return whole * quantum + (rest if within in entry.in_round else 0)

    def _add_trace(self, name: str, trace: Trace) -> None:
        slot = len(self.processes)
        pages, moved = (trace.pages, "") if self.scenario.guest == "hvm64" else fit(trace.pages, trace.name)
        self.notices += tuple(text for text in (trace.notice, moved) if text)
        self.processes.append(ProcessSpec(trace.name, name, pages, trace.writable, trace.executable, trace.events.size, True))
        page_op = pages << operation.OP_VPN_SHIFT | U(slot) << operation.OP_PROC_SHIFT
        page_op |= trace.writable * operation.OP_VMA_W | trace.executable * operation.OP_VMA_X
        self._add_entry(slot, kernels.fill_trace, (trace.events, page_op))

    def _add_generator(self, generator: Generator) -> None:
        slot = len(self.processes)
        pages = np.arange(FIRST_VPN, FIRST_VPN + generator.pages, dtype=np.uint64)
        for child in (False, True) if generator.kind == "fork" else (False,):
            name = f"{generator.kind} child" if child else generator.kind
            yes, no = np.ones(pages.size, bool), np.zeros(pages.size, bool)
            self.processes.append(ProcessSpec(name, generator.text, pages, yes, no, child=child))
        key = kernels.stream_key(U(self.scenario.seed), U(slot))
        base = U(0) if generator.kind == "idle" else U(FIRST_VPN) << operation.OP_VPN_SHIFT | operation.OP_VMA_W
        par = np.array([key, base | U(slot) << operation.OP_PROC_SHIFT, self.scenario.write, *generator.args], np.uint64)
        table = (kernels.alias_table(*generator.args),) if generator.kind == "zipf" else ()
        self._add_entry(slot, getattr(kernels, f"fill_{generator.kind}"), (par, *table))

    def _add_entry(self, slot: int, fill: Callable[..., None], args: tuple) -> None:
        number = len(self._entries)
        vcpu = number % self.scenario.vcpus
        in_round = [k for k, entry in enumerate(self._turns[vcpu]) if entry == number]
        self._entries.append(_Entry(slot, vcpu, np.array(in_round, np.uint64), fill, args))

    def _tables(self, frames: int) -> int:
        """Most page-table frames in use at once: the kernel's direct map, each process's root and its lower levels."""
        guest = self.scenario.guest
        kernel = sum(kernel_tables(self.scenario, frames))
        shifts = {"hvm64": (9, 18, 27), "pae": (9, 18), "hvm32": (10,)}[guest]
        roots = 2 if road_of(self.scenario).paravirtual else 1  # one for the kernel, one for user mode
        return kernel + sum(roots + sum(np.unique(p.pages >> U(n)).size for n in shifts) for p in self.processes)

    def _frames(self, frames: int) -> int:
        """Frames that a guest of `frames` frames needs: the table zone and one frame for each page of each process."""
        return _zone(self._tables(frames)) + sum(p.pages.size for p in self.processes)

    def _too_small(self) -> str:
        frames = 64
        while (need := self._frames(frames)) > frames:  # the direct map's own tables grow with the guest
            frames = 64 * -(-need // 64)
        what = f"This work needs {frames} frames"
        if frames > MAX_FRAMES:
            return f"{what}, more than the {MAX_FRAMES} that a guest can have: choose fewer or smaller programs."
        return f"{what}, but the guest has {self.scenario.frames}: set frames={frames} or choose a smaller program."
