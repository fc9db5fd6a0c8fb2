"""Shadow paging: the hardware's walk over the shadows, the page-fault path, prefetch and INVLPG.

Source: Xen mm/shadow/multi.c (sh_page_fault, sh_prefetch, sh_invlpg). Left out: MMIO and the magic entries that speed it up,
implicit supervisor accesses.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit, refer
from pagingviz.core.shadow.emulate import RETRY, emulate, reset_early_unshadow
from pagingviz.core.shadow.entries import page_at, set_l1
from pagingviz.core.shadow.links import get_and_create_l1
from pagingviz.core.shadow.oos import note_snapshot, resync, unsync
from pagingviz.core.shadow.pool import entry_at, gfn_of, head_of
from pagingviz.core.shadow.propagate import propagate_l1
from pagingviz.core.shadow.recycle import prealloc
from pagingviz.core.shadow.shadows import frame_shadowed, is_fl1, is_oos, is_page_table
from pagingviz.core.shadow.toplevel import update_cr3
from pagingviz.core.shadow.vtlb import forget, remember, walk_and_mark
from pagingviz.core.shadow.writeable import loaded_l2, remove_shadows, remove_write_access, shadow_entry
from pagingviz.core.walk.page_walk import error_code, frame, get_entry, index, reserved
from pagingviz.core.walk.tlb import drop, flush, flush_all

_FOUR, _INDEX = U(4), U(511)
_FLAGS = U(0xFFF)
_GO_ON, _AGAIN = TWO, THREE  # returned by steps of the fault path, besides RETRY, EMULATED and x86.FAULT | error code


# ---- the hardware


@by_address
def refer_shadow(s, c, a, gva, page, i, level, entry):
    """Write the event of entry `i` of a shadow, page `page` of the pool, that a walk of the address `gva` reads."""
    leads = ev.REF_HOLE if entry & x86.P == ZERO else (ev.REF_LEAF if level == ONE else ev.REF_TABLE)
    gfn = frame_shadowed(s, a, head_of(s, a, page))
    refer(s, a, c.id, gva, gfn, page, i, level, ev.REF_SHADOW, level, leads, entry)


@jit
def hardware_walk(s, c, a, gva, kind, user):
    """The processor's walk over the loaded shadow. Returns the leaf entry, or 0 when the access must exit.

    It sets A in every entry that it uses (a PAE root slot has none), and D in the leaf of a write; in a shadow these bits mean
    nothing to the guest. c.w_rights are then the rights of the whole path. c.hw_err is the error code of the exit as the
    hardware sees it: its P is 0 for any hole in the shadow. Source: SDM vol. 3, 4.5, 4.7 and 4.8.
    """
    c.hw_err = (x86.PF_W if kind == x86.WRITE else (x86.PF_I if kind == x86.FETCH else ZERO)) | (
        x86.PF_U if user != ZERO else ZERO
    )
    rights = x86.RW | x86.US
    if c.levels == _FOUR:
        page = s.root[c.id * _FOUR]
        top = _FOUR
    else:
        page = loaded_l2(s, c, a, gva)
        top = TWO
    level, watched = top, s.verbose == ev.EVERY_REFERENCE
    while level != ZERO:
        if page == NONE:
            return ZERO
        slot = index(_FOUR, gva, level)
        at = entry_at(s, page, slot)
        entry = a[at]
        if watched:
            refer_shadow(s, c, a, gva, page, slot, level, entry)
        if (entry & x86.P) == ZERO:
            return ZERO
        c.w_tab[level - ONE] = at
        rights = (rights & (entry | x86.NX)) | (entry & x86.NX)
        page = frame(entry)
        level -= ONE
    c.hw_err |= x86.PF_P
    # While the guest does not page, SMEP and SMAP are off in the hardware too. CR0.WP is always on there.
    cr = s.cr | x86.CR_WP if s.cr & x86.CR_PG else x86.CR_WP
    if error_code(rights, ZERO, ZERO, kind, user, cr, _FOUR) != ZERO:
        return ZERO
    for k in range(top):
        a[c.w_tab[k]] |= x86.A
    if kind == x86.WRITE:
        a[c.w_tab[0]] |= x86.D
    c.w_rights = rights
    return a[c.w_tab[0]]


# ---- the fault path


@by_address
def page_fault(s, c, a, gva, kind, user, size, value):
    """Handle a page fault of a guest that runs on shadows: make the missing shadow entry, carry out the store, or reflect it.

    `size`, `value`: the access is a store of `value` (4 or 8 bytes) at `gva`; with size 0 it is not known what it stores.
    Returns RETRY (the access is to be tried again), EMULATED (the store is done), or x86.FAULT | the error code that the guest
    gets. Source: multi.c: sh_page_fault.
    """
    s.shadow_fault += ONE
    s.exits_page_fault += ONE
    emit(s, a, ev.SHADOW_FAULT, c.id, gva, NONE, NONE, ZERO, kind)
    if _can_emulate_at_once(s, c, a, gva):
        return emulate(s, c, a, gva, s.last_mfn[c.id], size, value, True)
    while True:
        version = s.gt_version
        outcome = _walk_guest(s, c, a, gva, kind, user)
        if outcome != _GO_ON:
            return outcome
        gfn = c.w_leaf
        remember(s, c, gva, gfn, c.hw_err)
        s.tflags[c.id] = ZERO
        if not prealloc(s, c, a, xen.TYPE_OF_LEVEL[c.levels, 1], THREE if c.levels == _FOUR else ONE):
            return RETRY
        if _protect_tables(s, c, a, gva, version) == _GO_ON:
            break
    at = get_and_create_l1(s, c, a, gva, kind)
    if at == NONE:  # PAE: the hardware would have loaded the four entries by now; load them, and let the guest fault
        update_cr3(s, c, a, c.id)
        return x86.FAULT | x86.PF_P | (c.hw_err & ~x86.PF_P)
    to_table = kind == x86.WRITE and is_page_table(s, a, gfn)
    if not _fix_entry(s, c, a, gva, gfn, kind, at, to_table):
        return RETRY
    return _conclude(s, c, a, gva, gfn, kind, user, size, value, at, to_table)


@jit
def _can_emulate_at_once(s, c, a, gva):
    """Whether this is another store to the page whose last store was emulated: then no walk is needed (fast emulation)."""
    if s.last_ok[c.id] == ZERO or s.last_frame[c.id] != gva >> x86.PAGE_BITS:
        return False
    if c.hw_err == x86.PF_P | x86.PF_W and not is_oos(s, a, s.last_mfn[c.id]):
        s.shadow_fault_fast_emulate += ONE
        return True
    s.last_ok[c.id] = ZERO
    return False


@jit
def _walk_guest(s, c, a, gva, kind, user):
    """Walk the guest's own tables. Returns _GO_ON with the path in c.w_*, else what page_fault returns.

    A fault that the guest's own tables cause is the guest's; so is one that leads to a frame which does not exist.
    """
    allowed = walk_and_mark(s, c, a, gva, kind, user)
    err = c.w_err
    emit(s, a, ev.GUEST_WALK, c.id, gva, s.cr3[c.id], NONE, c.w_missing, err)
    if not allowed:
        s.shadow_fault_bail_real_fault += ONE
        reset_early_unshadow(s, c)
        emit(s, a, ev.NOT_SHADOW, c.id, gva, NONE, NONE, s.tflags[c.id] << xen.FLAGS_SHIFT, err & _FLAGS)
        return err
    if s.crashed != ZERO:
        return RETRY
    if c.w_leaf >= s.frames:
        s.shadow_fault_bail_bad_gfn += ONE
        reset_early_unshadow(s, c)
        emit(s, a, ev.NOT_SHADOW, c.id, gva, c.w_leaf, NONE, s.tflags[c.id] << xen.FLAGS_SHIFT, x86.PF_P)
        return x86.FAULT | x86.PF_P | (c.hw_err & ~x86.PF_P)
    return _GO_ON


@jit
def _protect_tables(s, c, a, gva, version):
    """Take write access away from the tables of the path. Returns _GO_ON, or _AGAIN when the guest is to be walked again.

    That is so when an upper table has come back into sync, or when an entry has changed since the walk. `version` is the value
    of s.gt_version before the walk. Source: multi.c: gw_remove_write_accesses, shadow_check_gwalk.
    """
    removed, again = False, False
    level = THREE if c.levels == _FOUR else TWO
    if c.levels == TWO:
        level = ONE  # the root was protected at CR3 load
    while level >= c.w_size or level > ONE:
        table = c.w_tab[level - ONE]
        if level > ONE and is_oos(s, a, table):
            resync(s, c, a, table)
            again = True
        elif not is_oos(s, a, table) and remove_write_access(s, c, a, table, level, gva):
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
        if _has_changed(s, c, a, gva):
            s.shadow_inconsistent_gwalk += ONE
            return _AGAIN
    return _GO_ON


@jit
def _has_changed(s, c, a, gva):
    """Whether an entry of the path is no longer what the walk read.

    Here that happens only where one entry serves at two levels (a self map). Source: multi.c: shadow_check_gwalk.
    """
    level = c.levels if c.levels != THREE else TWO
    while level >= c.w_size:
        if c.w_ent[level - ONE] != get_entry(s, a, c.levels, c.w_tab[level - ONE], index(c.levels, gva, level)):
            return True
        level -= ONE
    return False


@jit
def _fix_entry(s, c, a, gva, gfn, kind, at, to_table):
    """Write the level-1 shadow entry at `at`, and prefetch its neighbours. False when the domain has crashed meanwhile.

    `to_table`: the access is a store to a page table, which may go out of sync for it.
    """
    if to_table and s.shopt & xen.SHOPT_OUT_OF_SYNC:
        unsync(s, c, a, gfn)
    set_l1(s, c, a, at, propagate_l1(s, c, a, c.w_l1e, kind == x86.WRITE))
    if s.crashed != ZERO:
        return False
    if c.w_size == ONE:
        note_snapshot(s, a, c.w_tab[0], index(c.levels, gva, ONE), c.levels == TWO, c.w_l1e)
    if s.shopt & xen.SHOPT_PREFETCH:
        _prefetch(s, c, a, gva, at)
    return True


@jit
def _conclude(s, c, a, gva, gfn, kind, user, size, value, at, to_table):
    """Decide, once the shadow entry is right, whether the access is tried again or emulated. Returns as page_fault.

    A store is emulated when it goes to a page table that is in sync, or when the guest's kernel has CR0.WP clear.
    """
    if to_table and s.pv != ZERO:  # a PV guest's types let no entry write a table: the shadows are not the cause of this fault
        emit(s, a, ev.NOT_SHADOW, c.id, gva, gfn, NONE, s.tflags[c.id] << xen.FLAGS_SHIFT, c.hw_err & _FLAGS)
        return x86.FAULT | c.hw_err
    if to_table and not (is_oos(s, a, gfn) and user == ZERO):
        s.shadow_fault_emulate_write += ONE
        return _emulate_or_unshadow(s, c, a, gva, gfn, user, size, value)
    if kind == x86.WRITE and user == ZERO and s.cr & x86.CR_WP == ZERO:
        s.shadow_fault_emulate_wp += ONE
        return _emulate_or_unshadow(s, c, a, gva, gfn, user, size, value)
    s.shadow_fault_fixed += ONE
    s.fault_count += ONE
    reset_early_unshadow(s, c)
    emit(s, a, ev.FIXUP, c.id, gva, gfn, a[s.o_p2m + gfn], ONE | (s.tflags[c.id] << xen.FLAGS_SHIFT), a[at])
    return RETRY


@jit
def _emulate_or_unshadow(s, c, a, gva, gfn, user, size, value):
    """Emulate a store to frame `gfn`, unless it shows that the frame is a page table no longer. Returns as page_fault.

    A store from user mode does: no kernel lets its users write its tables. So does one to a dying root that no vCPU has loaded;
    that root loses its shadows first. Source: multi.c: sh_page_fault; its part from the label `emulate` on.
    """
    if user != ZERO:
        s.shadow_fault_emulate_failed += ONE
        remove_shadows(s, c, a, gfn, ZERO, ONE)
        emit(s, a, ev.EMULATE_UNSHADOW_USER, c.id, gva, gfn, a[s.o_p2m + gfn], s.tflags[c.id] << xen.FLAGS_SHIFT, ZERO)
        return RETRY
    if is_page_table(s, a, gfn) and a[s.o_info + gfn] & xen.DYING:
        used = False
        for vcpu in range(s.vcpus):
            if c.levels == THREE:
                for k in range(U(vcpu) * _FOUR, U(vcpu) * _FOUR + _FOUR):
                    if s.root[k] != NONE and gfn_of(s, a, a[s.o_pkey + s.root[k]]) == gfn:
                        used = True
            elif s.cr3[vcpu] == gfn and s.cr & x86.CR_PG:
                used = True
        if not used:
            remove_shadows(s, c, a, gfn, ONE, ZERO)
    return emulate(s, c, a, gva, gfn, size, value, False)


@jit
def _prefetch(s, c, a, gva, at):
    """Fill up to 31 entries after the one at `at`, within its shadow page, as if they had been read.

    It stops at an entry in use, and at a present guest entry that lacks A, or D while it may be written: there the guest's next
    access must fault. Source: multi.c: sh_prefetch.
    """
    i = (at - s.o_pool) & _INDEX
    end = i + xen.PREFETCH_DISTANCE
    if end > x86.ENTRIES:
        end = x86.ENTRIES
    first = index(c.levels, gva, ONE)
    filled = ZERO
    for j in range(ONE, end - i):
        if a[at + j] != ZERO:
            break
        if c.w_size == ONE:
            gent = get_entry(s, a, c.levels, c.w_tab[0], first + j)
            if gent & x86.P and ((gent & x86.A) == ZERO or (gent & x86.RW != ZERO and (gent & x86.D) == ZERO)):
                break
            usable = gent & x86.P != ZERO and reserved(s, gent, ONE, c.levels) == ZERO
        else:
            gent, usable = c.w_l1e + (U(j) << x86.PAGE_BITS), True
        new = propagate_l1(s, c, a, gent, False) if usable else ZERO
        set_l1(s, c, a, at + j, new)
        if c.w_size == ONE:
            note_snapshot(s, a, c.w_tab[0], first + j, c.levels == TWO, gent)
        if new & x86.P:
            filled += ONE
    s.prefetched += filled
    if filled != ZERO:
        emit(s, a, ev.PREFETCH, c.id, gva, c.w_tab[0], (at - s.o_pool) >> U(9), ONE, filled)


# ---- INVLPG


@jit
def invlpg(s, c, a, gva):
    """Carry out the guest's INVLPG. Nothing more is done where nothing is shadowed.

    For a page of a guest's superpage the vCPU's whole TLB is flushed. The shadow entry of a table out of sync is blanked, so
    that the next access faults and reads the guest's new entry. Source: multi.c: sh_invlpg.
    """
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
