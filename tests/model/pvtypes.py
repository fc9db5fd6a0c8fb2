"""What Xen counts of a PV guest's frames: as what a frame is used, and how often (x86/mm.c: get_page_type, put_page_type)."""

from .config import PSE, P, U, W, frame
from .walk import reserved

GLOBAL, KERNEL_PAGE = 1 << 8, 1 << 52
WRITABLE = 5  # a use beside those as table of level 1 to 4


def ring_three(entry, level):
    """What Xen makes of an entry of a guest whose kernel runs in ring 3 (adjust_guest_l1e .. l4e): user everywhere, kernel
    pages marked as such in an L1, user pages global there."""
    if not entry & P:
        return entry
    if level == 1:
        entry |= 0 if entry & U else KERNEL_PAGE
        entry |= 0 if entry & KERNEL_PAGE else GLOBAL
    return entry | U


class Refused(Exception):
    """The hypercall fails (-EINVAL): nothing of it remains, and the guest goes on. The reason is for the test alone."""


class PageTypes:
    """The part of a PV guest's road that keeps the types of frames."""

    # ---- types
    def refuse(self, reason):
        self.reasons.add(reason)
        raise Refused(reason)

    def type_of(self, gfn):
        return self.kind[gfn] if self.uses.get(gfn) else 0

    def may_be_written(self, gmfn):
        """Whether the type of the frame lets it be written.

        Shadows have no counts of their own, so a search never ends early.
        """
        return self.type_of(self.m.gfn_of[gmfn]) == WRITABLE

    def written_by_device(self, gfn):
        """A frame that may be written is no page table: it has no shadows."""

    def is_page_table(self, mfn):
        """sh_mfn_is_a_page_table of a PV guest's frame: PGT_l1 to PGT_l4."""
        return 1 <= self.type_of(self.m.gfn_of[mfn]) <= 4

    def get_page_type(self, gfn, kind):
        """_get_page_type: one more use. A new table may be cached as writable: flush (Xen asks timestamps first)."""
        if self.uses.get(gfn):
            if self.kind[gfn] != kind:
                self.refuse(
                    "a table, to be writable"
                    if kind == WRITABLE
                    else "writable, to be a table"
                    if self.kind[gfn] == WRITABLE
                    else "a table of another level"
                )
            self.uses[gfn] += 1
            return
        self.kind[gfn], self.uses[gfn] = kind, 1
        if kind == WRITABLE:
            return
        self.m.flush_tlbs()
        self.m.log.mark(gfn, "xen")  # validate_page
        taken = []
        try:
            for slot, entry in self.m.table_entries(gfn):
                if entry & P:
                    self.get_page(entry, kind)
                    taken.append(entry)
                    if ring_three(entry, kind) != entry:
                        self.m.set_word(gfn, slot, ring_three(entry, kind))
        except Refused:
            for entry in reversed(taken):
                self.put_page(entry, kind)
            del self.kind[gfn], self.uses[gfn]
            raise

    def put_page_type(self, gfn):
        """put_page_type: end one use. With the last one a table is devalidated (demote_l1_table to demote_l4_table).

        A level-1 table is devalidated from its first entry on, the others from their last one.
        """
        self.uses[gfn] -= 1
        if self.uses[gfn]:
            return
        kind = self.kind.pop(gfn)
        del self.uses[gfn]
        if kind == WRITABLE:
            return
        self.m.log.mark(gfn, "xen")  # devalidate_page
        self.remove_shadows(self.m.p2m[gfn], fast=False, must=True)
        for entry in self.table_entries(gfn) if kind == 1 else reversed(self.table_entries(gfn)):
            self.put_page(entry, kind)

    def table_entries(self, gfn):
        """The present entries of a table, in order."""
        return [entry for _, entry in self.m.table_entries(gfn) if entry & P]

    def get_page(self, entry, level):
        """get_page_from_l1e .. l4e: what a present entry of a table of `level` uses, if it is allowed at all."""
        gfn = frame(self.m.own(entry))
        if reserved(self.m.mode(), 1, entry):
            self.refuse("reserved bits")
        if gfn >= self.m.config.frames:
            self.refuse("somebody else's frame")
        if level == 1:
            if entry & W:
                self.get_page_type(gfn, WRITABLE)
            return
        if entry & PSE:
            self.refuse("superpage")
        if gfn >= self.m.config.zone:
            self.refuse("a frame without contents as a table")
        self.get_page_type(gfn, level - 1)

    def put_page(self, entry, level):
        """put_page_from_l1e .. l4e."""
        if entry & P and (level > 1 or entry & W):
            self.put_page_type(frame(self.m.own(entry)))
