"""The HAP road with EPT (Xen mm/p2m-ept.c): the hardware walks a second table, from guest to machine frames, at every step."""

from dataclasses import replace

from .bare import tlb_entry
from .config import FETCH, HUNG, NOT_SHATTERED, WRITE, MachineCrash
from .ept import POISON, RAM_LOGDIRTY, RAM_RW, ROOT, WRITE_BACK, Ept, EptExit, Table, inside, slot_of


class Hap:
    """tables: pool page -> Table of Ept. Pool pages come from the head of the free list and go back to its tail."""

    def __init__(self, model):
        self.m = model
        frames = model.config.frames
        small = 2 + -(-frames // 2**18) + -(-frames // 512)  # root, L3, L2s, L1s if all were 4 KiB
        logs = model.config.vcpus if model.config.pml else 0
        self.size = -(-(small + 4 + -(-frames // 2**15) - 1 + logs) // 8) * 8  # + log-dirty tree and logs, rounded up
        self.free, self.out, self.most = list(range(self.size)), [], self.size
        self.tree_pages, self.log_pages = set(), []
        self.global_logdirty = False  # what becomes of a frame whose type is computed anew
        self.logging = False  # whether the processor logs
        self.tables = {self.free.pop(0): Table()}
        gfn, sizes = 0, (1, 512, 512**2)[: model.config.superpages + 1]
        while gfn < frames:
            size = max(size for size in sizes if gfn % size == 0 and gfn + size <= frames)
            self.build(gfn, sizes.index(size) + 1)
            gfn += size

    def build(self, gfn, leaf_level):
        """One leaf at its level, with the tables above it made when first needed."""
        table = ROOT
        for level in range(4, leaf_level, -1):
            entry = self.tables[table].get(slot_of(gfn, level))
            if entry is None:
                entry = self.tables[table][slot_of(gfn, level)] = self.pointer(self.free.pop(0))
                self.tables[entry.mfn] = Table()
            table = entry.mfn
        self.tables[table][slot_of(gfn, leaf_level)] = self.leaf(self.m.p2m[gfn], int(leaf_level > 1))

    def leaf(self, mfn, sp):
        """What the domain builder writes."""
        return self.give(Ept(mfn, emt=WRITE_BACK, ipat=1, sp=sp), RAM_RW)

    def pointer(self, page):
        """An entry that points to a table."""
        return Ept(mfn=page, a=self.m.config.ept_ad)

    def give(self, entry, kind):
        """ept_p2m_type_to_flags: the rights of a type, A and D beforehand; a superpage may have no right to execute."""
        entry.type, entry.a = kind, self.m.config.ept_ad
        entry.w = int(kind == RAM_RW or (self.logging and not entry.sp))
        entry.d = int(kind == RAM_RW and self.m.config.ept_ad)
        entry.x = int(not entry.sp or self.m.config.exec_sp)
        return entry

    def fits(self, entry):
        """Whether a leaf has rights that its type can have; a logged one may have been written to since its bit was set."""
        if entry.x != int(not entry.sp or self.m.config.exec_sp) or not entry.ipat or entry.a != self.m.config.ept_ad:
            return False
        if entry.type == RAM_RW:
            return entry.w == 1 and entry.d == self.m.config.ept_ad
        return not entry.w or (self.logging and not entry.sp)

    # ---- the hardware's part ----
    reads_of_tables_write = False

    def translate(self, gfn, write, fetch=False):
        """(mfn, writable, executable) of a guest frame, or EptExit.

        On the way down a memory type that does not exist is found first, then at the leaf a right that is missing.
        """
        table = ROOT
        for level in (4, 3, 2, 1):
            entry = self.tables[table][slot_of(gfn, level)]
            if entry.emt == POISON:
                raise EptExit("misconfig", gfn)
            if level == 1 or entry.sp:
                break
            table = entry.mfn
        if (write and not entry.w) or (fetch and not entry.x):
            raise EptExit("violation", gfn, fetch)
        return entry.mfn + inside(gfn, level), entry.w, entry.x

    def depth(self, gfn):
        """Level of the leaf of a frame, 0 where no memory is."""
        if gfn >= self.m.config.frames:
            return 0
        table = ROOT
        for level in (4, 3, 2, 1):
            entry = self.tables[table][slot_of(gfn, level)]
            if level == 1 or entry.sp:
                return level
            table = entry.mfn

    def walk(self, gva, kind, user, size, value):
        """The two-dimensional walk, begun again after every exit."""
        while True:
            try:
                return self.attempt(gva, kind, user)
            except EptExit as exit_:
                self.handle(exit_)

    def attempt(self, gva, kind, user):
        """One two-dimensional walk: read the guest's tables, judge the guest's rights, set A and D from the top down, do the
        access.

        Each of these goes through EPT. `writer` is what is reported should a store exit.
        """
        self.writer = "walk"

        def read(table, slot):
            if table < self.m.config.frames:  # where no memory is, nothing exits
                self.translate(table, self.reads_of_tables_write)
            return self.m.entry(table, slot)

        walk = self.m.guest_walk(self.m.cpu, gva, kind, user, read)
        self.m.set_accessed_dirty(walk, kind, before=lambda table: self.translate(table, True))
        self.writer = "store"
        mfn, writable, executable = self.translate(walk.gfn, kind == WRITE, kind == FETCH)
        return tlb_entry(self.m, walk, gva, mfn, writable, executable)

    def read(self, gfn):
        """The processor reads guest memory for itself: the four PDPTEs that MOV CR3 loads."""
        while gfn < self.m.config.frames:
            try:
                return self.translate(gfn, False)
            except EptExit as exit_:
                self.handle(exit_)

    def xen_write(self, gva):
        """hap_gva_to_gfn: Xen walks the guest's tables itself, without EPT; the tables it writes are marked."""
        self.m.count("guest_walk")
        walk = self.m.guest_walk(self.m.cpu, gva, WRITE, False)
        self.m.set_accessed_dirty(walk, WRITE, after=self.m.log.walked)
        return walk.gfn

    # ---- exits ----
    def handle(self, exit_):
        self.m.count(f"ept_{exit_.reason}")
        self.m.event(f"EPT_{exit_.reason.upper()}", gfn=exit_.gfn)
        if exit_.reason == "misconfig":
            return self.resolve_misconfig(exit_.gfn)
        if exit_.fetch:  # nothing is marked
            self.split_at(exit_.gfn, NOT_SHATTERED)
            self.m.count("shatters")
        else:
            self.m.log.mark(exit_.gfn, self.writer)
            if not self.make_writable(exit_.gfn):
                return
        self.invept()

    def invept(self):
        """All TLBs are flushed before the guest is entered again. A domain that is paused is entered once, so that it is one
        INVEPT however often it is asked for meanwhile."""
        self.m.flush_tlbs()
        paused = self.m.current is None
        if self.m.entered or not paused:
            self.m.count("invept")
            self.m.event("INVEPT")
        if paused:
            self.m.entered = False

    def flush_logs(self):
        """Without a page-modification log there is none."""

    def start_logging(self):
        """Whether the processor logs from now on: it cannot."""
        return False

    def stop_logging(self):
        """Whether it did."""
        return False

    def poison(self, table, recalc):
        """ept_invalidate_emt_subtree: mark one table only; what lies below it is marked when an access comes there. Whether
        there was anything to mark."""
        entries = self.tables[table].each()
        news = any(entry.emt != POISON for entry in entries)
        for entry in entries:
            entry.emt = POISON
            entry.recalc |= recalc
        return news

    def change_all(self, logged, anyway):
        """p2m_change_entry_type_global."""
        self.global_logdirty = logged
        if self.poison(ROOT, 1) or anyway:
            self.invept()

    def resolve_misconfig(self, gfn):
        """Push the mark down the path; at the bottom recompute a whole table of 512 entries, or one superpage."""
        table = ROOT
        for level in (4, 3, 2):
            entry = self.tables[table][slot_of(gfn, level)]
            if entry.sp:
                return self.recompute(entry)
            if entry.emt == POISON:
                self.poison(entry.mfn, entry.recalc)
                entry.emt = entry.recalc = 0
            table = entry.mfn
        if self.tables[table][slot_of(gfn, 1)].emt == POISON:
            for entry in self.tables[table].each():
                self.recompute(entry)

    def recompute(self, entry):
        """p2m_recalc_type: only a marked entry changes its type, to the one that the global mode gives; if that is the one it
        has, its rights stay as they are."""
        kind = RAM_LOGDIRTY if self.global_logdirty else RAM_RW
        if entry.recalc and entry.type != kind:
            self.give(entry, kind)
        entry.emt, entry.recalc = WRITE_BACK, 0

    def make_writable(self, gfn):
        """p2m_change_type_one(logdirty -> rw), always for 4 KiB: a superpage on the way is split first. Whether the type was
        log-dirty. Without pages for a split the store is repeated for ever."""
        self.resolve_misconfig(gfn)
        if self.leaf_of(gfn).type != RAM_LOGDIRTY:
            return False
        self.split_at(gfn, HUNG)
        self.give(self.leaf_of(gfn), RAM_RW)
        return True

    def leaf_of(self, gfn):
        """The entry that maps a frame."""
        table = ROOT
        for level in (4, 3, 2, 1):
            entry = self.tables[table][slot_of(gfn, level)]
            if level == 1 or entry.sp:
                return entry
            table = entry.mfn

    def split_at(self, gfn, code):
        """The leaf of a frame becomes leaves of 4 KiB, if it is larger. `code`: what becomes of the domain without pages."""
        table = ROOT
        for level in (4, 3, 2):
            slot = slot_of(gfn, level)
            if self.tables[table][slot].sp:
                return self.split(table, slot, level, code)
            table = self.tables[table][slot].mfn

    def split(self, table, slot, level, code):
        """ept_split_super_page: leaves of 4 KiB of the same type for all of it, in new tables."""
        if len(self.free) < (1 if level == 2 else 513):
            raise MachineCrash(code)
        big, page = self.tables[table][slot], self.free.pop(0)
        self.tables[table][slot] = self.pointer(page)
        if level == 2:
            self.tables[page] = self.small_leaves(big)
        else:
            self.tables[page] = Table()
            for i in range(512):
                low = self.free.pop(0)
                self.tables[page][i] = self.pointer(low)
                self.tables[low] = self.small_leaves(replace(big, mfn=big.mfn + 512 * i))
        self.m.count("splits")

    def small_leaves(self, big):
        return Table(rest=self.give(replace(big, sp=0), big.type))

    # ---- pool, CR3, commands ----
    def new_tree_page(self):
        """A page, or None."""
        if not self.free:
            return None
        page = self.free.pop(0)
        self.tree_pages.add(page)
        return page

    def free_tree_page(self, page):
        self.tree_pages.remove(page)
        self.free.append(page)

    def boot(self, vcpu):
        pass

    def load_cr3(self, vcpu):
        pass

    def update_paging_modes(self):
        pass

    def pagetable_dying(self, gfn):
        pass

    def written_by_device(self, gfn):
        """Nothing depends on the contents of a frame."""

    def invlpg(self, gva):
        return "page"

    def command(self, name, argument):
        """hap_enable_log_dirty, hap_clean_dirty_bitmap, hap_disable_log_dirty: each poisons the root entries.

        A CLEAN does so with log-dirty off too, and then the types become log-dirty although nothing is marked.
        """
        log = self.m.log
        if name == "pool":
            self.resize(argument)
        elif name == "enable":
            log.on = True
            self.change_all(True, anyway=self.start_logging())
            log.note_truth()
        elif name in ("peek", "clean"):
            self.flush_logs()
            if log.failed:
                self.m.event("NO_MEMORY", detail=name)
            elif name == "clean":
                log.clean()
                self.change_all(True, anyway=False)
                log.note_truth()
        elif name == "off":
            if log.on:
                log.on = False  # before the flush: nothing is marked
                self.change_all(False, anyway=self.stop_logging())
                log.free_tree()
        else:
            self.m.event("IGNORED", detail=name)

    def resize(self, pages):
        """hap_set_allocation: at the free list only. Pages taken out may come back, the lowest first."""
        used = self.size - len(self.free)
        pages = min(max(pages, used), self.most)
        while self.size > pages:
            self.out.append(self.free.pop(0))
            self.size -= 1
        while self.size < pages:
            self.out.sort()
            self.free.append(self.out.pop(0))
            self.size += 1

    def state(self):
        """`ept`: {pool page: the bytes of the table in it}."""
        used = len(self.tables) + len(self.tree_pages) + len(self.log_pages)
        types = {page: "free" for page in self.free} | {page: "out" for page in self.out}
        types |= {page: "ept" for page in self.tables} | {page: "tree" for page in self.tree_pages}
        types |= {page: "log" for page in self.log_pages}
        ept = {page: table.words() for page, table in self.tables.items()}
        pool = {"types": types, "free": list(self.free), "total_pages": self.size - used, "p2m_pages": used}
        return {"shadows": {}, "ept": ept, "pml": [], "pool": pool}
