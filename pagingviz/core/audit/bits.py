"""The log-dirty bitmap against what was really stored."""

from pagingviz.arch import events as ev
from pagingviz.arch import xen
from pagingviz.arch.words import ONE, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.audit.says import in_pml, says
from pagingviz.core.build.jit import jit
from pagingviz.core.frames import frame_at


@jit
def bitmap(s, a):
    """[30] Every frame stored to since the last CLEAN has its bit, or another domain may store to it; [32] so many are set.

    Like Xen neither ENABLE nor OFF zeroes the count: what the last period left stays in it until the first CLEAN.
    """
    if s.failed_allocs != ZERO:  # then PEEK and CLEAN fail, and nobody is misled
        return ZERO
    n = ZERO
    for k in range(s.modelled):
        gfn = frame_at(s, U(k))
        dirty = logdirty.is_dirty(s, a, gfn)
        if dirty:
            n += ONE
        elif a[s.o_ver + k] != a[s.o_cver + k] and a[s.o_info + k] & xen.GRANTED == ZERO and not in_pml(s, a, gfn):
            return says(14, gfn)
    left = s.offs != ZERO and s.last_tick[ev.CLEAN] < s.last_tick[ev.ENABLE]
    return ZERO if n == s.dirty_count or (left and n < s.dirty_count) else says(13, n)
