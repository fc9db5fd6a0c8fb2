"""The machine: memory of the guest, vCPUs, one road, and everything that a test compares."""

from collections import Counter

from tests.model.memory import GuestMemory

from .bare import Bare
from .caches import Caches
from .config import (
    CR_NXE,
    CR_PG,
    CR_PGE,
    CR_PSE,
    CR_SMEP,
    POOL_EMPTY,
    RAM_BASE,
    UNEXPECTED_FAULT,
    WRITE,
    MachineCrash,
    P,
    machine_frame,
)
from .guest import MERGED, GuestKernel
from .hap import Hap
from .logdirty import LogDirty
from .npt import HapNpt
from .pml import HapPml
from .pv import Pv
from .pvguest import PvKernel
from .raw import RawGuest
from .shadow import Shadow
from .tlb import Tlb
from .walk import GeneralProtection, Mode, PageFault, canonical, reserved

ROADS = {"bare": Bare, "pv": Pv, "shadow": Shadow, "hap": Hap}


class Vcpu:
    """levels: of the paging mode it is in, 2 while paging is off; cr3: guest frame of the loaded root; pdptes: the four
    registers of a PAE guest, None with NPT. The rest is used on the shadow road only, by Xen's names (struct shadow_vcpu)."""

    def __init__(self, number, levels, core):
        self.number, self.levels = number, levels
        self.tlb, self.caches = Tlb(core), Caches()
        self.cr3 = None
        self.kernel_root = self.user_root = None  # of a PV guest: its own root, and its user mode's
        self.pdptes = [0] * 4
        self.monitor = []  # pages of the monitor table
        self.slots = [None] * 4  # shadow_table: one root, or the four L2 shadows of a PAE guest
        self.l3table = [None] * 4  # what the hardware's PDPTEs point at in the two- and three-level modes
        self.unshadow_memory = None  # last_emulated_mfn_for_unshadow
        self.last_writeable = None  # last_writeable_pte_smfn
        self.last_frame = self.last_mfn = None  # last_emulated_frame, last_emulated_mfn
        self.last_ok = False  # last_write_emul_ok
        self.last_write_was_pt = False
        self.pagetable_dying = False
        self.event_pending = False
        self.vtlb = {}  # slot -> (page number, frame number, error code of the walk)
        self.oos = [None] * 3  # gmfn
        self.oos_snapshot = [None] * 3
        self.fixups = [Fixup() for _ in range(3)]
        self.flags = 0  # trace_shadow_path_flags of its CPU
        self.initial_va = 0  # trace_emulate_initial_va of its CPU


class Fixup:
    """The writable mappings of a table out of sync: two pairs (pool page, slot), and which of them is used next."""

    def __init__(self):
        self.mappings, self.next = [None, None], 0


