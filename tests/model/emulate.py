"""Writes to shadowed tables that the hypervisor performs itself (Xen mm/shadow/multi.c from label emulate, hvm.c), and the
removal of shadows (sh_remove_shadows, sh_pagetable_dying)."""

from .config import CR_PG, FETCH, PSE, RAW_NOP, RAW_STORE, READ, WRITE, P, frame
from .kinds import (
    EARLY,
    EARLY_UNSHADOW,
    ERROR,
    FAST_EMULATION,
    FL1_OF,
    FLUSH,
    FREE,
    FULL_PT,
    L1_32,
    L1_64,
    L1_PAE,
    L2_32,
    L2_64,
    L2_PAE,
    L3_64,
    L4_64,
    LAST_FAILED,
    LEVELS_OF,
    ROOT_OF,
    SECOND_PT,
    SET_CHANGED,
    SKIP_VERIFY,
)
from .walk import GeneralProtection, PageFault, is_leaf, reserved

VALIDATED = ((L1_32, 1), (L2_32, 2), (L1_PAE, 1), (L2_PAE, 2), (L1_64, 1), (L2_64, 2), (L3_64, 3), (L4_64, 4))
UNSHADOWED = (L2_32, L1_32, L2_PAE, L1_PAE, L4_64, L3_64, L2_64, L1_64)  # order of DO_UNSHADOW
PARENT = {L1_32: L2_32, L1_PAE: L2_PAE, L1_64: L2_64, L2_64: L3_64, L3_64: L4_64}
CHILD = {(4, 4): L3_64, (4, 3): L2_64, (4, 2): L1_64, (3, 2): L1_PAE, (2, 2): L1_32}


