"""The guest's own books, and the TLBs against the guest's tables.

A raw guest (s.rows) keeps no share counts and may change entries without flushing: for it a TLB is only held to what the
hypervisor owes, whatever the guest does.
"""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.audit.says import clear_tmp, in_pml, says
from pagingviz.core.build.jit import jit
from pagingviz.core.frames import frame_at, word_of
from pagingviz.core.shadow.shadows import is_page_table
from pagingviz.core.walk.page_walk import get_entry, guest_frame, read_path

_USER4, _USER2 = U(256), U(768)  # entries of the root that belong to the process; of PAE's four the first three


@jit
def shares(s, cpus, a):
    """share[gfn] == user entries of all processes that map it, walked through every table of their trees."""
    if s.rows != ZERO:
        return ZERO
    clear_tmp(s, a, s.modelled)
    for proc in range(s.processes):
        if a[s.o_roots + proc] != NONE:
            _count(s, cpus[0], a, a[s.o_roots + proc])
    for k in range(s.modelled):
        if a[s.o_tmp + k] != a[s.o_share + k]:
            return says(19, frame_at(s, U(k)))
    return ZERO


@jit
def _count(s, c, a, root):
    """Count the leaf entries of one process. c.w_tab: the tables down to where we are, c.w_ent: the next entry of each."""
    top = (ZERO, ZERO, _USER2, THREE, _USER4)[int(s.guest_levels)]
    whole = x86.ENTRIES + x86.ENTRIES if s.guest_levels == TWO else x86.ENTRIES
    depth = ZERO
    c.w_tab[0], c.w_ent[0] = root, ZERO
    while True:
        if c.w_ent[depth] == (top if depth == ZERO else whole):
            if depth == ZERO:
                return
            depth -= ONE
            continue
        e = get_entry(s, a, s.guest_levels, c.w_tab[depth], c.w_ent[depth])
        c.w_ent[depth] += ONE
        if (e & x86.P) == ZERO:
            continue
        if depth + ONE == s.guest_levels:
            a[s.o_tmp + word_of(s, guest_frame(s, a, e))] += ONE
        else:
            depth += ONE
            c.w_tab[depth], c.w_ent[depth] = guest_frame(s, a, e), ZERO


@jit
def tlbs(s, cpus, a):
    """Every live TLB entry is what the guest's tables say, and lets no store through that must be seen."""
    for v in range(s.vcpus):
        c = cpus[v]
        for w in range(c.t2t.size + c.t1t.size):
            second = w < c.t2t.size
            tag = c.t2t[w] if second else c.t1t[w - c.t2t.size]
            if tag >> x86.TLB_GEN_SHIFT == s.tlb_gen[v]:
                vpn, val = tag & x86.VPN_MASK, c.t2v[w] if second else c.t1v[w - c.t2t.size]
                if s.rows == ZERO and not _is_guests(s, c, a, vpn, val):
                    return says(15, vpn)
                if val & (x86.TLB_W | x86.TLB_KW) and not _may_store(s, c, a, val):
                    return says(16, vpn)
    return ZERO


@jit
def _is_guests(s, c, a, vpn, val):
    """Whether the guest's own walk gives this translation with at least these rights. Leaves the walk in c.w_*."""
    if read_path(s, c, a, vpn << x86.PAGE_BITS) != ZERO or c.w_leaf != val >> x86.TLB_GFN_SHIFT:
        return False
    return (
        (val & x86.TLB_U) == ZERO
        or (c.w_rights & x86.US) != ZERO
        and ((val & x86.TLB_NX) != ZERO or (c.w_rights & x86.NX) == ZERO)
    )


@jit
def _may_store(s, c, a, val):
    """Whether stores need no more from the tables: D is set, no shadowed table is hit, a logged frame has its bit."""
    gfn = val >> x86.TLB_GFN_SHIFT
    if s.rows == ZERO:
        if (val & x86.TLB_W and (c.w_rights & x86.RW) == ZERO) or (c.w_ent[c.w_size - ONE] & x86.D) == ZERO:
            return False
        if s.road == xen.SHADOW and is_page_table(s, a, gfn) and (a[s.o_info + gfn] & xen.OOS_MAY_WRITE) == ZERO:
            return False
    if s.pv != ZERO and is_page_table(s, a, gfn):
        return False
    if s.log_dirty == ZERO or s.failed_allocs != ZERO or gfn >= s.frames:
        return True
    return logdirty.is_dirty(s, a, gfn) or in_pml(s, a, gfn)
