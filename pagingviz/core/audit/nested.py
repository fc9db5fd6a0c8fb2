"""Every frame's EPT leaf."""

from pagingviz.core import logdirty
from pagingviz.core.audit.says import says
from pagingviz.core.jit import jit
from pagingviz.core.p2m import index, poisoned, recalculated
from pagingviz.core.pool import entry_at
from pagingviz.core.walk import frame
from pagingviz.layout import (
    EPT_RECALC, EPT_RWX, EPT_SP, EPT_TYPE_MASK, EPT_TYPE_SHIFT, EPT_W, ONE, P2M_RAM_LOGDIRTY, U, ZERO,
)  # fmt: skip


@jit
def leaves(s, a):
    """[H14 H15 H23] Each frame's leaf: right mfn, logdirty never writable, effectively ram_rw only with its bit set."""
    for gfn in range(s.frames):
        page, level, recalc = s.hap_root, U(4), ZERO
        while True:
            e = a[entry_at(s, page, index(U(gfn), level))]
            if poisoned(e):
                recalc |= e & EPT_RECALC
            if level == ONE or (e & EPT_SP) != ZERO or (e & EPT_RWX) == ZERO:
                break
            page = frame(e)
            level -= ONE
        inside = U(gfn) & U(511) if level == U(2) else ZERO
        if (e & EPT_RWX) == ZERO or frame(e) + inside != a[s.o_p2m + gfn]:
            return says(17, gfn)
        logged = (e & EPT_TYPE_MASK) >> EPT_TYPE_SHIFT == P2M_RAM_LOGDIRTY
        if logged and (e & EPT_W) != ZERO:
            return says(18, gfn)
        if s.log_dirty != ZERO:
            now = recalculated(s, e | recalc)
            if (now & EPT_W) != ZERO and not logdirty.is_dirty(s, a, U(gfn)):
                return says(12, gfn)
    return ZERO
