"""The machine: memory of the guest, vCPUs, one road, and everything a test wants to look at."""
from .bare import Bare
from .config import WRITE, MachineCrash, UNEXPECTED_FAULT, machine_frame
from .guest import MERGED, GuestKernel
from .hap import Hap
from .logdirty import LogDirty
from .shadow import Shadow
from .tlb import Tlb
from .walk import PageFault

ROADS = {"bare": Bare, "shadow": Shadow, "hap": Hap}


class Vcpu:
    """cr3: guest frame of the loaded root. slot, unshadow_memory, last_writeable: shadow road only (see shadow.py)."""

    def __init__(self, number):
        self.number = number
        self.tlb = Tlb()
        self.cr3 = None
        self.slot = None               # shadow_table[0]
        self.unshadow_memory = None    # last_emulated_mfn_for_unshadow
        self.last_writeable = None     # last_writeable_pte_smfn


class Model:
    """One machine. `tick(op)` and `command(name, argument)` move it; vCPU 0 does the work, the others idle."""

    def __init__(self, config):
        self.config = config
        self.now = 0
        self.crashed = 0
        self.epoch = 0                                                  # counts TLB flushes, to age freed pool pages
        self.counters = {}
        self.events = []                                                # (tick, name, *details)
        self.version = [0] * config.frames
        self.words = {g: {} for g in range(config.zone)}                # table frame -> {slot: entry}, absent = 0
        self.vcpus = [Vcpu(k) for k in range(config.vcpus)]
        self.cpu = self.vcpus[0]
        self.p2m = {g: g if config.road == "bare" else machine_frame(g, config.frames) for g in range(config.frames)}
        self.gfn_of = {m: g for g, m in self.p2m.items()}
        self.log = LogDirty(self)
        self.guest = GuestKernel(self)
        self.guest.boot()
        self.road = ROADS[config.road](self)
        for vcpu in self.vcpus:
            self.load_cr3(self.guest.roots[0], vcpu)

    # ---- moving ----
    def tick(self, op):
        """Commands due now, then one operation, then the automatic CLEAN that ends a tick. A crashed machine stands still."""
        for when, name, argument in self.config.commands:
            if when == self.now:
                self.command(name, argument)
        if self.crashed:
            return
        self.count("n_ops")
        if op.kind in MERGED:
            self.count(MERGED[op.kind], op.credit)
        self.guarded(self.guest.run, op)
        self.now += 1
        every = self.config.clean_every
        if every and self.now % every == 0 and self.log.on:
            self.command("clean")

    def command(self, name, argument=None):
        """enable, clean, peek, off, blow, pool (argument: pages), flush.

        What does not apply leaves an IGNORED event and nothing else."""
        if self.crashed:
            return
        if name == "flush":
            self.flush_tlbs()
        elif name in ("enable", "clean", "peek", "off") and self.log.on == (name == "enable"):
            self.event("IGNORED", name)         # -EINVAL: already on, or not on
        else:
            self.event("COMMAND", name)
            self.guarded(self.road.command, name, argument)

    def guarded(self, work, *arguments):
        try:
            work(*arguments)
        except MachineCrash as crash:
            self.crashed = crash.code
        except PageFault:
            self.crashed = UNEXPECTED_FAULT

    # ---- what the guest does ----
    def access(self, gva, kind, user, store=None):
        """One access by vCPU 0. True: done in hardware. False: the hypervisor emulated the store.
        PageFault: the guest must act.

        store: (table frame, slot, value) when it is a store to a page table; other writes only make the frame's
        version grow."""
        vpn = gva >> 12 & (1 << 36) - 1
        outcome, entry = self.cpu.tlb.lookup(vpn, kind, user)
        self.count(outcome)
        if entry is None:
            entry = self.road.walk(gva, kind, user, store)
            if entry is None:
                return False
            self.cpu.tlb.fill(entry)
        if kind == WRITE:
            gfn = self.gfn_of[entry.mfn]
            if store:
                assert gfn == store[0], "the direct map leads elsewhere"
                self.set_word(*store)
            else:
                self.version[gfn] += 1
        return True

    def load_cr3(self, root, vcpu=None):
        vcpu = vcpu or self.cpu
        vcpu.cr3 = root
        self.event("CR3", root, vcpu.number)
        self.road.load_cr3(vcpu)
        vcpu.tlb.flush()
        self.epoch += 1

    def invlpg(self, gva):
        self.road.invlpg()
        self.cpu.tlb.invlpg(gva >> 12 & (1 << 36) - 1)

    def flush_tlbs(self):
        """The hypervisor flushes the TLBs of every vCPU."""
        for vcpu in self.vcpus:
            vcpu.tlb.flush()
        self.epoch += 1

    # ---- guest memory ----
    def word(self, table, slot):
        return self.words[table].get(slot, 0)

    def set_word(self, table, slot, value):
        """A store of 8 bytes, or an A/D update: the frame's version grows by one."""
        self.words[table].pop(slot, None)
        if value:
            self.words[table][slot] = value
        self.version[table] += 1

    # ---- records ----
    def count(self, name, n=1):
        self.counters[name] = self.counters.get(name, 0) + n

    def event(self, name, *details):
        self.events.append((self.now, name, *details))

    # ---- looking ----
    def guest_state(self):
        """What the guest itself can see: the same on every road."""
        g = self.guest
        return {
            "versions": dict(enumerate(self.version)),
            "tables": {t: dict(self.words[t]) for t in sorted(g.live_tables())},
            "words": {t: dict(w) for t, w in self.words.items() if w},
            "ad": {(t, i): e & 0x60 for t in g.live_tables() for i, e in self.words[t].items() if e & 1},
            "faults": list(g.faults),
            "table_stack": list(g.table_stack), "data_stack": list(g.data_stack), "recycled": g.recycled,
            "roots": list(g.roots), "cur": g.cur, "share": dict(g.share),
        }

    def state(self):
        """Everything observable, as plain dictionaries, lists and sets.

        `pool`, `shadows`, `ept` are empty where the road has none."""
        log = self.log
        return {
            "guest": self.guest_state(), "crashed": self.crashed, "counters": dict(self.counters),
            "tlb": [{"l1": v.tlb.l1.contents(), "l2": v.tlb.l2.contents()} for v in self.vcpus],
            "cr3": [v.cr3 for v in self.vcpus], "p2m": dict(self.p2m), "epoch": self.epoch,
            "log": {"on": log.on, "bits": set(log.bits), "dirty_count": log.dirty_count, "fault_count": log.fault_count,
                    "round": log.round, "stamp": dict(log.stamp), "tree": dict(log.tree), "missing": log.missing()},
            **self.road.state(),
        }
