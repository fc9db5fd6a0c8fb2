"""The shadow road of an HVM guest (Xen mm/shadow/multi.c): the fault path, propagation, CR3 loads, INVLPG, the commands.

Removal of write access is in writers.py, out-of-sync tables in oos.py, emulation and unshadowing in emulate.py."""

from tests.model.toplevel import Toplevel

from .config import CR_WP, FETCH, NX, WRITE, A, D, Livelock, P, U, W, frame, index
from .emulate import Emulation
from .kinds import (
    EARLY,
    FAST_EMULATION,
    FL1_OF,
    FLUSH,
    L1_OF,
    L1S,
    L2_OF,
    L3_64,
    L4_64,
    MONITOR,
    OUT_OF_SYNC,
    PREFETCH,
    SNAPSHOT,
    VTLB,
)
from .oos import OutOfSync
from .pool import Pool
from .tlb import TlbEntry
from .walk import PF_I, PF_P, PF_U, PF_W, PageFault, Step, allowed, complete, is_leaf, reserved, rights
from .writers import Writers

PREFETCH_DISTANCE = 32
DEMAND_WRITE, DEMAND_READ, PREFETCHED = "demand write", "demand read", "prefetch"
HOLE = Step(0, None, 0, 0)


class Shadow(Toplevel, Emulation, OutOfSync, Writers, Pool):
    """The hardware walks shadows of the guest's tables; every fault comes here first."""

    def __init__(self, model):
        super().__init__(model)
        self.out_of_sync, self.may_write = set(), set()  # shadowed gmfns with SHF_out_of_sync, SHF_oos_may_write
        self.gtable_dirty_version = 0
        self.dying_op = False  # the guest has used HVMOP_pagetable_dying

    def boot(self, vcpu):
        """sh_update_paging_modes of a new vCPU: snapshot pages, monitor table."""
        m = self.m
        if m.config.xen == "4.17" or self.shopt & OUT_OF_SYNC:
            self.prealloc(3)
            vcpu.oos_snapshot = [self.alloc(SNAPSHOT) for _ in range(3)]
        self.make_monitor(vcpu)

    def make_monitor(self, vcpu):
        """sh_make_monitor_table: three pages where Xen has to extend a three-level shadow. 4.17 asks for four anyway."""
        pages = 1 if vcpu.levels == 4 else 3
        self.prealloc(4 if self.m.config.xen == "4.17" else pages)
        vcpu.monitor = [self.alloc(MONITOR) for _ in range(pages)]

    # ---- the hardware's part ----
    def walk(self, gva, kind, user, size, value):
        """A TLB entry, or None when the access was emulated. PageFault when the fault is the guest's own."""
        for _ in range(50):
            entry, error = self.hardware_walk(gva, kind, user)
            if entry is not None:
                return entry
            if self.page_fault(gva, kind, user, size, value, error) == "emulated":
                return None
        raise Livelock

    def path(self, vcpu, gva):
        """The steps of the shadow walk of a vCPU from its root down, ending early at an entry that is not present."""
        if vcpu.levels == 4:
            table, levels, steps = vcpu.slots[0], (4, 3, 2, 1), []
        else:
            table, levels, steps = vcpu.l3table[gva >> 30 & 3], (2, 1), []
        if table is None:
            return [HOLE]
        for level in levels:
            steps.append(Step(level, table, index(gva, level), self.entry(table, index(gva, level))))
            if not steps[-1].entry & P:
                break
            table = frame(steps[-1].entry)
        return steps

    def hardware_walk(self, gva, kind, user):
        """The CPU's walk of the shadows, with CR0.WP on whatever the guest's is.

        It sets A on the way, and D in the level-1 entry of a write. Returns (TLB entry, 0), or (None, error code) for the page
        fault that is a VM exit.
        """
        m, steps = self.m, self.path(self.m.cpu, gva)
        error = (PF_W if kind == WRITE else 0) | (PF_U if user else 0) | (PF_I if kind == FETCH else 0)
        if not complete(steps):
            return None, error
        if not allowed(*rights(steps), kind, user, m.effective_cr() | CR_WP):
            return None, error | PF_P
        for step in steps:
            step.entry |= A | (D if step.level == 1 and kind == WRITE else 0)
            self.write(step.table, step.slot, step.entry)
        writable, user_page, no_execute = rights(steps)
        leaf = steps[-1].entry
        return TlbEntry(gva >> 12 & (1 << 36) - 1, frame(leaf), bool(writable and leaf & D), user_page, no_execute), 0

    # ---- sh_page_fault ----
    def page_fault(self, gva, kind, user, size, value, error):
        """sh_page_fault: "retry" or "emulated", or PageFault for the guest."""
        m, v = self.m, self.m.cpu
        m.count("shadow_fault")
        m.event("SHADOW_FAULT", gva)
        if self.shopt & FAST_EMULATION and v.last_ok and v.last_frame == gva >> 12:
            if error == PF_W | PF_P and v.last_mfn not in self.out_of_sync:
                m.count("shadow_fault_fast_emulate")
                return self.emulate(gva, v.last_mfn, size, value, fast=True)
            v.last_ok = False
        while (outcome := self.slow_path(gva, kind, user, size, value, error)) == "rewalk":
            error |= PF_P
        return outcome

    def slow_path(self, gva, kind, user, size, value, error):
        """sh_page_fault from its walk of the guest's tables on. Returns as page_fault, or "rewalk"."""
        m, v = self.m, self.m.cpu
        version = self.gtable_dirty_version
        try:
            gw = self.walk_guest(gva, kind, user)
        except PageFault:
            m.count("shadow_fault_bail_real_fault")
            self.not_shadow(gva)
            raise
        error |= PF_P
        if gw.gfn >= m.config.frames:
            m.count("shadow_fault_bail_bad_gfn")
            self.not_shadow(gva)
            raise PageFault(gva, error)
        gmfn = m.p2m[gw.gfn]
        self.vtlb_insert(gva, gw.gfn, error)
        v.flags = 0
        self.prealloc_l1(m.levels, 3 if m.levels == 4 else 1)
        flush, rewalk = self.remove_write_accesses(gva, gw)
        if flush:
            m.count("shadow_rm_write_flush_tlb")
            self.gtable_dirty_version += 1
            m.flush_tlbs()
        if rewalk:
            return "rewalk"
        if version != self.gtable_dirty_version:
            m.count("shadow_check_gwalk")
            if any(self.changed(step) for step in gw):
                m.count("shadow_inconsistent_gwalk")
                return "rewalk"
        sl1, slot = self.create_down_to_l1(gva, gw, kind)
        if kind == WRITE and self.is_page_table(gmfn):
            self.unsync(v, gmfn)
        if not gw.big and self.changed(gw.leaf):
            m.count("shadow_inconsistent_gwalk")
            return "rewalk"
        fetch = DEMAND_WRITE if kind == WRITE else DEMAND_READ
        entry = self.propagate(1, gw.l1e, gmfn, fetch)
        self.set_l1e(sl1, slot, entry)
        if not gw.big:
            self.update_snapshot(m.mfn(gw.leaf.table), gw.leaf.slot, gw.leaf.entry)
        if self.shopt & PREFETCH:
            self.prefetch(sl1, slot, gw)
        if kind == WRITE and self.is_page_table(gmfn) and not (gmfn in self.out_of_sync and not user):
            m.count("shadow_fault_emulate_write")
            return self.emulate_branch(gva, gw.gfn, gmfn, user, size, value)
        if not m.cr & CR_WP and error == PF_W | PF_P:
            m.count("shadow_fault_emulate_wp")
            return self.emulate_branch(gva, gw.gfn, gmfn, user, size, value)
        m.count("shadow_fault_fixed")
        m.log.fault_count += 1
        self.reset_early_unshadow()
        m.event("FIXUP", gva, gw.gfn, 1 | v.flags << 16, self.entry(sl1, slot))
        return "retry"

    def not_shadow(self, gva):
        self.reset_early_unshadow()
        self.m.event("NOT_SHADOW", gva, level=self.m.cpu.flags << 16)

    def reset_early_unshadow(self):
        if self.shopt & EARLY:
            self.m.cpu.unshadow_memory = None

    def walk_guest(self, gva, kind, user):
        """sh_walk_guest_tables. Tables whose A or D it writes are marked in the log."""
        self.m.count("guest_walk")
        gw = self.m.guest_walk(self.m.cpu, gva, kind, user)
        self.m.set_accessed_dirty(gw, kind, after=self.m.log.walked)
        return gw

    def changed(self, step):
        """Whether the guest entry that was read for this step differs from memory now.

        In Xen that is asked by shadow_check_gwalk, and for a level-1 entry once more by shadow_check_gl1e.
        """
        if step.table is None:
            return step.entry != self.m.cpu.pdptes[step.slot]
        return step.entry != self.m.own_entry(step.table, step.slot)

    def remove_write_accesses(self, gva, gw):
        """gw_remove_write_accesses: (a mapping was removed, a table was resynced so that the guest must be walked again)."""
        flush = rewalk = False
        for level in (3, 2):
            step = gw.step(level)
            if step is None or step.table is None or level == self.m.levels:
                continue
            gmfn = self.m.mfn(step.table)
            if gmfn in self.out_of_sync:
                self.resync(gmfn)
                rewalk = True
            elif self.remove_write_access(gmfn, level, gva):
                flush = True
        if not gw.big:
            gmfn = self.m.mfn(gw.leaf.table)
            if gmfn not in self.out_of_sync and self.remove_write_access(gmfn, 1, gva):
                flush = True
        return flush, rewalk

    def create_down_to_l1(self, gva, gw, kind):
        """shadow_get_and_create_l1e: link the missing shadows from the root down. (pool page, slot) of the sl1e."""
        m, v, levels, resync = self.m, self.m.cpu, self.m.levels, False
        table = v.slots[0] if levels == 4 else v.l3table[gva >> 30 & 3]
        assert table is not None, "no shadow of a PDPTE that the guest's walk could use"
        if levels == 4:
            for level, child_kind in ((4, L3_64), (3, L2_OF[4])):
                slot = index(gva, level)
                if not self.entry(table, slot) & P:
                    child = self.find_or_make(m.mfn(gw.step(level - 1).table), child_kind)
                    self.set_upper(table, slot, self.propagate(level, gw.step(level).entry, child, DEMAND_READ))
                    resync = True
                table = frame(self.entry(table, slot))
        slot, entry = index(gva, 2), self.entry(table, index(gva, 2))
        if not entry & P or kind == WRITE and not entry & W and gw.big:
            if gw.big:
                key = frame(gw.leaf.entry)
                child = self.lookup(key, FL1_OF[levels])
                if child is None:
                    child = self.make_fl1(key, FL1_OF[levels])
            else:
                child = self.find_or_make(m.mfn(gw.leaf.table), L1_OF[levels])
            self.set_upper(table, slot, self.propagate(2, gw.step(2).entry, child, DEMAND_READ))
        if resync:
            self.resync_all(v, skip=False, this=True, others=True)
        return frame(self.entry(table, slot)), index(gva, 1)

    def find_or_make(self, gmfn, kind):
        smfn = self.get_status(gmfn, kind)
        return self.make(gmfn, kind) if smfn is None else smfn

    def propagate(self, level, guest_entry, target, fetch, levels=None):
        """_sh_propagate: the shadow entry for a guest entry whose target (machine frame, or child shadow) is given.

        `levels`: of the mode the table belongs to, where that is not the vCPU's.
        """
        mode = self.m.mode(levels)
        if not guest_entry & P or target is None:
            return 0
        flags = guest_entry & (P | W | U | A | (NX if mode.nx() else 0))
        if level > 1:
            flags |= A | D
        if not guest_entry & A:
            flags &= ~P
        if is_leaf(mode, level, guest_entry) and not guest_entry & D:
            flags &= ~W
        if level == 1:
            trapped = self.is_page_table(target) and not (fetch == DEMAND_WRITE and target in self.may_write)
            if trapped:
                flags &= ~W
            log, gfn = self.m.log, self.m.gfn_of[target]
            if log.on and fetch == DEMAND_WRITE:
                log.mark(gfn, "emulated" if trapped else "store")
            elif log.on and gfn not in log.bits:
                flags &= ~W
        return target << 12 | flags

    def target_of(self, guest_entry, levels=None):
        """Machine frame a guest L1 entry maps, None when it is not present, not valid, or leads outside RAM."""
        if not guest_entry & P or reserved(self.m.mode(levels), 1, guest_entry):
            return None
        return self.m.p2m.get(frame(guest_entry))

    def prefetch(self, sl1, first, gw):
        """sh_prefetch: fill up to 31 following entries of this shadow page.

        It stops at one that is in use, or that would need an A/D fault in any case.
        """
        for i in range(1, min(PREFETCH_DISTANCE, 512 - first)):
            if self.entry(sl1, first + i):
                return
            if gw.big:
                guest_entry = gw.l1e + (i << 12)
            else:
                guest_entry = self.m.own_entry(gw.leaf.table, gw.leaf.slot + i)
                if guest_entry & P and (not guest_entry & A or (guest_entry & W and not guest_entry & D)):
                    return
            self.set_l1e(sl1, first + i, self.propagate(1, guest_entry, self.target_of(guest_entry), PREFETCHED))
            if not gw.big:
                self.update_snapshot(self.m.mfn(gw.leaf.table), gw.leaf.slot + i, guest_entry)

    # ---- the emulator's view of addresses ----
    def vtlb_insert(self, gva, gfn, error):
        if self.shopt & VTLB:
            self.m.cpu.vtlb[(gva >> 12) % 13] = (gva >> 12, gfn, error | PF_P)

    def gva_to_gfn(self, gva, kind):
        """sh_gva_to_gfn for a supervisor's access: from the virtual TLB, else by a walk.

        PageFault when the guest maps nothing.
        """
        error = PF_P | (PF_W if kind == WRITE else PF_I if kind == FETCH else 0)
        if self.shopt & VTLB:
            page, gfn, seen = self.m.cpu.vtlb.get((gva >> 12) % 13, (None, None, 0))
            if page == gva >> 12 and seen & error == error:
                return gfn
        gfn = self.walk_guest(gva, kind, False).gfn
        self.vtlb_insert(gva, gfn, error)
        return gfn

    def xen_write(self, gva):
        return self.gva_to_gfn(gva, WRITE)

    # ---- commands ----
    def written_by_device(self, gfn):
        """A frame that a device has written is most probably no page table any more."""
        self.remove_shadows(self.m.p2m[gfn], fast=True, must=False)

    def without_shadows(self):
        """Whether the guest runs on its own tables now."""
        return False

    def command(self, name, argument):
        m, log = self.m, self.m.log
        if name == "enable":  # sh_enable_log_dirty
            self.blow()
            log.on = True
            self.update_paging_modes()
            log.note_truth()
        elif name == "clean":  # sh_clean_dirty_bitmap
            log.clean()
            if m.config.clean == "blow" or self.without_shadows():
                self.blow()
            else:
                self.resync_all(m.vcpus[0], skip=False, this=True, others=True)
                self.revoke_all()
            log.note_truth()
        elif name == "off" and log.on:  # paging_log_dirty_disable
            log.on = False
            self.update_paging_modes()
            log.free_tree()
            self.m.flush_tlbs()
        elif name == "blow":
            self.blow()
        elif name == "pool":
            size = self.m.config.pool
            if 16 <= argument <= max(256, min(4 * size, size + 1024)):
                self.set_allocation(argument)
            else:
                self.m.event("IGNORED", detail=name)


__all__ = ["FLUSH", "L1S", "L4_64", "Shadow"]
