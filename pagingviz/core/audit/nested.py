"""The leaf of EPT or NPT of every frame that is kept."""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import ONE, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.audit.says import in_pml, says
from pagingviz.core.build.jit import jit
from pagingviz.core.frames import frame_at, mfn_of
from pagingviz.core.nested import npt
from pagingviz.core.nested.p2m import index, poisoned, recalculated
from pagingviz.core.nested.split import first_frame
from pagingviz.core.shadow.pool import entry_at
from pagingviz.core.walk.page_walk import frame


@jit
def leaves(s, a):
    """[H14 H15 H23] Each frame's leaf: right mfn, logdirty never writable, effectively ram_rw only with its bit set."""
    if s.npt != ZERO:
        return _npt_leaves(s, a)
    for k in range(s.modelled):
        gfn = frame_at(s, U(k))
        page, level, recalc = s.hap_root, U(4), ZERO
        while True:
            e = a[entry_at(s, page, index(gfn, level))]
            if poisoned(e):
                recalc |= e & x86.EPT_RECALC
            if level == ONE or (e & x86.EPT_SP) != ZERO or (e & x86.EPT_RWX) == ZERO:
                break
            page = frame(e)
            level -= ONE
        inside = gfn - first_frame(gfn, level)
        if (e & x86.EPT_RWX) == ZERO or frame(e) + inside != mfn_of(s, a, gfn):
            return says(17, gfn)
        logged = (e & x86.EPT_TYPE_MASK) >> x86.EPT_TYPE_SHIFT == xen.P2M_RAM_LOGDIRTY
        free = e & x86.EPT_W if s.pml == ZERO or level != ONE else e & x86.EPT_D  # with PML a store is free once D is set
        if logged and free != ZERO and not in_pml(s, a, gfn):
            return says(18, gfn)
        if s.log_dirty != ZERO:
            now = recalculated(s, e | recalc)
            free = now & x86.EPT_W if s.pml == ZERO or level != ONE else now & x86.EPT_D
            if free != ZERO and s.failed_allocs == ZERO and not logdirty.is_dirty(s, a, gfn) and not in_pml(s, a, gfn):
                return says(12, gfn)
    return ZERO


@jit
def _npt_leaves(s, a):
    for k in range(s.modelled):
        gfn = frame_at(s, U(k))
        page, shift, waits = s.hap_root, U(27), False
        e = a[entry_at(s, page, (gfn >> shift) & U(511))]
        while shift != ZERO and (e & x86.PSE) == ZERO and (e & x86.P) != ZERO:
            waits = waits or npt.pending(e)
            page, shift = frame(e), shift - U(9)
            e = a[entry_at(s, page, (gfn >> shift) & U(511))]
        inside = gfn & ((ONE << shift) - ONE)
        if (e & x86.P) == ZERO or frame(e) + inside != mfn_of(s, a, gfn):
            return says(17, gfn)
        if npt.kind_of(e) == xen.P2M_RAM_LOGDIRTY and (e & x86.RW) != ZERO:
            return says(18, gfn)
        if s.log_dirty != ZERO:
            now = npt.recalculated(s, e & ~x86.NPT_RECALC if waits else e)
            if (now & x86.RW) != ZERO and s.failed_allocs == ZERO and not logdirty.is_dirty(s, a, gfn):
                return says(12, gfn)
    return ZERO
