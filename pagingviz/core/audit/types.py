"""A PV guest's types: each use of a frame by an entry, a pin or a loaded root fits its type, and all uses are counted."""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, ZERO, U
from pagingviz.core.audit import rules
from pagingviz.core.audit.report import broken, clear_tmp
from pagingviz.core.build.jit import jit
from pagingviz.core.pv.updates import type_of
from pagingviz.core.walk.page_walk import FOUR, get_entry, guest_frame


@jit
def types(s, a):
    """Type and type count of every frame are what its uses by validated tables, pins and vCPUs add up to."""
    clear_tmp(s, a, s.frames)
    for v in range(s.vcpus):
        for root in (s.kroot[v], s.uroot[v]):
            if root != NONE:
                a[s.o_tmp + root] += ONE
                if type_of(s, a, root) != FOUR:
                    return broken(rules.PV_TYPE, root)
    for n in range(s.zone):
        gfn = U(n)
        if a[s.o_info + gfn] & xen.PGT_PINNED:
            a[s.o_tmp + gfn] += ONE
        level = type_of(s, a, gfn)
        if level == xen.PGT_NONE or level == xen.PGT_WRITABLE:
            continue
        for i in range(x86.ENTRIES):
            e = get_entry(s, a, FOUR, gfn, U(i))
            if (e & x86.P) == ZERO or (level == xen.PGT_L1 and (e & x86.RW) == ZERO):
                continue
            used = guest_frame(s, a, e)
            if used >= s.frames or type_of(s, a, used) != (xen.PGT_WRITABLE if level == xen.PGT_L1 else level - ONE):
                return broken(rules.PV_TYPE, gfn)
            a[s.o_tmp + used] += ONE
    for gfn in range(s.frames):
        if a[s.o_tmp + gfn] != a[s.o_info + gfn] & xen.TYPECOUNT:
            return broken(rules.PV_TYPECOUNT, gfn)
    return ZERO
