"""EPT with page-modification logging (SDM vol. 3, 29.3.6): while log-dirty is on the processor sets A and D, reads of guest
tables count as stores, and each D that it sets is written down, 512 at a time."""

from .hap import RAM_LOGDIRTY, ROOT, EptExit, Hap, slot_of

SLOTS = 512


class HapPml(Hap):
    """Where the page-modification log makes a difference. logs: of each vCPU the guest frames logged, oldest first."""

    def __init__(self, model):
        super().__init__(model)
        self.logs = [[] for _ in range(model.config.vcpus)]

    @property
    def reads_of_tables_write(self):
        return self.global_logdirty

    def leaf_of(self, gfn):
        """The entry that maps a frame."""
        table = ROOT
        for level in (4, 3, 2, 1):
            entry = self.tables[table][slot_of(gfn, level)]
            if level == 1 or entry.sp:
                return entry
            table = entry.mfn

    def translate(self, gfn, write):
        """As with EPT; a store then sets D of the leaf, which is logged, or exits because the log is full."""
        mfn, writable = super().translate(gfn, write)
        if not self.global_logdirty:
            return mfn, writable
        leaf = self.leaf_of(gfn)
        if write and not leaf.d:
            log = self.logs[self.m.vcpus.index(self.m.cpu)]
            if len(log) == SLOTS:
                raise EptExit("pml_full", gfn)
            log.append(gfn)
            leaf.d = 1
        return mfn, writable and leaf.d

    def handle(self, exit_):
        if exit_.reason != "pml_full":
            return super().handle(exit_)
        self.m.count("pml_full")
        self.flush_log(self.logs[self.m.vcpus.index(self.m.cpu)])

    def flush_log(self, log):
        """Newest first: its pages are marked, and may be written freely from now on."""
        for gfn in reversed(log):
            self.resolve_misconfig(gfn)
            if self.leaf_of(gfn).type == RAM_LOGDIRTY:
                self.make_writable(gfn)
            self.m.log.mark(gfn, "log")
        if log:
            self.m.flush_tlbs()
        log.clear()

    def before(self, name):
        """The logs are emptied before the bitmap is read and before logging ends."""
        if name in ("peek", "clean", "off") and self.global_logdirty:
            for log in self.logs:
                self.flush_log(log)

    def recompute(self, entry):
        super().recompute(entry)
        self.let_store(entry)

    def small_leaves(self, big):
        table = super().small_leaves(big)
        self.let_store(table.rest)
        return table

    def let_store(self, entry):
        """A small leaf of a logged page may be written: the processor logs it."""
        if entry.type == RAM_LOGDIRTY and not entry.sp and self.global_logdirty and not entry.d:
            entry.w = 1

    def state(self):
        return super().state() | {"pml": [list(log) for log in self.logs]}
