"""NPT as the hypervisor keeps it: ordinary long-mode entries, and a change of all types that is carried out where it is met.

Log-dirty for all frames takes US and A from the entries of the root only; the next access below each of them exits. There a
pending change is carried out for the one leaf that was touched, where EPT changes a whole table. The processor's walk is in
walk.py.

Source: Xen mm/p2m-pt.c (p2m_type_to_flags, p2m_pt_change_entry_type_global, do_recalc, p2m_next_level), mm/p2m.c
(p2m_change_type_one). Left out: p2m types other than ram_rw and ram_logdirty.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import ONE, TWO, ZERO, U
from pagingviz.core.build.jit import jit
from pagingviz.core.nested.split import enough, first_frame, level_of, record_split, table_of
from pagingviz.core.shadow.pool import entry_at
from pagingviz.core.walk.page_walk import frame

_INDEX = U(511)


@jit
def leaf_flags(kind):
    """Flags of a leaf of p2m type `kind`: ram_rw may be written, ram_logdirty not. Source: p2m-pt.c: p2m_type_to_flags."""
    return x86.P | x86.US | x86.A | x86.D | (kind << x86.EPT_TYPE_SHIFT) | (x86.RW if kind == xen.P2M_RAM_RW else ZERO)


@jit
def kind_of(entry):
    """The p2m type (xen.P2M_*) of a leaf. Source: asm/p2m.h: p2m_flags_to_type."""
    return (entry & x86.EPT_TYPE_MASK) >> x86.EPT_TYPE_SHIFT


@jit
def pending(entry):
    """Whether a change of types waits in this entry: it is present without US. Source: p2m-pt.c: needs_recalc."""
    return (entry & (x86.P | x86.US)) == x86.P


@jit
def postpone(s, a, page):
    """Let a change of types wait in every present entry of table `page` where none waits yet. Returns how many were written.

    Source: p2m-pt.c: set_recalc.
    """
    written = ZERO
    first = entry_at(s, page, ZERO)
    for i in range(first, first + x86.ENTRIES):
        if a[i] & x86.P and not pending(a[i]):
            a[i] &= ~x86.NPT_RECALC
            written += ONE
    return written


@jit
def recalculated(s, entry):
    """The word of a leaf with its type computed anew, if a change of types waits in it; else as it is.

    Source: asm/p2m.h: p2m_recalc_type.
    """
    if not pending(entry):
        return entry
    kind = xen.P2M_RAM_LOGDIRTY if s.global_logdirty != ZERO else xen.P2M_RAM_RW
    return entry | x86.NPT_RECALC if kind == kind_of(entry) else (entry & (x86.FRAME_MASK | x86.PSE)) | leaf_flags(kind)


@jit
def find_leaf(s, a, gfn):
    """Arena index of the leaf of `gfn`: at level 1, or at level 2 or 3 for a superpage."""
    page, shift = s.hap_root, U(27)
    while True:
        at = entry_at(s, page, (gfn >> shift) & _INDEX)
        if shift == ZERO or (a[at] & x86.PSE) != ZERO or (a[at] & x86.P) == ZERO:
            return at
        page = frame(a[at])
        shift -= x86.ENTRY_BITS


@jit
def do_recalc(s, a, gfn):
    """Move changes of types that wait on the path of `gfn` down to its leaf, and carry that one out.

    Returns how many entries were written. Source: p2m-pt.c: do_recalc.
    """
    written, page, shift = ZERO, s.hap_root, U(27)
    while shift != ZERO:
        at = entry_at(s, page, (gfn >> shift) & _INDEX)
        entry = a[at]
        if (entry & x86.P) == ZERO:
            return written
        if entry & x86.PSE:
            break
        page = frame(entry)
        if pending(entry):
            written += postpone(s, a, page) + ONE
            a[at] = entry | x86.NPT_RECALC
        shift -= x86.ENTRY_BITS
    at = entry_at(s, page, (gfn >> shift) & _INDEX)
    if pending(a[at]):
        a[at] = recalculated(s, a[at])
        written += ONE
    return written


@jit
def change_type_one(s, c, a, gfn):
    """Make one frame ram_rw if it is ram_logdirty, in a leaf of 4 KiB. True if its type has changed.

    Of a superpage only the leaf on the path is split, one level at a time; the others keep their size. Source: p2m.c:
    p2m_change_type_one; p2m-pt.c: p2m_next_level.
    """
    do_recalc(s, a, gfn)
    at = find_leaf(s, a, gfn)
    if kind_of(a[at]) != xen.P2M_RAM_LOGDIRTY:
        return False
    while a[at] & x86.PSE:
        entry, level = a[at], level_of(s, a, at)
        if not enough(s, ONE):
            s.crashed = xen.HUNG  # the store that needs a page is repeated for ever
            return False
        child = entry & ~x86.PSE if level == TWO else entry  # the type and the rights remain
        page = table_of(s, c, a, child, level - ONE, first_frame(gfn, level))
        a[at] = (page << U(12)) | x86.P | x86.RW | x86.US | x86.A | x86.D
        record_split(s, a, ev.P2M_SPLIT, gfn, page, level, ONE)
        at = find_leaf(s, a, gfn)
    a[at] = (a[at] & x86.FRAME_MASK) | leaf_flags(xen.P2M_RAM_RW)
    return True
