"""A guest given entry by entry, run one operation at a time, with names for what a test reads of it."""

from collections import Counter

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import operation, words, x86, xen
from pagingviz.core.audit import audit
from pagingviz.core.audit.rules import rule_of
from pagingviz.core.build.jit import PLAIN
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from pagingviz.work.raw_guest import RawWork

P, W, U, A, D, PSE, NX = (int(bit) for bit in (x86.P, x86.RW, x86.US, x86.A, x86.D, x86.PSE, x86.NX))
LINK = P | W | U | A  # a table's entry in the table above it
PAGE = P | W | U | A | D
KERNEL = P | W | A | D
FULL = 0x1FF  # every SHOPT
DIRECT = {4: 0xFFFF_8800_0000_0000, 3: 0xC000_0000, 2: 0xC000_0000}
BASE = 0x4000_0000  # of the user's pages: the first entry of its L1 table (and of the L2 table above it)
FRAME = 1 << 12
NONE = int(words.NONE)
ROWS, NOBODY = 4096, 255  # rows not yet written are no vCPU's: a PAE guest's emulator looks ahead
POOL_TYPES = range(1, 13)


class Tables:
    """Guest tables in frames 1, 2, ... of a guest with 4, 3 or 2 levels. `words`: {frame: {index: entry}}."""

    def __init__(self, levels=4):
        self.levels, self.words, self._next = levels, {}, 1
        self.bits = 10 if levels == 2 else 9

    def new(self):
        """An empty table."""
        frame, self._next = self._next, self._next + 1
        self.words[frame] = {}
        return frame

    def index(self, va, level):
        """Entry that `va` selects at `level`."""
        i = va >> 12 + self.bits * (level - 1) & (1 << self.bits) - 1
        return i & 3 if self.levels == level == 3 else i

    def link(self, root, va, level, flags=LINK):
        """The table of `level` on the way of `va`; missing ones are made."""
        tab = root
        for upper in range(self.levels, level, -1):
            i = self.index(va, upper)
            if i not in self.words[tab]:
                self.words[tab][i] = self.new() << 12 | (P if self.levels == upper == 3 else flags)
            tab = self.words[tab][i] >> 12 & 0xFFFFF
        return tab

    def map(self, root, va, gfn, flags=PAGE, level=1, link=LINK):
        """One leaf entry: 4 KiB at level 1, a superpage at level 2 (flags then need PSE)."""
        self.words[self.link(root, va, level, link)][self.index(va, level)] = gfn << 12 | flags

    def direct(self, root, frames):
        """The kernel's direct map of the first `frames` frames."""
        for gfn in range(frames):
            self.map(root, DIRECT[self.levels] + gfn * FRAME, gfn, KERNEL, link=P | W | A)

    def protect(self):
        """Take RW from every leaf that maps a table: what a PV guest must have done before its tables are validated."""
        for entries in self.words.values():
            for i, entry in entries.items():
                if entry >> 12 & 0xFFFFF in self.words and entry & D:
                    entries[i] = entry & ~W


