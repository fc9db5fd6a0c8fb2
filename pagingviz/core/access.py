"""One guest access down the chosen road. The only place that dispatches on the road."""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.build.far import far
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.frames import place
from pagingviz.core.nested.p2m import handle_exit
from pagingviz.core.nested.walk import attempt, reach
from pagingviz.core.pv.roots import new_baseptr
from pagingviz.core.pv.updates import mmu_update, ptwr
from pagingviz.core.shadow import faults
from pagingviz.core.shadow.pool import gfn_of, shadowing
from pagingviz.core.shadow.shadows import is_page_table
from pagingviz.core.walk import tlb
from pagingviz.core.walk.caches import count_walk
from pagingviz.core.walk.page_walk import (
    FOUR,
    canonical,
    frame,
    load_pdptes,
    may,
    needs_ad,
    plain,
    put_entry,
    set_ad,
    walk,
)

DONE, BY_EMULATION = ZERO, ONE  # what access returns besides FAULT | error code
EIGHT, _LOW32 = U(8), U(0xFFFFFFFF)


@jit
def _finish(s, c, a, gva, kind):
    """A and D of the path that is allowed, from the top down."""
    level = c.levels
    while level >= c.w_size:
        if needs_ad(c, level, kind):
            set_ad(s, c, a, level, gva, kind)
        level -= ONE


@jit
def walk_tables(s, c, a, gva, kind, user):
    """Hardware walks the guest's own tables. Returns 0 with the translation in c.w_leaf and c.tlb_rights, or FAULT | code."""
    if c.levels == FOUR and plain(s, c, a, gva) and may(c.w_rights, kind, user, s.cr):
        if kind != x86.WRITE or c.w_ent[0] & x86.D:
            c.tlb_rights = tlb.rights(c.w_rights, c.w_ent[0], ONE, s.cr)
            return ZERO
    err = walk(s, c, a, gva, kind, user)
    if err != ZERO:
        return err
    _finish(s, c, a, gva, kind)
    c.tlb_rights = tlb.rights(c.w_rights, c.w_ent[c.w_size - ONE], c.w_size, s.cr)
    return ZERO


@jit
def walk_shadow(s, c, a, gva, kind, user):
    """Hardware walks the shadow. True with the translation in c.w_leaf, c.n_frame and c.tlb_rights; False: it exits."""
    leaf = faults.hardware_walk(s, c, a, gva, kind, user)
    if leaf == ZERO:
        return False
    c.n_frame = frame(leaf)
    c.w_leaf = gfn_of(s, a, c.n_frame)
    c.tlb_rights = tlb.rights(c.w_rights, leaf, ONE, s.cr | x86.CR_WP)
    return True


@jit
def _miss_shadow(s, c, a, gva, kind, user, size, value):
    """Hardware walks the shadow; what it cannot finish exits to sh_page_fault. Also returns EMULATED: the store is done."""
    while True:
        if walk_shadow(s, c, a, gva, kind, user):
            return ZERO
        r = faults.page_fault(s, c, a, gva, kind, user, size, value)
        if r != ZERO or s.crashed != ZERO:
            return r


@jit
def walk_both(s, c, a, gva, kind, user):
    """Hardware's two-dimensional walk. Returns as walk_tables, or VM_EXIT."""
    r = attempt(s, c, a, gva, kind, user)
    if r == ZERO:
        rights = tlb.rights(c.w_rights, c.w_ent[c.w_size - ONE], c.w_size, s.cr)
        c.tlb_rights = rights if c.n_store != ZERO else rights & ~(x86.TLB_W | x86.TLB_KW)
    return r


@jit
def _miss_hap(s, c, a, gva, kind, user):
    """The two-dimensional walk is begun again after every exit. Returns as walk_tables."""
    while True:
        r = walk_both(s, c, a, gva, kind, user)
        if r != x86.VM_EXIT:
            return r
        handle_exit(s, c, a, gva)
        if s.crashed != ZERO:
            return ZERO


@jit
def _miss_pv(s, c, a, gva, kind, user, size, value):
    """Hardware walks the validated tables, or the shadows while log-dirty is on. Returns as _miss_shadow.

    A kernel's store to a page table that it may only read is tried first as such (x86/traps.c: fixup_page_fault); with shadows
    on even for a hole, since the shadow may just lack the entry.
    """
    while True:
        if s.log_dirty == ZERO:
            r = walk_tables(s, c, a, gva, kind, user)
            if r == ZERO:
                return ZERO
            perhaps = r & x86.PF_P != ZERO
        else:
            if walk_shadow(s, c, a, gva, kind, user):
                return ZERO
            r, perhaps = ZERO, True
        if perhaps and kind == x86.WRITE and user == ZERO and size != ZERO and ptwr(s, c, a, gva, size, value):
            return BY_EMULATION
        if r != ZERO:
            return r
        r = faults.page_fault(s, c, a, gva, kind, user, size, value)
        if r != ZERO or s.crashed != ZERO:
            return r


@far
def miss(s, c, a, gva, vpn, kind, user, size, value):
    """What the hardware does when the TLB does not help, by road. Returns as `access`.

    With DONE c.w_leaf is set, and the TLB holds the translation.
    """
    if s.road == xen.SHADOW:
        r = _miss_shadow(s, c, a, gva, kind, user, size, value)
    elif s.road == xen.BARE:
        r = walk_tables(s, c, a, gva, kind, user)
    elif s.road == xen.PV:
        r = _miss_pv(s, c, a, gva, kind, user, size, value)
    else:
        r = _miss_hap(s, c, a, gva, kind, user)
    if r == DONE and s.crashed == ZERO:
        count_walk(s, c, a, vpn)
        tlb.fill(s, c, vpn, c.w_leaf, c.tlb_rights)
    return r


