"""Shadow paging: what the hardware sees, the page-fault path, prefetch, CR3 and INVLPG.

Source: Xen mm/shadow/multi.c (sh_page_fault, sh_prefetch, sh_update_cr3, sh_invlpg), common.c (sh_set_toplevel_shadow,
sh_update_paging_modes). Left out: MMIO and the magic entries that speed it up, implicit supervisor accesses.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.build.far import far
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit, refer
from pagingviz.core.shadow.emulate import RETRY, emulate, forget, remember, reset_early_unshadow, walk_and_mark
from pagingviz.core.shadow.entries import page_at, set_l1
from pagingviz.core.shadow.links import get_and_create_l1, make_shadow
from pagingviz.core.shadow.oos import note_snapshot, resync, resync_all, unsync
from pagingviz.core.shadow.pool import alloc, entry_at, gfn_of, head_of, release
from pagingviz.core.shadow.propagate import propagate_l1
from pagingviz.core.shadow.recycle import prealloc
from pagingviz.core.shadow.shadows import find, frame_shadowed, get_ref, is_fl1, is_oos, is_page_table, pin, put_ref
from pagingviz.core.shadow.writeable import loaded_l2, remove_shadows, remove_write_access, shadow_entry
from pagingviz.core.walk.page_walk import error_code, frame, get_entry, index, reserved
from pagingviz.core.walk.tlb import drop, flush, flush_all

_FOUR, _INDEX = U(4), U(511)
_FLAGS = U(0xFFF)
_AGAIN, _GO_ON = ZERO, ONE


# ---- the hardware


@jit
def hardware_walk(s, c, a, gva, kind, user):
    """The hardware's walk over the loaded shadow. Returns the leaf entry, or 0 if the access must exit; fills c.w_rights.

    Sets A in each entry it uses (a PAE root slot has none) and D in the leaf of a write; those bits mean nothing to the guest.
    c.hw_err is the error code of the exit, as the hardware sees it: P=0 for any hole in the shadow.
    """
    c.hw_err = (x86.PF_W if kind == x86.WRITE else (x86.PF_I if kind == x86.FETCH else ZERO)) | (
        x86.PF_U if user != ZERO else ZERO
    )
    have = x86.RW | x86.US
    if c.levels == _FOUR:
        page = s.root[c.id * _FOUR]
        top = _FOUR
    else:
        page = loaded_l2(s, c, a, gva)
        top = TWO
    level = top
    while level != ZERO:
        if page == NONE:
            return ZERO
        i = index(_FOUR, gva, level)
        at = entry_at(s, page, i)
        e = a[at]
        if s.look == ev.EVERY_REFERENCE:
            leads = ev.REF_HOLE if e & x86.P == ZERO else (ev.REF_LEAF if level == ONE else ev.REF_TABLE)
            gfn = frame_shadowed(s, a, head_of(s, a, page))
            refer(s, a, c.id, gva, gfn, page, i, level, ev.REF_SHADOW, level, leads, e)
        if (e & x86.P) == ZERO:
            return ZERO
        c.w_tab[level - ONE] = at
        have = (have & (e | x86.NX)) | (e & x86.NX)
        page = frame(e)
        level -= ONE
    c.hw_err |= x86.PF_P
    cr = (
        s.cr | x86.CR_WP if s.cr & x86.CR_PG else x86.CR_WP
    )  # SMEP and SMAP are off in the hardware while the guest does not page
    if error_code(have, ZERO, ZERO, kind, user, cr, _FOUR) != ZERO:
        return ZERO
    for k in range(top):
        a[c.w_tab[k]] |= x86.A
    if kind == x86.WRITE:
        a[c.w_tab[0]] |= x86.D
    c.w_rights = have
    return a[c.w_tab[0]]


# ---- the fault path


@far
def page_fault(s, c, a, gva, kind, user, size, value):
    """sh_page_fault. Returns RETRY, EMULATED (the store is done), or FAULT | error code for the guest.

    `size`, `value`: the access is a store of `value` (4 or 8 bytes) at `gva`; size 0: nobody knows what it stores.
    """
    s.shadow_fault += ONE
    s.exits_page_fault += ONE
    emit(s, a, ev.SHADOW_FAULT, c.id, gva, NONE, NONE, ZERO, kind)
    v = c.id
    if s.last_ok[v] != ZERO and s.last_frame[v] == gva >> x86.PAGE_BITS:
        gfn = s.last_mfn[v]
        if c.hw_err == x86.PF_P | x86.PF_W and not is_oos(s, a, gfn):
            s.shadow_fault_fast_emulate += ONE
            return emulate(s, c, a, gva, gfn, size, value, True)
        s.last_ok[v] = ZERO
    while True:
        version = s.gt_version
        ok = walk_and_mark(s, c, a, gva, kind, user)
        err = c.w_err
        emit(s, a, ev.GUEST_WALK, v, gva, s.cr3[v], NONE, c.w_missing, err)
        if not ok:
            s.shadow_fault_bail_real_fault += ONE
            reset_early_unshadow(s, c)
            emit(s, a, ev.NOT_SHADOW, v, gva, NONE, NONE, s.tflags[v] << xen.FLAGS_SHIFT, err & _FLAGS)
            return err
        if s.crashed != ZERO:
            return RETRY
        gfn = c.w_leaf
        if gfn >= s.frames:
            s.shadow_fault_bail_bad_gfn += ONE
            reset_early_unshadow(s, c)
            emit(s, a, ev.NOT_SHADOW, v, gva, gfn, NONE, s.tflags[v] << xen.FLAGS_SHIFT, x86.PF_P)
            return x86.FAULT | x86.PF_P | (c.hw_err & ~x86.PF_P)
        remember(s, c, gva, gfn, c.hw_err)
        s.tflags[v] = ZERO
        if not prealloc(s, c, a, xen.TYPE_OF_LEVEL[c.levels, 1], THREE if c.levels == _FOUR else ONE):
            return RETRY
        if _protect(s, c, a, gva, version) == _GO_ON:
            break
    at = get_and_create_l1(s, c, a, gva, kind)
    if at == NONE:  # PAE: the hardware would have loaded the four entries by now; load them, and let the guest fault
        update_cr3(s, c, a, v)
        return x86.FAULT | x86.PF_P | (c.hw_err & ~x86.PF_P)
    table = kind == x86.WRITE and is_page_table(s, a, gfn)
    if table and s.shopt & xen.SHOPT_OUT_OF_SYNC:
        unsync(s, c, a, gfn)
    set_l1(s, c, a, at, propagate_l1(s, c, a, c.w_l1e, kind == x86.WRITE))
    if s.crashed != ZERO:
        return RETRY
    if c.w_size == ONE:
        note_snapshot(s, a, c.w_tab[0], index(c.levels, gva, ONE), c.levels == TWO, c.w_l1e)
    if s.shopt & xen.SHOPT_PREFETCH:
        _prefetch(s, c, a, gva, at)
    if table and s.pv != ZERO:  # types let no guest entry write a table: nothing that shadows are to answer for
        emit(s, a, ev.NOT_SHADOW, v, gva, gfn, NONE, s.tflags[v] << xen.FLAGS_SHIFT, c.hw_err & _FLAGS)
        return x86.FAULT | c.hw_err
    if table and not (is_oos(s, a, gfn) and user == ZERO):
        s.shadow_fault_emulate_write += ONE
        return _emulate(s, c, a, gva, gfn, user, size, value)
    if kind == x86.WRITE and user == ZERO and s.cr & x86.CR_WP == ZERO:
        s.shadow_fault_emulate_wp += ONE
        return _emulate(s, c, a, gva, gfn, user, size, value)
    s.shadow_fault_fixed += ONE
    s.fault_count += ONE
    reset_early_unshadow(s, c)
    emit(s, a, ev.FIXUP, v, gva, gfn, a[s.o_p2m + gfn], ONE | (s.tflags[v] << xen.FLAGS_SHIFT), a[at])
    return RETRY


@jit
def _protect(s, c, a, gva, version):
    """gw_remove_write_accesses, shadow_check_gwalk. Returns _GO_ON, or _AGAIN when a table came back into sync: walk again."""
    removed, again = False, False
    level = THREE if c.levels == _FOUR else TWO
    if c.levels == TWO:
        level = ONE  # the root was protected at CR3 load
    while level >= c.w_size or level > ONE:
        tab = c.w_tab[level - ONE]
        if level > ONE and is_oos(s, a, tab):
            resync(s, c, a, tab)
            again = True
        elif not is_oos(s, a, tab) and remove_write_access(s, c, a, tab, level, gva):
            removed = True
        level -= ONE
        if level == ZERO:
            break
    if removed:
        s.shadow_rm_write_flush_tlb += ONE
        s.gt_version += ONE
        flush_all(s)
    if again:
        return _AGAIN
    if s.gt_version != version:
        s.shadow_check_gwalk += ONE
        if _changed(s, c, a, gva):
            s.shadow_inconsistent_gwalk += ONE
            return _AGAIN
    return _GO_ON


@jit
def _changed(s, c, a, gva):
    """shadow_check_gwalk: is an entry no longer what the walk read? Only where one entry serves at two levels (a self map)."""
    level = c.levels if c.levels != THREE else TWO
    while level >= c.w_size:
        if c.w_ent[level - ONE] != get_entry(s, a, c.levels, c.w_tab[level - ONE], index(c.levels, gva, level)):
            return True
        level -= ONE
    return False


@jit
def _emulate(s, c, a, gva, gfn, user, size, value):
    """sh_page_fault from `emulate:` on: a user's store means that this is no table any more, a dying root is unshadowed."""
    if user != ZERO:
        s.shadow_fault_emulate_failed += ONE
        remove_shadows(s, c, a, gfn, ZERO, ONE)
        emit(s, a, ev.EMULATE_UNSHADOW_USER, c.id, gva, gfn, a[s.o_p2m + gfn], s.tflags[c.id] << xen.FLAGS_SHIFT, ZERO)
        return RETRY
    if is_page_table(s, a, gfn) and a[s.o_info + gfn] & xen.DYING:
        used = False
        for v in range(s.vcpus):
            if c.levels == THREE:
                for k in range(U(v) * _FOUR, U(v) * _FOUR + _FOUR):
                    if s.root[k] != NONE and gfn_of(s, a, a[s.o_pkey + s.root[k]]) == gfn:
                        used = True
            elif s.cr3[v] == gfn and s.cr & x86.CR_PG:
                used = True
        if not used:
            remove_shadows(s, c, a, gfn, ONE, ZERO)
    return emulate(s, c, a, gva, gfn, size, value, False)


