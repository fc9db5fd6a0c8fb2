"""A guest given entry by entry: its tables, and a program of one row a tick. It has no kernel: a fault ends the row."""
from .config import FETCH, RAW_CR, RAW_CR3, RAW_DYING, RAW_EVENT, RAW_INVLPG, RAW_NOP, RAW_STORE, RAW_XEN_WRITE, READ, WRITE
from .config import Row
from .walk import GeneralProtection, PageFault

IDLE_ROW = Row(RAW_NOP)
ACCESSES = (FETCH, READ, WRITE, RAW_STORE)


class RawGuest:
    """`done`: rows the hypervisor's emulator has already performed; they still take their tick."""

    def __init__(self, model):
        self.m = model
        self.raw = model.config.raw
        self.faults = []
        self.done = set()

    def boot(self):
        size = 4 if self.m.config.levels == 2 else 8
        for table, entries in self.raw.tables.items():
            for slot, entry in entries.items():
                self.m.put_bytes(table, slot * size, size, entry)

    def first_root(self):
        return self.raw.cr3

    def row(self, tick):
        """The row of that tick, or None after the last one."""
        return self.raw.program[tick] if tick < len(self.raw.program) else None

    def next_row(self, k):
        """What the emulator may do k instructions after the present one."""
        return self.row(self.m.now + k)

    def consume(self, k):
        self.done.add(self.m.now + k)

    def run(self, op):
        row = self.row(self.m.now)
        if row is None or self.m.now in self.done:
            return
        self.m.cpu = self.m.current = self.m.vcpus[row.vcpu]
        try:
            self.perform(row)
        except PageFault as fault:
            self.m.count("n_guest_faults")
            self.faults.append((fault.gva, fault.error))
            self.m.event("GUEST_PF", fault.gva, detail=fault.error)
        except GeneralProtection as gp:
            self.m.event("GP", *((0, gp.root) if gp.root is not None else (row.va,)))
        finally:
            self.m.current = None

    def perform(self, row):
        m = self.m
        if row.code in ACCESSES:
            kind = WRITE if row.code == RAW_STORE else row.code
            m.access(row.va, kind, bool(row.user), row.size if row.code == RAW_STORE else 0, row.value)
        elif row.code == RAW_CR3:
            m.load_cr3(row.value)
        elif row.code == RAW_INVLPG:
            m.invlpg(row.va)
        elif row.code == RAW_XEN_WRITE:
            self.xen_write(row.va)
        elif row.code == RAW_EVENT:
            m.cpu.event_pending = bool(row.value)
        elif row.code == RAW_DYING:
            m.road.pagetable_dying(row.value)
        elif row.code == RAW_CR:
            m.set_cr(row.value)

    def xen_write(self, gva):
        """hvm_copy_to_guest_linear: the hypervisor walks as a supervisor's write; what it cannot translate it leaves."""
        try:
            gfn = self.m.road.xen_write(gva)
        except (PageFault, GeneralProtection):
            return
        if gfn < self.m.config.frames:
            self.m.version[gfn] += 1
            self.m.log.mark(gfn, "xen")

    def live_tables(self):
        """Frames reachable as tables from the loaded roots are the guest's own affair here: all that hold a word."""
        return {t for t, words in self.m.words.items() if words}

    def state(self):
        return {"faults": list(self.faults)}
