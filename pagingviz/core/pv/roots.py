"""What a PV guest's kernel asks for beside changes of entries: pins, its two roots, flushes, and its direct map's rights.

Source: Xen x86/mm.c (do_mmuext_op, new_guest_cr3), x86/pv/domain.c (_toggle_guest_pt), x86/pv/dom0_build.c and libs/guest (the
builder's last steps). The types that all of this rests on are in pv.py.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.build.far import far
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.pv.updates import drop, hold, refuse, type_of, update_va_mapping
from pagingviz.core.shadow.faults import invlpg, update_cr3
from pagingviz.core.walk import tlb
from pagingviz.core.walk.page_walk import FOUR

_BUG = U(2)  # a value of s.crashed


@far
def pin(s, c, a, gfn, level):
    """MMUEXT_PIN_L<level>_TABLE: the table stays valid without anybody using it."""
    s.calls_to_mmuext_op += ONE
    if gfn >= s.zone or a[s.o_info + gfn] & xen.PGT_PINNED or not hold(s, c, a, gfn, level):
        refuse(s, c, a, ZERO, gfn, level)
        return
    a[s.o_info + gfn] |= xen.PGT_PINNED
    logdirty.mark(s, c, a, gfn, xen.MK_XEN)
    emit(s, a, ev.PIN, c.id, ZERO, gfn, NONE, level, ONE)


@far
def unpin(s, c, a, gfn):
    """MMUEXT_UNPIN_TABLE."""
    s.calls_to_mmuext_op += ONE
    if gfn >= s.zone or a[s.o_info + gfn] & xen.PGT_PINNED == ZERO:
        refuse(s, c, a, ZERO, gfn, ZERO)
        return
    level = type_of(s, a, gfn)
    a[s.o_info + gfn] &= ~xen.PGT_PINNED
    emit(s, a, ev.PIN, c.id, ZERO, gfn, NONE, level, ZERO)
    drop(s, c, a, gfn, level)
    logdirty.mark(s, c, a, gfn, xen.MK_XEN)


@jit
def _load(s, c, a, root):
    """write_ptbase: the hardware runs on `root` from now on, or on its shadow."""
    s.cr3[c.id] = root
    if s.log_dirty != ZERO:
        update_cr3(s, c, a, c.id)
    else:
        tlb.flush(s, c.id)


@far
def toggle(s, c, a, root):
    """_toggle_guest_pt: from the guest's kernel to its user mode or back, which is a change of CR3."""
    s.toggles += ONE
    _load(s, c, a, root)


@jit
def root_of(s, c, user):
    """The root for user mode (1) or the kernel (0): a PV guest's vCPU may have one for each, any other has just the one."""
    if s.pv == ZERO or s.uroot[c.id] == NONE:
        return s.cr3[c.id]
    return s.uroot[c.id] if user != ZERO else s.kroot[c.id]


@jit
def enter(s, c, a, user):
    """Make sure that a PV guest's vCPU is in user mode (1) or in its kernel (0). A guest with one root stays on it."""
    root = root_of(s, c, user)
    if s.cr3[c.id] != root:
        toggle(s, c, a, root)


@jit
def load_roots(s, c, a, kernel, user):
    """A context switch: MMUEXT_NEW_BASEPTR and MMUEXT_NEW_USER_BASEPTR."""
    new_baseptr(s, c, a, kernel)
    s.calls_to_mmuext_op += ONE
    old = s.uroot[c.id]
    if user != old and hold(s, c, a, user, FOUR):
        s.uroot[c.id] = user
        drop(s, c, a, old, FOUR)


@jit
def flush_local(s, c):
    """MMUEXT_TLB_FLUSH_LOCAL."""
    s.calls_to_mmuext_op += ONE
    tlb.flush(s, c.id)


@far
def remap(s, c, a, gfn, value):
    """Change the entry of `gfn` in the kernel's direct map (update_va_mapping with UVMF_INVLPG)."""
    gva = s.direct_map + (gfn << x86.PAGE_BITS)
    update_va_mapping(s, c, a, gva, (a[s.o_p2m + gfn] << x86.PAGE_BITS) | value)
    if s.log_dirty != ZERO:
        invlpg(s, c, a, gva)
    else:
        tlb.drop(s, c, (gva >> x86.PAGE_BITS) & x86.VPN_MASK)


@jit
def protect(s, c, a, gfn):
    """make_page_readonly: what is to become a table may not be written through the direct map."""
    remap(s, c, a, gfn, x86.P | x86.A | x86.D)


@jit
def unprotect(s, c, a, gfn):
    """make_page_readwrite: it is no table any more."""
    remap(s, c, a, gfn, x86.P | x86.RW | x86.A | x86.D)


@jit
def hold_root(s, c, a):
    """The domain builder's last step: the first roots are validated, pinned, and loaded. False: the domain cannot be built."""
    s.kroot[c.id], s.uroot[c.id] = s.cr3[c.id], a[s.o_uroots]
    for gfn in (s.kroot[c.id], s.uroot[c.id]):
        if gfn == NONE:
            continue
        if gfn >= s.zone or not hold(s, c, a, gfn, FOUR):
            s.crashed = _BUG
            return False
        if a[s.o_info + gfn] & xen.PGT_PINNED == ZERO:
            a[s.o_info + gfn] = (a[s.o_info + gfn] | xen.PGT_PINNED) + ONE
    return True


@far
def new_baseptr(s, c, a, gfn):
    """MMUEXT_NEW_BASEPTR (new_guest_cr3): load another root. Its use keeps it valid; the old one's ends when its shadow is no
    longer loaded. The same root again is a flush and no more."""
    s.calls_to_mmuext_op += ONE
    s.cr3_loads += ONE
    old = s.kroot[c.id]
    if gfn == old:
        tlb.flush(s, c.id)
    elif gfn >= s.zone or not hold(s, c, a, gfn, FOUR):
        refuse(s, c, a, ZERO, gfn, ZERO)
        return
    else:
        s.kroot[c.id] = gfn
        _load(s, c, a, gfn)
        drop(s, c, a, old, FOUR)
    emit(s, a, ev.CR3_LOAD, c.id, ZERO, gfn, s.root[c.id * FOUR], ZERO, s.cur[c.id])
