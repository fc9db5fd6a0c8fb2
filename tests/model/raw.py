"""A guest given entry by entry: its tables, and a program of one row a tick. It has no kernel: a fault ends the row."""

from .config import (
    FETCH,
    RAW_CR,
    RAW_CR3,
    RAW_DYING,
    RAW_EVENT,
    RAW_FLUSH,
    RAW_GRANT_UNMAP,
    RAW_GRANT_WRITE,
    RAW_INVLPG,
    RAW_MMU_UPDATE,
    RAW_PIN,
    RAW_STORE,
    RAW_UNPIN,
    RAW_UPDATE_VA,
    RAW_XEN_WRITE,
    READ,
    WRITE,
)
from .walk import GeneralProtection, PageFault

ACCESSES = (FETCH, READ, WRITE, RAW_STORE)


class RawGuest:
    """`done`: rows that the hypervisor's emulator has carried out already; each of them still takes its tick."""

    def __init__(self, model):
        self.m = model
        self.raw = model.config.raw
        self.faults = []
        self.done = set()

    def boot(self):
        size = 4 if self.m.config.levels == 2 else 8
        for table, entries in self.raw.tables.items():
            for slot, entry in entries.items():
                self.m.put_bytes(table, slot * size, size, self.m.localised(entry))

    def first_root(self):
        return self.raw.cr3

    def first_user_root(self):
        return None

    def row(self, tick):
        """The row of that tick, or None after the last one."""
        return self.raw.program[tick] if tick < len(self.raw.program) else None

    def next_row(self, k):
        """The row that the emulator may carry out k instructions after the present one."""
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
            (m.road.new_baseptr if m.config.road == "pv" else m.load_cr3)(row.value)
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
        elif row.code == RAW_GRANT_WRITE:
            m.version[row.value] += 1
            m.granted.add(row.value)
        elif row.code == RAW_GRANT_UNMAP:
            m.granted.discard(row.value)
            m.log.mark(row.value, "xen")
            m.event("GRANT_UNMAP", gfn=row.value)
        elif m.config.road == "pv":
            self.hypercall(row)

    def hypercall(self, row):
        """A row that only a PV guest can have. A `size` of update_va_mapping: its page is to be forgotten (UVMF_INVLPG)."""
        road, gfn = self.m.road, row.va >> 12
        if row.code == RAW_UPDATE_VA:
            if road.update_va_mapping(row.va, row.value) and row.size:
                self.m.invlpg(row.va)
        elif row.code == RAW_MMU_UPDATE:
            road.mmu_update(gfn, row.va >> 3 & 511, row.value)
        elif row.code == RAW_PIN:
            road.pin_table(gfn, row.value)
        elif row.code == RAW_UNPIN:
            road.unpin_table(gfn)
        elif row.code == RAW_FLUSH:
            road.flush_local()

    def xen_write(self, gva):
        """hvm_copy_to_guest_linear: the hypervisor walks as for a supervisor's write.

        An address that it cannot translate is not written.
        """
        try:
            if self.m.config.road == "pv":  # it walks what is loaded, and its faults are fixed like the guest's
                self.m.access(gva, WRITE, False)
                return
            gfn = self.m.road.xen_write(gva)
        except (PageFault, GeneralProtection):
            return
        if gfn < self.m.config.frames:
            self.m.version[gfn] += 1
            self.m.log.mark(gfn, "xen")

    def live_tables(self):
        """The frames that hold a word: which of them are tables is up to the program of a raw guest."""
        return {t for t, words in self.m.words.items() if words}

    def state(self):
        return {"faults": list(self.faults)}
