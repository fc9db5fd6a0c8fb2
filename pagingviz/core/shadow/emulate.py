"""Stores to shadowed page tables: the emulator, and the signs that a table is a table no longer.

That a store is emulated is decided before, when its page fault is handled (faults.py: _conclude).

Source: Xen mm/shadow/multi.c (sh_page_fault from `emulate:` on, sh_pagetable_dying), hvm.c (hvm_emulate_write,
sh_emulate_unmap_dest, check_for_early_unshadow). Left out: unaligned and page-crossing stores, segmentation, single-stepping.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import operation, x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.shadow.entries import unhook
from pagingviz.core.shadow.pool import gfn_of
from pagingviz.core.shadow.shadows import hash_lookup, is_page_table
from pagingviz.core.shadow.validation import validate
from pagingviz.core.shadow.vtlb import gva_to_gfn
from pagingviz.core.shadow.writeable import remove_shadows
from pagingviz.core.walk.page_walk import frame, get_entry, put_entry
from pagingviz.core.walk.tlb import flush_all

RETRY, EMULATED = ZERO, ONE  # what the fault path returns besides FAULT | error code
_FOUR, _EIGHT, _LOW32, _IN_PAGE = U(4), U(8), U(0xFFFFFFFF), U(4095)
_SHF_32 = U((1 << 1 | 1 << 2 | 1 << 3) << 32)
_ROOTS = U((1 << 3 | 1 << 6 | 1 << 12) << 32)  # shadowed as l2_32, l2_pae or l4_64


# ---- one emulated store


@jit
def _maybe_early_unshadow(s, c, a, gva, gfn):
    """Unshadow a table to which 0 is stored when that is a sign that the guest is tearing it down.

    The sign is the second zero in a row to the same table, or any zero from a process that has announced its end (but not to
    its root, which is still in use). Source: shadow/hvm.c: check_for_early_unshadow.
    """
    if s.shopt & xen.SHOPT_EARLY_UNSHADOW == ZERO:
        return
    mfn = a[s.o_p2m + gfn]
    again = s.dying_op == ZERO and s.last_emul[c.id] == mfn
    root = s.dying_op != ZERO and a[s.o_info + gfn] & _ROOTS != ZERO
    if (s.dying[c.id] != ZERO or again) and is_page_table(s, a, gfn) and not root:
        s.shadow_early_unshadow += ONE
        emit(s, a, ev.EARLY_UNSHADOW, c.id, gva, gfn, mfn, ZERO, ZERO)
        remove_shadows(s, c, a, gfn, ONE, ZERO)
        s.tflags[c.id] |= xen.SF_EARLY_UNSHADOW
    s.last_emul[c.id] = mfn


@jit
def reset_early_unshadow(s, c):
    """Forget to which table the last 0 was stored, because something else came between. private.h: sh_reset_early_unshadow."""
    if s.shopt & xen.SHOPT_EARLY_UNSHADOW:
        s.last_emul[c.id] = NONE


@jit
def write(s, c, a, gva, gfn, size, value):
    """Store `size` (4 or 8) bytes at `gva`, which lies in frame `gfn`, and bring the shadows of that frame up to date.

    Source: shadow/hvm.c: hvm_emulate_write, sh_emulate_unmap_dest.
    """
    offset = gva & _IN_PAGE
    levels = _FOUR if size == _EIGHT else TWO
    old = get_entry(s, a, levels, gfn, offset // size)
    put_entry(s, a, levels, gfn, offset // size, value)
    a[s.o_ver + gfn] += ONE
    if value & _LOW32 == ZERO:
        if offset & ((_FOUR if c.levels == TWO else _EIGHT) - ONE) == ZERO:
            _maybe_early_unshadow(s, c, a, gva, gfn)
    else:
        reset_early_unshadow(s, c)
    flags = a[s.o_info + gfn] & xen.SHADOW_FLAGS
    narrow, wide = flags & _SHF_32 != ZERO, flags & ~_SHF_32 != ZERO
    skip = (old | value) & ONE == ZERO and ((not narrow and offset & U(7) == ZERO) or (not wide and size == _FOUR))
    if skip and s.shopt & xen.SHOPT_SKIP_VERIFY:
        logdirty.mark(s, c, a, gfn, xen.MK_EMULATED)
    else:
        result = validate(s, c, a, gva, gfn, offset, size, xen.MK_EMULATED)
        if result & xen.SET_FLUSH:
            flush_all(s)
        if result & xen.SET_ERROR:
            remove_shadows(s, c, a, gfn, ZERO, ZERO)
    s.gt_version += ONE


@jit
def hypervisor_write(s, c, a, gva):
    """The hypervisor writes data at `gva` for the guest. No fault comes of it, and no shadow entry.

    Source: hvm/hvm.c: hvm_copy_to_guest_linear.
    """
    gfn = gva_to_gfn(s, c, a, gva, x86.WRITE)
    if gfn != NONE and gfn < s.frames:
        a[s.o_ver + gfn] += ONE
        logdirty.mark(s, c, a, gfn, xen.MK_XEN)


# ---- the emulator's exit


@by_address
def emulate(s, c, a, gva, gfn, size, value, fast):
    """Carry out a store for the guest, or take the shadows of frame `gfn` away so that the guest can do it itself.

    `size`, `value`: what is stored, as for page_fault; `fast`: the guest's tables have not been walked for it (fast emulation).
    Returns RETRY, EMULATED, or x86.FAULT | the error code that the guest gets. Source: multi.c: sh_page_fault; its
    part from the label `early_emulation` on.
    """
    vcpu = c.id
    if s.event[vcpu] != ZERO or (size == ZERO and is_page_table(s, a, gfn)):
        return _unshadow_unhandled(s, c, a, gva, gfn, fast)
    target = gva_to_gfn(s, c, a, gva, x86.WRITE)
    if target == NONE:  # the tables changed under the fast path: the emulator injects the fault
        s.last_ok[vcpu] = ZERO
        err = c.w_err
        flags = s.tflags[vcpu] << xen.FLAGS_SHIFT
        emit(s, a, ev.EMULATE, vcpu, gva, gfn, a[s.o_p2m + gfn], _entry_number(c, gva) | flags, value)
        return err
    if target >= s.frames:
        return _unshadow_unhandled(s, c, a, gva, gfn, fast)
    if c.levels == THREE and _completes(s.first_va[vcpu], gva):
        s.tflags[vcpu] |= xen.SF_FULL_PT
    if size == ZERO:
        _data_write(s, c, a, target)
    else:
        write(s, c, a, gva, target, size, value)
    if is_page_table(s, a, gfn):
        if not fast and s.shopt & xen.SHOPT_FAST_EMULATION:
            s.last_frame[vcpu], s.last_mfn[vcpu], s.last_ok[vcpu] = gva >> x86.PAGE_BITS, gfn, ONE
    elif fast:
        s.last_ok[vcpu] = ZERO
    if c.levels == THREE:
        s.first_va[vcpu] = gva
        if _second_half(s, c, a, gva):
            value = get_entry(s, a, THREE, target, (gva & _IN_PAGE) >> THREE)
    flags = s.tflags[vcpu] << xen.FLAGS_SHIFT
    emit(s, a, ev.EMULATE, vcpu, gva, target, a[s.o_p2m + target], _entry_number(c, gva) | flags, value)
    return EMULATED


@jit
def _entry_number(c, gva):
    """Number of the table entry that an address lies in."""
    return (gva & _IN_PAGE) // (_FOUR if c.levels == TWO else _EIGHT)


@jit
def _data_write(s, c, a, gfn):
    """Emulate a store of plain data: less than four bytes, in a frame that is no table."""
    a[s.o_ver + gfn] += ONE
    reset_early_unshadow(s, c)
    logdirty.mark(s, c, a, gfn, xen.MK_EMULATED)
    s.gt_version += ONE


@jit
def _unshadow_unhandled(s, c, a, gva, gfn, fast):
    """Take the shadows of a frame away for a store that the emulator cannot do, or must not do while an event is injected.

    A frame that is stored to in such a way is taken for a table no longer. Returns RETRY: the guest stores once more.
    """
    vcpu = c.id
    if fast:
        s.shadow_fault_fast_emulate_fail += ONE
        s.last_ok[vcpu] = ZERO
    kind = ev.EMULATE_UNSHADOW_EVTINJ
    if s.event[vcpu] == ZERO:
        s.shadow_fault_emulate_failed += ONE
        kind = ev.EMULATE_UNSHADOW_UNHANDLED
    remove_shadows(s, c, a, gfn, ZERO, ONE)
    emit(s, a, kind, vcpu, gva, gfn, a[s.o_p2m + gfn], s.tflags[vcpu] << xen.FLAGS_SHIFT, ZERO)
    return RETRY


# ---- PAE: an entry of eight bytes stored in two halves


@jit
def _second_half(s, c, a, gva):
    """Emulate up to four further instructions, in the hope that one stores the other half of a PAE entry.

    `gva`: where the first half was stored. The guest's kernel announces its next store in c.pair_va; of a raw guest the next
    rows of its program are the instructions. True when the entry is whole. Source: multi.c: sh_page_fault.
    """
    if c.pair_va != NONE:
        return _emulate_announced(s, c, a, gva)
    whole = False
    for _ in range(_FOUR):
        row = s.row + s.skip_rows + ONE
        if row >= s.rows:
            return whole
        first = s.o_prog + row * THREE
        head, va, value = a[first], a[first + ONE], a[first + TWO]
        code, size = head & U(255), (head >> U(24)) & U(255)
        if (head >> U(8)) & U(255) != c.id:
            return whole
        target = _target_of_row(s, c, a, head, va)
        if target == NONE:
            s.shadow_em_ex_fail += ONE
            s.tflags[c.id] |= xen.SF_LAST_FAILED
            return whole
        s.skip_rows += ONE
        if code == operation.RAW_STORE:
            whole = whole or _completes(gva, va)
            if _extra_store(s, c, a, gva, va, target, size, value):
                return whole
            continue
        if code == operation.RAW_WRITE:
            _data_write(s, c, a, target)
        s.shadow_em_ex_non_pt += ONE
    return whole


@jit
def _emulate_announced(s, c, a, gva):
    """Emulate the store that the guest's kernel has announced in c.pair_va. True when the entry at `gva` is whole then."""
    va = c.pair_va
    c.pair_va = NONE
    target = gva_to_gfn(s, c, a, va, x86.WRITE)
    if target == NONE:
        s.shadow_em_ex_fail += ONE
        s.tflags[c.id] |= xen.SF_LAST_FAILED
        return False
    c.pair_done = ONE
    _extra_store(s, c, a, gva, va, target, _FOUR, c.pair_value)
    return _completes(gva, va)


