"""The guest's kernel on the PV road: the same program, which asks for every change of a table.

It writes machine frames into its entries, and may not write to a table. A process has two roots: one for the kernel, and one
without the kernel's part for user mode.
"""

from .config import A, D, P, W
from .guest import USER_SLOTS, GuestKernel

READ_ONLY, READ_WRITE = P | A | D, P | W | A | D  # entries of the direct map of a frame that is a table, and of another


class PvKernel(GuestKernel):
    """`user`: the user mode's root for each of the kernel's."""

    def boot(self):
        super().boot()
        self.user = {self.roots[0]: self.alloc_table()}
        first = next(iter(self.kernel.values())) >> 12  # the kernel's L3: entry, entry, entries of frames
        direct = self.m.words[first + 2]
        for gfn in range(self.user[self.roots[0]] + 1):
            direct[gfn] &= ~W
        for words in self.m.words.values():
            words.update({slot: self.m.localised(entry) for slot, entry in words.items()})
        self.kernel = {slot: self.m.localised(entry) for slot, entry in self.kernel.items()}

    def first_user_root(self):
        return self.user[self.roots[0]]

    def all_roots(self):
        return super().all_roots() + list(self.user.values())

    # ---- what is asked of the hypervisor
    def enter(self, user):
        self.m.road.enter(user)

    def store(self, g, i, value):
        """A change of a process's own part of a root is made in both of its roots."""
        if not self.m.road.is_page_table(self.m.p2m[g]):
            return super().store(g, i, value)
        self.m.road.mmu_update(g, i, value)
        if g in self.user and i < USER_SLOTS[4]:
            self.m.road.mmu_update(self.user[g], i, value)
        return True

    def remap(self, g, flags):
        """The frame's page in the direct map: update_va_mapping with INVLPG."""
        gva = self.m.config.direct_map + g * 4096
        self.m.road.update_va_mapping(gva, self.m.p2m[g] << 12 | flags)
        self.m.invlpg(gva)

    def becomes_table(self, g):
        self.remap(g, READ_ONLY)

    def free(self, gfn, data=False):
        if not data:
            self.remap(gfn, READ_WRITE)
        super().free(gfn, data)

    def new_root(self):
        root = super().new_root()
        user = self.alloc_table()
        self.clear_frame(user)
        for top in (root, user):
            self.becomes_table(top)
            self.m.road.pin_table(top, 4)
        self.user[root] = user
        return root

    def free_root(self, root):
        user = self.user.pop(root)
        self.m.road.unpin_table(root)
        self.m.road.unpin_table(user)
        self.free(user)
        super().free_root(root)

    # ---- roots
    def load(self, root):
        self.m.road.new_baseptr(root)
        self.m.road.new_user_baseptr(self.user[root])

    def reload(self, root):
        self.on_vcpus_with(root, self.m.road.flush_local)

    def runs(self, vcpu, root):
        return vcpu.kernel_root == root

    def state(self):
        user_roots = [None if root is None else self.user[root] for root in self.roots]
        return super().state() | {"user_roots": user_roots}
