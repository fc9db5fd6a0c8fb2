"""One address resolved down the road of a machine, reference by reference, as the hardware would now: nothing is changed.

The rules are the kernels' own (core/walk/page_walk.py, core/nested/walk.py); it is only written
down here what they read. What a walk would set on its way (A and D, the page-modification log) is kept beside the machine,
since it decides how the walk goes on.
"""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ZERO, U
from pagingviz.core.build.jit import from_python
from pagingviz.core.nested import walk as nested_kernels
from pagingviz.core.shadow import writeable
from pagingviz.core.walk import page_walk as walk_kernels
from pagingviz.reading.caches import saved
from pagingviz.scenario.frames import machine_frames

KINDS = ("fetch", "read", "write")  # by x86.FETCH, READ, WRITE
_U = U
walk, nested = (
    SimpleNamespace(**{name: from_python(getattr(module, name)) for name in names})
    for module, names in (
        (
            walk_kernels,
            ("begin", "canonical", "error_code", "frame", "identity", "index", "judge", "needs_ad", "step", "tlb_rights"),
        ),
        (nested_kernels, ("_exit", "_is_leaf", "_malformed", "_rights")),
    )
)
loaded_l2 = from_python(writeable.loaded_l2)
_P, _RWX, _INDEX = int(x86.P), int(x86.EPT_RWX), 511
_NONE, _NO_RIGHTS = int(NONE), _U(0)


@dataclass(frozen=True)
class Reference:
    """One read of a table entry. Frames and addresses are the host's, but for `gfn`, the guest's own number of a guest table.

    dimension: guest, nested or shadow; column: level of the guest table that it is made for, 0 for the data; leads: what the
    entry yields: table, leaf, hole (not present), bad (reserved bits, or misconfigured) ; served: a cache would answer it.
    """

    number: int
    dimension: str
    level: int
    column: int
    gfn: int
    frame: int
    index: int
    address: int
    entry: int
    leads: str
    served: bool = False


@dataclass(frozen=True)
class End:
    """How a walk ends. kind: frame, fault (#PF, `code` its error code), gp, or exit: `name` says which.

    code: of an exit its qualification, EXITINFO1 or (shadow) the error code of the #PF; gfn, frame: guest's and host's frame
    reached, or (exit) those met; gpa: guest-physical address of an exit; at: the reference that decided, 0 for none;
    update: the exit came from setting A or D in that entry.
    """

    kind: str
    name: str = ""
    code: int = 0
    gfn: int = _NONE
    frame: int = _NONE
    gpa: int = 0
    at: int = 0
    update: bool = False


@dataclass(frozen=True)
class Walk:
    """references in order; end; rights: TLB_* bits of what the TLB would hold, 0 unless it ends in a frame.

    kind: x86.FETCH, READ or WRITE; user: 1 at CPL 3; size: level of the guest's leaf (shadow: 1), 0 for none; registers:
    PAE's PDPTE that came from a register, or None; guest: what the guest's own walk says when a shadow exits, an End.
    """

    machine: object = field(repr=False)
    gva: int = 0
    kind: int = 1
    user: int = 1
    vcpu: int = 0
    references: tuple = ()
    end: End = End("frame")
    rights: int = 0
    size: int = 0
    register: int | None = None
    guest: End | None = None

    @property
    def cached(self):
        """References that a cache would answer."""
        return sum(ref.served for ref in self.references)


def translate(machine, vcpu, gva, kind, user):
    """The Walk of an access of `kind` (x86.FETCH ..) at address `gva` by CPL 3 (user 1) or 0 on a vCPU of `machine`."""
    w = _Walker(machine, vcpu, int(gva), int(kind), int(user))
    end = w.shadow() if shadowing(machine) else w.hap() if machine.scenario.road == "hap" else w.flat()
    bits = 10 if machine.cpu[vcpu].levels == 2 and not shadowing(machine) else 9
    without = saved(machine, vcpu, gva, w.references, bits)
    references = tuple(replace(ref, served=ref.number in without) for ref in w.references)
    size = 1 if w.rights and shadowing(machine) else int(w.c.w_size) if end.kind == "frame" else 0
    return Walk(
        machine,
        int(gva),
        int(kind),
        int(user),
        vcpu,
        references,
        end,
        w.rights if end.kind == "frame" else 0,
        size,
        w.register,
        w.guest,
    )


