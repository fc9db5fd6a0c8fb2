"""The shadow road of a 64-bit HVM guest (Xen mm/shadow/multi.c, hvm.c), 4 KiB pages, no out-of-sync tables."""
from .bare import set_accessed_dirty
from .config import NX, POOL_EMPTY, WRITE, A, D, MachineCrash, P, U, W, frame
from .pool import L1, L2, L3, L4, MONITOR, Pool
from .tlb import TlbEntry
from .walk import PageFault, allowed, complete, descend, guest_walk, rights

TYPE_OF_LEVEL = {4: L4, 3: L3, 2: L2, 1: L1}
LINUX_DIRECT_MAP = 0xFFFF_8800_0000_0000      # what Xen guesses, whatever the guest really uses
PREFETCH_DISTANCE = 32
DEMAND_WRITE, DEMAND_READ, PREFETCH = "demand write", "demand read", "prefetch"


class Shadow(Pool):
    """The hardware walks shadows of the guest's tables; every fault comes here first."""

    def __init__(self, model):
        super().__init__(model)
        for _ in model.vcpus:
            self.prealloc(1)
            self.alloc(MONITOR)

    # ---- the hardware's part ----
    def walk(self, gva, kind, user, store):
        """A TLB entry, or None when the store was emulated. PageFault when the fault is the guest's own."""
        while True:
            entry = self.hardware_walk(gva, kind, user)
            if entry is not None:
                return entry
            if self.page_fault(gva, kind, user, store) == "emulated":
                return None

    def hardware_walk(self, gva, kind, user):
        """The CPU's walk of the shadows: sets A on the way and D in the sl1e of a write.

        None = #PF, which is a VM exit."""
        steps = descend(self.m.cpu.slot, gva, self.entry)
        if not complete(steps) or not allowed(*rights(steps), kind, user):
            return None
        for step in steps:
            step.entry |= A | (D if step.level == 1 and kind == WRITE else 0)
            self.pages[step.table].entries[step.slot] = step.entry
        writable, user_page, no_execute = rights(steps)
        leaf = steps[-1].entry
        return TlbEntry(gva >> 12 & (1 << 36) - 1, frame(leaf), bool(writable and leaf & D), user_page, no_execute)

    # ---- sh_page_fault ----
    def page_fault(self, gva, kind, user, store):
        """sh_page_fault without races: "retry" or "emulated", or PageFault for the guest. The numbers are its steps."""
        m, cpu = self.m, self.m.cpu
        m.count("shadow_fault")                                                     # 0
        m.count("guest_walk")                                                       # 5
        try:
            steps = guest_walk(cpu.cr3, gva, kind, user, m.word)
        except PageFault:
            m.count("shadow_fault_bail_real_fault")                                 # 6
            cpu.unshadow_memory = None
            m.event("NOT_SHADOW", gva)
            raise
        set_accessed_dirty(m, steps, kind, after=m.log.mark)
        self.prealloc(3 + (4 if m.log.on else 0))                                   # 10
        removed = [self.remove_write_access(step.table) for step in steps[1:]]      # 11
        if any(removed):
            m.count("shadow_rm_write_flush_tlb")
            m.flush_tlbs()
        sl1 = self.create_down_to_l1(steps)                                         # 13
        leaf = steps[-1]
        target = m.p2m[frame(leaf.entry)]
        fetch = DEMAND_WRITE if kind == WRITE else DEMAND_READ
        self.set_entry(sl1, leaf.slot, self.propagate(1, leaf.entry, target, fetch))  # 16
        self.prefetch(sl1, leaf)                                                    # 17
        if kind == WRITE and self.is_page_table(target):                            # 18
            m.count("shadow_fault_emulate_write")
            return self.emulate(gva, target, user, store)
        m.count("shadow_fault_fixed")                                               # 22
        m.log.fault_count += 1
        cpu.unshadow_memory = None
        m.event("FIXUP", gva)
        return "retry"

    def create_down_to_l1(self, steps):
        """shadow_get_and_create_l1e: link the missing shadows from the root down. The sl1's frame number."""
        table = self.m.cpu.slot
        for step, below in zip(steps, steps[1:], strict=False):
            if not self.entry(table, step.slot) & P:
                gmfn, kind = self.m.p2m[below.table], TYPE_OF_LEVEL[below.level]
                child = self.get_status(gmfn, kind)
                if child is None:
                    child = self.make(gmfn, kind)
                self.set_entry(table, step.slot, self.propagate(step.level, step.entry, child, DEMAND_READ))
            table = frame(self.entry(table, step.slot))
        return table

    def propagate(self, level, guest_entry, target, fetch):
        """_sh_propagate: the shadow entry for a guest entry whose target (machine frame, or child shadow) is given."""
        if not guest_entry & P or target is None:
            return 0
        flags = guest_entry & (P | W | U | A | NX)
        if level > 1:
            flags |= A | D
        if not guest_entry & A:
            flags &= ~P
        if level == 1:
            if not guest_entry & D or self.is_page_table(target):
                flags &= ~W
            log, gfn = self.m.log, self.m.gfn_of[target]
            if log.on and fetch == DEMAND_WRITE:
                log.mark(gfn)
            elif log.on and gfn not in log.bits:
                flags &= ~W
        return target << 12 | flags

    def prefetch(self, sl1, leaf):
        """sh_prefetch: up to 31 following entries, until one is there already or would need an A/D fault anyway."""
        for slot in range(leaf.slot + 1, min(leaf.slot + PREFETCH_DISTANCE, 512)):
            guest_entry = self.m.word(leaf.table, slot)
            if self.entry(sl1, slot):
                return
            if guest_entry & P and (not guest_entry & A or (guest_entry & W and not guest_entry & D)):
                return
            target = self.m.p2m[frame(guest_entry)] if guest_entry & P else None
            self.set_entry(sl1, slot, self.propagate(1, guest_entry, target, PREFETCH))

    # ---- writes to shadowed page tables ----
    def remove_write_access(self, gfn, cpu=None):
        """sh_remove_write_access: there is no reverse map, so guess, try the last hit, then search every SL1.

        True when there was one."""
        m, cpu, gmfn = self.m, cpu or self.m.cpu, self.m.p2m[gfn]
        if self.is_page_table(gmfn) or not self.typecount.get(gmfn):
            return False
        m.count("shadow_writeable")
        if self.guess(cpu, gfn, gmfn):
            m.count("shadow_writeable_h_4")
        if not self.typecount.get(gmfn):
            return True
        last = cpu.last_writeable
        if last in self.pages and self.pages[last].type == L1 and self.clear_writable(cpu, last, gmfn):
            m.count("shadow_writeable_h_5")
        if not self.typecount.get(gmfn):
            return True
        m.count("shadow_writeable_bf")
        m.event("WRMAP_BF", gfn)
        for smfn in [s for chain in self.buckets for s in chain]:
            if self.pages[smfn].type == L1:
                self.clear_writable(cpu, smfn, gmfn)
                if not self.typecount.get(gmfn):
                    return True
        raise MachineCrash(POOL_EMPTY)

    def guess(self, cpu, gfn, gmfn):
        """sh_guess_wrmap: is it mapped where Linux keeps its direct map?"""
        if cpu.slot is None:
            return False
        steps = descend(cpu.slot, LINUX_DIRECT_MAP + gfn * 4096, self.entry)
        leaf = steps[-1]
        if not complete(steps) or not leaf.entry & W or frame(leaf.entry) != gmfn:
            return False
        self.set_entry(leaf.table, leaf.slot, leaf.entry & ~W)
        return True

    def clear_writable(self, cpu, sl1, gmfn):
        """sh_rm_write_access_from_l1: take W from the mappings of gmfn in one SL1, in order of slots.

        True when there was one."""
        found = False
        for slot, entry in sorted(self.pages[sl1].entries.items()):
            if entry & P and entry & W and frame(entry) == gmfn:
                self.set_entry(sl1, slot, entry & ~W)
                cpu.last_writeable, found = sl1, True
                if not self.typecount.get(gmfn):
                    break
        return found

    def emulate(self, gva, gmfn, user, store):
        """The emulate branch: a user's write proves the frame is no page table any more (E2);
        the kernel's store is done for it (E5)."""
        m = self.m
        if user:
            m.count("shadow_fault_emulate_failed")
            m.event("EMULATE_UNSHADOW_USER", gva)
            self.remove_shadows(gmfn, fast=False, must=True)
            return "retry"
        table, slot, value = store
        old = m.word(table, slot)
        m.set_word(table, slot, value)
        m.event("EMULATE", gva, value)
        if value & 0xFFFF_FFFF == 0:                                  # check_for_early_unshadow
            if m.cpu.unshadow_memory == gmfn and self.is_page_table(gmfn):
                m.count("shadow_early_unshadow")
                self.remove_shadows(gmfn, fast=True, must=False)
            m.cpu.unshadow_memory = gmfn
        else:
            m.cpu.unshadow_memory = None
        m.log.mark(table)
        if (old | value) & P and self.validate(gmfn, slot, value):
            m.flush_tlbs()
        return "emulated"

    def validate(self, gmfn, slot, guest_entry):
        """sh_validate_guest_entry: re-propagate the entry into each shadow the frame has, L1 first.

        True when TLBs must be flushed."""
        flush = False
        for kind, level in ((L1, 1), (L2, 2), (L3, 3), (L4, 4)):
            if kind not in self.flags.get(gmfn, ()):
                continue
            smfn = self.get_status(gmfn, kind)
            self.m.count(f"shadow_validate_gl{level}e_calls")
            target = self.m.p2m[frame(guest_entry)] if guest_entry & P else None
            if target is not None and level > 1:
                target = self.get_status(target, TYPE_OF_LEVEL[level - 1])
            flush |= self.set_entry(smfn, slot, self.propagate(level, guest_entry, target, PREFETCH))
        return flush

    def remove_shadows(self, gmfn, fast, must):
        """sh_remove_shadows: unpin a root, follow the up pointer of the others;
        when thorough, search the hash for more parents."""
        if not self.is_page_table(gmfn):
            return
        self.m.count("shadow_unshadow")
        for kind in (L4, L3, L2, L1):
            if kind not in self.flags.get(gmfn, ()):
                continue
            smfn = self.lookup(gmfn, kind)
            if kind == L4:
                self.unpin(smfn)
            elif self.pages[smfn].up is not None:
                only = self.pages[smfn].refcount == 1
                self.m.count("shadow_up_pointer" if only else "shadow_unshadow_bf")
                self.set_entry(*self.pages[smfn].up, 0)
            if not fast and kind in self.flags.get(gmfn, ()):
                self.clear_parents(smfn)
        if must and self.is_page_table(gmfn):
            raise MachineCrash(POOL_EMPTY)
        self.m.flush_tlbs()

    def clear_parents(self, smfn):
        """Every upper shadow entry that points at smfn, in hash order, until it is gone."""
        parent_kind = {L1: L2, L2: L3, L3: L4}.get(self.pages[smfn].type)
        for parent in [s for chain in self.buckets for s in chain if self.pages[s].type == parent_kind]:
            for slot, entry in sorted(self.pages[parent].entries.items()):
                if entry & P and frame(entry) == smfn:
                    last = self.pages[smfn].refcount == 1
                    self.set_entry(parent, slot, 0)
                    if last:
                        return

    # ---- CR3, INVLPG ----
    def load_cr3(self, vcpu):
        """sh_update_cr3, sh_set_toplevel_shadow:
        no writable mapping of the root, its shadow found or made, held by the slot, pinned."""
        if self.remove_write_access(vcpu.cr3, vcpu):
            self.m.flush_tlbs()
        gmfn = self.m.p2m[vcpu.cr3]
        smfn = self.get_status(gmfn, L4)
        if smfn is None:
            self.prealloc(1)
            smfn = self.make(gmfn, L4)
        self.get_ref(smfn)
        self.pin(smfn)
        old, vcpu.slot = vcpu.slot, smfn
        if old is not None:
            self.put_ref(old)

    def invlpg(self):
        self.m.count("shadow_invlpg")

    # ---- commands ----
    def command(self, name, argument):
        log = self.m.log
        if name == "enable":                    # sh_enable_log_dirty
            self.blow()
            log.on = True
            self.new_mode()
            log.note_truth()
        elif name == "clean":                   # sh_clean_dirty_bitmap
            log.clean()
            self.blow()
            log.note_truth()
        elif name == "off":                     # paging_log_dirty_disable
            log.on = False
            self.new_mode()
            log.free_tree()
            self.m.flush_tlbs()
        elif name == "blow":
            self.blow()
        elif name == "pool":
            size = self.m.config.pool
            if 16 <= argument <= max(256, min(4 * size, size + 1024)):
                self.set_allocation(argument)
            else:
                self.m.event("IGNORED", name)

    def new_mode(self):
        """sh_new_mode: every vCPU lets go of its root and loads CR3 again."""
        for vcpu in self.m.vcpus:
            old, vcpu.slot = vcpu.slot, None
            if old is not None:
                self.put_ref(old)
            self.m.load_cr3(vcpu.cr3, vcpu)
