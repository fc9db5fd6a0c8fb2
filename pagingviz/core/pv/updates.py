"""A PV guest's tables: they hold machine frames, the hypervisor validates every entry, and the hardware walks them as they are.

A frame is a table of one level, or writable, never both: its type says which, its type count how often it is used as that. The
guest asks for changes by hypercall; a store to an L1 table of its own is carried out for it. Shadow paging is on only while
log-dirty is, and then follows each change.

Source: Xen x86/mm.c (get_page_type, promote_l1_table .. promote_l4_table, mod_l1_entry .. mod_l4_entry, do_mmu_update,
do_update_va_mapping, do_mmuext_op), pv/ro-page-fault.c (ptwr), pv/domain.c (_toggle_guest_pt), mm/shadow/pv.c. Left out:
linear (self) maps, superpages, foreign frames, Xen's own slots in an L4, 32-bit PV guests, shadows forced by L1TF.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.build.far import far
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.shadow.emulate import validate
from pagingviz.core.shadow.shadows import is_shadowed
from pagingviz.core.shadow.writeable import remove_shadows
from pagingviz.core.walk import tlb
from pagingviz.core.walk.page_walk import FOUR, get_entry, guest_frame, put_entry, read_path, reserved

_REFUSED, _COUNTED, _FRESH = ZERO, ONE, U(2)
_INDEX, _EIGHT, _IN_PAGE, _WORD, _LOW32 = U(511), U(8), U(4095), U(32), U(0xFFFFFFFF)


# ---- types and their counts


@jit
def type_of(s, a, gfn):
    """PGT_* type of a frame; 1 to 4: a table of that level."""
    return (a[s.o_info + gfn] & xen.PGT_TYPE) >> xen.PGT_SHIFT


@jit
def _count(s, a, gfn, kind):
    """get_page_type up to its count: one more use as `kind`. _FRESH: the first, so a table has still to be validated."""
    at = s.o_info + gfn
    if a[at] & xen.TYPECOUNT == ZERO:
        a[at] = (a[at] & ~xen.PGT_TYPE) | (kind << xen.PGT_SHIFT) | ONE
        return _FRESH
    if type_of(s, a, gfn) != kind:
        return _REFUSED
    a[at] += ONE
    return _COUNTED


@jit
def _uncount(s, c, a, gfn):
    """put_page_type up to its count. True: a table has gone, and whoever it led to must be let go (devalidate_page)."""
    at = s.o_info + gfn
    a[at] -= ONE
    if a[at] & xen.TYPECOUNT != ZERO:
        return False
    was = type_of(s, a, gfn)
    a[at] &= ~xen.PGT_TYPE
    if was == xen.PGT_WRITABLE:
        return False
    if s.log_dirty != ZERO:
        logdirty.mark(s, c, a, gfn, xen.MK_XEN)
        if is_shadowed(s, a, gfn):
            remove_shadows(s, c, a, gfn, ZERO, ONE)
    return True


@jit
def _promote(s, c, a, gfn):
    """The first use as a table: the frame may be in a TLB as writable, and it is dirtied (validate_page)."""
    tlb.flush_all(s)
    logdirty.mark(s, c, a, gfn, xen.MK_XEN)


@jit
def _hold_page(s, a, e):
    """get_page_from_l1e: a frame of the domain, and if the entry lets it be written one more use as writable."""
    gfn = guest_frame(s, a, e)
    if gfn >= s.frames or reserved(s, e, ONE, FOUR) != ZERO:
        return False
    return e & x86.RW == ZERO or _count(s, a, gfn, xen.PGT_WRITABLE) != _REFUSED


@jit
def _put_page(s, c, a, e):
    """put_page_from_l1e."""
    if e & x86.RW:
        _uncount(s, c, a, guest_frame(s, a, e))


@jit
def _child(s, a, e):
    """Frame of the table that an upper entry leads to; NONE when no table of the guest can be there."""
    gfn = guest_frame(s, a, e)
    return NONE if e & x86.PSE or gfn >= s.zone or reserved(s, e, THREE, FOUR) != ZERO else gfn


@far
def hold(s, c, a, gfn, level):
    """get_page_type(PGT_l<level>): use the frame as a table; the first use validates it and all below it. False: some entry is
    not allowed, and nothing has changed but for the dirty bits of what was looked at."""
    r = _count(s, a, gfn, level)
    if r != _FRESH:
        return r == _COUNTED
    _promote(s, c, a, gfn)
    s.t_page[level - ONE], s.t_idx[level - ONE] = gfn, ZERO
    at = level
    while True:
        tab, i = s.t_page[at - ONE], s.t_idx[at - ONE]
        if i == x86.ENTRIES:
            if at == level:
                return True
            at += ONE
            continue
        s.t_idx[at - ONE] = i + ONE
        e = get_entry(s, a, FOUR, tab, i)
        if (e & x86.P) == ZERO:
            continue
        if at == ONE:
            if _hold_page(s, a, e):
                continue
        else:
            child = _child(s, a, e)
            r = _count(s, a, child, at - ONE) if child != NONE else _REFUSED
            if r == _FRESH:
                _promote(s, c, a, child)
                at -= ONE
                s.t_page[at - ONE], s.t_idx[at - ONE] = child, ZERO
            if r != _REFUSED:
                continue
        while at <= level:  # give back what the tables on the way have taken
            tab = s.t_page[at - ONE]
            k = s.t_idx[at - ONE] - ONE
            while k != ZERO:
                k -= ONE
                _put_entry(s, c, a, get_entry(s, a, FOUR, tab, k), at)
            _uncount(s, c, a, tab)
            at += ONE
        return False


@far
def drop(s, c, a, gfn, level):
    """put_page_type of a table of `level`; with its last use its entries are let go, the last first, of an L1 the
    first first (demote_l1_table .. demote_l4_table)."""
    if not _uncount(s, c, a, gfn):
        return
    s.d_page[level - ONE], s.d_idx[level - ONE] = gfn, ZERO
    at = level
    while True:
        tab, i = s.d_page[at - ONE], s.d_idx[at - ONE]
        if i == x86.ENTRIES:
            if at == level:
                return
            at += ONE
            continue
        s.d_idx[at - ONE] = i + ONE
        e = get_entry(s, a, FOUR, tab, i if at == ONE else _INDEX - i)
        if (e & x86.P) == ZERO:
            continue
        if at == ONE:
            _put_page(s, c, a, e)
        elif _uncount(s, c, a, guest_frame(s, a, e)):
            at -= ONE
            s.d_page[at - ONE], s.d_idx[at - ONE] = guest_frame(s, a, e), ZERO


@jit
def _put_entry(s, c, a, e, level):
    """Let go of what entry `e` of a table of `level` uses."""
    if e & x86.P:
        if level == ONE:
            _put_page(s, c, a, e)
        else:
            drop(s, c, a, guest_frame(s, a, e), level - ONE)


# ---- changes to a table


@jit
def _write(s, c, a, gva, gfn, i, value, cause):
    """paging_write_guest_entry: store, and while shadows are on propagate into them. To flush is the guest's business."""
    put_entry(s, a, FOUR, gfn, i, value)
    a[s.o_ver + gfn] += ONE
    if s.log_dirty != ZERO:
        validate(s, c, a, gva, gfn, i * _EIGHT, _EIGHT, cause)


