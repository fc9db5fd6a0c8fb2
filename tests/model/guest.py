"""The guest's kernel: frames, processes, demand faults, copy-on-write fork, exit. It is the same on every road.

All its stores are accesses of the guest. The three kinds of guest differ only in the tree of their tables.
"""

from .config import (
    COW,
    CR_NXE,
    EXIT,
    FETCH,
    FORK,
    IDLE,
    NX,
    PSE,
    RAW_STORE,
    READ,
    UNEXPECTED_FAULT,
    WRITE,
    A,
    D,
    MachineCrash,
    P,
    Row,
    U,
    W,
    frame,
    guest_index,
)
from .walk import PageFault

KERNEL = P | W | A  # entries of the direct map
TABLE = P | W | U  # upper entries of a process
USER_SLOTS = {4: 256, 3: 3, 2: 768}  # entries of a root that are the process's own


class GuestKernel:
    """State: two LIFO stacks of free frames, a root per process, and how many entries share each data frame."""

    def __init__(self, model):
        self.m = model
        self.levels = model.config.levels
        self.slots = 1024 if self.levels == 2 else 512
        self.pending = None  # the second half of a PAE entry's store
        self.zone, self.frames = model.config.zone, model.config.frames
        self.table_stack = list(range(self.zone - 1, -1, -1))  # popped from the end: ascending at boot
        self.data_stack = list(range(self.frames - 1, self.zone - 1, -1))
        self.recycled = 0  # table frames freed and not yet taken again
        self.table_frames_as_data = 0
        self.roots = [None] * model.config.processes
        self.cur = [0] * model.config.vcpus  # the process of each vCPU
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
        """Direct map of all frames, then the root of process 0. `kernel` = {slot: entry} of the kernel's part of a root."""
        levels, base, top = self.levels, self.m.config.direct_map, {}
        if levels == 2:
            self.alloc_table()  # frame 0: the kernel's own copy of its quarter of a root
            directory, first = top, 768
        elif levels == 3:
            table = self.alloc_table()
            directory, first, self.kernel = {}, 0, {3: table << 12 | P}
        else:
            kl3, table = self.alloc_table(), self.alloc_table()
            directory, first, self.kernel = {}, guest_index(4, base, 2), {guest_index(4, base, 4): kl3 << 12 | KERNEL}
            self.put(kl3, {guest_index(4, base, 3): table << 12 | KERNEL})
        self.map_ram(directory, first)
        if levels == 2:
            self.kernel = directory
            self.put(0, directory)
        else:
            self.put(table, directory)
        self.roots[0] = self.alloc_table()
        self.put(self.roots[0], self.kernel)

    def map_ram(self, directory, first):
        """The direct map, in entries of `directory` from slot `first` on: tables of small pages, or large ones."""
        nx = NX if self.levels > 2 and self.m.cr & CR_NXE else 0
        for k, start in enumerate(range(0, self.frames, self.slots)):
            if self.m.config.direct_map_pages == "large" and start + self.slots <= self.frames:
                directory[first + k] = start << 12 | KERNEL | D | PSE | nx
                continue
            kl1 = self.alloc_table()
            directory[first + k] = kl1 << 12 | KERNEL
            end = min(start + self.slots, self.frames)
            self.put(kl1, {g - start: g << 12 | KERNEL | D | nx for g in range(start, end)})

    def put(self, table, entries):
        """Fill a table at boot: no stores, no versions."""
        size = 4 if self.levels == 2 else 8
        for slot, entry in entries.items():
            self.m.put_bytes(table, slot * size, size, entry)

    # ---- what the PV road has otherwise: frames in entries, roots, and the leave to write to a table ----
    def at(self, g):
        """The part of an entry that names guest frame `g`."""
        return self.m.localised(g << 12 | P) & ~P

    def target(self, entry):
        return frame(self.m.own(entry))

    def enter(self, user):
        pass

    def becomes_table(self, g):
        pass

    def free_root(self, root):
        self.free(root)

    def load(self, root):
        self.m.load_cr3(root)

    def reload(self, root):
        self.on_vcpus_with(root, self.m.load_cr3, root)

    def runs(self, vcpu, root):
        return vcpu.cr3 == root

    def all_roots(self):
        return [root for root in self.roots if root is not None]

    # ---- the kernel's own accesses, all through the direct map ----
    def store(self, g, i, value):
        """Store entry i of table frame g. A 32-bit kernel writes a PAE entry in two halves, the upper one first when the entry
        becomes present.

        True when all went straight to memory, False when the hypervisor emulated something."""
        gva = self.m.config.direct_map + g * 4096 + i * (4 if self.levels == 2 else 8)
        if self.levels == 2:
            return self.m.access(gva, WRITE, False, 4, value)
        if self.levels == 4:
            return self.m.access(gva, WRITE, False, 8, value)
        halves = [(gva, value & 0xFFFF_FFFF), (gva + 4, value >> 32)]
        (first, one), (second, other) = reversed(halves) if value & P else halves
        self.pending = Row(RAW_STORE, second, other, 4, 0, self.m.cpu.number)
        direct = self.m.access(first, WRITE, False, 4, one)
        if self.pending:
            self.pending = None
            direct &= self.m.access(second, WRITE, False, 4, other)
        return direct

    def next_row(self, k):
        """What the emulator may carry out after the present store: the store of the other half of a PAE entry."""
        return self.pending if k == 1 else None

    def consume(self, k):
        self.pending = None

    def touch(self, g, kind):
        """A plain access to a data frame."""
        self.m.access(self.m.config.direct_map + g * 4096, kind, False)

    def clear_frame(self, g):
        """Store zero in every entry. Once a store goes straight to memory, so do the others, which are then done at once."""
        if g >= self.zone:
            return self.touch(g, WRITE)
        for i in range(self.slots):
            if self.store(g, i, 0):
                self.m.words[g].clear()
                self.m.version[g] += (self.slots - 1 - i) * (2 if self.levels == 3 else 1)
                return None
        return None

    def switch(self, p):
        """Run process p from now on; its root is made when it first runs."""
        self.enter(user=False)
        if self.roots[p] is None:
            self.roots[p] = self.new_root()
        self.load(self.roots[p])
        self.cur[self.m.cpu.number] = p

    def on_vcpus_with(self, root, action, *arguments):
        """Call `action` on every vCPU that has `root` loaded, as an interrupt from one to the others would."""
        here = self.m.cpu
        for vcpu in self.m.vcpus:
            if self.runs(vcpu, root):
                self.m.cpu = self.m.current = vcpu
                action(*arguments)
        self.m.cpu = self.m.current = here

    def new_root(self):
        g = self.alloc_table()
        self.clear_frame(g)
        for slot, entry in sorted(self.kernel.items()):
            self.store(g, slot, self.m.entry(0, slot) if self.levels == 2 else entry)
        return g

    def leaf_table(self, root, gva):
        """The L1 table of gva, with the missing tables above and including it made on the way."""
        table = root
        for level in range(self.levels, 1, -1):
            slot = guest_index(self.levels, gva, level)
            if not self.m.entry(table, slot) & P:
                g = self.alloc_table()
                self.clear_frame(g)
                self.becomes_table(g)
                register = level == 3 == self.levels  # a PDPTE has no rights, and must be loaded
                self.store(table, slot, self.at(g) | (P if register else TABLE))
                if register:
                    self.reload(root)
            table = self.target(self.m.entry(table, slot))
        return table

    # ---- operations ----
    def run(self, op):
        """One operation: the vCPUs take turns."""
        self.m.current = self.m.cpu = self.m.vcpus[self.m.now % len(self.m.vcpus)]
        try:
            self.operation(op)
        finally:
            self.m.current = None

    def operation(self, op):
        if op.kind == IDLE:
            return
        if op.kind == EXIT:
            return self.exit(op.proc)
        if op.proc != self.cur[self.m.cpu.number]:
            self.switch(op.proc)
        if op.kind == FORK:
            return self.fork(op.proc)
        while True:
            self.enter(user=True)
            try:
                self.m.access(op.vpn << 12, op.kind, True)
                return
            except PageFault as fault:
                self.page_fault(op, fault)

    def page_fault(self, op, fault):
        """The guest's #PF handler: demand paging and copy-on-write; anything else is a bug."""
        self.enter(user=False)
        self.m.count("n_guest_faults")
        self.faults.append((fault.gva, fault.error))
        self.m.event("GUEST_PF", fault.gva, detail=fault.error)
        root = self.roots[self.cur[self.m.cpu.number]]
        if not fault.error & P:
            table = self.leaf_table(root, fault.gva)
            f = self.alloc_data()
            self.share[f] = 1
            self.clear_frame(f)
            nx = NX if self.levels > 2 and self.m.cr & CR_NXE and not op.vma_x else 0
            self.store(table, guest_index(self.levels, fault.gva, 1), self.at(f) | P | U | (W if op.vma_w else 0) | nx)
            return
        table, slot = self.leaf_table(root, fault.gva), guest_index(self.levels, fault.gva, 1)
        old = self.m.entry(table, slot)
        if not (fault.error & W and old & COW):
            raise MachineCrash(UNEXPECTED_FAULT)
        f = self.target(old)
        if self.share[f] > 1:
            n = self.alloc_data()
            self.touch(f, READ)
            self.clear_frame(n)
            self.store(table, slot, self.at(n) | P | W | U | old & NX)
            self.share[f] -= 1
            self.share[n] = 1
        else:
            self.store(table, slot, old & ~(COW | A | D) | W)
        self.on_vcpus_with(root, self.m.invlpg, fault.gva)

    def leaves(self, table, level=None, gva=0):
        """(gva, table, slot) of every present leaf entry of a process, ascending."""
        level = level or self.levels
        for i in self.present(table, level):
            here = gva | i << 12 + (10 if self.levels == 2 else 9) * (level - 1)
            if level == 1:
                yield here, table, i
            else:
                yield from self.leaves(self.target(self.m.entry(table, i)), level - 1, here)

    def present(self, table, level):
        """Slots of the process's own present entries."""
        slots = USER_SLOTS[self.levels] if level == self.levels else self.slots
        return [i for i, entry in self.m.table_entries(table) if i < slots and entry & P]

    def fork(self, parent):
        """Child = parent + 1 gets the same frames. What was writable becomes copy-on-write in both."""
        child = parent + 1
        assert self.roots[child] is None, "fork into a living process"
        self.enter(user=False)
        self.roots[child] = self.new_root()
        for gva, table, slot in self.leaves(self.roots[parent]):
            child_table = self.leaf_table(self.roots[child], gva)
            entry = self.m.entry(table, slot)
            if entry & W:
                entry = entry & ~W | COW
                self.store(table, slot, entry)
            self.store(child_table, slot, entry & ~(A | D))
            self.share[self.target(entry)] += 1
        self.reload(self.roots[parent])

    def exit(self, child):
        """Everything that the child has is freed: leaf entries first, each table after what it holds."""
        if self.roots[child] is None:
            return
        self.enter(user=False)
        if self.cur[self.m.cpu.number] == child:
            self.switch(child - 1)
        self.free_children(self.roots[child], self.levels)
        self.free_root(self.roots[child])
        self.roots[child] = None

    def free_children(self, table, level):
        for i in self.present(table, level):
            target = self.target(self.m.entry(table, i))
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
        """The frames that hold page tables now: all that is reachable from the roots."""
        live = set()

        def add(table, level):
            if table in live:
                return
            live.add(table)
            slots = 4 if level == 3 == self.levels else self.slots
            for i, entry in self.m.table_entries(table) if level > 1 else ():
                if i < slots and entry & P and not (entry & PSE and level <= 3):
                    add(self.target(entry), level - 1)

        for root in self.all_roots():
            add(root, self.levels)
        return live

    def first_root(self):
        return self.roots[0]

    def state(self):
        live = self.live_tables()
        return {
            "tables": {t: dict(self.m.words[t]) for t in sorted(live)},
            "ad": {(t, i): e & 0x60 for t in live for i, e in self.m.words[t].items() if e & 1},
            "faults": list(self.faults),
            "table_stack": list(self.table_stack),
            "data_stack": list(self.data_stack),
            "recycled": self.recycled,
            "roots": list(self.roots),
            "cur": list(self.cur),
            "share": dict(self.share),
        }


MERGED = {FETCH: "merged_fetch", READ: "merged_read", WRITE: "merged_write"}
