"""References between shadows, and the only functions that write shadow entries (Xen mm/shadow/private.h, set.c)."""

from .config import NX, P, U, W, frame
from .kinds import (
    CHANGED,
    FL1S,
    FLUSH,
    GET_REF,
    L1S,
    L2_32,
    L2_PAE,
    L2S,
    L3_64,
    L4_64,
    PUT_REF,
    SIZE,
    bucket_of,
)


def rights_lost(old, new):
    """Whether `new` lacks one of the rights of `old`: not perms_strictly_increased."""
    return bool(old & (P | W | U) & ~new or new & NX & ~old)


class References:
    """Part of the pool."""

    def pinnable(self, kind):
        return kind in (L2_32, L2_PAE, L4_64) or kind == L3_64 and self.linux_l3

    def has_up(self, kind):
        return kind not in SIZE and not self.pinnable(kind)

    def get_ref(self, smfn, entry=None):
        page = self.pages[smfn]
        page.refcount += 1
        if page.up is None and self.has_up(page.type):
            page.up = entry

    def put_ref(self, smfn, entry=None):
        """Drop a reference. With the last one the shadow is destroyed, and with it what only it refers to."""
        page = self.pages[smfn]
        if entry is not None and page.up == entry:
            page.up = None
        page.refcount -= 1
        if page.refcount == 0:
            self.destroy(smfn)

    def present(self, smfn):
        """(page, slot, entry) of every present entry of a shadow, in order, over all its pages as they stand now. Of the
        pairs of a 32-bit L2 shadow only the first entry counts."""
        step = 2 if self.pages[smfn].type == L2_32 else 1
        for part in list(self.pages[smfn].chain):
            for slot in sorted(self.pages[part].entries):
                if slot % step == 0 and (entry := self.entry(part, slot)) & P:
                    yield part, slot, entry

    def destroy(self, smfn):
        """sh_destroy_lN_shadow: out of the hash, demote, drop children in order of slots, and only then free the pages."""
        page = self.pages[smfn]
        self.m.count("shadow_hash_deletes")
        self.buckets[bucket_of(page.key, page.type)].remove(smfn)
        if page.type not in FL1S:
            self.demote(page.key, page.type)
        for part, slot, entry in self.present(smfn):
            if page.type in L1S | FL1S:
                self.put_mapping(entry)
            else:
                self.put_ref(frame(entry), (part, slot))
        self.release(smfn)

    def put_mapping(self, entry):
        """shadow_put_page_from_l1e."""
        if entry & W:
            self.typecount[frame(entry)] -= 1
            if not self.typecount[frame(entry)]:
                del self.typecount[frame(entry)]

    def entry(self, page, slot):
        return self.pages[page].entries.get(slot, 0)

    def write(self, page, slot, new):
        self.pages[page].entries.pop(slot, None)
        if new:
            self.pages[page].entries[slot] = new

    def set_l1e(self, page, slot, new):
        """shadow_set_l1e: count the new mapping, write, drop the old one.

        It never asks for a TLB flush, which is for the guest to do.
        """
        if new & P and new & W and frame(new) in self.may_write:
            self.fixup_add(frame(new), page, slot)
        old = self.entry(page, slot)
        if old == new:
            return 0
        if new & P:
            self.flag(GET_REF)
            if new & W:
                self.typecount[frame(new)] = self.typecount.get(frame(new), 0) + 1
        self.write(page, slot, new)
        if old & P:
            self.put_mapping(old)
            self.flag(PUT_REF)
        return CHANGED

    def set_upper(self, page, slot, new):
        """shadow_set_l2e, l3e, l4e: take the new reference, write, drop the old. SHADOW_SET_* bits."""
        kind = self.pages[page].type
        if kind == L2_32:
            slot &= ~1
        old, second = self.entry(page, slot), new
        if old == new:
            return 0
        if new & P:
            child = frame(new)
            self.get_ref(child, (page, slot))
            if kind == L4_64 and self.linux_l3:
                self.pin(child)
            if kind in L2S and self.pages[child].type in L1S and self.pages[child].key in self.out_of_sync:
                self.resync(self.pages[child].key)
            if kind == L2_32:
                second = new ^ (child ^ self.pages[child].chain[1]) << 12
        self.write(page, slot, new)
        if kind == L2_32:
            self.write(page, slot + 1, second)
        result = CHANGED
        if old & P:
            if frame(old) != frame(new) or rights_lost(old, new):
                result |= FLUSH
            self.put_ref(frame(old), (page, slot))
        return result

    def clear_entry(self, page, slot):
        """sh_clear_shadow_entry, and what unhooking does to one entry."""
        if self.pages[page].type in L1S | FL1S:
            return self.set_l1e(page, slot, 0)
        return self.set_upper(page, slot, 0)
