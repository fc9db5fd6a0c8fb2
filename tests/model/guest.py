"""The guest's kernel: frames, processes, demand faults, copy-on-write fork, exit. The same on every road;
all its stores are real accesses."""
from .config import COW, EXIT, FETCH, FORK, IDLE, NX, READ, UNEXPECTED_FAULT, WRITE, A, D, P, U, W
from .config import MachineCrash, frame, index
from .walk import PageFault

KERNEL = P | W | A          # upper entries of the direct map
TABLE = P | W | U           # upper entries of a process


class GuestKernel:
    """State: two LIFO stacks of free frames, a root per process, and how many entries share each data frame."""

    def __init__(self, model):
        self.m = model
        self.zone, self.frames = model.config.zone, model.config.frames
        self.table_stack = list(range(self.zone - 1, -1, -1))              # popped from the end: ascending at boot
        self.data_stack = list(range(self.frames - 1, self.zone - 1, -1))
        self.recycled = 0                                                   # table frames freed and not yet taken again
        self.table_frames_as_data = 0
        self.roots = [None] * model.config.processes
        self.cur = 0
        self.share = {}
        self.faults = []

    # ---- frames ----
    def alloc_table(self):
        assert self.table_stack, "guest has no table frame left"
        self.recycled = max(0, self.recycled - 1)
        return self.table_stack.pop()

    def alloc_data(self):
        """A freed table frame soon comes back as data (at most 8 at a time, so that tables never run short):
        shadow paging must notice that it is no table any more."""
        if self.recycled > 0 and self.table_frames_as_data < 8:
            self.recycled -= 1
            self.table_frames_as_data += 1
            return self.table_stack.pop()
        assert self.data_stack, "guest out of memory"
        return self.data_stack.pop()

    def free(self, gfn, data=False):
        if gfn < self.zone:
            self.table_stack.append(gfn)
            self.recycled += 1
            self.table_frames_as_data -= data
        else:
            self.data_stack.append(gfn)

    # ---- boot: the tables are simply there ----
    def boot(self):
        """Direct map of all frames, then the root of process 0."""
        base = self.m.config.direct_map
        self.kernel_slot = index(base, 4)
        kl3, kl2 = self.alloc_table(), self.alloc_table()
        self.kl3 = kl3
        self.m.words[kl3][index(base, 3)] = kl2 << 12 | KERNEL
        for first in range(0, self.frames, 512):
            kl1 = self.alloc_table()
            self.m.words[kl2][index(base, 2) + first // 512] = kl1 << 12 | KERNEL
            for g in range(first, min(first + 512, self.frames)):
                self.m.words[kl1][g - first] = g << 12 | KERNEL | D | NX
        self.roots[0] = self.alloc_table()
        self.m.words[self.roots[0]][self.kernel_slot] = kl3 << 12 | KERNEL

    # ---- the kernel's own accesses, all through the direct map ----
    def store(self, g, i, value):
        """An 8-byte store to word i of table frame g.

        True when it went straight to memory, False when the hypervisor emulated it."""
        return self.m.access(self.m.config.direct_map + g * 4096 + i * 8, WRITE, False, (g, i, value))

    def touch(self, g, kind):
        """A plain access to a data frame."""
        self.m.access(self.m.config.direct_map + g * 4096, kind, False)

    def clear_frame(self, g):
        """512 zero stores. Once one goes straight to memory so do the rest: they are done at once."""
        if g >= self.zone:
            return self.touch(g, WRITE)
        for i in range(512):
            if self.store(g, i, 0):
                self.m.words[g].clear()
                self.m.version[g] += 511 - i
                return None
        return None

    def switch(self, p):
        """Run process p from now on; its root is made when it first runs."""
        if self.roots[p] is None:
            self.roots[p] = self.new_root()
        self.m.load_cr3(self.roots[p])
        self.cur = p

    def new_root(self):
        g = self.alloc_table()
        self.clear_frame(g)
        self.store(g, self.kernel_slot, self.kl3 << 12 | KERNEL)
        return g

    def leaf_table(self, root, gva):
        """The L1 table of gva, with the missing tables above and including it made on the way."""
        table = root
        for level in (4, 3, 2):
            slot = index(gva, level)
            if not self.m.word(table, slot) & P:
                g = self.alloc_table()
                self.clear_frame(g)
                self.store(table, slot, g << 12 | TABLE)
            table = frame(self.m.word(table, slot))
        return table

    # ---- operations ----
    def run(self, op):
        """One operation."""
        if op.kind == IDLE:
            return
        if op.kind == EXIT:
            return self.exit(op.proc)
        if op.proc != self.cur:
            self.switch(op.proc)
        if op.kind == FORK:
            return self.fork(op.proc)
        while True:
            try:
                self.m.access(op.vpn << 12, op.kind, True)
                return
            except PageFault as fault:
                self.page_fault(op, fault)

    def page_fault(self, op, fault):
        """The guest's #PF handler: demand paging and copy-on-write; anything else is a bug."""
        self.m.count("n_guest_faults")
        self.faults.append((fault.gva, fault.error))
        self.m.event("GUEST_FAULT", fault.gva, fault.error)
        root = self.roots[self.cur]
        if not fault.error & P:
            table = self.leaf_table(root, fault.gva)
            f = self.alloc_data()
            self.share[f] = 1
            self.clear_frame(f)
            self.store(table, index(fault.gva, 1), f << 12 | P | U | (W if op.vma_w else 0) | (0 if op.vma_x else NX))
            return
        table, slot = self.leaf_table(root, fault.gva), index(fault.gva, 1)
        old = self.m.word(table, slot)
        if not (fault.error & W and old & COW):
            raise MachineCrash(UNEXPECTED_FAULT)
        f = frame(old)
        if self.share[f] > 1:
            n = self.alloc_data()
            self.touch(f, READ)
            self.clear_frame(n)
            self.store(table, slot, n << 12 | P | W | U | old & NX)
            self.share[f] -= 1
            self.share[n] = 1
        else:
            self.store(table, slot, old & ~(COW | A | D) | W)
        self.m.invlpg(fault.gva)

    def leaves(self, root):
        """(gva, table, slot) of every present leaf entry of a process, ascending."""
        for i4 in self.present(root, skip=self.kernel_slot):
            l3 = frame(self.m.word(root, i4))
            for i3 in self.present(l3):
                l2 = frame(self.m.word(l3, i3))
                for i2 in self.present(l2):
                    l1 = frame(self.m.word(l2, i2))
                    for i1 in self.present(l1):
                        yield i4 << 39 | i3 << 30 | i2 << 21 | i1 << 12, l1, i1

    def present(self, table, skip=None):
        return [i for i, entry in sorted(self.m.words[table].items()) if i != skip and entry & P]

    def fork(self, parent):
        """Child = parent + 1 gets the same frames; whatever was writable becomes copy-on-write in both."""
        child = parent + 1
        assert self.roots[child] is None, "fork into a living process"
        self.roots[child] = self.new_root()
        for gva, table, slot in self.leaves(self.roots[parent]):
            child_table = self.leaf_table(self.roots[child], gva)
            entry = self.m.word(table, slot)
            if entry & W:
                entry = entry & ~W | COW
                self.store(table, slot, entry)
            self.store(child_table, slot, entry & ~(A | D))
            self.share[frame(entry)] += 1
        self.m.load_cr3(self.roots[parent])

    def exit(self, child):
        """Everything of the child goes back, leaf entries first, each table after what it holds."""
        if self.roots[child] is None:
            return
        if self.cur == child:
            self.switch(child - 1)
        self.free_children(self.roots[child], 4)
        self.free(self.roots[child])
        self.roots[child] = None

    def free_children(self, table, level):
        for i in self.present(table, skip=self.kernel_slot if level == 4 else None):
            target = frame(self.m.word(table, i))
            if level > 1:
                self.free_children(target, level - 1)
            self.store(table, i, 0)
            if level > 1:
                self.free(target)
                continue
            self.share[target] -= 1
            if self.share[target] == 0:
                del self.share[target]
                self.free(target, data=True)

    def live_tables(self):
        """The frames that hold page tables now: reachable from the direct map and every process."""
        live = set()

        def add(table, level, skip=None):
            live.add(table)
            if level > 1:
                for i in self.present(table, skip):
                    add(frame(self.m.word(table, i)), level - 1)
        add(self.kl3, 3)
        for root in self.roots:
            if root is not None:
                add(root, 4, self.kernel_slot)
        return live


MERGED = {FETCH: "merged_fetch", READ: "merged_read", WRITE: "merged_write"}
