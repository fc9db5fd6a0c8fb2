"""Shadow paging for a 64-bit HVM guest with 4 KiB pages: the page-fault path, propagate, prefetch, emulated stores.

Source: Xen mm/shadow/multi.c (sh_page_fault, _sh_propagate, sh_prefetch, sh_update_cr3, sh_validate_guest_entry), hvm.c
(sh_emulate_unmap_dest). Left out: out-of-sync tables, superpages, PAE and 32-bit guests, the fast paths (magic entries, fast
emulation), the virtual TLB, Linux-L3 mode, event injection.
"""

from pagingviz.core import logdirty
from pagingviz.core.events import emit
from pagingviz.core.jit import jit
from pagingviz.core.pool import entry_at, gfn_of
from pagingviz.core.recycle import prealloc
from pagingviz.core.shadows import find, has_shadow, is_page_table, make_shadow, pin, put_ref, set_upper
from pagingviz.core.tlb import flush, flush_all
from pagingviz.core.walk import error_code, frame, index, needs_ad, read_path, rights, set_ad
from pagingviz.core.writeable import remove_shadows, remove_write_access
from pagingviz.layout import (
    A, D, ENTRIES, ENTRY_BITS, EV_EARLY_UNSHADOW, EV_EMULATE, EV_EMULATE_UNSHADOW_USER, EV_FIXUP, EV_GUEST_WALK,
    EV_NOT_SHADOW, EV_PREFETCH, EV_SHADOW_FAULT, EV_VALIDATE, FAULT, LOGDIRTY_LEVELS, NONE, NX, ONE, P, PAGE_BITS, PF_P,
    PREFETCH_DISTANCE, RW, SH_L4, THREE, TYPE_OF_LEVEL, U, US, WRITE, ZERO,
)  # fmt: skip

RETRY, EMULATED = ZERO, ONE  # what page_fault returns besides FAULT | error code
_LOW32 = U(0xFFFFFFFF)
_COPIED = P | RW | US | A | NX  # the guest flags a shadow entry takes over


@jit
def guest_entry(s, tab, i):
    """Arena index of entry `i` of the guest table in frame `tab`."""
    return s.o_tables + (tab << ENTRY_BITS) + i


# ---- propagate


@jit
def propagate_l1(s, a, gent, fetch_is_write):
    """_sh_propagate at level 1: the shadow entry for guest entry `gent`. A write fetch marks its frame in the log-dirty bitmap.

    Guest A clear clears P, guest D clear clears RW, a page table is never writable, and with log-dirty on a page that is not
    yet dirty loses RW unless this is the write. The rest of a not-present result stays, as in Xen: prefetch stops at it.
    """
    if (gent & P) == ZERO:
        return ZERO
    gfn = frame(gent)
    if gfn >= s.frames:
        return ZERO
    flags = gent & _COPIED
    if (gent & A) == ZERO:
        flags &= ~P
    if (gent & D) == ZERO:
        flags &= ~RW
    if is_page_table(s, a, gfn):
        flags &= ~RW
    if s.log_dirty != ZERO:
        if fetch_is_write:
            logdirty.mark(s, a, gfn)
        elif flags & RW and not logdirty.is_dirty(s, a, gfn):
            flags &= ~RW
    return (a[s.o_p2m + gfn] << PAGE_BITS) | flags


@jit
def propagate_upper(gent, child):
    """_sh_propagate at levels 2 to 4: `child` is the shadow of the next guest table, NONE gives 0. A and D are always set."""
    if (gent & P) == ZERO or child == NONE:
        return ZERO
    flags = (gent & _COPIED) | A | D
    if (gent & A) == ZERO:
        flags &= ~P
    return (child << PAGE_BITS) | flags


@jit
def set_l1(s, a, page, i, new):
    """shadow_set_l1e: write an L1 shadow entry and move the writable typecount. Never flushes: that is the guest's job."""
    at = entry_at(s, page, i)
    old = a[at]
    if old == new:
        return
    if new & P and new & RW:
        a[s.o_info + gfn_of(s, a, frame(new))] += ONE
    a[at] = new
    if old & P and old & RW:
        a[s.o_info + gfn_of(s, a, frame(old))] -= ONE


