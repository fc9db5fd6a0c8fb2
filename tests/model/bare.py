"""The bare machine: the hardware walks the guest's own tables. The reference for the other roads."""

from .config import CR_WP, WRITE, D
from .tlb import TlbEntry


def tlb_entry(model, walk, gva, mfn, writable=True, executable=True):
    """The TLB entry for a guest walk whose A and D are set. `writable`, `executable`: what the nested tables let be done."""
    may_write, user_page, no_execute = walk.rights
    ready = bool(walk.leaf.entry & D and writable)
    kernel = ready and not may_write and not model.cr & CR_WP
    return TlbEntry(
        gva >> 12 & (1 << 36) - 1,
        mfn,
        bool(may_write and ready),
        user_page,
        no_execute or not executable,
        kernel_write=kernel,
        big=walk.big,
        tables={s.level: s.table for s in walk if s.table not in (None, model.identity)},
    )


class Bare:
    """No hypervisor: frames are machine frames, and its commands do nothing."""

    def __init__(self, model):
        self.m = model

    def boot(self, vcpu):
        pass

    def walk(self, gva, kind, user, size, value):
        walk = self.m.guest_walk(self.m.cpu, gva, kind, user)
        self.m.set_accessed_dirty(walk, kind)
        return tlb_entry(self.m, walk, gva, walk.gfn)

    def xen_write(self, gva):
        """The frame that a supervisor's write without a TLB reaches, or a fault: here no hypervisor writes for the guest."""
        self.m.count("guest_walk")
        walk = self.m.guest_walk(self.m.cpu, gva, WRITE, False)
        self.m.set_accessed_dirty(walk, WRITE)
        return walk.gfn

    def load_cr3(self, vcpu):
        pass

    def update_paging_modes(self):
        pass

    def pagetable_dying(self, gfn):
        pass

    def invlpg(self, gva):
        return "page"

    def command(self, name, argument):
        self.m.event("IGNORED", detail=name)

    def state(self):
        return {"pool": {}, "shadows": {}, "ept": {}}