@jit
def _prefetch(s, c, a, gva, at):
    """sh_prefetch: up to 31 entries after the faulting one, within its shadow page; it stops at a used entry.

    It also stops at a present guest entry that owes an A or D fault.
    """
    i = (at - s.o_pool) & _INDEX
    end = i + xen.PREFETCH_DISTANCE
    if end > x86.ENTRIES:
        end = x86.ENTRIES
    first = index(c.levels, gva, ONE)
    done = ZERO
    for j in range(ONE, end - i):
        if a[at + j] != ZERO:
            break
        if c.w_size == ONE:
            g = get_entry(s, a, c.levels, c.w_tab[0], first + j)
            if g & x86.P and ((g & x86.A) == ZERO or (g & x86.RW != ZERO and (g & x86.D) == ZERO)):
                break
            usable = g & x86.P != ZERO and reserved(s, g, ONE, c.levels) == ZERO
        else:
            g, usable = c.w_l1e + (U(j) << x86.PAGE_BITS), True
        new = propagate_l1(s, c, a, g, False) if usable else ZERO
        set_l1(s, c, a, at + j, new)
        if c.w_size == ONE:
            note_snapshot(s, a, c.w_tab[0], first + j, c.levels == TWO, g)
        if new & x86.P:
            done += ONE
    s.prefetched += done
    if done != ZERO:
        emit(s, a, ev.PREFETCH, c.id, gva, c.w_tab[0], (at - s.o_pool) >> U(9), ONE, done)


