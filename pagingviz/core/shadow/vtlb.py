"""The hypervisor's own translations of a guest's addresses: its walk of the guest's tables, and its virtual TLB.

Source: Xen mm/shadow/multi.c (sh_gva_to_gfn, sh_walk_guest_tables), private.h (vtlb_insert, vtlb_flush, vtlb_lookup).
"""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.build.jit import jit
from pagingviz.core.walk.page_walk import needs_ad, set_ad, walk

_VTLB = U(xen.VTLB)


@jit
def remember(s, c, gva, gfn, err):
    """Enter a translation into the vCPU's virtual TLB. `err`: the x86.PF_* bits of the access that has succeeded.

    Source: private.h: vtlb_insert.
    """
    if s.shopt & xen.SHOPT_VIRTUAL_TLB:
        k = c.id * _VTLB + (gva >> x86.PAGE_BITS) % _VTLB
        s.vtlb_page[k], s.vtlb_frame[k], s.vtlb_err[k] = gva >> x86.PAGE_BITS, gfn, err | x86.PF_P


@jit
def forget(s, c):
    """Empty the vCPU's virtual TLB and its memory of the last emulated store, as a CR3 load and an INVLPG do.

    Source: private.h: vtlb_flush.
    """
    for k in range(c.id * _VTLB, (c.id + ONE) * _VTLB):
        s.vtlb_page[k] = NONE
    s.last_ok[c.id] = ZERO


@jit
def gva_to_gfn(s, c, a, gva, kind):
    """Frame that a supervisor's access leads to: from the virtual TLB, else by a walk. NONE when the guest would fault.

    A translation in the virtual TLB serves only what was allowed when it was entered: one entered by a load does not serve a
    store. It is used on the shadow road only, because only there it is flushed. Source: multi.c: sh_gva_to_gfn.
    """
    k = c.id * _VTLB + (gva >> x86.PAGE_BITS) % _VTLB
    err = x86.PF_P | (x86.PF_W if kind == x86.WRITE else (x86.PF_I if kind == x86.FETCH else ZERO))
    usable = s.road == xen.SHADOW and s.shopt & xen.SHOPT_VIRTUAL_TLB
    if usable and s.vtlb_page[k] == gva >> x86.PAGE_BITS and s.vtlb_err[k] & err == err:
        return s.vtlb_frame[k]
    if not walk_and_mark(s, c, a, gva, kind, ZERO):
        return NONE
    remember(s, c, gva, c.w_leaf, err)
    return c.w_leaf


@jit
def walk_and_mark(s, c, a, gva, kind, user):
    """The hypervisor walks the guest's tables. False when they do not allow the access; c.w_err is then the guest's fault.

    When they do, A and D are set as the processor would set them, and every table so written is marked dirty. The path is in
    c.w_*. Source: guest_walk.c: guest_walk_tables; multi.c: sh_walk_guest_tables.
    """
    s.guest_walk += ONE
    c.w_err = walk(s, c, a, gva, kind, user)
    if c.w_err != ZERO:
        return False
    level = c.levels
    while level >= c.w_size:
        if needs_ad(c, level, kind):
            set_ad(s, c, a, level, gva, kind)
            logdirty.mark(s, c, a, c.w_tab[level - ONE], xen.MK_WALK)
        level -= ONE
    return True