class Emulation:
    """Part of the shadow road."""

    def pte_size(self):
        return 4 if self.m.levels == 2 else 8

    # ---- the emulate branch of sh_page_fault ----
    def emulate_branch(self, gva, gfn, gmfn, user, size, value):
        """A store to a page table, from the label `emulate` of sh_page_fault on.

        A store from user mode proves that the frame is a page table no longer. A table of a dying process that no vCPU has
        loaded loses its shadows at once.
        """
        m = self.m
        if user:
            m.count("shadow_fault_emulate_failed")
            self.remove_shadows(gmfn, fast=False, must=True)
            m.event("EMULATE_UNSHADOW_USER", gva, gfn, m.cpu.flags << 16)
            return "retry"
        if self.is_page_table(gmfn) and gmfn in self.dying and not self.loaded_somewhere(gmfn):
            self.remove_shadows(gmfn, fast=True, must=False)
        return self.emulate(gva, gmfn, size, value, fast=False)

    def loaded_somewhere(self, gmfn):
        if self.m.levels == 3:
            return any(self.pages[smfn].key == gmfn for smfn in self.loaded_roots())
        return any(self.m.mfn(vcpu.cr3 if self.m.cr & CR_PG else self.m.identity) == gmfn for vcpu in self.m.vcpus)

    def emulate(self, gva, gmfn, size, value, fast):
        """Carry out the store, from the label `early_emulation` of sh_page_fault on. "emulated", "retry", or PageFault."""
        m, v = self.m, self.m.cpu
        if v.event_pending:
            return self.give_up("EVTINJ", gva, gmfn, fast)
        if not size and self.is_page_table(gmfn):  # the emulator does not know this instruction
            m.count("shadow_fault_emulate_failed")
            return self.give_up("UNHANDLED", gva, gmfn, fast)
        fault, gfn = None, m.gfn_of[gmfn]
        try:
            gfn = self.gva_to_gfn(gva, WRITE)
        except PageFault as exception:
            fault = exception
        if gfn >= m.config.frames:
            m.count("shadow_fault_emulate_failed")
            return self.give_up("UNHANDLED", gva, gmfn, fast)
        if not fault:
            self.emulate_write(gva, gfn, size, value)
        if not fault and self.is_page_table(gmfn):
            if not fast and self.shopt & FAST_EMULATION:
                v.last_frame, v.last_mfn, v.last_ok = gva >> 12, gmfn, True
        elif fast:
            v.last_ok = False
        if m.levels == 3 and not fault and self.second_half(gva):
            value = m.word(gfn, (gva & 4095) >> 3)
        m.event("EMULATE", gva, gfn, (gva & 4095) // self.pte_size() | v.flags << 16, value)
        if fault:
            raise fault
        return "emulated"

    def give_up(self, why, gva, gmfn, fast):
        """The store is not emulated, because the frame cannot be a page table in use.

        It loses its shadows, and the guest tries again.
        """
        m, v = self.m, self.m.cpu
        if fast:
            m.count("shadow_fault_fast_emulate_fail")
            v.last_ok = False
        self.remove_shadows(gmfn, fast=False, must=True)
        m.event(f"EMULATE_UNSHADOW_{why}", gva, m.gfn_of[gmfn], v.flags << 16)
        return "retry"

    def second_half(self, gva):
        """Up to four further instructions of a PAE guest, in the hope of the other half of an entry. True: it was written."""
        m, v, whole = self.m, self.m.cpu, False
        v.initial_va = gva
        for k in range(1, 5):
            row = m.guest.next_row(k)
            if row is None or row.vcpu != v.number:
                return whole
            v.last_write_was_pt = False
            if not self.emulate_row(row):
                m.count("shadow_em_ex_fail")
                self.flag(LAST_FAILED)
                return whole
            m.guest.consume(k)
            whole = whole or row.code == RAW_STORE and row.va != gva and row.va & ~7 == gva
            if v.last_write_was_pt:
                m.count("shadow_em_ex_pt")
                self.flag(SECOND_PT)
                return whole
            m.count("shadow_em_ex_non_pt")
        return whole

    def emulate_row(self, row):
        """One more instruction. False when the emulator cannot do it, or it faults."""
        if row.user or row.code not in (FETCH, READ, WRITE, RAW_STORE, RAW_NOP):
            return False
        if row.code == RAW_NOP:
            return True
        kind = WRITE if row.code == RAW_STORE else row.code
        try:
            gfn = self.gva_to_gfn(row.va, kind)
        except (PageFault, GeneralProtection):
            return False
        if gfn >= self.m.config.frames:
            return False
        if kind == WRITE:
            if row.code == WRITE and self.is_page_table(self.m.p2m[gfn]):
                return False
            self.emulate_write(row.va, gfn, row.size if row.code == RAW_STORE else 0, row.value)
        return True

    def emulate_write(self, gva, gfn, size, value):
        """hvm_emulate_write: the store, and sh_emulate_unmap_dest. A store without a size is one byte of plain data."""
        m, v, gmfn = self.m, self.m.cpu, self.m.p2m[gfn]
        v.last_write_was_pt = self.is_page_table(gmfn)
        if size and gva & (size - 1):
            self.remove_shadows(gmfn, fast=False, must=False)
        was_clear = not self.byte_at(gfn, gva) & P
        m.store(gfn, gva, size, value)
        if m.levels == 3 and v.initial_va != gva and gva & ~7 == v.initial_va:
            self.flag(FULL_PT)
        if size >= 4 and not value & 0xFFFF_FFFF:
            if not gva & (self.pte_size() - 1):
                self.check_for_early_unshadow(gmfn)
        else:
            self.reset_early_unshadow()
        kinds = self.flags.get(gmfn, set())
        small, large = any(LEVELS_OF[t] == 2 for t in kinds), any(LEVELS_OF[t] != 2 for t in kinds)
        harmless = not small and not gva & 7 and size <= 8 or not large and not gva & 3 and size <= 4
        if self.shopt & SKIP_VERIFY and was_clear and not self.byte_at(gfn, gva) & P and harmless:
            m.log.mark(gfn, "emulated")
        else:
            self.validate_write(gmfn, gva & 4095, max(size, 1))
        self.gtable_dirty_version += 1

    def byte_at(self, gfn, gva):
        return self.m.word(gfn, (gva & 4095) >> 3) >> 8 * (gva & 7) & 0xFF

    def check_for_early_unshadow(self, gmfn):
        """Two zeros in a row stored to the same table are taken for the end of a process.

        A guest that has announced the end of a process (HVMOP_pagetable_dying) is believed instead.
        """
        v = self.m.cpu
        if not self.shopt & EARLY:
            return
        hint = v.pagetable_dying or not self.dying_op and v.unshadow_memory == gmfn
        top = self.flags.get(gmfn, set()) & {L2_32, L2_PAE, L4_64}
        if hint and self.is_page_table(gmfn) and not (self.dying_op and top):
            self.m.count("shadow_early_unshadow")
            self.remove_shadows(gmfn, fast=True, must=False)
            self.flag(EARLY_UNSHADOW)
        v.unshadow_memory = gmfn

    # ---- validation ----
    def validate_write(self, gmfn, offset, size):
        """validate_guest_pt_write."""
        result = self.validate_entries(gmfn, offset, size)
        if result & FLUSH:
            self.m.flush_tlbs()
        if result & ERROR:
            self.remove_shadows(gmfn, fast=False, must=False)

    def validate_entries(self, gmfn, offset, size, by="emulated"):
        """sh_validate_guest_entry: re-propagate what was touched into each shadow of the frame. SHADOW_SET_* bits."""
        m, result = self.m, 0
        m.log.mark(m.gfn_of[gmfn], by)
        for kind, level in VALIDATED:
            if kind not in self.flags.get(gmfn, ()):
                continue
            smfn, width = self.get_status(gmfn, kind), 4 if LEVELS_OF[kind] == 2 else 8
            for slot in range(offset // width, (offset + size - 1) // width + 1):
                result |= self.validate(level, m.gfn_of[gmfn], slot, smfn)
        for bit in range(3):
            if result >> bit & 1:
                self.flag(SET_CHANGED + bit)
        return result

    def validate(self, level, table, slot, smfn):
        """Propagate one guest entry into a shadow (validate_gl1e to validate_gl4e). SHADOW_SET_* bits."""
        m, levels = self.m, LEVELS_OF[self.pages[smfn].type]
        m.count(f"shadow_validate_gl{level}e_calls")
        guest_entry = m.own(m.entry(table, slot, levels))
        if level == 1:
            page, k, target = self.pages[smfn].chain[slot >> 9], slot & 511, self.target_of(guest_entry, levels)
            result = self.set_l1e(page, k, self.propagate(1, guest_entry, target, "prefetch", levels))
            self.update_snapshot(m.p2m[table], slot, guest_entry)
            return result
        result, child, mode = 0, None, m.mode(levels)
        odd = levels == 2 and guest_entry & PSE and not mode.superpages()
        if guest_entry & P and not reserved(mode, level, guest_entry) and not odd:
            if is_leaf(mode, level, guest_entry):
                child = self.lookup(frame(guest_entry), FL1_OF[levels])
            elif frame(guest_entry) < m.config.frames:
                child = self.get_status(m.p2m[frame(guest_entry)], CHILD[levels, level])
            else:
                result = ERROR
            if level > 2 and child is not None:
                self.resync_all(m.cpu, skip=False, this=True, others=True)
        page, k = smfn, slot
        if levels == 2:
            page, k = self.pages[smfn].chain[slot >> 8], 2 * (slot & 255)
        return result | self.set_upper(page, k, self.propagate(level, guest_entry, child, "prefetch", levels))

    # ---- removing shadows ----
    def remove_shadows(self, gmfn, fast, must):
        """sh_remove_shadows: unpin a root, follow the up pointer of the others;
        when thorough, search the hash for more parents."""
        if not self.is_shadowed(gmfn):
            return
        self.m.count("shadow_unshadow")
        for kind in UNSHADOWED:
            if kind not in self.flags.get(gmfn, ()):
                continue
            smfn = self.lookup(gmfn, kind)
            if self.pinnable(kind):
                self.unpin(smfn)
            elif self.has_up(kind) and self.pages[smfn].up is not None:
                only = self.pages[smfn].refcount == 1
                self.clear_entry(*self.pages[smfn].up)
                self.m.count("shadow_up_pointer" if only else "shadow_unshadow_bf")
            if not fast and kind in self.flags.get(gmfn, ()) and kind in PARENT:
                self.clear_parents(smfn, PARENT[kind])
        if must and self.is_shadowed(gmfn):
            self.m.domain_crash()
        self.m.flush_tlbs()

    def clear_parents(self, smfn, parent_kind):
        """Every upper shadow entry that points at smfn, in hash order, until it is gone (sh_remove_lN_shadow)."""
        for parent in [s for chain in self.buckets for s in chain if self.pages[s].type == parent_kind]:
            for page, slot, entry in self.present(parent):
                if frame(entry) == smfn:
                    self.set_upper(page, slot, 0)
                    if self.pages[smfn].type == FREE:
                        return

    def pagetable_dying(self, gfn):
        """sh_pagetable_dying (HVMOP_pagetable_dying): unhook the user half of a dying process's root now.

        From now on stores of zero alone no longer unshadow a table.
        """
        m, v = self.m, self.m.cpu
        if m.levels != 3:
            roots = [self.lookup(m.p2m[gfn], ROOT_OF[m.levels])]
        elif v.cr3 == gfn:
            roots = list(v.slots)
        else:
            frames = [frame(m.entry(gfn, slot, 3)) for slot in range(4)]
            roots = [self.lookup(m.p2m[f], L2_PAE) if f in m.p2m else None for f in frames]
        hit = False
        for smfn in roots:
            if smfn is not None:
                self.dying.add(self.pages[smfn].key)
                self.unhook(smfn, user_only=True)
                hit = True
        if hit:
            m.flush_tlbs()
        self.dying_op = True
        v.pagetable_dying = True


__all__ = ["Emulation"]
