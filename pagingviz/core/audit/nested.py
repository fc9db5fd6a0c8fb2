"""The leaf of EPT or NPT of every frame that has words in the regions by frame."""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import ONE, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.audit import rules
from pagingviz.core.audit.report import broken, in_pml
from pagingviz.core.build.jit import jit
from pagingviz.core.frames import frame_at, mfn_of
from pagingviz.core.nested import npt
from pagingviz.core.nested.p2m import index, poisoned, recalculated
from pagingviz.core.nested.split import first_frame
from pagingviz.core.shadow.pool import entry_at
from pagingviz.core.walk.page_walk import frame


@jit
def leaves(s, a):
    """Each frame's leaf maps its machine frame. A leaf of type ram_logdirty is not writable. A clean frame is not writable.

    The second is asked while log-dirty is on and where no change waits on the way down, the last of the leaf as it will be when
    those have been carried out. A leaf that may be written with D clear is not writable while the page-modification log is on:
    a store is logged. With log-dirty off such leaves may be left over, and a CLEAN then keeps their type.
    """
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
            return broken(rules.NESTED_TARGET, gfn)
        logged = (e & x86.EPT_TYPE_MASK) >> x86.EPT_TYPE_SHIFT == xen.P2M_RAM_LOGDIRTY
        if logged and s.log_dirty != ZERO and recalc == ZERO and _free(s, e, level) and not in_pml(s, a, gfn):
            return broken(rules.LOGDIRTY_WRITABLE, gfn)
        if s.log_dirty != ZERO:
            now = recalculated(s, e | recalc)
            if _free(s, now, level) and s.failed_allocs == ZERO and not logdirty.is_dirty(s, a, gfn) and not in_pml(s, a, gfn):
                return broken(rules.CLEAN_WRITABLE, gfn)
    return ZERO


@jit
def _free(s, entry, level):
    """Whether a store through a leaf of EPT is neither an exit nor logged."""
    if entry & x86.EPT_W == ZERO:
        return False
    return s.ept_ad == ZERO or level != ONE or entry & x86.EPT_D != ZERO


@jit
def _npt_leaves(s, a):
    """The same of NPT, whose recalculation waits in an entry's U bit (nested/npt.py)."""
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
            return broken(rules.NESTED_TARGET, gfn)
        if npt.kind_of(e) == xen.P2M_RAM_LOGDIRTY and (e & x86.RW) != ZERO:
            return broken(rules.LOGDIRTY_WRITABLE, gfn)
        if s.log_dirty != ZERO:
            now = npt.recalculated(s, e & ~x86.NPT_RECALC if waits else e)
            if (now & x86.RW) != ZERO and s.failed_allocs == ZERO and not logdirty.is_dirty(s, a, gfn):
                return broken(rules.CLEAN_WRITABLE, gfn)
    return ZERO
