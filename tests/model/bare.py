"""The bare machine: the hardware walks the guest's own tables. The reference for the other roads."""
from .config import D, frame
from .tlb import TlbEntry
from .walk import guest_walk, rights, with_accessed_dirty


def set_accessed_dirty(model, steps, kind, before=lambda table: None, after=lambda table: None):
    """Write A and D into the entries that lack them, top down; `steps` follow.

    Each changed entry is one store to its table; `before(table)` and `after(table)` run round it."""
    for step in steps:
        entry = with_accessed_dirty(step, kind)
        if entry != step.entry:
            before(step.table)
            model.set_word(step.table, step.slot, entry)
            after(step.table)
            step.entry = entry


class Bare:
    """No hypervisor: frames are machine frames, and its commands do nothing."""

    def __init__(self, model):
        self.m = model

    def walk(self, gva, kind, user, store):
        steps = guest_walk(self.m.cpu.cr3, gva, kind, user, self.m.word)
        set_accessed_dirty(self.m, steps, kind)
        writable, user_page, no_execute = rights(steps)
        leaf = steps[-1].entry
        return TlbEntry(gva >> 12 & (1 << 36) - 1, frame(leaf), bool(writable and leaf & D), user_page, no_execute)

    def load_cr3(self, vcpu):
        pass

    def invlpg(self):
        pass

    def command(self, name, argument):
        self.m.event("IGNORED", name)

    def state(self):
        return {"pool": {}, "shadows": {}, "ept": {}}
