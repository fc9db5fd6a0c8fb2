"""The log-dirty bitmap against what was really stored."""

from pagingviz.core import logdirty
from pagingviz.core.audit.says import in_pml, says
from pagingviz.core.jit import jit
from pagingviz.core.kept import frame_at
from pagingviz.layout import EV_CLEAN, EV_ENABLE, GRANTED, ONE, U, ZERO


@jit
def bitmap(s, a):
    """[30] Every frame stored to since the last CLEAN has its bit, or another domain may store to it; [32] so many are set.

    Like Xen neither ENABLE nor OFF zeroes the count: what the last period left stays in it until the first CLEAN.
    """
    if s.failed_allocs != ZERO:  # then PEEK and CLEAN fail, and nobody is misled
        return ZERO
    n = ZERO
    for k in range(s.kept):
        gfn = frame_at(s, U(k))
        dirty = logdirty.is_dirty(s, a, gfn)
        if dirty:
            n += ONE
        elif a[s.o_ver + k] != a[s.o_cver + k] and a[s.o_info + k] & GRANTED == ZERO and not in_pml(s, a, gfn):
            return says(14, gfn)
    left = s.offs != ZERO and s.last_tick[EV_CLEAN] < s.last_tick[EV_ENABLE]
    return ZERO if n == s.dirty_count or (left and n < s.dirty_count) else says(13, n)
