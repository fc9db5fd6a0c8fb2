"""One address resolved down the road of a machine, reference by reference, as the hardware would now: nothing is changed.

The engine itself makes the walk (core/one_walk.py), on a copy of the machine, and here its record of it is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import x86
from pagingviz.arch.words import NONE, U
from pagingviz.core.one_walk import one_walk
from pagingviz.machine.event_record import EVENT_DTYPE
from pagingviz.machine.machine import Machine
from pagingviz.reading import shadows

KINDS = ("fetch", "read", "write")  # by x86.FETCH, READ, WRITE
_DIMENSIONS = ("guest", "nested", "shadow")  # by ev.REF_*
_LEADS = ("table", "leaf", "hole", "bad")
_EXITS = {
    int(x86.X_NPF): "NPF",
    int(x86.X_VIOLATION): "EPT violation",
    int(x86.X_MISCONFIG): "EPT misconfiguration",
    int(x86.X_PML_FULL): "page-modification log full",
}
_NONE = int(NONE)


@dataclass(frozen=True)
class Reference:
    """One read of a table entry. Frames and addresses are the host's, but for `gfn`, the guest's own number of a guest table.

    dimension: guest, nested or shadow; column: level of the guest table that it is made for, 0 for the data; leads: what the
    entry yields: table, leaf, hole (not present), bad (reserved bits, or misconfigured); served: a cache would answer it.
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

    kind: x86.FETCH, READ or WRITE; user: 1 at CPL 3; size: level of the guest's leaf (shadow: 1), 0 for none; register:
    PAE's PDPTE, which comes from a register, or None; guest: what the guest's own walk says when a shadow exits, an End.
    """

    machine: Machine = field(repr=False)
    gva: int = 0
    kind: int = 1
    user: int = 1
    vcpu: int = 0
    references: tuple[Reference, ...] = ()
    end: End = End("frame")
    rights: int = 0
    size: int = 0
    register: int | None = None
    guest: End | None = None

    @property
    def cached(self) -> int:
        """References that a cache would answer."""
        return sum(ref.served for ref in self.references)


def translate(machine: Machine, vcpu: int, gva: int, kind: int, user: int) -> Walk:
    """The Walk of an access of `kind` (x86.FETCH ..) at address `gva` by CPL 3 (user 1) or 0 on a vCPU of `machine`."""
    sys, cpu, arena = _copy(machine)
    code = one_walk(sys, cpu, arena, U(vcpu), U(gva), U(kind), U(user))
    s, c = sys[0], cpu[vcpu]
    shadow, reached = shadows.in_use(machine), not code
    rows = _events(sys, arena)
    what = rows["level"]
    first_time = what & ev.REF_UPDATE == 0
    own = what >> ev.REF_DIMENSION & U(3) == (ev.REF_SHADOW if shadow else ev.REF_GUEST)
    nested = what >> ev.REF_DIMENSION & U(3) == ev.REF_NESTED
    width = 4 if c.levels == 2 and not shadow else 8
    references = tuple(
        _reference(number, row, width) for number, row in enumerate(rows[first_time & (own | nested)].tolist(), start=1)
    )
    guest = None
    if code == x86.GP:
        end = End("gp", "#GP")
    elif reached:
        end = End("frame", gfn=int(c.w_leaf), frame=int(c.n_frame), at=len(references))
    elif code != x86.VM_EXIT:
        end = End("fault", "#PF", int(code) & 0xFFF, at=len(references))
    elif shadow:
        end = End("exit", "shadow page fault", int(c.hw_err), at=len(references))
        guest = _guests(machine, c, len(rows) - len(references))
    else:
        end = _nested_exit(c, references, bool(len(rows)) and not first_time[-1])
    from_register = c.levels == 3 and not s.npt and bool(s.cr & x86.CR_PG) and (not shadow or guest is not None)
    return Walk(
        machine,
        int(gva),
        int(kind),
        int(user),
        vcpu,
        references,
        end,
        int(c.tlb_rights) if reached else 0,
        (1 if shadow else int(c.w_size)) if reached else 0,
        int(c.w_ent[2]) if from_register else None,
        guest,
    )


def _copy(machine: Machine) -> tuple[np.recarray, np.recarray, np.ndarray]:
    """(sys, cpu, arena) of the machine for a kernel to change: all that is state, and after it an empty record of events.

    A walk may change entries, versions, logs and caches. All state is copied, a megabyte or two, which takes a fraction of a
    millisecond; but not the pages of the pool that were never in use, of a large guest by far the most, nor scratch regions.
    """
    used = machine.used
    arena = np.empty(used + int(ev.RING * ev.RING_WORDS), np.uint64)
    arena[:used] = machine.mem[:used]
    sys = machine.sys.copy()
    s = sys[0]
    s.o_ring, s.pool_cap = used, min(int(s.pool_cap), int(s.pool_used))
    s.ev_n = s.ev_tick = s.ev_stop = 0
    return sys, machine.cpu.copy(), arena


def _events(sys: np.recarray, arena: np.ndarray) -> np.ndarray:
    """The events REFERENCE of a copy in order, EVENT_DTYPE[n]."""
    first, words = int(sys[0].o_ring), int(ev.RING_WORDS)
    rows = arena[first : first + int(sys[0].ev_n) * words].view(EVENT_DTYPE)
    return rows[rows["kind"] == ev.REFERENCE]


def _reference(number: int, row: tuple[int, ...], width: int) -> Reference:
    """One event REFERENCE, decoded. width: bytes of a guest's entry."""
    _, _, _, _, gfn, frame, what, entry = row
    dimension, index = what >> int(ev.REF_DIMENSION) & 3, what >> int(ev.REF_INDEX) & 0xFFF
    return Reference(
        number,
        _DIMENSIONS[dimension],
        what & int(ev.REF_LEVEL),
        what >> int(ev.REF_COLUMN) & int(ev.REF_LEVEL),
        gfn,
        frame,
        index,
        (frame << 12) + index * (width if dimension == ev.REF_GUEST else 8),
        entry,
        _LEADS[what >> int(ev.REF_LEADS) & 3],
        bool(what & int(ev.REF_SERVED)),
    )


def _nested_exit(c: np.record, references: tuple[Reference, ...], update: bool) -> End:
    """The exit that is described in c.x_*. update: it came when A or D was to be set, so it belongs to the guest's entry."""
    at = len(references)
    if update:
        at = next(ref.number for ref in references if ref.dimension == "guest" and ref.column == c.n_column)
    gpa = int(c.x_gpa)
    code = 0 if c.x_kind == x86.X_PML_FULL else int(c.x_info)
    return End("exit", _EXITS[int(c.x_kind)], code, gfn=gpa >> 12, gpa=gpa, at=at, update=update)


def _guests(machine: Machine, c: np.record, references: int) -> End:
    """What the guest's own tables say of an access at which a shadow exits, after so many references of their own."""
    if c.w_err:
        return End("fault", "#PF", int(c.w_err) & 0xFFF, at=references)
    gfn = int(c.w_leaf)
    frame = int(machine.view("p2m")[gfn]) if gfn < machine.scenario.frames else gfn
    return End("frame", gfn=gfn, frame=frame, at=references)
