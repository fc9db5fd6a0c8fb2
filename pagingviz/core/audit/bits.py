"""The log-dirty bitmap against what was really stored."""

from pagingviz.core import logdirty
from pagingviz.core.audit.says import in_pml, says
from pagingviz.core.jit import jit
from pagingviz.layout import EV_CLEAN, EV_ENABLE, GRANTED, ONE, U, ZERO


@jit
def bitmap(s, a):
    """[30] Every frame stored to since the last CLEAN has its bit, or another domain may store to it; [32] so many are set.

    Like Xen neither ENABLE nor OFF zeroes the count: what the last period left stays in it until the first CLEAN.
    """
    if s.failed_allocs != ZERO:  # then PEEK and CLEAN fail, and nobody is misled
        return ZERO
    n = ZERO
    for gfn in range(s.frames):
        dirty = logdirty.is_dirty(s, a, U(gfn))
        if dirty:
            n += ONE
        elif a[s.o_ver + gfn] != a[s.o_cver + gfn] and a[s.o_info + gfn] & GRANTED == ZERO and not in_pml(s, a, U(gfn)):
            return says(14, gfn)
    left = s.offs != ZERO and s.last_tick[EV_CLEAN] < s.last_tick[EV_ENABLE]
    return ZERO if n == s.dirty_count or (left and n < s.dirty_count) else says(13, n)