# ---- CR3


@jit
def _set_slot(s, c, a, slot, gfn, kind):
    """sh_set_toplevel_shadow: find or make the shadow of root `gfn` (NONE: no root), take it, pin it, let go of the old one."""
    page = NONE
    if gfn != NONE:
        page = find(s, a, a[s.o_p2m + gfn], kind)
        if page == NONE and prealloc(s, c, a, kind, ONE):
            page = make_shadow(s, c, a, gfn, kind)
        if page != NONE:
            get_ref(s, a, page, NONE)
            pin(s, a, page)
    old = s.root[slot]
    s.root[slot] = page
    if old != NONE:
        put_ref(s, c, a, old, NONE)


@far
def update_cr3(s, c, a, vcpu):
    """sh_update_cr3: resync own tables, write-protect the new root, find or make its shadow, pin it, load it, flush.

    `c` is the vCPU whose CR3 it is. PAE: the four L2 tables of its loaded entries are roots of their own.
    """
    resync_all(s, c, a, False, True, False)
    slot = vcpu * _FOUR
    if c.levels == THREE:
        removed = False
        for i in range(_FOUR):
            c.pdpte[i] = get_entry(s, a, THREE, s.cr3[vcpu], U(i))
        for i in range(_FOUR):
            gfn = _pae_root(s, c, i)
            if gfn != NONE and remove_write_access(s, c, a, gfn, TWO, ZERO):
                removed = True
        if removed:
            flush_all(s)
        for i in range(_FOUR):
            _set_slot(s, c, a, slot + U(i), _pae_root(s, c, i), xen.SH_L2_PAE)
    else:
        gfn = s.cr3[vcpu] if s.cr & x86.CR_PG else s.frames
        if remove_write_access(s, c, a, gfn, c.levels, ZERO):
            flush_all(s)
        _set_slot(s, c, a, slot, gfn, xen.TYPE_OF_LEVEL[c.levels, c.levels])
    flush(s, vcpu)
    forget(s, c)
    resync_all(s, c, a, True, False, True)