@jit
def access(s, c, a, gva, kind, user, size, value):
    """One access of `kind` (FETCH, READ, WRITE) at byte address `gva`; `user` 1 at CPL 3.

    A write gives the frame a new version; with `size` 8 or 4 it also stores `value` in the table word at `gva`, with 0 the data
    is nobody's business. Returns DONE, BY_EMULATION, FAULT | #PF error code, or GP. The gfn reached is left in c.w_leaf after
    a walk only.
    """
    if not canonical(gva):
        return x86.GP
    vpn = (gva >> x86.PAGE_BITS) & x86.VPN_MASK
    gfn = tlb.lookup(s, c, vpn, kind, user)
    if gfn == NONE:
        s.tlb_miss += ONE
        emit(s, a, ev.TLB_MISS, c.id, gva, NONE, NONE, ZERO, kind)
        r = miss(s, c, a, gva, vpn, kind, user, size, value)
        if r != ZERO or s.crashed != ZERO:
            return r
        gfn = c.w_leaf
    if kind == x86.WRITE and gfn < s.frames:
        a[s.o_ver + place(s, gfn)] += ONE
        if size == EIGHT:
            put_entry(s, a, FOUR, gfn, (gva >> THREE) & (x86.ENTRIES - ONE), value)
        elif size != ZERO:
            put_entry(s, a, TWO, gfn, (gva >> TWO) & (x86.ENTRIES + x86.ENTRIES - ONE), value)
    return DONE


@far
def far_access(s, c, a, gva, kind, user, size, value):
    """`access` for those who need it seldom."""
    return access(s, c, a, gva, kind, user, size, value)


@far
def store(s, c, a, gfn, i, value):
    """The guest kernel writes entry `i` of the table in frame `gfn` through its direct map. Returns DONE or BY_EMULATION.

    A PV kernel asks for it by hypercall when the frame is a table. A 32-bit kernel writes a PAE entry in two halves: upper half
    first for an entry that is present, last for one that is not.
    """
    gva = s.direct_map + (gfn << x86.PAGE_BITS) + (i << (TWO if s.guest_levels == TWO else THREE))
    s.pte_stores += ONE
    if s.road == xen.PV and is_page_table(s, a, gfn):
        mmu_update(s, c, a, gfn, i, value)
        emit(s, a, ev.PTE_STORE, c.id, gva, gfn, NONE, i, value)
        return DONE
    if s.guest_levels == TWO:
        r = far_access(s, c, a, gva, x86.WRITE, ZERO, FOUR, value)
    elif s.guest_levels == THREE:
        low, high = value & _LOW32, value >> U(32)
        if value & ONE:
            r = _store_halves(s, c, a, gva + FOUR, high, gva, low)
        else:
            r = _store_halves(s, c, a, gva, low, gva + FOUR, high)
    else:
        r = far_access(s, c, a, gva, x86.WRITE, ZERO, EIGHT, value)
    emit(s, a, ev.PTE_STORE, c.id, gva, gfn, NONE, i, value)
    return r


@jit
def _store_halves(s, c, a, first, value, second, other):
    """Two 4-byte stores one after the other; an emulator that does the first may do the second as well."""
    c.pair_va, c.pair_value, c.pair_done = second, other, ZERO
    r = far_access(s, c, a, first, x86.WRITE, ZERO, FOUR, value)
    c.pair_va = NONE
    if c.pair_done == ZERO:
        r |= far_access(s, c, a, second, x86.WRITE, ZERO, FOUR, other)
    return r


@far
def load_cr3(s, c, a, gfn):
    """MOV CR3: under shadow an exit (sh_update_cr3), otherwise the hardware's own. Flushes this vCPU's TLB.

    Returns DONE, or GP when a PAE guest's table has a bad entry: then nothing has changed. A PV guest asks for it by hypercall.
    """
    if s.road == xen.PV:
        new_baseptr(s, c, a, gfn)
        return DONE
    s.cr3_loads += ONE
    if s.road == xen.HAP and c.levels == THREE:
        while (
            reach(s, c, a, gfn << x86.PAGE_BITS, x86.READ, ONE) != ZERO
        ):  # a load of registers: it is no walk, and marks nothing
            handle_exit(s, c, a, ZERO)
    if c.levels == THREE and not load_pdptes(s, c, a, gfn):
        return x86.GP
    s.cr3[c.id] = gfn
    if s.road == xen.SHADOW:
        s.exits_cr3 += ONE
        faults.update_cr3(s, c, a, c.id)
    else:
        tlb.flush(s, c.id)
    emit(s, a, ev.CR3_LOAD, c.id, ZERO, gfn, s.root[c.id * FOUR], ZERO, s.cur[c.id])
    return DONE


@jit
def invlpg(s, c, a, gva):
    """INVLPG: under shadow an exit, and sh_invlpg decides what the TLB has to forget."""
    s.invlpg += ONE
    if shadowing(s):
        s.exits_invlpg += ONE
        faults.invlpg(s, c, a, gva)
    else:
        tlb.drop(s, c, (gva >> x86.PAGE_BITS) & x86.VPN_MASK)
    emit(s, a, ev.INVLPG, c.id, gva, NONE, NONE, ZERO, ZERO)
