"""The machine: three arrays that are the whole state, built from a Scenario and its work. No rule of memory lives here.

`sys` (1 record, state.SYS_DTYPE) holds registers and counters, `cpu` (one record a vCPU) the TLBs, `mem` (uint64) the arena:
everything by frame or by pool page, then table contents, pool contents, and last the event ring and a scratch region,
which are not state.
"""

from __future__ import annotations

import hashlib

import numpy as np

from pagingviz.arch import x86, xen
from pagingviz.arch.state import COUNTERS, CPU_DTYPE, CPU_SCRATCH, SCRATCH, SYS_DTYPE
from pagingviz.arch.words import NONE, U
from pagingviz.core import run as kernels
from pagingviz.core.build.by_address import connect
from pagingviz.core.read_only import mark_tables
from pagingviz.machine import boot, registers
from pagingviz.machine.layout import regions
from pagingviz.scenario.frames import modelled
from pagingviz.scenario.roads import road_of
from pagingviz.scenario.scenario import Scenario
from pagingviz.work.raw_guest import RawWork
from pagingviz.work.work import Work

Snapshot = tuple[np.ndarray, np.ndarray, np.ndarray]  # copies of sys, cpu and the used part of the arena


class Machine:
    """The state of one simulated machine. `work` supplies the process slots and the size of the table zone."""

    def __init__(self, scenario: Scenario, work: Work) -> None:
        self.scenario = scenario
        self.slots = max(work.slots, 1)
        self.modelled = modelled(scenario.frames, work)
        self.sys: np.recarray = np.zeros(1, SYS_DTYPE).view(np.recarray)
        self.cpu: np.recarray = np.zeros(scenario.vcpus, CPU_DTYPE).view(np.recarray)
        self._region, words = regions(scenario, work, self.modelled)
        self.mem = np.zeros(words, np.uint64)
        for name, (at, _) in self._region.items():
            self.sys[0][f"o_{name}"] = at
        registers.set_up(self, work)
        if isinstance(work, RawWork):
            boot.raw_guest(self, work)
        else:
            boot.guest(self)
        if road_of(scenario).hypervisor:
            boot.pool(self, work)
        connect(self.sys)
        kernels.boot(self.sys, self.cpu, self.mem)

    # ---- parts and numbers

    def view(self, name: str) -> np.ndarray:
        """The region `name` (state.ARENA) of the arena, uint64[words]: an array that shares its memory."""
        at, size = self._region[name]
        return self.mem[at : at + size]

    def spare(self, name: str, value: np.uint64) -> None:
        """Write the word behind the region `name`, one of layout.SPARE."""
        self.mem[sum(self._region[name])] = value

    @property
    def tick(self) -> int:
        return int(self.sys[0].tick)

    @property
    def used(self) -> int:
        """Words of the arena that are state: without pool pages never in use, and without the ring."""
        return self._region["pool"][0] + int(self.sys[0].pool_used) * 512

    def counters(self) -> dict[str, int]:
        """Every counter by its name."""
        offsets = SYS_DTYPE.fields
        assert offsets
        at = offsets[COUNTERS[0]][1] // 8  # they stand one after the other in the record
        words = self.sys.view(np.ndarray).view(np.uint64)
        return dict(zip(COUNTERS, words[at : at + len(COUNTERS)].tolist(), strict=True))

    # ---- state as a value

    def snapshot(self, slot: Snapshot | None = None) -> Snapshot:
        """A copy of the whole state: (sys, cpu, used part of the arena), into the arrays of `slot` when they fit."""
        parts = self.sys, self.cpu, self.mem[: self.used]
        if slot is None or slot[2].size != parts[2].size:
            return self.sys.copy(), self.cpu.copy(), parts[2].copy()
        for to, part in zip(slot, parts, strict=True):
            to[:] = part
        return slot

    def restore(self, state: Snapshot) -> None:
        """Put a snapshot back. Pool pages first used after it was taken keep stale words that nothing refers to."""
        sys, cpu, mem = state
        scratch = self.sys[0].copy()
        self.sys[:] = sys
        self.cpu[:] = cpu
        self.mem[: mem.size] = mem
        for name in ("verbose", "stop_mask", "stop_hit", "ev_n"):
            self.sys[0][name] = scratch[name]
        self.sys[0].ev_tick = self.sys[0].ev_n

    def digest(self) -> str:
        """Hex digest of the whole state: equal exactly when registers, counters, TLBs and arena are equal."""
        h = hashlib.blake2b(digest_size=16)
        sys, cpu = self.sys.copy(), self.cpu.copy()
        for record, names in ((sys, SCRATCH), (cpu, CPU_SCRATCH)):
            for name in names:
                record[name] = 0
        for part in (sys, cpu, self.mem[: self.used]):
            h.update(np.ascontiguousarray(part).tobytes())
        return h.hexdigest()

    def live_tables(self) -> np.ndarray:
        """Frames that are page tables of the guest now: gfn intp[n], ascending."""
        mark_tables(self.sys, self.mem)
        return np.flatnonzero(self.view("tmp")[: int(self.sys[0].zone)])

    def guest_digests(self) -> dict[str, dict[str, int | str]]:
        """What the guest itself can see, equal across roads: faults, versions, A/D bits, tables (counts and digests)."""
        gfn = self.live_tables()
        words = self.view("tables").reshape(-1, 512)[gfn]
        bits = x86.A | x86.D if self.scenario.guest != "hvm32" else (x86.A | x86.D) * U((1 << 32) + 1)  # two entries a word
        ad = words & bits
        s = self.sys[0]

        def digest(*parts: np.ndarray) -> str:
            h = hashlib.blake2b(digest_size=16)
            for part in parts:
                h.update(np.ascontiguousarray(part).tobytes())
            return h.hexdigest()

        return {
            "faults": {"count": int(s.guest_faults), "digest": f"{int(s.fault_hash):016x}"},
            "versions": {"sum": int(self.view("ver").sum()), "digest": digest(self.view("ver"))},
            "ad": {"accessed": self._count(ad, x86.A), "dirty": self._count(ad, x86.D), "digest": digest(gfn, ad)},
            "tables": {"count": int(gfn.size), "digest": digest(gfn, words & ~bits, self.view("roots"))},
        }

    def _count(self, words: np.ndarray, bit: np.uint64) -> int:
        """Entries in which `bit` is set."""
        entries = words.view(np.uint32) if self.scenario.guest == "hvm32" else words
        return int(np.count_nonzero(entries & bit.astype(entries.dtype)))

    def dirty_frames(self) -> np.ndarray:
        """Frames whose log-dirty bit is set: int64[n], ascending. What it costs follows from the tree, not from RAM."""
        s, pool = self.sys[0], self.view("pool").reshape(-1, 512)
        if s.tree_root == NONE or not road_of(self.scenario).hypervisor:
            return np.zeros(0, np.int64)
        below = [(int(s.tree_root), 0)]  # pages of a level, with the first frame of each
        for shift in (33, 24, 15):
            below = [
                (int(pool[page, i]) - 1, first + (i << shift))
                for page, first in below
                for i in np.flatnonzero(pool[page]).tolist()
            ]
        bits = [first + np.flatnonzero(np.unpackbits(pool[page].view(np.uint8), bitorder="little")) for page, first in below]
        return np.concatenate(bits) if bits else np.zeros(0, np.int64)

    def dirty_bits(self) -> np.ndarray:
        """The log-dirty bitmap of a small guest as bool[frames]."""
        bits = np.zeros(self.scenario.frames, bool)
        bits[self.dirty_frames()] = True
        return bits

    def pml(self) -> list[list[int]]:
        """Guest frames in each vCPU's page-modification log, oldest first: [[gfn]]; [] without PML."""
        s, pool = self.sys[0], self.view("pool").reshape(-1, 512)
        vcpus = range(self.scenario.vcpus if s.pml else 0)
        if not s.ept_ad:
            return [[] for _ in vcpus]
        first = [(int(index) + 1) % 2**64 for index in s.pml_index]  # below slot 0 the index wraps
        return [(pool[int(s.pml_page[v]), first[v] :][::-1] >> x86.PAGE_BITS).astype(int).tolist() for v in vcpus]

    def logged_frames(self) -> np.ndarray:
        """Frames in the vCPUs' page-modification logs: int64[n]. They are marked when the logs are flushed."""
        return np.array([gfn for log in self.pml() for gfn in log], np.int64)

    def log_dirty(self) -> dict[str, bool | int]:
        """{on, dirty, missing}: missing counts frames stored to since the last CLEAN whose bit is not set. Must be 0.

        What another domain stores through a mapping of its own is marked when that ends, and what the processor has logged
        when its log is flushed; till then it does not count. Nor does what no page of the tree could be had for: CLEAN fails.
        """
        s, dirty = self.sys[0], self.dirty_frames()
        seen = (self.view("ver") == self.view("cver")) | (self.view("info") & xen.GRANTED != 0)
        for gfn in (dirty, self.logged_frames()):
            seen[self.modelled.index(gfn)] = True
        missing = int(np.count_nonzero(~seen)) if s.log_dirty and not s.failed_allocs else 0
        return {"on": bool(s.log_dirty), "dirty": int(dirty.size), "missing": missing}
