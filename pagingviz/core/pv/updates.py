"""A PV guest's tables: they hold machine frames, the hypervisor validates every entry, and the hardware walks them as they are.

A frame is a table of one level, or it is writable, but never both at once. Its type is one of these, and its type count is the
number of uses as that type. The first use as a table validates the table and all tables below it. The guest asks for changes by
hypercall; a store to a level-1 table of its own is carried out for it. Shadow paging is on only while log-dirty is, and then
every change is propagated into the shadows.

Source: Xen x86/mm.c (get_page_type, promote_l1_table .. promote_l4_table, mod_l1_entry .. mod_l4_entry, do_mmu_update,
do_update_va_mapping, do_mmuext_op), pv/ro-page-fault.c (ptwr), pv/domain.c (_toggle_guest_pt), mm/shadow/pv.c. Left out:
linear (self) maps, superpages, foreign frames, Xen's own slots in an L4, 32-bit PV guests, shadows forced by L1TF.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.shadow.shadows import is_shadowed
from pagingviz.core.shadow.validation import validate
from pagingviz.core.shadow.writeable import remove_shadows
from pagingviz.core.walk import tlb
from pagingviz.core.walk.page_walk import FOUR, get_entry, guest_frame, put_entry, read_path, reserved

_REFUSED, _COUNTED, _FRESH = ZERO, ONE, U(2)
_INDEX, _EIGHT, _IN_PAGE, _WORD, _LOW32 = U(511), U(8), U(4095), U(32), U(0xFFFFFFFF)


# ---- types and their counts


@jit
def type_of(s, a, gfn):
    """The type (xen.PGT_*) of a guest frame; 1 to 4 are tables of that level."""
    return (a[s.o_info + gfn] & xen.PGT_TYPE) >> xen.PGT_SHIFT


@jit
def _count(s, a, gfn, kind):
    """Count one more use of a frame as type `kind`. Returns _REFUSED when it is in use as another type.

    Otherwise it returns _COUNTED, or _FRESH for the first use, when a table has still to be validated. Source: mm.c:
    get_page_type.
    """
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
    """Count one use of a frame less. True when the last use as a table has ended: what its entries use must then be let go.

    Source: mm.c: put_page_type, devalidate_page.
    """
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
    """The first use of a frame as a table: it may be in a TLB as writable, so every TLB is flushed; and it is marked dirty.

    Source: mm.c: validate_page.
    """
    tlb.flush_all(s)
    logdirty.mark(s, c, a, gfn, xen.MK_XEN)


@jit
def _hold_page(s, a, entry):
    """Count the use that a level-1 entry makes of its frame. False when the entry is not allowed.

    It may lead to frames of the domain only. One that is writable is a use of the frame as writable. Source: mm.c:
    get_page_from_l1e.
    """
    gfn = guest_frame(s, a, entry)
    if gfn >= s.frames or reserved(s, entry, ONE, FOUR) != ZERO:
        return False
    return entry & x86.RW == ZERO or _count(s, a, gfn, xen.PGT_WRITABLE) != _REFUSED


@jit
def _put_page(s, c, a, entry):
    """End the use that a level-1 entry makes of its frame. Source: mm.c: put_page_from_l1e."""
    if entry & x86.RW:
        _uncount(s, c, a, guest_frame(s, a, entry))


@jit
def _child(s, a, entry):
    """Frame of the table that an entry above level 1 leads to, or NONE when no table of the guest can be there."""
    gfn = guest_frame(s, a, entry)
    return NONE if entry & x86.PSE or gfn >= s.zone or reserved(s, entry, THREE, FOUR) != ZERO else gfn


@jit
def adjusted(entry, level):
    """The word that the hypervisor stores for an entry of a table of `level` which it has allowed.

    A 64-bit PV guest's kernel runs in ring 3 as its programs do, so every entry gets US. A level-1 entry that came without it
    gets the mark of a kernel page, any other G: user pages may stay in the TLB while the vCPU changes between its two roots.
    Source: x86/pv/mm.h: adjust_guest_l1e, adjust_guest_l2e, adjust_guest_l3e, adjust_guest_l4e.
    """
    if (entry & x86.P) == ZERO:
        return entry
    if level == ONE:
        if (entry & x86.US) == ZERO:
            entry |= xen.GUEST_KERNEL
        if (entry & xen.GUEST_KERNEL) == ZERO:
            entry |= x86.G
    return entry | x86.US


@jit
def _adjust(s, a, level):
    """Adjust the entry of the table of `level` that `hold` has just allowed."""
    table, i = s.t_page[level - ONE], s.t_idx[level - ONE] - ONE
    entry = get_entry(s, a, FOUR, table, i)
    new = adjusted(entry, level)
    if new != entry:
        put_entry(s, a, FOUR, table, i, new)
        a[s.o_ver + table] += ONE


@by_address
def hold(s, c, a, gfn, level):
    """Use a frame as a table of `level`. False when that is not allowed.

    The first use validates the table and every table below it, and adjusts their entries. When one of these is not allowed,
    nothing has changed, except that the entries before it stay adjusted and the tables which were examined are marked dirty.
    Instead of calling itself the function has a stack in the record: s.t_page is the table of each level, s.t_idx the number of
    its next entry. Source: mm.c: get_page_type, promote_l1_table, promote_l2_table, promote_l3_table, promote_l4_table.
    """
    counted = _count(s, a, gfn, level)
    if counted != _FRESH:
        return counted == _COUNTED
    _promote(s, c, a, gfn)
    s.t_page[level - ONE], s.t_idx[level - ONE] = gfn, ZERO
    current = level
    while True:
        table, i = s.t_page[current - ONE], s.t_idx[current - ONE]
        if i == x86.ENTRIES:
            if current == level:
                return True
            current += ONE
            _adjust(s, a, current)
            continue
        s.t_idx[current - ONE] = i + ONE
        entry = get_entry(s, a, FOUR, table, i)
        if (entry & x86.P) == ZERO:
            continue
        if current == ONE:
            if _hold_page(s, a, entry):
                _adjust(s, a, current)
                continue
        else:
            child = _child(s, a, entry)
            counted = _count(s, a, child, current - ONE) if child != NONE else _REFUSED
            if counted == _FRESH:
                _promote(s, c, a, child)
                current -= ONE
                s.t_page[current - ONE], s.t_idx[current - ONE] = child, ZERO
                continue
            if counted == _COUNTED:
                _adjust(s, a, current)
                continue
        while current <= level:  # undo what has been counted on the way down
            table = s.t_page[current - ONE]
            k = s.t_idx[current - ONE] - ONE
            while k != ZERO:
                k -= ONE
                _put_entry(s, c, a, get_entry(s, a, FOUR, table, k), current)
            _uncount(s, c, a, table)
            current += ONE
        return False


@by_address
def drop(s, c, a, gfn, level):
    """End one use of a frame as a table of `level`. With the last use, the uses that its entries make end in turn.

    The entries of a table above level 1 are let go in descending order, those of a level-1 table in ascending order. The stack
    is that of s.d_page and s.d_idx, as in `hold`. Source: mm.c: put_page_type, demote_l1_table, demote_l2_table,
    demote_l3_table, demote_l4_table.
    """
    if not _uncount(s, c, a, gfn):
        return
    s.d_page[level - ONE], s.d_idx[level - ONE] = gfn, ZERO
    current = level
    while True:
        table, i = s.d_page[current - ONE], s.d_idx[current - ONE]
        if i == x86.ENTRIES:
            if current == level:
                return
            current += ONE
            continue
        s.d_idx[current - ONE] = i + ONE
        entry = get_entry(s, a, FOUR, table, i if current == ONE else _INDEX - i)
        if (entry & x86.P) == ZERO:
            continue
        if current == ONE:
            _put_page(s, c, a, entry)
        elif _uncount(s, c, a, guest_frame(s, a, entry)):
            current -= ONE
            s.d_page[current - ONE], s.d_idx[current - ONE] = guest_frame(s, a, entry), ZERO


@jit
def _put_entry(s, c, a, entry, level):
    """End the use that an entry of a table of `level` makes of a frame."""
    if entry & x86.P:
        if level == ONE:
            _put_page(s, c, a, entry)
        else:
            drop(s, c, a, guest_frame(s, a, entry), level - ONE)


# ---- changes to a table


@jit
def _write(s, c, a, gva, gfn, i, value, cause):
    """Store an entry of a table; while shadows are on it is propagated into them. No TLB is flushed: the guest must ask for it.

    Source: pv/mm.h: paging_write_guest_entry (master).
    """
    put_entry(s, a, FOUR, gfn, i, value)
    a[s.o_ver + gfn] += ONE
    if s.log_dirty != ZERO:
        validate(s, c, a, gva, gfn, i * _EIGHT, _EIGHT, cause)


@by_address
def modify(s, c, a, gva, gfn, i, value, cause):
    """Change entry `i` of the table in frame `gfn` to `value`, if the rules of its level allow it. True if it was changed.

    What is stored is `adjusted`. `cause`: who changes it (xen.MK_*). Source: mm.c: mod_l1_entry, mod_l2_entry, mod_l3_entry,
    mod_l4_entry.
    """
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
    _write(s, c, a, gva, gfn, i, adjusted(value, level), cause)
    _put_entry(s, c, a, old, level)
    return True


@jit
def refuse(s, c, a, gva, gfn, value):
    """Fail a hypercall (-EINVAL). The guest goes on as if it had not been made."""
    s.refused += ONE
    emit(s, a, ev.REFUSED, c.id, gva, gfn, NONE, ZERO, value)


@by_address
def mmu_update(s, c, a, gfn, i, value):
    """Change entry `i` of frame `gfn` (MMU_NORMAL_PT_UPDATE): of a table by the rules of its level, of any other frame as data.

    A change above level 1 flushes every TLB, since linear maps may be made of it. Source: mm.c: do_mmu_update.
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


@by_address
def update_va_mapping(s, c, a, gva, value):
    """Change the level-1 entry of address `gva` in the loaded tables to `value`. False when that is refused.

    Source: mm.c: do_update_va_mapping.
    """
    s.calls_to_update_va += ONE
    read_path(s, c, a, gva)
    if c.w_missing > ONE or not modify(s, c, a, gva, c.w_tab[0], (gva >> x86.PAGE_BITS) & _INDEX, value, xen.MK_XEN):
        refuse(s, c, a, gva, NONE, value)
        return False
    emit(s, a, ev.MMU_UPDATE, c.id, gva, c.w_tab[0], NONE, ONE, value)
    return True


@by_address
def ptwr(s, c, a, gva, size, value):
    """Carry out a PV kernel's store, at `gva`, to a level-1 table that it may only read. True if it was done.

    `size` (4 or 8 bytes), `value`: what is stored. False when it is no such store, or stores what is not allowed: the fault
    then goes its usual way. Source: pv/ro-page-fault.c: pv_ro_page_fault, ptwr_emulated_update.
    """
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
