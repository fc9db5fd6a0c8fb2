"""EPT with page-modification logging (SDM vol. 3, 29.3.6): while log-dirty is on the processor sets A and D, reads of guest
tables count as stores, and each D that it sets is written down, 512 at a time."""

from .ept import EptExit
from .hap import Hap

SLOTS = 512


class HapPml(Hap):
    """Where the page-modification log makes a difference. logs: of each vCPU the guest frames logged, oldest first."""

    def __init__(self, model):
        super().__init__(model)
        self.logs = [[] for _ in range(model.config.vcpus)]

    @property
    def reads_of_tables_write(self):
        return self.logging

    def translate(self, gfn, write, fetch=False):
        """As with EPT; a store then sets D of the leaf, which is logged, or exits because the log is full."""
        mfn, writable, executable = super().translate(gfn, write, fetch)
        if not self.logging:
            return mfn, writable, executable
        leaf = self.leaf_of(gfn)
        if write and not leaf.d:
            log = self.logs[self.m.vcpus.index(self.m.cpu)]
            if len(log) == SLOTS:
                raise EptExit("pml_full", gfn)
            log.append(gfn)
            self.m.event("PML_LOG", gfn=gfn)
            leaf.d = 1
        return mfn, writable and leaf.d, executable

    def handle(self, exit_):
        if exit_.reason != "pml_full":
            return super().handle(exit_)
        self.m.count("pml_full")
        self.flush_log(self.logs[self.m.vcpus.index(self.m.cpu)])

    def flush_log(self, log):
        """Newest first: its pages are marked, and may be written freely from now on."""
        changed = False
        for gfn in reversed(log):
            changed |= self.make_writable(gfn)
            self.m.log.mark(gfn, "log")
        if changed:
            self.invept()
        log.clear()

    def flush_logs(self):
        """All logs, before the bitmap is read and when logging ends."""
        for log in self.logs:
            self.flush_log(log)

    def start_logging(self):
        """vmx_domain_enable_pml: a page of the pool for each vCPU, or for none of them."""
        n = len(self.logs)
        taken, self.free = self.free[:n], self.free[n:]
        self.logging = len(taken) == n
        if not self.logging:
            self.free += taken
            return False
        self.log_pages = taken
        return True

    def stop_logging(self):
        """vmx_domain_disable_pml: flushed, and the pages go back."""
        was, self.logging = self.logging, False
        if was:
            self.flush_logs()
            self.free += self.log_pages
            self.log_pages = []
        return was

    def state(self):
        return super().state() | {"pml": [list(log) for log in self.logs]}