@jit
def _target_of_row(s, c, a, head, va):
    """Frame that a row of a raw guest's program accesses at `va` (0 for a NOP), or NONE when the emulator cannot do it.

    `head`: the first word of the row (raw.py). The emulator does not change the privilege level: no row in user mode fits.
    """
    code = head & U(255)
    known = (
        code == operation.RAW_FETCH
        or code == operation.RAW_READ
        or code == operation.RAW_WRITE
        or code == operation.RAW_STORE
        or code == operation.RAW_NOP
    )
    if not known or (head >> U(16)) & ONE:
        return NONE
    if code == operation.RAW_NOP:
        return ZERO
    stores = code == operation.RAW_WRITE or code == operation.RAW_STORE
    kind = x86.WRITE if stores else (x86.FETCH if code == operation.RAW_FETCH else x86.READ)
    target = gva_to_gfn(s, c, a, va, kind)
    if target >= s.frames or (code == operation.RAW_WRITE and is_page_table(s, a, target)):
        return NONE
    return target


@jit
def _completes(first, second):
    """Whether a store at address `second` fills the upper half of the entry whose lower half was stored at `first`."""
    return second != first and second & ~U(7) == first


@jit
def _extra_store(s, c, a, first, va, target, size, value):
    """Emulate one more store, at `va` in frame `target`. True when that is a page table: then nothing further is emulated."""
    to_table = is_page_table(s, a, target)
    if _completes(first, va):
        s.tflags[c.id] |= xen.SF_FULL_PT
    write(s, c, a, va, target, size, value)
    if not to_table:
        s.shadow_em_ex_non_pt += ONE
        return False
    s.shadow_em_ex_pt += ONE
    s.tflags[c.id] |= xen.SF_SECOND_PT
    return True