def shadowing(machine):
    """Whether the hardware walks shadows now: an HVM guest's on that road, a PV guest's while log-dirty is on."""
    return machine.scenario.road == "shadow" or (machine.scenario.road == "pv" and bool(machine.sys[0].log_dirty))


class _Walker:
    """One walk. `c` is a copy of the vCPU's record: kernels keep the path there."""

    def __init__(self, machine, vcpu, gva, kind, user):
        self.m, self.gva, self.kind, self.user, self.vcpu = machine, gva, kind, user, vcpu
        self.s, self.a, self.c = machine.sys[0], machine.mem, machine.cpu[vcpu].copy()
        self.references, self.rights, self.register, self.guest = [], 0, None, None
        self._dirty, self._slot, self._store = {}, int(self.s.pml_index[vcpu]), False
        self._enter()

    def _enter(self):
        """A PV guest's kernel and its user mode have a root each (core/pv/updates.py: enter)."""
        s, v = self.s, self.vcpu
        if not s.pv or s.uroot[v] == NONE:
            return
        root = s.uroot[v] if self.user else s.kroot[v]
        if s.cr3[v] == root:
            return
        self.s = s = s.copy()
        s.cr3[v] = root
        page = (self.m.view("ptype") == xen.SH_L4) & (self.m.view("pkey") == self.m.view("p2m")[int(root)])
        s.root[v * 4] = _U(page.argmax()) if page.any() else NONE

    # ---- the guest's own tables

    def flat(self):
        """Bare and PV: the hardware walks the guest's tables as they are."""
        found = self._tables(lambda gpa, column: self._host(gpa >> 12))
        if found is not None:
            return found
        frame = int(self.c.w_leaf)
        self._keep(self.c.w_rights, self._leaf(), self.c.w_size, self.s.cr)
        return End("frame", gfn=frame, frame=self._host(frame), at=len(self.references))

    def _tables(self, reach):
        """The guest's walk; `reach(gpa, column)` gives the host's frame of a table, or None when that exits. An End, or None.

        None: c.w_leaf is the guest's frame, and the access is allowed.
        """
        s, c, a, gva = self.s, self.c, self.a, _U(self.gva)
        if not walk.canonical(gva):
            return End("gp", "#GP")
        if not s.cr & x86.CR_PG:
            walk.identity(s, c, gva)
        else:
            level = walk.begin(s, c, gva)
            if c.levels == 3:
                self.register = int(c.w_ent[2])
            while level:
                table, i = int(c.w_next), int(walk.index(c.levels, gva, _U(level)))
                offset = i << (2 if c.levels == 2 else 3)
                frame = reach((table << 12) + offset, level)
                if frame is None:
                    return self.end
                below = walk.step(s, c, a, gva, _U(level))
                leads = "table" if below else "leaf" if c.w_size else "bad" if c.w_rsvd else "hole"
                self._note("guest", level, level, table, frame, i, (frame << 12) + offset, c.w_ent[level - 1], leads)
                level = below
        err = int(walk.judge(s, c, _U(self.kind), _U(self.user)))
        return End("fault", "#PF", err & 0xFFF, at=len(self.references)) if err else None

    def _leaf(self):
        """The guest's leaf entry as the access leaves it."""
        e = int(self.c.w_ent[int(self.c.w_size) - 1]) | int(x86.A)
        return e | int(x86.D) if self.kind == x86.WRITE else e

    def _keep(self, have, leaf, size, cr):
        """What the TLB would hold."""
        self.rights = int(walk.tlb_rights(_U(have), _U(leaf), _U(size), _U(cr)))

    def _host(self, gfn):
        """Host frame of a guest frame; beyond the guest's memory the number itself."""
        return int(machine_frames(self.m.scenario, _U(gfn))) if gfn < self.m.scenario.frames else gfn

    def _note(self, *what):
        number, (dimension, level, column, gfn, frame, index, address, entry, leads) = len(self.references) + 1, what
        self.references.append(
            Reference(
                number, dimension, int(level), int(column), int(gfn), int(frame), int(index), int(address), int(entry), leads
            )
        )

    # ---- two dimensions

    def hap(self):
        """EPT and NPT: the guest's tables, each reached through the nested ones; then A and D; then the data."""
        c = self.c
        found = self._tables(lambda gpa, column: self._nested(gpa, int(x86.READ), False, column))
        if found is not None:
            return found
        level = int(c.levels)
        while level >= c.w_size:
            if walk.needs_ad(c, _U(level), _U(self.kind)):
                table = int(self.s.cr3[self.vcpu]) if level == c.levels else int(walk.frame(c.w_ent[level]))
                offset = int(walk.index(c.levels, _U(self.gva), _U(level))) << (2 if c.levels == 2 else 3)
                if self._nested((table << 12) + offset, int(x86.WRITE), False, level, again=True) is None:
                    return self.end
            level -= 1
        gfn = int(c.w_leaf)
        frame = self._nested(gfn << 12 | self.gva & 0xFFF, self.kind, True, 0)
        if frame is None:
            return self.end
        self._keep(c.w_rights, self._leaf() if self.s.cr & x86.CR_PG else c.w_ent[1], c.w_size, self.s.cr)
        if not self._store:
            self.rights &= ~int(x86.TLB_W | x86.TLB_KW)
        return End("frame", gfn=gfn, frame=frame, at=len(self.references))

    def _nested(self, gpa, kind, final, column, again=False):
        """core/nested.py: reach. The host's frame, or None with self.end. `again`: to set A or D, so the way is known."""
        s, gfn = self.s, gpa >> 12
        if gfn >= int(s.frames):
            self._store = True
            return gfn
        logs = bool(s.npt or s.ept_ad)
        if final:
            need = (x86.EPT_X, x86.EPT_R, x86.EPT_W)[kind]
        else:
            need = x86.EPT_R | x86.EPT_W if kind == x86.WRITE or logs else x86.EPT_R
        page, level, rights = int(s.hap_root), 4, _RWX
        while True:
            i = gfn >> 9 * (level - 1) & _INDEX
            at = int(s.o_pool) + page * 512 + i
            e = (int(self.a[at]) if page < s.pool_cap else 0) | self._dirty.get(at, 0)
            absent = not e & (_P if s.npt else _RWX)
            bad = not absent and bool(nested._malformed(s, _U(e), _U(level)))
            leaf = bool(nested._is_leaf(_U(level), _U(e)))
            if not again:
                leads = "hole" if absent else "bad" if bad else "leaf" if leaf else "table"
                self._note("nested", level, column, gfn, page, i, (page << 12) + i * 8, e, leads)
            if absent or bad:
                return self._exit(gpa, kind, need, final, bad, bad, _NO_RIGHTS, column, again)
            rights &= int(nested._rights(s, _U(e)))
            if leaf:
                break
            page, level = int(walk.frame(_U(e))), level - 1
        if int(need) & ~rights:
            return self._exit(gpa, kind, need, final, True, False, _U(rights), column, again)
        dirty = int(x86.D if s.npt else x86.EPT_D)
        if logs and need & x86.EPT_W and not e & dirty:
            if s.pml and self._slot >= x86.PML_ENTRIES:
                self.end = End("exit", "page-modification log full", gfn=gfn, gpa=gpa, at=self._at(column, again), update=again)
                return None
            self._slot = (self._slot - 1) % 2**64 if s.pml else self._slot
            self._dirty[at] = dirty
            e |= dirty
        self._store = bool(rights & int(x86.EPT_W)) and (not logs or bool(e & dirty))
        within = (1 << 9 * (level - 1)) - 1
        return int(walk.frame(_U(e))) & ~within | gfn & within

    def _at(self, column, again):
        """The reference that an exit belongs to: of an update the guest's entry that is written."""
        if not again:
            return len(self.references)
        return next(ref.number for ref in self.references if ref.dimension == "guest" and ref.column == column)

    def _exit(self, gpa, kind, need, final, present, malformed, rights, column, again):
        c = self.c
        nested._exit(self.s, c, _U(gpa), _U(kind), need, _U(final), present, malformed, rights)
        name = {int(x86.X_NPF): "NPF", int(x86.X_VIOLATION): "EPT violation", int(x86.X_MISCONFIG): "EPT misconfiguration"}
        self.end = End(
            "exit", name[int(c.x_kind)], int(c.x_info), gfn=gpa >> 12, gpa=gpa, at=self._at(column, again), update=again
        )
        return None

    # ---- shadows

    def shadow(self):
        """The hardware's walk of the loaded shadow (core/shadow/faults.py: hardware_walk)."""
        s, c, gva = self.s, self.c, _U(self.gva)
        if not walk.canonical(gva):
            return End("gp", "#GP")
        code = {int(x86.WRITE): x86.PF_W, int(x86.FETCH): x86.PF_I}.get(self.kind, ZERO) | (x86.PF_U if self.user else ZERO)
        level, have = (4 if c.levels == 4 else 2), x86.RW | x86.US
        page = s.root[self.vcpu * 4] if c.levels == 4 else _U(loaded_l2(s, c, self.a, gva))
        while level:
            if page == NONE:
                return self._shadow_exit(code)
            i = int(walk.index(_U(4), gva, _U(level)))
            e = self.a[int(s.o_pool) + int(page) * 512 + i]
            leads = "hole" if not e & x86.P else "leaf" if level == 1 else "table"
            self._note("shadow", level, level, self._stands_for(int(page)), page, i, (int(page) << 12) + i * 8, e, leads)
            if not e & x86.P:
                return self._shadow_exit(code)
            have = (have & (e | x86.NX)) | (e & x86.NX)
            page = _U(walk.frame(e))
            level -= 1
        cr = s.cr | x86.CR_WP if s.cr & x86.CR_PG else x86.CR_WP
        if walk.error_code(have, ZERO, ZERO, _U(self.kind), _U(self.user), cr, _U(4)):
            return self._shadow_exit(code | x86.PF_P)
        if self.kind == x86.WRITE:
            e |= x86.D
        self._keep(have, e, 1, s.cr | x86.CR_WP)
        mfn = int(walk.frame(e))
        return End("frame", gfn=self._guests(mfn), frame=mfn, at=len(self.references))

    def _shadow_exit(self, code):
        """The exit, and what sh_page_fault would find in the guest's own tables (self.guest)."""
        at, shown = len(self.references), self.references
        self.references = []
        self.guest = self._tables(lambda gpa, column: self._host(gpa >> 12))
        if self.guest is None:
            gfn = int(self.c.w_leaf)
            self.guest = End("frame", gfn=gfn, frame=self._host(gfn), at=len(self.references))
        self.references = shown
        return End("exit", "shadow page fault", int(code), at=at)

    def _guests(self, mfn):
        """Guest frame in a host frame, or NONE."""
        at = mfn - int(xen.RAM_BASE)
        return int(self.m.view("m2p")[at]) if 0 <= at < self.m.scenario.frames else _NONE

    def _stands_for(self, page):
        """Guest table that a shadow page stands for: of several pages the head knows; of an fl1 the superpage's first frame."""
        kind, key = self.m.view("ptype"), self.m.view("pkey")
        head = int(key[page]) if kind[page] == xen.SH_MORE else page
        return int(key[head]) if int(kind[head]) in xen.FL1_OF else self._guests(int(key[head]))
