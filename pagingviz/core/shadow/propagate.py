"""The heart of shadow paging: which shadow entry follows from a guest entry.

Source: Xen mm/shadow/multi.c (_sh_propagate). Left out: MMIO, VRAM tracking, read-only p2m types, cache attributes (there is
nothing but ordinary RAM), so no magic entry is ever made.
"""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, TWO, ZERO
from pagingviz.core import logdirty
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.shadow.shadows import is_page_table
from pagingviz.core.walk.page_walk import guest_frame

_COPIED = x86.P | x86.RW | x86.US | x86.A


@jit
def _copied(s, gent):
    """The flags of a guest entry that its shadow takes over.

    These are P (only while A is set), RW, US and A, and NX if the guest uses it. D, G, PSE and the bits for caching and for
    software are not taken over. A PV guest's kernel does not run at CPL 0 either, so its entries all have US.
    """
    flags = gent & _COPIED
    if s.cr & x86.CR_NXE:
        flags |= gent & x86.NX
    if (gent & x86.A) == ZERO:
        flags &= ~x86.P
    return flags | x86.US if s.pv != ZERO else flags


@jit
def uses_superpages(s, c):
    """Whether the guest's level-2 entries may map superpages.

    They may with PAE and in long mode always, else with CR4.PSE or while paging is off. Source: guest_pt.h:
    guest_can_use_l2_superpages.
    """
    return c.levels > TWO or s.cr & x86.CR_PSE != ZERO or s.cr & x86.CR_PG == ZERO


@by_address
def propagate_l1(s, c, a, gent, demand_write):
    """The level-1 shadow entry for guest entry `gent`. `demand_write`: the access is a store; log-dirty then marks the frame.

    P is clear when the guest's A is, and RW when the guest's D is. A page table is never writable, unless it is out of sync and
    the access is the store to it. While log-dirty is on, a frame without its bit is not writable, unless the access is the
    store to it. An entry that is not present keeps its other bits, as in Xen: prefetch stops at it. Source: multi.c:
    _sh_propagate.
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
        cause = xen.MK_EMULATED  # the store is going to be emulated
    if s.log_dirty != ZERO:
        if demand_write:
            logdirty.mark(s, c, a, gfn, cause)
        elif flags & x86.RW and not logdirty.is_dirty(s, a, gfn):
            flags &= ~x86.RW
    return (a[s.o_p2m + gfn] << x86.PAGE_BITS) | flags


@jit
def propagate_upper(s, c, gent, child, level):
    """The shadow entry of level 2 to 4 for guest entry `gent`; `child` is the shadow that it leads to, with NONE it is 0.

    A and D are always set, so that the hardware never has to set them. The guest's D means something only in an entry that maps
    a superpage: while it is clear, the shadow is not writable. Source: multi.c: _sh_propagate.
    """
    if (gent & x86.P) == ZERO or child == NONE:
        return ZERO
    flags = _copied(s, gent) | x86.A | x86.D
    if level == TWO and gent & x86.PSE and uses_superpages(s, c) and (gent & x86.D) == ZERO:
        flags &= ~x86.RW
    return (child << x86.PAGE_BITS) | flags