# ---- HVMOP_pagetable_dying


@jit
def pagetable_dying(s, c, a, gfn):
    """The guest announces that the tables below root `gfn` are about to go: their user mappings are unhooked at once.

    Source: multi.c: sh_pagetable_dying.
    """
    flush = False
    if c.levels == THREE:
        for i in range(_FOUR):
            page = s.root[c.id * _FOUR + U(i)]
            if s.cr3[c.id] != gfn:
                gent = get_entry(s, a, THREE, gfn, U(i))
                # Xen does not ask here whether the entry is present.
                page = hash_lookup(s, a, a[s.o_p2m + frame(gent)], xen.SH_L2_PAE) if frame(gent) < s.frames else NONE
            if page != NONE:
                a[s.o_info + gfn_of(s, a, a[s.o_pkey + page])] |= xen.DYING
                unhook(s, c, a, page, ONE)
                flush = True
    else:
        page = hash_lookup(s, a, a[s.o_p2m + gfn], xen.SH_L4 if c.levels == _FOUR else xen.SH_L2_32)
        if page != NONE:
            a[s.o_info + gfn] |= xen.DYING
            unhook(s, c, a, page, ONE)
            flush = True
    if flush:
        flush_all(s)
    s.dying_op = ONE
    s.dying[c.id] = ONE
