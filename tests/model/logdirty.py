"""Log-dirty (Xen mm/paging.c): one bit per guest frame in a four-level tree whose pages come out of the road's pool."""


class LogDirty:
    """The bitmap, its tree of pool pages, and the versions of the frames by which it is judged.

    `new_page()` and `free_page(mfn)` belong to the road.
    """

    def __init__(self, model):
        self.model = model
        self.on = False
        self.bits = set()
        self.dirty_count = self.fault_count = self.round = self.failed = 0
        self.stamp = {}  # gfn -> (round in which its bit was last set, who set it then, how many times it was set)
        self.clean_version = {}  # gfn -> version at enable or at the last CLEAN
        self.tree = {}  # path of indices from the root, () = root itself -> pool page

    def mark(self, gfn, by):
        """paging_mark_pfn_dirty: missing nodes are made from the root down, then the bit goes 0 -> 1 at most once
        a round. by: "store", "walk" (A and D of a guest's table), "emulated" store, "xen", "log" (PML), "device"."""
        if not self.on:
            return
        path = (gfn >> 33 & 511, gfn >> 24 & 511, gfn >> 15 & 511)
        for depth in range(4):
            if path[:depth] not in self.tree:
                page = self.model.road.new_tree_page()
                if page is None:
                    self.failed += 1
                    return
                self.tree[path[:depth]] = page
        if gfn not in self.bits:
            self.bits.add(gfn)
            self.dirty_count += 1
            self.stamp[gfn] = self.round, by, self.stamp.get(gfn, (0, "", 0))[2] + 1
            self.model.event("MARK_DIRTY", gfn=gfn)

    def walked(self, gfn):
        """The hypervisor's walk has set A or D in the table."""
        self.mark(gfn, "walk")

    def clean(self):
        """The bitmap's part of CLEAN: bits and both counters to zero, the tree stays."""
        self.bits.clear()
        self.dirty_count = self.fault_count = 0
        self.round += 1

    def free_tree(self):
        """paging_free_log_dirty_bitmap: depth first, every node after its children."""

        def free(path):
            for child in sorted(p for p in self.tree if len(p) == len(path) + 1 and p[: len(path)] == path):
                free(child)
            self.model.road.free_tree_page(self.tree.pop(path))

        if self.tree:  # what failed is forgotten with the tree
            free(())
            self.failed = 0
        self.bits.clear()

    def note_truth(self):
        self.clean_version = dict(self.model.version)

    def missing(self):
        """Frames stored to since log-dirty began or since the last CLEAN whose bit is clear.

        There must be none: a store that is lost would break a migration.
        """
        if not self.on or self.failed:  # then PEEK and CLEAN fail
            return set()
        excused = self.bits | self.model.granted  # what another domain stores is marked when its mapping ends
        return {g for g, v in self.model.version.items() if v != self.clean_version.get(g, 0) and g not in excused}