class Raw:
    """A guest of `frames` frames, of which the first `zone` have contents. Every operation is one tick and is audited.

    Without `tables`: root 1 with `pages` user pages from BASE, leaf flags `flags`, at frames zone, zone+1, ...
    """

    def __init__(
        self, levels=4, road="shadow", frames=128, zone=48, pool=64, tables=None, cr3=1, pages=8, flags=PAGE, cr=None, **fields
    ):
        self.levels, self.size = levels, 4 if levels == 2 else 8
        if tables is None:
            tables = Tables(levels)
            tables.new()
            tables.direct(1, frames)
            for k in range(pages):
                tables.map(1, BASE + k * FRAME, zone + k, flags)
        if road == "pv":
            tables.protect()
        self.tables = tables
        more = {} if cr is None else {"cr": cr}
        work = RawWork(
            levels=levels,
            zone=zone,
            frames=frames,
            cr3=cr3,
            tables=tables.words,
            program=[(operation.RAW_NOP, 0, 0, 0, 0, NOBODY)] * ROWS,
            **more,
        )
        quiet = {
            "trace": "",
            "work": "idle",
            "order": "",
            "do": "",
            "clean_every": 0,
            "direct_map": f"{DIRECT[4]:#x}",
            "pml": 0,
        }
        scenario = load("blackboard").replace(**quiet | {"road": road, "frames": frames, "pool": pool} | fields)
        self.sim = Simulation(scenario, work=work)
        self.m, self.s, self.view = self.sim.machine, self.sim.machine.sys[0], self.sim.machine.view
        self.audited = not PLAIN

    # ---- one operation; each returns a Counter of the counters that it changed

    def _op(self, code, va=0, value=0, size=0, user=0, vcpu=0):
        head = int(code) | vcpu << 8 | user << 16 | size << 24
        self.view("prog").reshape(-1, 3)[self.sim.tick] = head, va, value
        return self._moved(lambda: self.sim.run(1))

    def _moved(self, act):
        before = self.m.counters()
        act()
        if self.audited:
            self.check()
        return Counter({name: n - before[name] for name, n in self.m.counters().items() if n != before[name]})

    def check(self):
        """The audit finds nothing, and the domain lives."""
        assert not self.s.crashed, "the domain has crashed"
        rule = rule_of(audit(self.m.sys, self.m.cpu, self.m.mem)).sentence
        assert rule == "", rule

    def fetch(self, va, user=1, vcpu=0):
        return self._op(operation.RAW_FETCH, va, user=user, vcpu=vcpu)

    def read(self, va, user=1, vcpu=0):
        return self._op(operation.RAW_READ, va, user=user, vcpu=vcpu)

    def write(self, va, user=1, vcpu=0):
        return self._op(operation.RAW_WRITE, va, user=user, vcpu=vcpu)

    def store(self, tab, i, value, vcpu=0):
        """The guest's kernel stores one entry of a table through its direct map."""
        return self._op(operation.RAW_STORE, DIRECT[self.levels] + tab * FRAME + i * self.size, value, self.size, vcpu=vcpu)

    def cr3(self, root, vcpu=0):
        return self._op(operation.RAW_CR3, value=root, vcpu=vcpu)

    def invlpg(self, va, vcpu=0):
        return self._op(operation.RAW_INVLPG, va, vcpu=vcpu)

    def xen_write(self, va, vcpu=0):
        return self._op(operation.RAW_XEN_WRITE, va, vcpu=vcpu)

    # ---- hypercalls of a PV guest, given with its own frame numbers

    def mfn(self, entry):
        """An entry with the machine frame of the guest frame in it."""
        return entry & ~int(x86.FRAME_MASK) | int(self.view("p2m")[entry >> 12 & 0xFFFFF]) << 12

    def update_va(self, va, entry):
        return self._op(operation.RAW_UPDATE_VA, va, self.mfn(entry), 1)

    def mmu_update(self, tab, i, entry):
        return self._op(operation.RAW_MMU_UPDATE, tab << 12 | i << 3, self.mfn(entry))

    def pin(self, tab, level):
        return self._op(operation.RAW_PIN, tab << 12, level)

    def unpin(self, tab):
        return self._op(operation.RAW_UNPIN, tab << 12)

    # ---- another domain, with a writable mapping of a frame

    def grant_write(self, gfn):
        return self._op(operation.RAW_GRANT_WRITE, value=gfn)

    def grant_unmap(self, gfn):
        return self._op(operation.RAW_GRANT_UNMAP, value=gfn)

    def roots(self):
        """Pool pages of all loaded roots."""
        return {int(page) for page in self.s.root if page != words.NONE}

    def do(self, command):
        """A command of the journal."""
        return self._moved(lambda: self.sim.command(command))

    # ---- the guest

    def entry(self, tab, i):
        """Entry `i` of a guest table."""
        table = self.view("tables").reshape(-1, 512)[tab]
        if self.levels == 2:
            return int(table[i >> 1]) >> 32 * (i & 1) & 0xFFFFFFFF
        return int(table[i])

    def table(self, va, level=1, root=None):
        """Frame of the guest table of `level` on the way of `va`."""
        tab = int(self.s.cr3[0]) if root is None else root
        for upper in range(self.levels, level, -1):
            tab = self.frame(self.entry(tab, self.tables.index(va, upper)))
        return tab

    def frame(self, entry):
        """Guest frame in a guest entry."""
        return self.gfn(entry >> 12 & 0xFFFFF) if self.m.scenario.road == "pv" else entry >> 12 & 0xFFFFF

    def leaf(self, va, level=1):
        """The guest's own entry of `level` for `va`."""
        return self.entry(self.table(va, level), self.tables.index(va, level))

    # ---- the shadows

    def top(self, va=0, vcpu=0):
        """Pool page of the loaded root (of a PAE guest: of the L2 for `va`), or None."""
        page = int(self.s.root[vcpu * 4 + (va >> 30 & 3 if self.levels == 3 else 0)])
        return None if page == NONE else page

    def sl(self, va, level=1, vcpu=0):
        """The shadow entry of `level` that the hardware meets for `va`; 0 when the way ends above it."""
        page, shadow_levels = self.top(va, vcpu), 4 if self.levels == 4 else 3
        if page is None:
            return 0
        if self.levels == 2:  # the four pages of an l2_32, one for each GiB
            for _ in range(va >> 30 & 3):
                page = int(self.view("pmore")[page])
        for step in range(4 if shadow_levels == 4 else 2, 0, -1):
            e = int(self.view("pool")[page * 512 + (va >> 12 + 9 * (step - 1) & 511)])
            if step == level or not e & P:
                return e if step == level else 0
            page = e >> 12 & 0xFFFFF
        return 0

    def live(self):
        """{type: number} of live shadows, heads only."""
        kinds = self.view("ptype").tolist()
        return {k: n for k, n in sorted(Counter(kinds).items()) if k in POOL_TYPES}

    def shadow(self, gfn, kind):
        """Pool page of the shadow of guest frame `gfn` as type `kind`, or None."""
        key = gfn if int(kind) in (2, 5, 8) else int(self.view("p2m")[gfn])
        found = np.flatnonzero((self.view("ptype") == kind) & (self.view("pkey") == key))
        return int(found[0]) if found.size else None

    def words(self, page):
        """The 512 entries of a pool page."""
        return self.view("pool").reshape(-1, 512)[page]

    def typecount(self, gfn):
        return int(self.view("info")[gfn] & xen.TYPECOUNT)

    def is_oos(self, gfn):
        return bool(self.view("info")[gfn] & xen.OOS)

    def oos(self, vcpu=0):
        """Guest frames out of sync in that vCPU's table."""
        return {int(self.gfn(mfn)) for mfn in self.s.oos[vcpu * 3 : vcpu * 3 + 3] if mfn != words.NONE}

    def gfn(self, mfn):
        """Guest frame in a machine frame."""
        return int(self.view("m2p")[int(mfn) - int(xen.RAM_BASE)])

    def pinned(self):
        """[(type, guest frame)] of the pinned list, head first."""
        out, page = [], int(self.s.pin_head)
        while page != NONE:
            out.append((int(self.view("ptype")[page]), self.gfn(self.view("pkey")[page])))
            page = int(self.view("pnext")[page])
        return out

    def dirty(self):
        """Frames whose log-dirty bit is set."""
        return set(np.flatnonzero(self.m.dirty_bits()).tolist())

    def events(self, *kinds):
        """Rows of the last tick's events of these kinds, in order."""
        rows = self.sim.events()
        return rows[np.isin(rows["kind"], [ev.CODES[kind] for kind in kinds])] if kinds else rows
