"""The PV road (Xen x86/mm.c, pv/, mm/shadow/pv.c): tables hold machine frames and are validated; changes are hypercalls.

A frame is used as a table of one level, or as writable, never as both: `kind` is as which, `uses` how often. The first use as a
table validates it and everything below; the last one ends all those uses. Shadows are there only while log-dirty is on. Types
are right without shadows, so the shadows hold no references to guest frames, nothing is emulated for them and nothing goes out
of sync.
"""

from tests.model.pvtypes import PageTypes, Refused

from .bare import Bare, tlb_entry
from .config import UNEXPECTED_FAULT, WRITE, MachineCrash, P, U, W, frame, index
from .kinds import CHANGED, OUT_OF_SYNC, SNAPSHOT
from .shadow import Shadow
from .walk import PF_P, PageFault, Step

FLOOR = 128  # shadow_min_acceptable_pages, for each vCPU


class Pv(PageTypes, Shadow):
    """`kind`, `uses` {gfn: type, count}; `pins`: tables with PGT_pinned; `reasons`: why calls have been refused so far."""

    def __init__(self, model):
        super().__init__(model)
        self.shopt &= ~OUT_OF_SYNC
        self.linux_l3 = False
        self.pages, self.free, self.total_pages = {}, [], 0
        self.kind, self.uses, self.pins = {}, {}, set()
        self.reasons = set()

    def boot(self, vcpu):
        """The domain builder's last step: the first roots are validated, pinned and loaded."""
        vcpu.cr3 = vcpu.kernel_root = self.m.guest.first_root()
        vcpu.user_root = self.m.guest.first_user_root()
        for root in (vcpu.kernel_root, vcpu.user_root):
            if root is None:
                continue
            try:
                self.get_page_type(root, 4)
            except Refused:
                raise MachineCrash(UNEXPECTED_FAULT) from None
            if root not in self.pins:
                self.pins.add(root)
                self.get_page_type(root, 4)

    # ---- changes to a table
    def hypercall(self, name, work, gva, gfn, value):
        """True when it was granted. What is refused leaves a REFUSED event."""
        self.m.count(name)
        try:
            work()
        except Refused:
            self.m.count("refused")
            self.m.event("REFUSED", gva, gfn, detail=value)
            return False
        return True

    def mmu_update(self, gfn, slot, value):
        """do_mmu_update, MMU_NORMAL_PT_UPDATE. A change above level 1 costs every TLB: linear maps may be built of it."""

        def work():
            kind = self.type_of(gfn)
            if gfn >= self.m.config.zone:
                self.refuse("a frame without contents")
            if 1 <= kind <= 4:
                self.modify(gfn, slot, value)
            else:
                self.m.count("writable_mmu_updates")
                self.write_guest_entry(gfn, slot, value)
            if 2 <= kind <= 4:
                self.m.flush_tlbs()
            self.m.count("num_page_updates")
            self.m.event("MMU_UPDATE", 0, gfn, kind, value)

        return self.hypercall("calls_to_mmu_update", work, 0, gfn, value)

    def update_va_mapping(self, gva, value):
        """do_update_va_mapping."""

        def work():
            leaf = self.l1_step(gva)
            if leaf is None:
                self.refuse("no L1 table there")
            self.modify(leaf.table, leaf.slot, value)
            self.m.event("MMU_UPDATE", gva, leaf.table, 1, value)

        return self.hypercall("calls_to_update_va", work, gva, None, value)

    def ptwr(self, gva, size, value):
        """pv_ro_page_fault, ptwr_emulated_update: a store to a level-1 table, by an address that may only be read, is done for
        the guest.

        False: it is no such store, or it stores what is not allowed.
        """
        leaf = self.l1_step(gva)
        if leaf is None or leaf.entry & (P | W) != P:
            return False
        gfn = frame(self.m.own(leaf.entry))
        if self.type_of(gfn) != 1 or gva % size:
            return False
        slot = gva % 4096 // 8
        if size < 8:
            shift, mask = gva % 8 * 8, (1 << 8 * size) - 1
            value = self.m.entry(gfn, slot) & ~(mask << shift) | (value & mask) << shift
        try:
            self.modify(gfn, slot, value, "emulated")
        except Refused:
            self.reasons.add("store to an L1")
            return False
        self.m.count("ptwr_emulations")
        self.m.event("PTWR", gva, gfn, 1, value)
        return True

    def l1_step(self, gva):
        """The Step at level 1 that the loaded tables have for an address, whatever its entry; None where the way ends above."""
        table = self.m.cpu.cr3
        for level in (4, 3, 2, 1):
            entry = self.m.entry(table, index(gva, level))
            if level == 1:
                return Step(1, table, index(gva, 1), entry)
            if not entry & P:
                return None
            table = frame(self.m.own(entry))

    def modify(self, gfn, slot, value, by="xen"):
        """mod_l1_entry .. mod_l4_entry: the new use is taken, the entry written, the old use ended."""
        level = self.kind[gfn]
        if value & P:
            self.get_page(value, level)
        old = self.m.entry(gfn, slot)
        self.write_guest_entry(gfn, slot, value, by)
        self.put_page(old, level)

    def write_guest_entry(self, gfn, slot, value, by="xen"):
        """paging_write_guest_entry: store an entry; while shadows are on it is propagated (shadow_write_guest_entry).

        No TLB is flushed: that is for the guest to ask.
        """
        self.m.set_word(gfn, slot, value)
        if self.m.log.on:
            self.validate_entries(self.m.p2m[gfn], slot * 8, 8, by)

    # ---- extended operations
    def pin_table(self, gfn, level):
        """MMUEXT_PIN_L<level>_TABLE."""

        def work():
            if gfn >= self.m.config.zone:
                self.refuse("a frame without contents")
            self.get_page_type(gfn, level)
            if gfn in self.pins:
                self.put_page_type(gfn)
                self.refuse("pinned already")
            self.pins.add(gfn)
            self.m.log.mark(gfn, "xen")
            self.m.event("PIN", 0, gfn, level, 1)

        return self.hypercall("calls_to_mmuext_op", work, 0, gfn, level)

    def unpin_table(self, gfn):
        """MMUEXT_UNPIN_TABLE."""

        def work():
            if gfn not in self.pins:
                self.refuse("not pinned")
            self.pins.discard(gfn)
            self.m.event("PIN", 0, gfn, self.kind[gfn], 0)
            self.put_page_type(gfn)
            self.m.log.mark(gfn, "xen")

        return self.hypercall("calls_to_mmuext_op", work, 0, gfn, 0)

    def new_baseptr(self, gfn):
        """MMUEXT_NEW_BASEPTR (new_guest_cr3): load the kernel's root. The same one again is no more than a flush."""
        v = self.m.cpu

        def work():
            old = v.kernel_root
            if gfn == old:
                self.m.flush_tlb(v)
                return
            if gfn >= self.m.config.zone:
                self.refuse("a frame without contents")
            self.get_page_type(gfn, 4)
            v.kernel_root = gfn
            self.run_on(v, gfn)
            self.put_page_type(old)

        return self.hypercall("calls_to_mmuext_op", work, 0, gfn, 0)

    def new_user_baseptr(self, gfn):
        """MMUEXT_NEW_USER_BASEPTR: the root that user mode will run on."""
        self.m.count("calls_to_mmuext_op")
        old = self.m.cpu.user_root
        if gfn != old:
            self.get_page_type(gfn, 4)
            self.m.cpu.user_root = gfn
            self.put_page_type(old)

    def flush_local(self):
        """MMUEXT_TLB_FLUSH_LOCAL."""
        self.m.count("calls_to_mmuext_op")
        self.m.flush_tlb(self.m.cpu)

    def enter(self, user):
        """toggle_guest_mode: the kernel and the user mode of a 64-bit guest run on a root each."""
        v = self.m.cpu
        root = v.user_root if user else v.kernel_root
        if v.user_root is not None and v.cr3 != root:
            self.m.count("toggles")
            self.run_on(v, root)

    def run_on(self, vcpu, root):
        """update_cr3 and write_ptbase: on the root, or on its shadow."""
        vcpu.cr3 = root
        if self.m.log.on:
            self.load_cr3(vcpu)
        self.m.flush_tlb(vcpu)

    # ---- the hardware's part
    def walk(self, gva, kind, user, size, value):
        """A TLB entry, or None when a store was done for the guest.

        A kernel's store that faults is tried as one to a table first: on the guest's own tables when the entry is there, on
        shadows always, since only they may lack the entry (fixup_page_fault).
        """
        while True:
            fault, error = None, 0
            try:
                entry, error = self.hardware_walk(gva, kind, user) if self.m.log.on else (self.own_walk(gva, kind, user), 0)
                if entry is not None:
                    return entry
            except PageFault as own:
                fault = own
            if kind == WRITE and not user and size and (fault is None or fault.error & PF_P) and self.ptwr(gva, size, value):
                return None
            if fault is not None:
                raise fault
            self.page_fault(gva, kind, user, size, value, error)

    def own_walk(self, gva, kind, user):
        """The hardware walks the guest's own tables."""
        walk = self.m.guest_walk(self.m.cpu, gva, kind, user)
        self.m.set_accessed_dirty(walk, kind)
        return tlb_entry(self.m, walk, gva, self.m.p2m[walk.gfn])

    def invlpg(self, gva):
        return super().invlpg(gva) if self.m.log.on else Bare.invlpg(self, gva)

    # ---- shadows without references to the guest's frames
    def propagate(self, *arguments):
        """_sh_propagate: U is always set, because a 64-bit PV kernel does not run at CPL 0."""
        entry = super().propagate(*arguments)
        return entry and entry | U

    def set_l1e(self, page, slot, new):
        if self.entry(page, slot) == new:
            return 0
        self.write(page, slot, new)
        return CHANGED

    def put_mapping(self, entry):
        pass

    def remove_write_access(self, gmfn, level, va):
        """There is nothing to remove: the types allow no writable mapping of a table."""
        return False

    def emulate_branch(self, *arguments):
        raise AssertionError("no entry that a PV guest could get lets it write to a table")

    # ---- commands
    def command(self, name, argument):
        log = self.m.log
        if name in ("blow", "pool") and not log.on:
            self.m.event("IGNORED", detail=name)
        elif name in ("peek", "clean") and log.failed:
            self.m.event("NO_MEMORY", detail=name)
        elif name == "enable":
            self.enable()
        elif name == "off":
            if log.on:
                self.disable()
        elif name == "pool":
            self.set_allocation(argument)
        else:
            super().command(name, argument)

    def without_shadows(self):
        return not self.m.log.on

    def least(self):
        """sh_min_allocation of a PV guest: the floor, and a page for each MiB or the lent pages. A toy pool has none."""
        if not self.m.config.floor:
            return 0
        return FLOOR * len(self.m.vcpus) + max(self.m.config.frames // 256, self.p2m_pages)

    def set_allocation(self, pages):
        """shadow_set_allocation. 0 takes all the pages that can be had."""
        super().set_allocation(max(pages, self.least()) if pages else 0)

    def new_tree_page(self):
        """shadow_alloc_p2m_page: not below the floor."""
        if self.total_pages < (FLOOR * len(self.m.vcpus) if self.m.config.floor else 0) + 1:
            return None
        return super().new_tree_page()

    def enable(self):
        """sh_enable_log_dirty, shadow_one_bit_enable: a pool, then each vCPU goes onto shadows."""
        self.m.log.on = True
        self.set_allocation(1 if self.m.config.floor else self.m.config.pool)
        for vcpu in self.m.vcpus:
            if self.m.config.xen == "4.17":
                self.prealloc(3)
                vcpu.oos_snapshot = [self.alloc(SNAPSHOT) for _ in range(3)]
            self.change_mode(vcpu)
        self.m.log.note_truth()

    def change_mode(self, vcpu):
        """sh_update_paging_modes."""
        self.m.cpu = vcpu
        self.detach(vcpu)
        self.load_cr3(vcpu)
        self.m.flush_tlb(vcpu)

    def detach(self, vcpu):
        """sh_detach_old_tables."""
        old, vcpu.slots[0] = vcpu.slots[0], None
        if old is not None:
            self.put_ref(old)

    def disable(self):
        """shadow_one_bit_disable: a last change of mode, then nothing is left but the pages of the log-dirty tree."""
        self.m.log.on = False
        for vcpu in self.m.vcpus:
            self.change_mode(vcpu)
        for vcpu in self.m.vcpus:
            self.detach(vcpu)
            for smfn in vcpu.oos_snapshot:
                if smfn is not None:
                    self.release(smfn)
            vcpu.oos_snapshot = [None] * 3
            self.m.flush_tlb(vcpu)
        self.set_allocation(0)
        self.m.log.free_tree()
        self.m.flush_tlbs()

    def state(self):
        frames = set(self.uses) | self.pins
        types = {gfn: (self.type_of(gfn), self.uses.get(gfn, 0), gfn in self.pins) for gfn in frames}
        roots = [(v.kernel_root, v.user_root) for v in self.m.vcpus]
        return super().state() | {"pv": {"types": types, "roots": roots}}
