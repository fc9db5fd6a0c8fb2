"""The heart of shadow paging: which shadow entry stands for a guest entry.

Source: Xen mm/shadow/multi.c (_sh_propagate). Left out: MMIO, VRAM tracking, read-only p2m types, cache attributes (there is
nothing but ordinary RAM), so no magic entry is ever made.
"""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, TWO, ZERO
from pagingviz.core import logdirty
from pagingviz.core.build.far import far
from pagingviz.core.build.jit import jit
from pagingviz.core.shadow.shadows import is_page_table
from pagingviz.core.walk.page_walk import guest_frame

_COPIED = x86.P | x86.RW | x86.US | x86.A


@jit
def _copied(s, gent):
    """The guest's flags that a shadow takes over: D, G, PSE, AVL and cache bits are not among them; NX if the guest uses it."""
    flags = gent & _COPIED
    if s.cr & x86.CR_NXE:
        flags |= gent & x86.NX
    if (gent & x86.A) == ZERO:
        flags &= ~x86.P
    return flags | x86.US if s.pv != ZERO else flags  # a PV guest's kernel runs outside the supervisor's ring too


@jit
def uses_superpages(s, c):
    """guest_can_use_l2_superpages: always with PAE or in long mode, else with CR4.PSE or while paging is off."""
    return c.levels > TWO or s.cr & x86.CR_PSE != ZERO or s.cr & x86.CR_PG == ZERO


@far
def propagate_l1(s, c, a, gent, demand_write):
    """_sh_propagate at level 1, for guest entry `gent`. A demand write marks its frame in the log-dirty bitmap.

    Guest A clear clears P, guest D clear clears RW; a page table is never writable, unless it is out of sync and this is the
    write; with log-dirty on a page that is not yet dirty loses RW unless this is the write. The rest of a not-present result
    stays, as in Xen: prefetch stops at it.
    """
    if (gent & x86.P) == ZERO:
        return ZERO
    gfn = guest_frame(s, a, gent)
    if gfn >= s.frames:
        return ZERO
    flags = _copied(s, gent)
    if (gent & x86.D) == ZERO:
        flags &= ~x86.RW
    cause = xen.MK_STORE
    if is_page_table(s, a, gfn) and not (demand_write and a[s.o_info + gfn] & xen.OOS_MAY_WRITE):
        flags &= ~x86.RW
        cause = xen.MK_EMULATED  # which is what comes of this store
    if s.log_dirty != ZERO:
        if demand_write:
            logdirty.mark(s, c, a, gfn, cause)
        elif flags & x86.RW and not logdirty.is_dirty(s, a, gfn):
            flags &= ~x86.RW
    return (a[s.o_p2m + gfn] << x86.PAGE_BITS) | flags


@jit
def propagate_upper(s, c, gent, child, level):
    """_sh_propagate at levels 2 to 4: `child` is the shadow of the next guest table (or of the superpage), NONE gives 0.

    A and D are always set, so that the hardware never has to. D exists in the guest only if the entry maps a superpage.
    """
    if (gent & x86.P) == ZERO or child == NONE:
        return ZERO
    flags = _copied(s, gent) | x86.A | x86.D
    if level == TWO and gent & x86.PSE and uses_superpages(s, c) and (gent & x86.D) == ZERO:
        flags &= ~x86.RW
    return (child << x86.PAGE_BITS) | flags