# ---- emulated stores to page tables


@jit
def emulate(s, c, a, gva, gfn, i, value):
    """The emulator's store to a shadowed page table, then sh_emulate_unmap_dest: early unshadow, mark, validate."""
    at = guest_entry(s, gfn, i)
    old = a[at]
    a[at] = value
    a[s.o_ver + gfn] += ONE
    emit(s, a, EV_EMULATE, c.id, gva, gfn, a[s.o_p2m + gfn], i, value)
    mfn = a[s.o_p2m + gfn]
    if (value & _LOW32) == ZERO:
        if s.last_emul[c.id] == mfn:
            s.shadow_early_unshadow += ONE
            emit(s, a, EV_EARLY_UNSHADOW, c.id, gva, gfn, mfn, ZERO, i)
            remove_shadows(s, c, a, gfn, ONE)
        s.last_emul[c.id] = mfn
    else:
        s.last_emul[c.id] = NONE
    logdirty.mark(s, a, gfn)
    if (old | value) & P:
        validate(s, c, a, gva, gfn, i, value)


@jit
def validate(s, c, a, gva, gfn, i, value):
    """sh_validate_guest_entry: propagate one entry again into every shadow of its frame, L1 first; never makes shadows."""
    mfn = a[s.o_p2m + gfn]
    need = ZERO
    for level in (ONE, U(2), U(3), U(4)):
        kind = TYPE_OF_LEVEL[level]
        if not has_shadow(s, a, gfn, kind):
            continue
        page = find(s, a, mfn, kind)
        if level == ONE:
            s.shadow_validate_gl1e_calls += ONE
            set_l1(s, a, page, i, propagate_l1(s, a, value, False))
        else:
            if level == U(2):
                s.shadow_validate_gl2e_calls += ONE
            elif level == U(3):
                s.shadow_validate_gl3e_calls += ONE
            else:
                s.shadow_validate_gl4e_calls += ONE
            child = NONE
            if value & P and frame(value) < s.frames:
                child = find(s, a, a[s.o_p2m + frame(value)], TYPE_OF_LEVEL[level - ONE])
            need |= set_upper(s, a, page, i, propagate_upper(value, child))
        emit(s, a, EV_VALIDATE, c.id, gva, gfn, page, level, a[entry_at(s, page, i)])
    if need != ZERO:
        flush_all(s)


# ---- the fault path


@jit
def page_fault(s, c, a, gva, kind, user, is_store, value):
    """sh_page_fault, in the order of its steps. Returns RETRY, EMULATED (the store is done), or FAULT | error code.

    `is_store`, `value`: the access is an 8-byte store of `value` at `gva` (the guest kernel writing a table).
    """
    s.shadow_fault += ONE
    s.exits_page_fault += ONE
    emit(s, a, EV_SHADOW_FAULT, c.id, gva, NONE, NONE, ZERO, kind)
    s.guest_walk += ONE
    missing = read_path(c, a, s.o_tables, s.cr3[c.id], gva)
    err = error_code(missing, rights(c), kind, user)
    emit(s, a, EV_GUEST_WALK, c.id, gva, s.cr3[c.id], NONE, missing, err)
    if err != ZERO:
        s.shadow_fault_bail_real_fault += ONE
        s.last_emul[c.id] = NONE
        emit(s, a, EV_NOT_SHADOW, c.id, gva, NONE, NONE, missing, err & ~FAULT)
        return err
    for level in (U(4), U(3), U(2), ONE):
        if needs_ad(c, level, kind):
            set_ad(s, c, a, level, gva, kind)
            logdirty.mark(s, a, c.w_tab[level - ONE])
    gfn = frame(c.w_ent[0])
    if gfn >= s.frames:
        s.shadow_fault_bail_bad_gfn += ONE
        emit(s, a, EV_NOT_SHADOW, c.id, gva, gfn, NONE, ZERO, PF_P)
        return FAULT | PF_P
    want = THREE
    if s.log_dirty != ZERO:
        want += LOGDIRTY_LEVELS
    if not prealloc(s, a, want):
        return RETRY
    removed = False
    for level in (U(3), U(2), ONE):
        if remove_write_access(s, c, a, c.w_tab[level - ONE], level):
            removed = True
    if removed:
        s.shadow_rm_write_flush_tlb += ONE
        flush_all(s)
    page = _get_and_create_l1(s, c, a, gva)
    i = index(gva, ONE)
    set_l1(s, a, page, i, propagate_l1(s, a, c.w_ent[0], kind == WRITE))
    _prefetch(s, c, a, gva, page, i)
    if kind == WRITE and is_page_table(s, a, gfn):
        s.shadow_fault_emulate_write += ONE
        if user != ZERO or is_store == ZERO:
            s.shadow_fault_emulate_failed += ONE
            emit(s, a, EV_EMULATE_UNSHADOW_USER, c.id, gva, gfn, a[s.o_p2m + gfn], ZERO, ZERO)
            remove_shadows(s, c, a, gfn, ZERO)
            return RETRY
        emulate(s, c, a, gva, gfn, (gva >> THREE) & (ENTRIES - ONE), value)
        return EMULATED
    s.fault_count += ONE
    s.shadow_fault_fixed += ONE
    s.last_emul[c.id] = NONE
    emit(s, a, EV_FIXUP, c.id, gva, gfn, a[s.o_p2m + gfn], ONE, a[entry_at(s, page, i)])
    return RETRY


