"""The machine: three arrays that are the whole state, built from a Scenario and its work. No rule of memory lives here.

`sys` (1 record, state.SYS_DTYPE) holds registers and counters, `cpu` (one record a vCPU) the TLBs, `mem` (uint64) the arena:
everything by frame or by pool page, then table contents, pool contents, and last the event ring and a scratch region,
which are not state.
"""

import hashlib

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.state import ARENA, CELLS, COUNTERS, CPU_DTYPE, CPU_SCRATCH, MAX_PROCESSES, SCRATCH, SYS_DTYPE
from pagingviz.arch.words import NONE, ONE, U
from pagingviz.core import run as kernels
from pagingviz.core.build.by_address import connect
from pagingviz.core.read_only import mark_tables
from pagingviz.machine import boot
from pagingviz.scenario.frames import hap_pages, kept, machine_frames, placing
from pagingviz.work.raw_guest import RawWork


def least_real_pool(sc) -> int:
    """Pages that Xen gives a PV guest's shadows at first (shadow/common.c: sh_min_allocation)."""
    return int(xen.MIN_PAGES) * sc.vcpus + (sc.frames >> 8)


class Machine:
    """The state of one simulated machine. `work` supplies the process slots and the size of the table zone."""

    def __init__(self, scenario, work):
        self.scenario = scenario
        self.slots = max(work.slots, 1)
        self.sys = np.zeros(1, SYS_DTYPE).view(np.recarray)
        self.cpu = np.zeros(scenario.vcpus, CPU_DTYPE).view(np.recarray)
        self._arrange(scenario, work)
        if isinstance(work, RawWork):
            self._boot_raw(work)
        else:
            self._boot_guest(scenario)
        if scenario.road != "bare":
            self._boot_pool(scenario, work)
        connect(self.sys)
        kernels.boot(self.sys, self.cpu, self.mem)

    # ---- building

    def _arrange(self, sc, work):
        """Lay out the arena: sizes of every region, offsets into the record."""
        s = self.sys[0]
        frames, zone = sc.frames, work.zone
        cap = {
            "bare": 0,
            "pv": max(sc.pool_cap, least_real_pool(sc)),
            "shadow": sc.pool_cap,
            "hap": hap_pages(sc, work) if sc.road == "hap" else 0,
        }[sc.road]
        self.kept = keep = kept(frames, work)
        sizes = dict.fromkeys(("ver", "cver", "info", "share", "dround"), keep.count)
        sizes |= dict.fromkeys(("p2m", "m2p"), 0 if keep.spread else frames)
        spare = dict.fromkeys(("info", "p2m", "m2p"), 1)  # for the frame after the last: the identity table of CR0.PG=0
        sizes |= {
            "tstack": zone,
            "dstack": keep.count - zone,
            "roots": MAX_PROCESSES + 1,
            "uroots": MAX_PROCESSES + 1,
            "sparse": 0,
        }
        sizes |= dict.fromkeys(
            ("ptype", "pkey", "pref", "pup", "phash", "pprev", "pnext", "ppin", "pstamp", "pepoch", "pmore"), cap
        )
        sizes |= {
            "hash": int(xen.HASH_BUCKETS),
            "tables": zone * 512,
            "pool": cap * 512,
            "pml": sc.vcpus * 512 if sc.road == "hap" and sc.pml else 0,
            "prog": work.program.size,
            "ring": int(ev.RING * ev.RING_WORDS),
            "tmp": max(keep.count, cap, int(CELLS)),
        }
        self._region, at = {}, 0
        for name in ARENA:
            self._region[name] = (at, sizes[name])
            s[f"o_{name}"] = at
            at += sizes[name] + spare.get(name, 0)
        self.mem = np.zeros(at, np.uint64)
        s.road, s.vcpus, s.frames, s.zone = xen.ROADS.index(sc.road), sc.vcpus, frames, zone
        s.modelled, s.spread, s.run_bits = keep.count, keep.spread, keep.bits
        s.ram_base, s.ram_shift, s.ram_whole = placing(sc) if sc.road != "bare" else (0, 0, 0)
        s.host_nxe = 1
        maxphys = int(
            x86.MAXPHYADDR if s.ram_base + frames <= 1 << int(x86.MAXPHYADDR - x86.PAGE_BITS) else x86.MAXPHYADDR_SERVER
        )
        beyond = U((1 << 52) - (1 << maxphys))  # what a usual entry of a nested table looks like (core/nested/walk.py)
        s.pml, s.pml_index[:] = sc.road == "hap" and sc.pml, x86.PML_ENTRIES - ONE
        s.pv, s.npt = sc.road == "pv", x86.HAPS.index(sc.hap)
        if sc.hap == "ept":
            s.table_mask, s.table_plain = x86.EPT_RWX | U(0xF8) | beyond, x86.EPT_RWX
            s.leaf_mask, s.leaf_plain = x86.EPT_R | x86.EPT_EMT | beyond, x86.EPT_R | x86.EPT_WB
        else:
            s.table_plain, s.leaf_plain = x86.P | x86.RW | x86.US | x86.A, x86.P | x86.US | x86.A
            s.table_mask, s.leaf_mask = s.table_plain | x86.PSE | x86.NX | beyond, s.leaf_plain | beyond
        s.guest_levels, s.maxphys = sc.guest_levels, maxphys
        s.gib_leaves = sc.road in ("bare", "hap")  # guest_can_use_l3_superpages: not on shadows
        switches = (x86.CR_WP, sc.wp), (x86.CR_SMEP, sc.smep), (x86.CR_SMAP, sc.smap), (x86.CR_NXE, sc.nx), (x86.CR_PSE, sc.pse)
        s.cr = x86.CR_PG | sum(bit for bit, on in switches if on)
        s.pv_pool = sc.pool
        s.pool_cap, s.superpages, s.clean_every = cap, sc.superpages, sc.clean_every
        s.revoke = sc.clean == "revoke"
        s.direct_map, s.processes = sc.direct_map_base, self.slots
        s.free_head = s.free_tail = s.pin_head = s.pin_tail = s.tree_root = s.hap_root = NONE
        for name in ("root", "kroot", "uroot", "last_emul", "last_wr", "monitor", "oos", "oos_snap", "fix_page", "vtlb_page"):
            s[name][:] = NONE
        s.shopt = sc.shopt & ~(0 if sc.oos and sc.road != "pv" else int(xen.SHOPT_OUT_OF_SYNC))
        s.xen, s.floor = xen.XENS.index(sc.xen), sc.floor
        s.opt_l3 = s.shopt & xen.SHOPT_LINUX_L3 if sc.road != "pv" else 0
        self.cpu["pair_va"] = NONE
        s.t1_sets, s.t1_ways, s.t2_sets, s.t2_ways = x86.CORES[sc.core]
        s.tlb_gen[:] = s.psc_gen[:] = s.npt_gen[:] = 1
        self.cpu["id"], self.cpu["levels"] = np.arange(sc.vcpus), s.guest_levels
        if not keep.spread:
            gfn = np.arange(frames, dtype=np.uint64)
            self.view("p2m")[:] = mfn = machine_frames(sc, gfn)
            self.view("m2p")[mfn - s.ram_base] = gfn
        for name, value in (("p2m", xen.RAM_BASE + U(frames)), ("m2p", U(frames))):
            self.mem[sum(self._region[name])] = value  # the spare frame
        self.view("hash")[:] = NONE
        for name in ("roots", "uroots"):
            self.view(name)[:] = NONE
        for name in ("pkey", "pup", "phash", "pprev", "pnext", "pepoch", "pmore"):
            self.view(name)[:] = NONE
        self.view("ptype")[:] = xen.SH_OUT

    def _boot_guest(self, sc):
        """What the boot loader leaves behind: direct map, root of process 0, free stacks. No accesses."""
        s, zone = self.sys[0], int(self.sys[0].zone)
        root = {"hvm64": boot.hvm64, "pae": boot.pae, "hvm32": boot.hvm32}[sc.guest](self, sc)
        self.view("roots")[0] = last = root
        if s.pv:
            self.view("uroots")[0] = last = root + 1
        free = np.arange(zone - 1, last, -1, dtype=np.uint64)
        self.view("tstack")[: free.size] = free
        s.ttop, s.dtop = free.size, self.kept.count - zone
        self.view("dstack")[:] = self.kept.frames()[: zone - 1 : -1]  # the lowest first
        if s.pv:  # a PV kernel may not write to its tables, and they hold machine frames
            self.view("tables")[1024 + np.arange(last + 1)] &= ~x86.RW  # the direct map's L1 tables begin at frame 2
            self._localise()

    def _boot_raw(self, work):
        """A guest given entry by entry: its words, its root, its program."""
        s = self.sys[0]
        self.view("tables")[:] = work.contents().reshape(-1)
        if s.pv:
            self._localise()
        self.view("roots")[0] = work.cr3
        self.view("prog")[:] = work.program.reshape(-1)
        s.rows, s.cr, s.boot_p2m, s.guest_levels = len(work.program), work.cr, work.p2m_pages, work.levels
        self.cpu["levels"] = work.levels if work.cr & int(x86.CR_PG) else 2

    def _localise(self):
        """What the domain builder does last to a PV guest's tables: each entry's frame becomes a machine frame."""
        words = self.view("tables")
        present = words & x86.P != 0
        gfn = (words[present] & x86.FRAME_MASK) >> x86.PAGE_BITS
        words[present] = (words[present] & ~x86.FRAME_MASK) | self.view("p2m")[gfn.astype(np.intp)] << x86.PAGE_BITS

    def _boot_pool(self, sc, work):
        """The hypervisor's pages: free list in index order; the EPT tables (a shadow guest's own come in kernels.boot)."""
        s = self.sys[0]
        if sc.road == "pv":  # nothing before log-dirty is switched on
            return
        pages = sc.pool if sc.road == "shadow" else int(s.pool_cap)
        self.view("ptype")[:pages] = xen.SH_FREE
        index = np.arange(pages, dtype=np.uint64)
        self.view("pprev")[:pages] = index - ONE  # index 0 wraps to NONE
        self.view("pnext")[:pages] = index + ONE
        self.view("pnext")[pages - 1] = NONE
        s.free_head, s.free_tail, s.free_pages, s.total_pages = 0, pages - 1, pages, pages
        s.pool_used = 0 if s.spread else pages
        if sc.road == "hap":
            boot.nested(self, sc, work.small_chunks)

    def take(self, kind, key, level=0):
        """Take the head of the free list at build time; EPT tables leave the part of the pool that can be recycled."""
        s = self.sys[0]
        page = int(s.free_head)
        s.free_head = self.view("pnext")[page]
        self.view("pprev")[int(s.free_head)] = NONE
        s.free_pages -= 1
        if kind == xen.SH_P2M:
            s.total_pages -= 1
            s.p2m_pages += 1
        s.pool_used = max(int(s.pool_used), page + 1)
        self.view("ptype")[page], self.view("pkey")[page], self.view("pref")[page] = kind, key, level
        return page

    # ---- looking

    def view(self, name):
        """The region `name` (state.ARENA) of the arena as a uint64 array that shares its memory."""
        at, size = self._region[name]
        return self.mem[at : at + size]

    @property
    def tick(self):
        return int(self.sys[0].tick)

    @property
    def used(self):
        """Words of the arena that are state: without pool pages never in use, and without the ring."""
        return self._region["pool"][0] + int(self.sys[0].pool_used) * 512

    def counters(self):
        """Every counter, name -> int."""
        at = SYS_DTYPE.fields[COUNTERS[0]][1] // 8  # they stand one after the other in the record
        words = self.sys.view(np.ndarray).view(np.uint64)
        return dict(zip(COUNTERS, words[at : at + len(COUNTERS)].tolist(), strict=True))

    # ---- state as a value

    def snapshot(self, slot=None):
        """A copy of the whole state: (sys, cpu, used part of the arena), into the arrays of `slot` when they fit."""
        parts = self.sys, self.cpu, self.mem[: self.used]
        if slot is None or slot[2].size != parts[2].size:
            return tuple(part.copy() for part in parts)
        for to, part in zip(slot, parts, strict=True):
            to[:] = part
        return slot

    def restore(self, state):
        """Put a snapshot back. Pool pages first used after it was taken keep stale words that nothing refers to."""
        sys, cpu, mem = state
        scratch = {name: self.sys[0][name] for name in SCRATCH}
        self.sys[:] = sys
        self.cpu[:] = cpu
        self.mem[: mem.size] = mem
        for name in ("look", "stop_mask", "stop_hit", "ev_n"):
            self.sys[0][name] = scratch[name]
        self.sys[0].ev_tick = self.sys[0].ev_n

    def digest(self):
        """Hex digest of the whole state: equal exactly when registers, counters, TLBs and arena are equal."""
        h = hashlib.blake2b(digest_size=16)
        sys, cpu = self.sys.copy(), self.cpu.copy()
        for record, names in ((sys, SCRATCH), (cpu, CPU_SCRATCH)):
            for name in names:
                record[name] = 0
        for part in (sys, cpu, self.mem[: self.used]):
            h.update(np.ascontiguousarray(part).tobytes())
        return h.hexdigest()

    def live_tables(self):
        """Frames that are page tables of the guest now: gfn intp[n], ascending."""
        mark_tables(self.sys, self.mem)
        return np.flatnonzero(self.view("tmp")[: int(self.sys[0].zone)])

    def guest_digests(self):
        """What the guest itself can see, equal across roads: faults, versions, A/D bits, tables (counts and digests)."""
        gfn = self.live_tables()
        words = self.view("tables").reshape(-1, 512)[gfn]
        bits = x86.A | x86.D if self.scenario.guest != "hvm32" else (x86.A | x86.D) * U((1 << 32) + 1)  # two entries a word
        ad = words & bits
        s = self.sys[0]

        def digest(*parts):
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

    def _count(self, words, bit):
        """Entries in which `bit` is set."""
        entries = words.view(np.uint32) if self.scenario.guest == "hvm32" else words
        return int(np.count_nonzero(entries & bit.astype(entries.dtype)))

    def dirty_frames(self):
        """Frames whose log-dirty bit is set: int64[n], ascending. What it costs follows from the tree, not from RAM."""
        s, pool = self.sys[0], self.view("pool").reshape(-1, 512)
        if s.tree_root == NONE or self.scenario.road == "bare":
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

    def dirty_bits(self):
        """The log-dirty bitmap of a small guest as bool[frames]."""
        bits = np.zeros(self.scenario.frames, bool)
        bits[self.dirty_frames()] = True
        return bits

    def pml(self):
        """Guest frames in each vCPU's page-modification log, oldest first: [[gfn]]; [] without PML."""
        s, log = self.sys[0], self.view("pml").reshape(-1, 512)
        first = [(int(index) + 1) % 2**64 for index in s.pml_index]  # below slot 0 the index wraps
        return [(row[first[v] :][::-1] >> x86.PAGE_BITS).astype(int).tolist() for v, row in enumerate(log)]

    def logged_frames(self):
        """Frames in the vCPUs' page-modification logs: int64[n]. They are marked when the logs are flushed."""
        return np.array([gfn for log in self.pml() for gfn in log], np.int64)

    def log_dirty(self):
        """{on, dirty, missing}: missing counts frames stored to since the last CLEAN whose bit is not set. Must be 0.

        What another domain stores through a mapping of its own is marked when that ends, and what the processor has logged
        when its log is flushed; till then it does not count. Nor does what no page of the tree could be had for: CLEAN fails.
        """
        s, dirty = self.sys[0], self.dirty_frames()
        told = (self.view("ver") == self.view("cver")) | (self.view("info") & xen.GRANTED != 0)
        for gfn in (dirty, self.logged_frames()):
            told[self.kept.places(gfn)] = True
        missing = int(np.count_nonzero(~told)) if s.log_dirty and not s.failed_allocs else 0
        return {"on": bool(s.log_dirty), "dirty": int(dirty.size), "missing": missing}