@jit
def _pae_root(s, c, i):
    """Guest frame of one of the four loaded L2 tables, or NONE."""
    e = c.pdpte[i]
    return frame(e) if e & x86.P and frame(e) < s.frames else NONE


@jit
def detach(s, c, a, vcpu):
    """sh_detach_old_tables: the vCPU lets go of its roots."""
    for k in range(vcpu * _FOUR, vcpu * _FOUR + _FOUR):
        old = s.root[k]
        s.root[k] = NONE
        if old != NONE:
            put_ref(s, c, a, old, NONE)


@far
def update_modes(s, c, a):
    """sh_update_paging_modes after CR0.PG, CR4 or the shadow mode has changed: detach, resync all, monitor table, new root."""
    v = c.id
    had = monitor_pages(c.levels)
    detach(s, c, a, v)
    resync_all(s, c, a, False, True, True)
    c.levels = s.guest_levels if s.cr & x86.CR_PG else TWO
    if monitor_pages(c.levels) != had:
        old = s.monitor[v]
        s.monitor[v] = make_monitor(s, c, a)
        while old != NONE:
            after = a[s.o_pup + old]
            release(s, a, old)
            old = after
    update_cr3(s, c, a, v)


@jit
def monitor_pages(levels):
    """Pages of a monitor table: one in 4-level mode, three where Xen extends a three-level shadow to four levels."""
    return ONE if levels == _FOUR else THREE


@jit
def make_monitor(s, c, a):
    """sh_make_monitor_table. Returns its first page, others are chained by `pup`. Xen 4.17 asks for four, whatever it uses."""
    n = monitor_pages(c.levels)
    if not prealloc(s, c, a, xen.SH_MONITOR, _FOUR if s.xen == xen.XEN_417 else n):
        return NONE
    first = NONE
    for _ in range(n):
        page = alloc(s, a, xen.SH_MONITOR, NONE)
        a[s.o_pup + page] = first
        first = page
    return first


@jit
def make_snapshots(s, c, a):
    """First part of sh_update_paging_modes: three snapshot pages a vCPU; Xen 4.17 takes them in any case, for PV guests too."""
    if s.xen != xen.XEN_417 and s.shopt & xen.SHOPT_OUT_OF_SYNC == ZERO:
        return
    if prealloc(s, c, a, xen.SH_SNAPSHOT, U(xen.OOS_PAGES)):
        for k in range(c.id * U(xen.OOS_PAGES), (c.id + ONE) * U(xen.OOS_PAGES)):
            s.oos_snap[k] = alloc(s, a, xen.SH_SNAPSHOT, NONE)


@jit
def disable(s, c, a):
    """shadow_one_bit_disable for a PV guest's vCPU: no root, no snapshots; CR3 points to the guest's own table again."""
    detach(s, c, a, c.id)
    for k in range(c.id * U(xen.OOS_PAGES), (c.id + ONE) * U(xen.OOS_PAGES)):
        if s.oos_snap[k] != NONE:
            release(s, a, s.oos_snap[k])
            s.oos_snap[k] = NONE
    forget(s, c)
    flush(s, c.id)


# ---- INVLPG


@jit
def invlpg(s, c, a, gva):
    """sh_invlpg: nothing where nothing is shadowed; all of the TLB for a superpage; an out-of-sync entry is blanked."""
    s.shadow_invlpg += ONE
    forget(s, c)
    at = shadow_entry(s, c, a, gva)
    if at == NONE:
        return
    head = head_of(s, a, page_at(s, at))
    if is_fl1(a[s.o_ptype + head]):
        flush(s, c.id)
        return
    if is_oos(s, a, frame_shadowed(s, a, head)):
        set_l1(s, c, a, at, ZERO)
    drop(s, c, (gva >> x86.PAGE_BITS) & x86.VPN_MASK)
