"""The log-dirty bitmap against what was really stored."""

from pagingviz.arch import events as ev
from pagingviz.arch import xen
from pagingviz.arch.words import ONE, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.audit import rules
from pagingviz.core.audit.report import broken, in_pml
from pagingviz.core.build.jit import jit
from pagingviz.core.frames import frame_at


@jit
def bitmap(s, a):
    """Every frame stored to since the last CLEAN has its bit, unless another domain may store to it; dirty_count is right.

    Neither ENABLE nor OFF zeroes the count, as in Xen: until the first CLEAN it may be larger than the number of bits.
    """
    if s.failed_allocs != ZERO:  # then PEEK and CLEAN fail: nobody takes the bits for complete
        return ZERO
    n = ZERO
    for k in range(s.modelled):
        gfn = frame_at(s, U(k))
        dirty = logdirty.is_dirty(s, a, gfn)
        if dirty:
            n += ONE
        elif a[s.o_ver + k] != a[s.o_cver + k] and a[s.o_info + k] & xen.GRANTED == ZERO and not in_pml(s, a, gfn):
            return broken(rules.LOST_WRITE, gfn)
    left = s.offs != ZERO and s.last_tick[ev.CLEAN] < s.last_tick[ev.ENABLE]
    return ZERO if n == s.dirty_count or (left and n < s.dirty_count) else broken(rules.DIRTY_COUNT, n)
