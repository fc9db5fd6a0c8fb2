"""Out-of-sync L1 tables (Xen mm/shadow/oos.c): the guest may write to them directly until its next TLB flush; until then
their shadows are stale, as a TLB would be."""

from .config import CR_PG, P
from .kinds import FIXUP_ADD, FIXUP_EVICT, L1_OF, L1S, LEVELS_OF, OUT_OF_SYNC, UNSYNC, entry_of


class OutOfSync:
    """Part of the shadow road. A table sits in slot gmfn % 3 of the vCPU that unsynced it, or in the next one."""

    def oos_find(self, gmfn):
        """(vcpu, slot) of an out-of-sync table."""
        for vcpu in self.m.vcpus:
            for slot in (gmfn % 3, (gmfn % 3 + 1) % 3):
                if vcpu.oos[slot] == gmfn:
                    return vcpu, slot
        raise AssertionError("out of sync, but in nobody's table")

    def oos_levels(self, gmfn):
        """Levels of the mode in which an out-of-sync table is shadowed."""
        (kind,) = self.flags[gmfn]
        return LEVELS_OF[kind]

    def oos_forget(self, gmfn):
        """oos_hash_remove."""
        vcpu, slot = self.oos_find(gmfn)
        vcpu.oos[slot] = None

    def unsync(self, vcpu, gmfn):
        """sh_unsync: only a table shadowed once, as an L1, and in sync may go out of sync."""
        kinds = self.flags[gmfn]
        if not self.shopt & OUT_OF_SYNC or not self.m.cr & CR_PG or kinds - L1S or len(kinds) > 1 or gmfn in self.out_of_sync:
            return
        self.out_of_sync.add(gmfn)
        self.may_write.add(gmfn)
        self.oos_add(vcpu, gmfn)
        self.m.count("shadow_unsync")
        self.flag(UNSYNC)
        self.m.event("UNSYNC", gfn=self.m.gfn_of[gmfn])

    def oos_add(self, vcpu, gmfn):
        """oos_hash_add: a table that stands in its own slot moves on to the next one, and one that stands there is resynced."""
        home = slot = gmfn % 3
        fixup, newcomer = type(vcpu.fixups[0])(), gmfn
        punted = vcpu.oos[home] is not None and vcpu.oos[home] % 3 == home
        if punted:
            vcpu.oos[home], newcomer = newcomer, vcpu.oos[home]
            vcpu.fixups[home], fixup = fixup, vcpu.fixups[home]
            slot = (home + 1) % 3
        if vcpu.oos[slot] is not None:
            self.resync_one(vcpu, slot)
            self.m.count("shadow_unsync_evict")
        vcpu.oos[slot], vcpu.fixups[slot] = newcomer, fixup
        if punted:
            snapshots = vcpu.oos_snapshot
            snapshots[slot], snapshots[home] = snapshots[home], snapshots[slot]
        table = self.m.gfn_of[vcpu.oos[home]]
        self.pages[vcpu.oos_snapshot[home]].entries = dict(self.m.words.get(table, {}))

    def update_snapshot(self, gmfn, slot, guest_entry):
        """One entry of a table out of sync has been propagated: enter it into the snapshot."""
        if gmfn not in self.out_of_sync:
            return
        vcpu, k = self.oos_find(gmfn)
        words = self.pages[vcpu.oos_snapshot[k]].entries
        if self.oos_levels(gmfn) == 2:
            shift = 32 * (slot & 1)
            slot >>= 1
            guest_entry = words.get(slot, 0) & ~(0xFFFF_FFFF << shift) | guest_entry << shift
        words.pop(slot, None)
        if guest_entry:
            words[slot] = guest_entry

    # ---- fixups: where an out-of-sync table is mapped writable ----
    def fixup_add(self, gmfn, page, slot):
        """oos_fixup_add: remember a writable mapping.

        Two are remembered; a third displaces the older one, which loses its write access.
        """
        self.m.count("shadow_oos_fixup_add")
        vcpu, k = self.oos_find(gmfn)
        fixup = vcpu.fixups[k]
        if (page, slot) in fixup.mappings:
            return
        old = fixup.mappings[fixup.next]
        if old is not None:
            self.flag(FIXUP_EVICT)
            self.remove_write_access_at(gmfn, *old)
            self.m.count("shadow_oos_fixup_evict")
        fixup.mappings[fixup.next] = (page, slot)
        fixup.next = 1 - fixup.next
        self.flag(FIXUP_ADD)

    # ---- resync ----
    def resync(self, gmfn):
        """sh_resync."""
        vcpu, slot = self.oos_find(gmfn)
        self.resync_one(vcpu, slot)
        vcpu.oos[slot] = None

    def resync_one(self, vcpu, slot):
        """_sh_resync: take every writable mapping away, then bring the shadow up to date."""
        m, gmfn, fixup = self.m, vcpu.oos[slot], vcpu.fixups[slot]
        for k, mapping in enumerate(fixup.mappings):
            if mapping is not None:
                self.remove_write_access_at(gmfn, *mapping)
                fixup.mappings[k] = None
        self.remove_write_access(gmfn, 0, 0)
        m.flush_tlbs()
        self.may_write.discard(gmfn)
        self.resync_contents(vcpu, slot)
        self.out_of_sync.discard(gmfn)
        m.count("shadow_resync")
        m.event("RESYNC_FULL", gfn=m.gfn_of[gmfn])

    def resync_contents(self, vcpu, slot):
        """sh_resync_l1: propagate the entries that are in the shadow and have changed in the guest since."""
        gmfn = vcpu.oos[slot]
        table, levels = self.m.gfn_of[gmfn], self.oos_levels(gmfn)
        sl1 = self.get_status(gmfn, L1_OF[levels])
        for part, page in enumerate(self.pages[sl1].chain):
            for k in range(512):
                if not self.entry(page, k) & P:
                    continue
                at = 512 * part + k
                guest_entry = self.m.entry(table, at, levels)
                if guest_entry == entry_of(self.pages[vcpu.oos_snapshot[slot]].entries, levels, at):
                    continue
                target = self.target_of(guest_entry, levels)
                self.set_l1e(page, k, self.propagate(1, guest_entry, target, "prefetch", levels))
                self.update_snapshot(gmfn, at, guest_entry)

    def resync_all(self, vcpu, skip, this, others):
        """sh_resync_all: this vCPU's tables come back into sync (`this`), and those of the others (`others`).

        With `skip` those of the others are only brought up to date, and not even that where this vCPU cannot use them.
        """
        if this:
            for slot in range(3):
                if vcpu.oos[slot] is not None:
                    self.resync_one(vcpu, slot)
                    vcpu.oos[slot] = None
        for other in self.m.vcpus if others else ():
            for slot in range(3):
                if other is vcpu or other.oos[slot] is None:
                    continue
                if not skip:
                    self.resync_one(other, slot)
                    other.oos[slot] = None
                elif not self.safe_not_to_sync(vcpu, other.oos[slot]):
                    self.m.event("RESYNC_ONLY", gfn=self.m.gfn_of[other.oos[slot]])
                    self.resync_contents(other, slot)

    def safe_not_to_sync(self, vcpu, gmfn):
        """sh_safe_not_to_sync: is the table used once, under a root that this vCPU does not have loaded?"""
        levels = self.oos_levels(gmfn)
        if not self.has_up(L1_OF[levels]):
            return False
        smfn = self.get_status(gmfn, L1_OF[levels])
        for _ in range(3 if levels == 4 else 1):
            page = self.pages[smfn]
            if page.refcount != 1 or page.up is None:
                return False
            smfn = page.up[0]
        return smfn not in vcpu.slots


__all__ = ["OutOfSync"]
