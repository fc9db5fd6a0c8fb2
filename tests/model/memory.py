"""The guest's memory as the model has it: its page tables entry by entry, walked, read and written as the guest does."""

from .config import (
    ADDRESS,
    CR_NXE,
    CR_PG,
    CR_PSE,
    CR_SMAP,
    CR_SMEP,
    CR_WP,
    PSE,
    RAM_BASE,
    A,
    D,
    P,
    U,
    W,
    frame,
)
from .kinds import entry_of
from .walk import Mode, ad_bits, guest_walk

NO_SUCH_FRAME = (1 << 28) - 1  # a frame number that no machine here has


class GuestMemory:
    """The part of the model that knows how the guest's tables lie in its memory."""

    # ---- the guest's tables ----
    def guest_levels(self):
        return self.config.levels if self.cr & CR_PG else 2

    @property
    def levels(self):
        """Levels of the mode that the acting vCPU is in."""
        return self.cpu.levels

    def effective_cr(self):
        """Without paging SMEP, SMAP and NX do nothing, and every page is a superpage."""
        return self.cr if self.cr & CR_PG else self.cr & ~(CR_SMEP | CR_SMAP | CR_NXE) | CR_WP | CR_PSE

    def mode(self, levels=None):
        return Mode(levels or self.levels, self.effective_cr(), self.config.maxphys, self.config.road in ("shadow", "pv"))

    def guest_walk(self, vcpu, gva, kind, user, read=None):
        root = vcpu.cr3 if self.cr & CR_PG else self.identity
        return guest_walk(self.mode(), root, vcpu.pdptes, gva, kind, user, read or self.own_entry)

    def localised(self, entry):
        """A PV guest's entry for one that names a guest frame: it holds the machine frame. Others' stay as they are."""
        if self.config.road != "pv" or not entry & P:
            return entry
        return entry & ~ADDRESS | self.p2m[frame(entry)] << 12

    def own(self, entry):
        """The entry with the guest's own number of its frame, which a PV guest's lacks. Another's frame is beyond all RAM."""
        if self.config.road != "pv" or not entry & P:
            return entry
        return entry & ~ADDRESS | self.gfn_of.get(frame(entry), NO_SUCH_FRAME) << 12

    def own_entry(self, table, slot):
        return self.own(self.entry(table, slot))

    def mfn(self, table):
        """Machine frame of a guest table, the identity table included."""
        return RAM_BASE + self.config.frames if table == self.identity else self.p2m[table]

    def entry(self, table, slot, levels=None):
        """A guest entry of the size of the present mode, or of that of `levels`. What is no table frame reads as zero."""
        if table == self.identity:
            return slot << 22 | P | W | U | A | D | PSE
        return entry_of(self.words.get(table, {}), levels or self.levels, slot)

    def table_entries(self, table):
        """[(slot, entry)] of the entries of a table that are not zero, in order. A table outside the zone holds none."""
        words = sorted(self.words.get(table, {}).items())
        if self.config.levels > 2:
            return words
        halves = [(2 * k + i, word >> 32 * i & 0xFFFF_FFFF) for k, word in words for i in (0, 1)]
        return [(slot, entry) for slot, entry in halves if entry]

    def set_accessed_dirty(self, walk, kind, before=lambda table: None, after=lambda table: None):
        """Write A and D into the entries that lack them, top down; the walk follows.

        Each changed entry is one store to its table; `before(table)` and `after(table)` run round it."""
        for step in walk:
            bits = ad_bits(walk, step, kind)
            if not bits:
                continue
            now = self.entry(step.table, step.slot)
            if now | bits != now:
                before(step.table)
                self.put_entry(step.table, step.slot, now | bits)
                after(step.table)
            step.entry |= bits

    def put_entry(self, table, slot, value):
        """One entry changed: the frame's version grows by one."""
        size = 4 if self.levels == 2 else 8
        self.version[table] += 1
        if table in self.words:
            self.put_bytes(table, slot * size, size, value)

    # ---- guest memory ----
    def word(self, table, slot):
        return self.words.get(table, {}).get(slot, 0)

    def set_word(self, table, slot, value):
        """A store of 8 bytes, or an A/D update: the frame's version grows by one."""
        self.version[table] += 1
        self.put_bytes(table, slot * 8, 8, value)

    def put_bytes(self, table, offset, size, value):
        """The lower or upper half, or the whole, of one 8-byte word."""
        slot, shift = offset >> 3, (offset & 7) * 8
        mask = (1 << 8 * size) - 1 << shift
        new = self.word(table, slot) & ~mask | value << shift & mask
        self.words[table].pop(slot, None)
        if new:
            self.words[table][slot] = new