class Model(GuestMemory):
    """One machine. `tick(op)`, or `tick()` for a raw guest, and `command(name, argument)` change its state."""

    def __init__(self, config):
        self.config = config
        self.cr = config.cr
        self.now = 0
        self.crashed = 0
        self.entered = True  # whether the guest has run since the last INVEPT that a command asked for
        self.epoch = 0  # counts TLB flushes, to age freed pool pages
        self.counters = {}
        self.events = []  # (tick, name, vcpu, gva, gfn, level, detail)
        self.version = Counter()  # by frame: stores so far
        self.words = {g: {} for g in range(config.zone)}  # table frame -> {8-byte word: value}, absent = 0
        self.vcpus = [Vcpu(k, self.guest_levels(), config.core) for k in range(config.vcpus)]
        self.cpu = self.vcpus[0]
        self.current = None  # the vCPU whose action this is; None in a command
        self.p2m = {
            g: g if config.road == "bare" else machine_frame(g, config.frames, config.superpages) for g in range(config.frames)
        }
        self.identity = config.frames  # "frame" of the table Xen gives a guest without paging
        self.gfn_of = {m: g for g, m in self.p2m.items()} | {RAM_BASE + config.frames: self.identity}
        self.log = LogDirty(self)
        self.granted = set()  # frames that another domain may be writing to
        self.guest = RawGuest(self) if config.raw else (PvKernel if config.road == "pv" else GuestKernel)(self)
        self.guest.boot()
        kind = HapNpt if config.hap == "npt" else HapPml if config.pml else Hap
        self.road = (kind if config.road == "hap" else ROADS[config.road])(self)
        for vcpu in self.vcpus:
            if isinstance(self.road, HapNpt):
                vcpu.pdptes = None
            self.guarded(self.boot, vcpu)

    def boot(self, vcpu):
        self.road.boot(vcpu)
        if vcpu.cr3 is None:
            self.load_cr3(self.guest.first_root(), vcpu)

    # ---- running ----
    def tick(self, op=None):
        """Commands due now, then one operation, then the automatic CLEAN that ends a tick. A crashed machine stands still."""
        for when, name, argument in self.config.commands:
            if when == self.now:
                self.command(name, argument)
        if self.crashed:
            return
        self.entered = True
        self.count("n_ops")
        if op is not None and op.kind in MERGED:
            self.count(MERGED[op.kind], op.credit)
        self.guarded(self.guest.run, op)
        self.now += 1
        every = self.config.clean_every
        if every and self.now % every == 0 and self.log.on:
            self.command("clean")

    def command(self, name, argument=None):
        """enable, clean, peek, off, blow, pool (argument: pages), flush, dm (argument: frame, above bit 32
        how many): what others do.

        What does not apply leaves an IGNORED event and nothing else."""
        if self.crashed:
            return
        before, self.current = self.current, None
        if name == "flush":
            self.flush_tlbs()
        elif name == "dm":
            self.guarded(self.device_writes, argument & 0xFFFF_FFFF, argument >> 32)
        elif name == "enable" and self.log.on:
            self.event("IGNORED", detail=name)  # -EINVAL: already on
        else:
            self.event("COMMAND", detail=name)
            self.guarded(self.road.command, name, argument)
        self.current = before

    def device_writes(self, first, n):
        """XEN_DMOP_modified_memory: a device has written n frames from `first` on, and the device model reports it."""
        self.event("MODIFIED_MEMORY", gfn=first)
        for gfn in range(first, first + n):
            if self.config.road == "pv" and 1 <= self.road.type_of(gfn) <= 4:
                continue  # a grant gives no write access to a page table
            self.version[gfn] += 1
            self.count("device_writes")
            if self.log.on:
                self.log.mark(gfn, "device")
                self.road.written_by_device(gfn)

    def guarded(self, work, *arguments):
        try:
            work(*arguments)
        except MachineCrash as crash:
            self.crashed = crash.code
        except PageFault:
            self.crashed = UNEXPECTED_FAULT

    def domain_crash(self):
        raise MachineCrash(POOL_EMPTY)

    # ---- what the guest does ----
    def access(self, gva, kind, user, size=0, value=0):
        """One access by the current vCPU. True: done in hardware. False: the hypervisor emulated it.
        PageFault, GeneralProtection: the guest must act.

        size 4 or 8: a store of `value` to the word of a page table; other writes only make the frame's version grow."""
        if not canonical(self.levels, gva):
            raise GeneralProtection
        vpn = gva >> 12 & (1 << 36) - 1
        outcome, entry = self.cpu.tlb.lookup(vpn, kind, user, self.effective_cr())
        self.count(outcome)
        if entry is None:
            entry = self.road.walk(gva, kind, user, size, value)
            if entry is None:
                return False
            self.count_walk(vpn, entry)
            self.cpu.tlb.fill(entry)
        if kind == WRITE:
            self.store(self.gfn_of[entry.mfn], gva, size, value)
        return True

    def count_walk(self, vpn, entry):
        """References of the walk that has made `entry`: of the guest's own tables, or of a shadow (which has four levels or,
        under registers, two)."""
        cpu = self.cpu
        cpu.caches.now = cpu.tlb.clock
        bits = 10 if cpu.levels == 2 else 9
        if entry.tables is None:
            bits, top, size = 9, 4 if cpu.levels == 4 else 2, 1
        else:
            top, size = max(entry.tables, default=0), 1 + entry.big // bits
        depth = self.road.depth if isinstance(self.road, Hap) else None
        self.count("walks")
        self.count("walk_refs", cpu.caches.walk(vpn, entry.tables, top, size, bits, depth, self.gfn_of[entry.mfn]))

    def store(self, gfn, gva, size, value):
        """A write of the guest arrives in memory."""
        self.version[gfn] += 1
        if size and gfn < self.config.zone:
            self.put_bytes(gfn, gva & 4095, size, value)

    def load_cr3(self, root, vcpu=None):
        """MOV CR3: a PAE guest's four PDPTEs are checked first. With NPT they are not looked at before a walk reads them."""
        vcpu = vcpu or self.cpu
        if vcpu.levels == 3 and vcpu.pdptes is not None:
            if isinstance(self.road, Hap):
                self.road.read(root)
            self.load_pdptes(vcpu, root)
        vcpu.cr3 = root
        self.event("CR3_LOAD", gfn=root, vcpu=vcpu.number)
        self.road.load_cr3(vcpu)
        self.flush_tlb(vcpu)

    def load_pdptes(self, vcpu, root):
        """A present PDPTE with a reserved bit: #GP, and the registers keep what they have."""
        if vcpu.pdptes is None:
            return
        pdptes = self.read_pdptes(root)
        if any(e & P and reserved(Mode(3, CR_NXE, self.config.maxphys), 3, e) for e in pdptes):
            raise GeneralProtection(root)
        vcpu.pdptes = pdptes

    def read_pdptes(self, root):
        return [self.entry(root, slot, 3) for slot in range(4)]

    def set_cr(self, value):
        """MOV CR0 or CR4, on every vCPU at once. PG, PGE, PSE and SMEP load the PDPTEs and the shadow root again (hvm_set_cr0,
        hvm_set_cr4); all else costs a flush."""
        old, big_change = self.cr, (self.cr ^ value) & (CR_PG | CR_PGE | CR_PSE | CR_SMEP)
        if big_change and self.config.levels == 3 and value & CR_PG:
            for vcpu in self.vcpus:
                self.load_pdptes(vcpu, vcpu.cr3)
        self.cr = value
        if big_change:
            self.road.update_paging_modes()
        if (old ^ value) & CR_PG:
            for vcpu in self.vcpus:
                vcpu.levels = self.guest_levels()
        for vcpu in self.vcpus:
            self.flush_tlb(vcpu)

    def invlpg(self, gva):
        """The road decides what its hardware drops: nothing, the page, or this vCPU's whole TLB."""
        self.event("INVLPG", gva)
        what = self.road.invlpg(gva)
        if what == "page":
            self.cpu.tlb.invlpg(gva >> 12 & (1 << 36) - 1)
            self.cpu.caches.forget(nested=False)
        elif what == "all":
            self.flush_tlb(self.cpu)

    def flush_tlb(self, vcpu, but_global=False):
        vcpu.tlb.flush(but_global)
        vcpu.caches.forget(nested=False)
        if not but_global:
            self.epoch += 1

    def flush_tlbs(self):
        """The hypervisor flushes the TLBs of every vCPU, and their caches of guest-physical addresses."""
        for vcpu in self.vcpus:
            vcpu.tlb.flush()
            vcpu.caches.forget(nested=False)
            vcpu.caches.forget(nested=True)
        self.epoch += 1

    # ---- records ----
    def count(self, name, n=1):
        self.counters[name] = self.counters.get(name, 0) + n

    def event(self, name, gva=0, gfn=0, level=0, detail=0, vcpu=None):
        self.events.append((self.now, name, self.cpu.number if vcpu is None else vcpu, gva, gfn, level, detail))

    # ---- what a test compares ----
    def guest_state(self):
        """What the guest itself can see: the same on every road."""
        return {
            "versions": {g: n for g, n in self.version.items() if n},
            "words": {t: dict(w) for t, w in self.words.items() if w},
            **self.guest.state(),
        }

    def state(self):
        """Everything observable, as plain dictionaries, lists and sets.

        `pool`, `shadows`, `ept` are empty where the road has none."""
        log = self.log
        return {
            "guest": self.guest_state(),
            "levels": [v.levels for v in self.vcpus],
            "crashed": self.crashed,
            "counters": dict(self.counters),
            "tlb": [{"l1": v.tlb.l1.contents(), "l2": v.tlb.l2.contents()} for v in self.vcpus],
            "caches": [v.caches.contents() for v in self.vcpus],
            "cr": self.cr,
            "cr3": [v.cr3 for v in self.vcpus],
            "pdptes": [list(v.pdptes or [0] * 4) for v in self.vcpus],
            "p2m": self.p2m,
            "epoch": self.epoch,
            "log": {
                "on": log.on,
                "bits": set(log.bits),
                "dirty_count": log.dirty_count,
                "fault_count": log.fault_count,
                "round": log.round,
                "stamp": dict(log.stamp),
                "tree": dict(log.tree),
                "missing": log.missing(),
            },
            **self.road.state(),
        }


__all__ = ["Fixup", "Model", "Vcpu"]