@jit
def _get_and_create_l1(s, c, a, gva):
    """shadow_get_and_create_l1e: descend from the loaded root, finding or making the missing shadows. Returns the L1 shadow."""
    page = s.root[c.id]
    for level in (U(4), U(3), U(2)):
        i = index(gva, level)
        e = a[entry_at(s, page, i)]
        if e & P:
            page = frame(e)
            continue
        table = c.w_tab[level - U(2)]
        kind = TYPE_OF_LEVEL[level - ONE]
        child = find(s, a, a[s.o_p2m + table], kind)
        if child == NONE:
            child = make_shadow(s, a, table, kind)
        if set_upper(s, a, page, i, propagate_upper(c.w_ent[level - ONE], child)) != ZERO:
            flush_all(s)
        page = child
    return page


@jit
def _prefetch(s, c, a, gva, page, i):
    """sh_prefetch: up to 31 entries after the faulting one, stopping at a used entry or one that owes an A or D fault."""
    end = i + PREFETCH_DISTANCE
    if end > ENTRIES:
        end = ENTRIES
    table = c.w_tab[0]
    done = ZERO
    for j in range(i + ONE, end):
        if a[entry_at(s, page, j)] != ZERO:
            break
        g = a[guest_entry(s, table, j)]
        if g & P and ((g & A) == ZERO or (g & RW != ZERO and (g & D) == ZERO)):
            break
        new = propagate_l1(s, a, g, False)
        set_l1(s, a, page, j, new)
        if new & P:
            done += ONE
    s.prefetched += done
    if done != ZERO:
        emit(s, a, EV_PREFETCH, c.id, gva, table, page, ONE, done)


# ---- CR3


@jit
def update_cr3(s, c, a, vcpu):
    """sh_update_cr3, sh_set_toplevel_shadow: write-protect the new root, find or make its shadow, pin it, load it, flush."""
    gfn = s.cr3[vcpu]
    if remove_write_access(s, c, a, gfn, U(4)):
        flush_all(s)
    page = find(s, a, a[s.o_p2m + gfn], SH_L4)
    if page == NONE:
        if not prealloc(s, a, ONE):
            return
        page = make_shadow(s, a, gfn, SH_L4)
    a[s.o_pref + page] += ONE
    pin(s, a, page)
    old = s.root[vcpu]
    s.root[vcpu] = page
    if old != NONE:
        put_ref(s, a, old, NONE)
    flush(s, vcpu)


@jit
def detach(s, a, vcpu):
    """sh_detach_old_tables: the vCPU lets go of its root."""
    old = s.root[vcpu]
    s.root[vcpu] = NONE
    if old != NONE:
        put_ref(s, a, old, NONE)
