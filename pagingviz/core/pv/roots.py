"""Hypercalls of a PV guest's kernel that change no table: pins, its two roots, flushes, and the rights of its direct map.

A 64-bit PV guest has two roots for a process, one for its kernel and one for user mode, because both run at the same privilege
level of the processor. The types of frames that all of this rests on are in updates.py.

Source: Xen x86/mm.c (do_mmuext_op, new_guest_cr3), x86/pv/domain.c (_toggle_guest_pt), x86/pv/dom0_build.c and libs/guest (the
builder's last steps).
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.pv.updates import drop, hold, refuse, type_of, update_va_mapping
from pagingviz.core.shadow.faults import invlpg
from pagingviz.core.shadow.toplevel import update_cr3
from pagingviz.core.walk import tlb
from pagingviz.core.walk.page_walk import FOUR

_BUG = U(2)  # a value of s.crashed


@by_address
def pin(s, c, a, gfn, level):
    """Pin the table of `level` in frame `gfn` (MMUEXT_PIN_L<level>_TABLE): it stays valid though nothing uses it.

    Source: mm.c: do_mmuext_op.
    """
    s.calls_to_mmuext_op += ONE
    if gfn >= s.zone or a[s.o_info + gfn] & xen.PGT_PINNED or not hold(s, c, a, gfn, level):
        refuse(s, c, a, ZERO, gfn, level)
        return
    a[s.o_info + gfn] |= xen.PGT_PINNED
    logdirty.mark(s, c, a, gfn, xen.MK_XEN)
    emit(s, a, ev.PIN, c.id, ZERO, gfn, NONE, level, ONE)


@by_address
def unpin(s, c, a, gfn):
    """Take the pin of a table away (MMUEXT_UNPIN_TABLE). Source: mm.c: do_mmuext_op."""
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
    """Let the hardware run on the root in frame `root`, or on its shadow while shadows are on. Source: mm.c: write_ptbase."""
    s.cr3[c.id] = root
    if s.log_dirty != ZERO:
        update_cr3(s, c, a, c.id)
    else:
        tlb.flush(s, c.id)


@by_address
def toggle(s, c, a, root):
    """Change from the guest's kernel to its user mode or back: load the other root.

    What the TLB has of user pages stays, since their entries are global; not while shadows are on, whose entries are not.
    Source: pv/domain.c: _toggle_guest_pt.
    """
    s.toggles += ONE
    if s.log_dirty != ZERO:
        _load(s, c, a, root)
        return
    s.cr3[c.id] = root
    tlb.flush_but_global(s, c)


@jit
def root_of(s, c, user):
    """The root for user mode (1) or the kernel (0): a PV guest's vCPU may have one for each, any other has just the one."""
    if s.pv == ZERO or s.uroot[c.id] == NONE:
        return s.cr3[c.id]
    return s.uroot[c.id] if user != ZERO else s.kroot[c.id]


@jit
def enter(s, c, a, user):
    """Make sure that the vCPU of a PV guest is in user mode (`user` 1) or in its kernel (0).

    A guest with one root for both stays on it.
    """
    root = root_of(s, c, user)
    if s.cr3[c.id] != root:
        toggle(s, c, a, root)


@jit
def load_roots(s, c, a, kernel, user):
    """Switch to another process, with roots `kernel` and `user` (MMUEXT_NEW_BASEPTR and MMUEXT_NEW_USER_BASEPTR).

    Source: mm.c: do_mmuext_op.
    """
    new_baseptr(s, c, a, kernel)
    s.calls_to_mmuext_op += ONE
    old = s.uroot[c.id]
    if user != old and hold(s, c, a, user, FOUR):
        s.uroot[c.id] = user
        drop(s, c, a, old, FOUR)


@jit
def flush_local(s, c):
    """Flush this vCPU's TLB (MMUEXT_TLB_FLUSH_LOCAL). Source: mm.c: do_mmuext_op."""
    s.calls_to_mmuext_op += ONE
    tlb.flush(s, c.id)


@by_address
def remap(s, c, a, gfn, value):
    """Change the entry of frame `gfn` in the kernel's direct map; `value` are its flags (update_va_mapping with UVMF_INVLPG).

    Source: mm.c: do_update_va_mapping.
    """
    gva = s.direct_map + (gfn << x86.PAGE_BITS)
    update_va_mapping(s, c, a, gva, (a[s.o_p2m + gfn] << x86.PAGE_BITS) | value)
    if s.log_dirty != ZERO:
        invlpg(s, c, a, gva)
    else:
        tlb.drop(s, c, (gva >> x86.PAGE_BITS) & x86.VPN_MASK)


@jit
def protect(s, c, a, gfn):
    """Make a frame read-only in the kernel's direct map, before it becomes a table, as a kernel's make_page_readonly does."""
    remap(s, c, a, gfn, x86.P | x86.A | x86.D)


@jit
def unprotect(s, c, a, gfn):
    """Make a frame writable in the kernel's direct map, when it is a table no longer, as make_page_readwrite does."""
    remap(s, c, a, gfn, x86.P | x86.RW | x86.A | x86.D)


@jit
def hold_root(s, c, a):
    """Validate, pin and load the first roots of a PV guest, as the domain builder does last. False: it cannot be built."""
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


@by_address
def new_baseptr(s, c, a, gfn):
    """Load another root for the kernel (MMUEXT_NEW_BASEPTR). The root that is loaded is in use, and so stays valid.

    The use of the old root ends only when its shadow is no longer loaded. Loading the same root again is a TLB flush and
    nothing else. Source: mm.c: new_guest_cr3.
    """
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
