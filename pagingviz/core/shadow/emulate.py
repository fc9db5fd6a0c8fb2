"""Stores to shadowed page tables: the emulator, validation of the new entry, and when a table stops being one.

Source: Xen mm/shadow/multi.c (sh_page_fault from `emulate:` on, validate_gl*e, sh_pagetable_dying), hvm.c (hvm_emulate_write,
sh_emulate_unmap_dest, check_for_early_unshadow), common.c (sh_validate_guest_entry). Left out: unaligned and page-crossing
stores, segmentation, single-stepping.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import operation, x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.build.far import far
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.shadow.entries import place, set_l1, set_upper, unhook
from pagingviz.core.shadow.links import link
from pagingviz.core.shadow.oos import note_snapshot, resync_all
from pagingviz.core.shadow.pool import gfn_of
from pagingviz.core.shadow.propagate import propagate_l1, propagate_upper, uses_superpages
from pagingviz.core.shadow.shadows import find, has_shadow, hash_lookup, is_page_table
from pagingviz.core.shadow.writeable import remove_shadows
from pagingviz.core.walk.page_walk import frame, get_entry, guest_frame, needs_ad, put_entry, reserved, set_ad, walk
from pagingviz.core.walk.tlb import flush_all

RETRY, EMULATED = ZERO, ONE  # what the fault path returns besides FAULT | error code
_FOUR, _EIGHT, _LOW32, _IN_PAGE = U(4), U(8), U(0xFFFFFFFF), U(4095)
_VTLB = U(xen.VTLB)
_LEVELS = (1, 2, 3, 4)
_SHF_32 = U((1 << 1 | 1 << 2 | 1 << 3) << 32)
_ROOTS = U((1 << 3 | 1 << 6 | 1 << 12) << 32)  # shadowed as l2_32, l2_pae or l4_64


# ---- the virtual TLB


@jit
def remember(s, c, gva, gfn, err):
    """vtlb_insert: translations seen since the last flush, for the emulator. `err`: PF_* bits of the access that succeeded."""
    if s.shopt & xen.SHOPT_VIRTUAL_TLB:
        k = c.id * _VTLB + (gva >> x86.PAGE_BITS) % _VTLB
        s.vtlb_page[k], s.vtlb_frame[k], s.vtlb_err[k] = gva >> x86.PAGE_BITS, gfn, err | x86.PF_P


@jit
def forget(s, c):
    """vtlb_flush, and the fast-emulation memory: after CR3 load and INVLPG."""
    for k in range(c.id * _VTLB, (c.id + ONE) * _VTLB):
        s.vtlb_page[k] = NONE
    s.last_ok[c.id] = ZERO


@jit
def gva_to_gfn(s, c, a, gva, kind):
    """sh_gva_to_gfn for a supervisor's access: from the virtual TLB, else by a guest walk. NONE when the guest would fault.

    A remembered translation serves only what was allowed then: one seen by a load says nothing about stores.
    """
    k = c.id * _VTLB + (gva >> x86.PAGE_BITS) % _VTLB
    err = x86.PF_P | (x86.PF_W if kind == x86.WRITE else (x86.PF_I if kind == x86.FETCH else ZERO))
    known = (
        s.road == xen.SHADOW and s.shopt & xen.SHOPT_VIRTUAL_TLB
    )  # only sh_gva_to_gfn has one, and only there it is ever flushed
    if known and s.vtlb_page[k] == gva >> x86.PAGE_BITS and s.vtlb_err[k] & err == err:
        return s.vtlb_frame[k]
    if not walk_and_mark(s, c, a, gva, kind, ZERO):
        return NONE
    remember(s, c, gva, c.w_leaf, err)
    return c.w_leaf


@jit
def walk_and_mark(s, c, a, gva, kind, user):
    """guest_walk_tables by the hypervisor: A and D set if it succeeds, each table so written marked dirty. False: it fails."""
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


# ---- validation


@jit
def _validate_upper(s, c, a, at, gent, level, levels):
    """validate_gl2e, gl3e, gl4e: propagate a new entry with whatever shadow its child already has. Returns SET_* bits."""
    child, result = NONE, ZERO
    big = level == TWO and gent & x86.PSE != ZERO
    odd = big and not uses_superpages(s, c)  # 32-bit without CR4.PSE: the CPU ignores the bit, guest_l2e_rsvd_bits does not
    if gent & x86.P and not odd and reserved(s, gent, level, levels) == ZERO:
        if big:
            child = hash_lookup(s, a, frame(gent), xen.FL1_OF[levels])
        elif guest_frame(s, a, gent) >= s.frames:
            result = xen.SET_ERROR
        else:
            child = find(s, a, a[s.o_p2m + guest_frame(s, a, gent)], xen.TYPE_OF_LEVEL[levels, level - ONE])
            if level > TWO and child != NONE:
                resync_all(s, c, a, False, True, True)
    new = propagate_upper(s, c, gent, child, level)
    if level == TWO:
        return result | link(s, c, a, at, new)
    return result | set_upper(s, c, a, at, new)


@far
def validate(s, c, a, gva, gfn, offset, size, cause):
    """sh_validate_guest_entry: mark, then propagate the written entries again into every shadow of the frame, L1 first.

    `offset`, `size`: bytes written in the frame; `cause`: by whom (layout.MK_*). Never makes shadows. Returns SET_* bits.
    """
    logdirty.mark(s, c, a, gfn, cause)
    result = ZERO
    for levels in (TWO, THREE, _FOUR):
        width = _FOUR if levels == TWO else _EIGHT
        for level in _LEVELS:
            kind = xen.TYPE_OF_LEVEL[levels, level]
            if kind == ZERO or not has_shadow(s, a, gfn, kind):
                continue
            page = find(s, a, a[s.o_p2m + gfn], kind)
            for i in range(offset // width, (offset + size + width - ONE) // width):
                result |= _validate_one(s, c, a, gva, gfn, page, U(i), kind)
    s.tflags[c.id] |= result << xen.SF_SET_CHANGED_SHIFT
    return result


@jit
def _validate_one(s, c, a, gva, gfn, page, i, kind):
    """One entry of one shadow. Returns SET_* bits."""
    level, levels = xen.SH_LEVEL[kind], xen.SH_GUEST_LEVELS[kind]
    at = place(s, a, page, i)
    gent = get_entry(s, a, levels, gfn, i)
    if level == ONE:
        s.shadow_validate_gl1e_calls += ONE
        usable = gent & x86.P != ZERO and reserved(s, gent, ONE, levels) == ZERO
        result = set_l1(s, c, a, at, propagate_l1(s, c, a, gent, False) if usable else ZERO)
        note_snapshot(s, a, gfn, i, levels == TWO, gent)
    else:
        if level == TWO:
            s.shadow_validate_gl2e_calls += ONE
        elif level == THREE:
            s.shadow_validate_gl3e_calls += ONE
        else:
            s.shadow_validate_gl4e_calls += ONE
        result = _validate_upper(s, c, a, at, gent, level, levels)
    emit(s, a, ev.VALIDATE, c.id, gva, gfn, page, level, a[at])
    return result


# ---- one emulated store


@jit
def _maybe_early_unshadow(s, c, a, gva, gfn):
    """check_for_early_unshadow: the second zero in a row, or any by a dying process, means the table is being torn down."""
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
    """sh_reset_early_unshadow: a real page fault came between."""
    if s.shopt & xen.SHOPT_EARLY_UNSHADOW:
        s.last_emul[c.id] = NONE


@jit
def write(s, c, a, gva, gfn, size, value):
    """hvm_emulate_write and sh_emulate_unmap_dest: store `size` (4 or 8) bytes at `gva`, which lies in frame `gfn`."""
    offset = gva & _IN_PAGE
    levels = _FOUR if size == _EIGHT else TWO
    was = get_entry(s, a, levels, gfn, offset // size)
    put_entry(s, a, levels, gfn, offset // size, value)
    a[s.o_ver + gfn] += ONE
    if value & _LOW32 == ZERO:
        if offset & ((_FOUR if c.levels == TWO else _EIGHT) - ONE) == ZERO:
            _maybe_early_unshadow(s, c, a, gva, gfn)
    else:
        reset_early_unshadow(s, c)
    flags = a[s.o_info + gfn] & xen.SHADOW_FLAGS
    narrow, wide = flags & _SHF_32 != ZERO, flags & ~_SHF_32 != ZERO
    skip = (was | value) & ONE == ZERO and ((not narrow and offset & U(7) == ZERO) or (not wide and size == _FOUR))
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
    """hvm_copy_to_guest_linear: the hypervisor writes data at `gva` for the guest, with no fault and no shadow entry."""
    gfn = gva_to_gfn(s, c, a, gva, x86.WRITE)
    if gfn != NONE and gfn < s.frames:
        a[s.o_ver + gfn] += ONE
        logdirty.mark(s, c, a, gfn, xen.MK_XEN)


# ---- the emulator's exit


@far
def emulate(s, c, a, gva, gfn, size, value, fast):
    """sh_page_fault from `early_emulation:` on: unshadow or carry out the store. Returns RETRY, EMULATED, or FAULT | error."""
    v = c.id
    if s.event[v] != ZERO or (size == ZERO and is_page_table(s, a, gfn)):
        return _unhandled(s, c, a, gva, gfn, fast)
    target = gva_to_gfn(s, c, a, gva, x86.WRITE)
    if target == NONE:  # the tables changed under the fast path: the emulator injects the fault
        s.last_ok[v] = ZERO
        err = c.w_err
        emit(s, a, ev.EMULATE, v, gva, gfn, a[s.o_p2m + gfn], _entry_index(c, gva) | (s.tflags[v] << xen.FLAGS_SHIFT), value)
        return err
    if target >= s.frames:
        return _unhandled(s, c, a, gva, gfn, fast)
    if c.levels == THREE and _completes(s.first_va[v], gva):
        s.tflags[v] |= xen.SF_FULL_PT
    if size == ZERO:
        _data_write(s, c, a, target)
    else:
        write(s, c, a, gva, target, size, value)
    if is_page_table(s, a, gfn):
        if not fast and s.shopt & xen.SHOPT_FAST_EMULATION:
            s.last_frame[v], s.last_mfn[v], s.last_ok[v] = gva >> x86.PAGE_BITS, gfn, ONE
    elif fast:
        s.last_ok[v] = ZERO
    if c.levels == THREE:
        s.first_va[v] = gva
        if _second_half(s, c, a, gva):
            value = get_entry(s, a, THREE, target, (gva & _IN_PAGE) >> THREE)
    emit(s, a, ev.EMULATE, v, gva, target, a[s.o_p2m + target], _entry_index(c, gva) | (s.tflags[v] << xen.FLAGS_SHIFT), value)
    return EMULATED


@jit
def _entry_index(c, gva):
    """Which entry of its table an address lies in."""
    return (gva & _IN_PAGE) // (_FOUR if c.levels == TWO else _EIGHT)


@jit
def _data_write(s, c, a, gfn):
    """An emulated store of plain data, less than four bytes of a page that is no table."""
    a[s.o_ver + gfn] += ONE
    reset_early_unshadow(s, c)
    logdirty.mark(s, c, a, gfn, xen.MK_EMULATED)
    s.gt_version += ONE


@jit
def _unhandled(s, c, a, gva, gfn, fast):
    """What the emulator cannot do, or must not while an event is injected: the frame cannot be a table, so the guest tries."""
    v = c.id
    if fast:
        s.shadow_fault_fast_emulate_fail += ONE
        s.last_ok[v] = ZERO
    kind = ev.EMULATE_UNSHADOW_EVTINJ
    if s.event[v] == ZERO:
        s.shadow_fault_emulate_failed += ONE
        kind = ev.EMULATE_UNSHADOW_UNHANDLED
    remove_shadows(s, c, a, gfn, ZERO, ONE)
    emit(s, a, kind, v, gva, gfn, a[s.o_p2m + gfn], s.tflags[v] << xen.FLAGS_SHIFT, ZERO)
    return RETRY


@jit
def _second_half(s, c, a, gva):
    """PAE: up to four further instructions, in the hope of the other half of an 8-byte store. True: the entry is whole."""
    if c.pair_va != NONE:
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
    whole = False
    for _ in range(_FOUR):
        row = s.row + s.skip_rows + ONE
        if row >= s.rows:
            return whole
        o = s.o_prog + row * THREE
        head, va, value = a[o], a[o + ONE], a[o + TWO]
        code, size = head & U(255), (head >> U(24)) & U(255)
        if (head >> U(8)) & U(255) != c.id:
            return whole
        fits = (
            code == operation.RAW_FETCH
            or code == operation.RAW_READ
            or code == operation.RAW_WRITE
            or code == operation.RAW_STORE
            or code == operation.RAW_NOP
        )
        target = ZERO
        if (head >> U(16)) & ONE:  # a user's row: the change of privilege before it is nothing the emulator knows
            fits = False
        if fits and code != operation.RAW_NOP:
            kind = (
                x86.WRITE
                if code == operation.RAW_WRITE or code == operation.RAW_STORE
                else (x86.FETCH if code == operation.RAW_FETCH else x86.READ)
            )
            target = gva_to_gfn(s, c, a, va, kind)
            fits = target != NONE and target < s.frames
        if fits and code == operation.RAW_WRITE and is_page_table(s, a, target):
            fits = False
        if not fits:
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
def _completes(first, second):
    """Whether the second store fills the upper half of the entry whose lower half the first one wrote."""
    return second != first and second & ~U(7) == first


@jit
def _extra_store(s, c, a, first, va, target, size, value):
    """One more emulated store. True when it went to a page table: then nothing further is emulated."""
    table = is_page_table(s, a, target)
    if _completes(first, va):
        s.tflags[c.id] |= xen.SF_FULL_PT
    write(s, c, a, va, target, size, value)
    if not table:
        s.shadow_em_ex_non_pt += ONE
        return False
    s.shadow_em_ex_pt += ONE
    s.tflags[c.id] |= xen.SF_SECOND_PT
    return True


# ---- HVMOP_pagetable_dying


@jit
def pagetable_dying(s, c, a, gfn):
    """sh_pagetable_dying: the guest says that the tables below root `gfn` are about to go; their user mappings go at once."""
    flush = False
    if c.levels == THREE:
        for i in range(_FOUR):
            page = s.root[c.id * _FOUR + U(i)]
            if s.cr3[c.id] != gfn:
                e = get_entry(s, a, THREE, gfn, U(i))
                page = (
                    hash_lookup(s, a, a[s.o_p2m + frame(e)], xen.SH_L2_PAE) if frame(e) < s.frames else NONE
                )  # P is not asked
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