@far
def modify(s, c, a, gva, gfn, i, value, cause):
    """do_mmu_update, MMU_NORMAL_PT_UPDATE: entry `i` of a table by the rules of its level, of another frame as data."""
    level = type_of(s, a, gfn)
    if value & x86.P:
        if level == ONE:
            held = _hold_page(s, a, value)
        else:
            child = _child(s, a, value)
            held = child != NONE and hold(s, c, a, child, level - ONE)
        if not held:
            return False
    old = get_entry(s, a, FOUR, gfn, i)
    _write(s, c, a, gva, gfn, i, value, cause)
    _put_entry(s, c, a, old, level)
    return True


@jit
def refuse(s, c, a, gva, gfn, value):
    """The hypercall fails (-EINVAL); the guest goes on as if it had not been made."""
    s.refused += ONE
    emit(s, a, ev.REFUSED, c.id, gva, gfn, NONE, ZERO, value)


@far
def mmu_update(s, c, a, gfn, i, value):
    """do_mmu_update(MMU_NORMAL_PT_UPDATE), entry `i` of a frame: of a table by the rules of its level, of others as data.

    A change above level 1 flushes every TLB, since linear maps may be built of it.
    """
    s.calls_to_mmu_update += ONE
    if gfn >= s.zone:
        refuse(s, c, a, ZERO, gfn, value)
        return
    kind = type_of(s, a, gfn)
    if kind == xen.PGT_NONE or kind == xen.PGT_WRITABLE:
        s.writable_mmu_updates += ONE
        put_entry(s, a, FOUR, gfn, i, value)
        a[s.o_ver + gfn] += ONE
        logdirty.mark(s, c, a, gfn, xen.MK_XEN)
    elif not modify(s, c, a, ZERO, gfn, i, value, xen.MK_XEN):
        refuse(s, c, a, ZERO, gfn, value)
        return
    elif kind != xen.PGT_L1:
        tlb.flush_all(s)
    s.num_page_updates += ONE
    emit(s, a, ev.MMU_UPDATE, c.id, ZERO, gfn, NONE, kind, value)


@far
def update_va_mapping(s, c, a, gva, value):
    """do_update_va_mapping: the L1 entry of an address in the loaded tables. False: refused."""
    s.calls_to_update_va += ONE
    read_path(s, c, a, gva)
    if c.w_missing > ONE or not modify(s, c, a, gva, c.w_tab[0], (gva >> x86.PAGE_BITS) & _INDEX, value, xen.MK_XEN):
        refuse(s, c, a, gva, NONE, value)
        return False
    emit(s, a, ev.MMU_UPDATE, c.id, gva, c.w_tab[0], NONE, ONE, value)
    return True


@far
def ptwr(s, c, a, gva, size, value):
    """pv_ro_page_fault: a kernel's store of 4 or 8 bytes to an L1 table, at a `gva` that it may only read, is done for it.
    False: it is no such store (or it stores what is not allowed), and the fault goes its usual way."""
    if read_path(s, c, a, gva) != ZERO or c.w_size != ONE or c.w_ent[0] & x86.RW:
        return False
    gfn = c.w_leaf
    if gfn >= s.zone or type_of(s, a, gfn) != xen.PGT_L1 or gva & (size - ONE) != ZERO:
        return False
    i = (gva & _IN_PAGE) // _EIGHT
    if size != _EIGHT:
        shift = _WORD if gva & FOUR else ZERO
        value = (get_entry(s, a, FOUR, gfn, i) & ~(_LOW32 << shift)) | ((value & _LOW32) << shift)
    if not modify(s, c, a, gva, gfn, i, value, xen.MK_EMULATED):
        return False
    s.ptwr_emulations += ONE
    emit(s, a, ev.PTWR, c.id, gva, gfn, NONE, ONE, value)
    return True
