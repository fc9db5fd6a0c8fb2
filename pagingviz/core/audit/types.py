"""A PV guest's types: every use that an entry, a pin or a loaded root makes of a frame, against its type and its count."""

from pagingviz.core.audit.says import clear_tmp, says
from pagingviz.core.jit import jit
from pagingviz.core.pv import type_of
from pagingviz.core.walk import FOUR, get_entry, guest_frame
from pagingviz.layout import ENTRIES, NONE, ONE, P, PGT_L1, PGT_NONE, PGT_PINNED, PGT_WRITABLE, RW, TYPECOUNT, U, ZERO


@jit
def types(s, a):
    """Type and type count of every frame: what its uses by validated tables, pins and vCPUs add up to."""
    clear_tmp(s, a, s.frames)
    for v in range(s.vcpus):
        for root in (s.kroot[v], s.uroot[v]):
            if root != NONE:
                a[s.o_tmp + root] += ONE
                if type_of(s, a, root) != FOUR:
                    return says(33, root)
    for n in range(s.zone):
        gfn = U(n)
        if a[s.o_info + gfn] & PGT_PINNED:
            a[s.o_tmp + gfn] += ONE
        level = type_of(s, a, gfn)
        if level == PGT_NONE or level == PGT_WRITABLE:
            continue
        for i in range(ENTRIES):
            e = get_entry(s, a, FOUR, gfn, U(i))
            if (e & P) == ZERO or (level == PGT_L1 and (e & RW) == ZERO):
                continue
            used = guest_frame(s, a, e)
            if used >= s.frames or type_of(s, a, used) != (PGT_WRITABLE if level == PGT_L1 else level - ONE):
                return says(33, gfn)
            a[s.o_tmp + used] += ONE
    for gfn in range(s.frames):
        if a[s.o_tmp + gfn] != a[s.o_info + gfn] & TYPECOUNT:
            return says(32, gfn)
    return ZERO
