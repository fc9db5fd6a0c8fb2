"""NPT as the hypervisor keeps it: ordinary long-mode entries, lazy global log-dirty by taking US and A from the root's entries.

Source: Xen mm/p2m-pt.c (p2m_type_to_flags, p2m_pt_change_entry_type_global, do_recalc, p2m_next_level), mm/p2m.c
(p2m_change_type_one). Unlike EPT, a pending change is carried out for the one leaf that was touched. The hardware's walk is in
nested.py. Left out: p2m types other than ram_rw and ram_logdirty.
"""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import ONE, TWO, ZERO, U
from pagingviz.core.build.jit import jit
from pagingviz.core.nested.split import enough, first_frame, level_of, table_of, told
from pagingviz.core.shadow.pool import entry_at
from pagingviz.core.walk.page_walk import frame

_INDEX = U(511)


@jit
def leaf_flags(kind):
    """Flags of a leaf of p2m type `kind` (p2m_type_to_flags): ram_rw may be written, ram_logdirty not."""
    return x86.P | x86.US | x86.A | x86.D | (kind << x86.EPT_TYPE_SHIFT) | (x86.RW if kind == xen.P2M_RAM_RW else ZERO)


@jit
def kind_of(e):
    """p2m type of a leaf (p2m_flags_to_type)."""
    return (e & x86.EPT_TYPE_MASK) >> x86.EPT_TYPE_SHIFT


@jit
def pending(e):
    """Whether a change waits in this entry (needs_recalc): present without US."""
    return (e & (x86.P | x86.US)) == x86.P


@jit
def postpone(s, a, page):
    """set_recalc in every present entry of one table that has none. Returns how many."""
    n = ZERO
    o = entry_at(s, page, ZERO)
    for i in range(o, o + x86.ENTRIES):
        if a[i] & x86.P and not pending(a[i]):
            a[i] &= ~x86.NPT_RECALC
            n += ONE
    return n


@jit
def recalculated(s, e):
    """The leaf with its type computed anew (p2m_recalc_type) when a change is pending, else as it is."""
    if not pending(e):
        return e
    kind = xen.P2M_RAM_LOGDIRTY if s.log_dirty != ZERO else xen.P2M_RAM_RW
    return e | x86.NPT_RECALC if kind == kind_of(e) else (e & (x86.FRAME_MASK | x86.PSE)) | leaf_flags(kind)


@jit
def place(s, a, gfn):
    """Arena index of the leaf of `gfn`: at level 1 or, for a superpage, level 2 or 3."""
    page, shift = s.hap_root, U(27)
    while True:
        at = entry_at(s, page, (gfn >> shift) & _INDEX)
        if shift == ZERO or (a[at] & x86.PSE) != ZERO or (a[at] & x86.P) == ZERO:
            return at
        page = frame(a[at])
        shift -= x86.ENTRY_BITS


@jit
def do_recalc(s, a, gfn):
    """do_recalc: push pending changes down the path of `gfn`, carry out that of its leaf. Returns how many entries changed."""
    n, page, shift = ZERO, s.hap_root, U(27)
    while shift != ZERO:
        at = entry_at(s, page, (gfn >> shift) & _INDEX)
        e = a[at]
        if (e & x86.P) == ZERO:
            return n
        if e & x86.PSE:
            break
        page = frame(e)
        if pending(e):
            n += postpone(s, a, page) + ONE
            a[at] = e | x86.NPT_RECALC
        shift -= x86.ENTRY_BITS
    at = entry_at(s, page, (gfn >> shift) & _INDEX)
    if pending(a[at]):
        a[at] = recalculated(s, a[at])
        n += ONE
    return n


@jit
def change_type_one(s, c, a, gfn):
    """p2m_change_type_one(ram_logdirty -> ram_rw), 4 KiB order. Returns whether the type changed (-EBUSY otherwise)."""
    do_recalc(s, a, gfn)
    at = place(s, a, gfn)
    if kind_of(a[at]) != xen.P2M_RAM_LOGDIRTY:
        return False
    while a[at] & x86.PSE:  # p2m_next_level: only the leaf on the path, a level at a time; the others keep their size
        e, level = a[at], level_of(s, a, at)
        if not enough(s, ONE):
            return False
        child = e & ~x86.PSE if level == TWO else e  # type and rights stay
        page = table_of(s, c, a, child, level - ONE, first_frame(gfn, level))
        a[at] = (page << U(12)) | x86.P | x86.RW | x86.US | x86.A | x86.D
        told(s, a, gfn, page, level, ONE)
        at = place(s, a, gfn)
    a[at] = (a[at] & x86.FRAME_MASK) | leaf_flags(xen.P2M_RAM_RW)
    return True
