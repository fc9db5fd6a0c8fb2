"""The HAP road with NPT (Xen mm/p2m-pt.c): nested tables are ordinary page tables, walked as a user, and a walk of the guest's
tables counts as stores to them."""

from dataclasses import dataclass, replace

from .config import HUNG, MachineCrash
from .ept import RAM_LOGDIRTY, RAM_RW, ROOT, EptExit, Table, inside, slot_of
from .hap import Hap


@dataclass
class Npt:
    """One NPT entry, field by field. Absent entries are not stored. An entry without US has a change pending."""

    mfn: int
    rw: int = 1
    us: int = 1
    a: int = 1
    sp: int = 0
    type: int = RAM_RW

    def raw(self):
        """The 64-bit word; D is always set."""
        flags = 1 | self.rw << 1 | self.us << 2 | self.a << 5 | 1 << 6 | self.sp << 7
        return flags | self.mfn << 12 | self.type << 52

    def waits(self):
        """Whether its type, or that of what lies below, is to be computed anew."""
        return not self.us

    def mark(self):
        """set_recalc."""
        self.us = self.a = 0

    def unmark(self):
        """clear_recalc."""
        self.us = self.a = 1


class HapNpt(Hap):
    """Where NPT differs from EPT."""

    def leaf(self, mfn, sp):
        return Npt(mfn, sp=sp)

    def pointer(self, page):
        return Npt(page)

    reads_of_tables_write = True

    def fits(self, entry):
        """Whether a leaf has the rights of its type."""
        return entry.rw == int(entry.type == RAM_RW)

    def translate(self, gfn, write, fetch=False):
        """(mfn, writable, executable) of a guest frame, or the exit: no US on the way, or a store without RW."""
        table, rw = ROOT, 1
        for level in (4, 3, 2, 1):
            entry = self.tables[table][slot_of(gfn, level)]
            if level == 1 or entry.sp:
                break
            if not entry.us:
                raise EptExit("npf", gfn)
            table = entry.mfn
        if not entry.us or (write and not entry.rw):
            raise EptExit("npf", gfn)
        return entry.mfn + inside(gfn, level), rw & entry.rw, True

    def handle(self, exit_):
        """VMEXIT_NPF: pending changes first; where there are none it is a store to a logged page."""
        if self.do_recalc(exit_.gfn):
            self.m.count("npf_recalc")
        else:
            self.m.count("npf_write")
            self.m.log.mark(exit_.gfn, self.writer)
            self.make_writable(exit_.gfn)
        self.m.flush_tlbs()

    def poison(self, table, recalc):
        for entry in self.tables[table].each():
            entry.mark()

    def change_all(self, logged, anyway):
        """p2m_change_entry_type_global; a new ASID flushes the guest's TLBs."""
        self.global_logdirty = logged
        self.poison(ROOT, 1)
        self.m.flush_tlbs()

    def do_recalc(self, gfn):
        """Move the marks down the path, and carry out the change of this one leaf. Whether there was anything to do."""
        done, table = False, ROOT
        for level in (4, 3, 2):
            entry = self.tables[table][slot_of(gfn, level)]
            if entry.sp:
                break
            if not entry.us:
                self.poison(entry.mfn, 1)
                entry.unmark()
                done = True
            table = entry.mfn
        else:
            entry = self.tables[table][slot_of(gfn, 1)]
        if not entry.us:
            entry.type = RAM_LOGDIRTY if self.global_logdirty else RAM_RW
            entry.rw = int(entry.type == RAM_RW)
            entry.unmark()
            done = True
        return done

    def make_writable(self, gfn):
        """p2m_change_type_one(logdirty -> rw) for 4 KiB: of a superpage only what is on the way is split, level by level."""
        table = ROOT
        for level in (4, 3, 2):
            slot = slot_of(gfn, level)
            big = self.tables[table][slot]
            if big.sp:
                if not self.free:
                    raise MachineCrash(HUNG)
                page = self.free.pop(0)
                self.tables[page] = Table(rest=replace(big, sp=int(level == 3)), step=512 ** (level - 2))
                self.tables[table][slot] = Npt(page)
                self.m.count("splits")
            table = self.tables[table][slot].mfn
        entry = self.tables[table][slot_of(gfn, 1)]
        entry.type, entry.rw = RAM_RW, 1
