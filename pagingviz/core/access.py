"""One access of the guest: first the TLB, then what the processor does on the road of this machine.

The road is asked for in `miss` and where a guest loads CR3 or stores to its tables; no other file chooses by road what the
hardware does.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.frames import word_of
from pagingviz.core.nested.exits import handle_exit
from pagingviz.core.nested.walk import attempt, reach
from pagingviz.core.pv.roots import new_baseptr
from pagingviz.core.pv.updates import mmu_update, ptwr
from pagingviz.core.shadow import faults, toplevel
from pagingviz.core.shadow.pool import gfn_of, shadowing
from pagingviz.core.shadow.shadows import is_page_table
from pagingviz.core.walk import tlb
from pagingviz.core.walk.caches import count_walk
from pagingviz.core.walk.page_walk import (
    FOUR,
    canonical,
    frame,
    may,
    needs_ad,
    plain,
    put_entry,
    set_ad,
    walk,
)
from pagingviz.core.walk.pdptes import load_pdptes

DONE, BY_EMULATION = ZERO, ONE  # what `access` returns besides x86.FAULT | error code and x86.GP
EIGHT, _LOW32 = U(8), U(0xFFFFFFFF)


@jit
def _set_ad_of_path(s, c, a, gva, kind):
    """Set A and D where they are missing on the path of an access that is allowed, from the root down.

    Source: SDM vol. 3, 4.8.
    """
    level = c.levels
    while level >= c.w_size:
        if needs_ad(c, level, kind):
            set_ad(s, c, a, level, gva, kind)
        level -= ONE


@jit
def _rights_of_path(s, c):
    """What the TLB notes of the path just walked, TLB_* bits; of global pages only those of a PV guest are known as such."""
    leaf = c.w_ent[c.w_size - ONE]
    rights = tlb.rights(c.w_rights, leaf, c.w_size, s.cr)
    return rights | x86.TLB_GLOBAL if s.pv != ZERO and leaf & x86.G else rights


@jit
def walk_tables(s, c, a, gva, kind, user):
    """The processor walks the guest's own tables. Returns DONE, or x86.FAULT | error code.

    With DONE the frame is in c.w_leaf, and the rights for the TLB are in c.tlb_rights. Source: SDM vol. 3, 4.3 to 4.8.
    """
    if c.levels == FOUR and plain(s, c, a, gva) and may(c.w_rights, kind, user, s.cr):
        if kind != x86.WRITE or c.w_ent[0] & x86.D:
            c.tlb_rights = _rights_of_path(s, c)
            return ZERO
    err = walk(s, c, a, gva, kind, user)
    if err != ZERO:
        return err
    _set_ad_of_path(s, c, a, gva, kind)
    c.tlb_rights = _rights_of_path(s, c)
    return ZERO


@jit
def walk_shadow(s, c, a, gva, kind, user):
    """Hardware walks the shadow. True with the translation in c.w_leaf and c.tlb_rights; False: it exits."""
    leaf = faults.hardware_walk(s, c, a, gva, kind, user)
    if leaf == ZERO:
        return False
    c.w_leaf = gfn_of(s, a, frame(leaf))
    c.tlb_rights = tlb.rights(c.w_rights, leaf, ONE, s.cr | x86.CR_WP)
    return True


@jit
def _miss_shadow(s, c, a, gva, kind, user, size, value):
    """The processor walks the shadow; what it cannot finish exits, and the hypervisor handles it. Returns as _miss_bare.

    BY_EMULATION is a further result: the hypervisor has carried out the store.
    """
    while True:
        if walk_shadow(s, c, a, gva, kind, user):
            return ZERO
        result = faults.page_fault(s, c, a, gva, kind, user, size, value)
        if result != ZERO or s.crashed != ZERO:
            return result


@jit
def walk_both(s, c, a, gva, kind, user):
    """The processor walks in two dimensions. Returns as walk_tables, or x86.VM_EXIT.

    Source: SDM vol. 3, 29.3; APM vol. 2, 15.25.
    """
    result = attempt(s, c, a, gva, kind, user)
    if result == ZERO:
        rights = tlb.rights(c.w_rights, c.w_ent[c.w_size - ONE], c.w_size, s.cr)
        if c.n_exec == ZERO:
            rights |= x86.TLB_NX
        c.tlb_rights = rights if c.n_store != ZERO else rights & ~(x86.TLB_W | x86.TLB_KW)
    return result


@jit
def _miss_hap(s, c, a, gva, kind, user):
    """The two-dimensional walk is begun again after every exit. Returns as walk_tables."""
    while True:
        result = walk_both(s, c, a, gva, kind, user)
        if result != x86.VM_EXIT:
            return result
        handle_exit(s, c, a, gva)
        if s.crashed != ZERO:
            return ZERO


@jit
def _miss_pv(s, c, a, gva, kind, user, size, value):
    """The processor walks the guest's validated tables, or the shadows while log-dirty is on. Returns as _miss_shadow.

    A kernel's store that faults may be one to a page table which it may only read: that is tried first (traps.c:
    fixup_page_fault). While shadows are on it is tried for a hole too, since it may be only the shadow that lacks the entry.
    """
    while True:
        if s.log_dirty == ZERO:
            result = walk_tables(s, c, a, gva, kind, user)
            if result == ZERO:
                return ZERO
            maybe_ptwr = result & x86.PF_P != ZERO
        else:
            if walk_shadow(s, c, a, gva, kind, user):
                return ZERO
            result, maybe_ptwr = ZERO, True
        if maybe_ptwr and kind == x86.WRITE and user == ZERO and size != ZERO and ptwr(s, c, a, gva, size, value):
            return BY_EMULATION
        if result != ZERO:
            return result
        result = faults.page_fault(s, c, a, gva, kind, user, size, value)
        if result != ZERO or s.crashed != ZERO:
            return result


@by_address
def miss(s, c, a, gva, vpn, kind, user, size, value):
    """What the hardware does when the TLB has no translation. `vpn`: number of the page of `gva`. Returns as `access`.

    With DONE the frame is in c.w_leaf, and the TLB holds the translation. `size`, `value`: see `access`.
    """
    if s.road == xen.SHADOW:
        result = _miss_shadow(s, c, a, gva, kind, user, size, value)
    elif s.road == xen.BARE:
        result = walk_tables(s, c, a, gva, kind, user)
    elif s.road == xen.PV:
        result = _miss_pv(s, c, a, gva, kind, user, size, value)
    else:
        result = _miss_hap(s, c, a, gva, kind, user)
    if result == DONE and s.crashed == ZERO:
        count_walk(s, c, a, vpn)
        tlb.fill(s, c, vpn, c.w_leaf, c.tlb_rights)
    return result


@jit
def access(s, c, a, gva, kind, user, size, value):
    """One access of `kind` (FETCH, READ, WRITE) at `gva`, from user mode or not.

    A write raises the version of the frame, which counts the stores to it. With `size` 8 or 4 it also stores `value` in the
    table entry at `gva`; with size 0 the contents of the frame do not matter. Returns DONE, BY_EMULATION (the hypervisor has
    carried out the store), x86.FAULT | the error code of the page fault, or x86.GP for an address that is not canonical.
    c.w_leaf is the frame that was reached, if there was a walk.
    """
    if not canonical(gva):
        return x86.GP
    vpn = (gva >> x86.PAGE_BITS) & x86.VPN_MASK
    gfn = tlb.lookup(s, c, vpn, kind, user)
    if gfn == NONE:
        s.tlb_miss += ONE
        emit(s, a, ev.TLB_MISS, c.id, gva, NONE, NONE, ZERO, kind)
        result = miss(s, c, a, gva, vpn, kind, user, size, value)
        if result != ZERO or s.crashed != ZERO:
            return result
        gfn = c.w_leaf
    if kind == x86.WRITE and gfn < s.frames:
        a[s.o_ver + word_of(s, gfn)] += ONE
        if size == EIGHT:
            put_entry(s, a, FOUR, gfn, (gva >> THREE) & (x86.ENTRIES - ONE), value)
        elif size != ZERO:
            put_entry(s, a, TWO, gfn, (gva >> TWO) & (x86.ENTRIES + x86.ENTRIES - ONE), value)
    return DONE


@by_address
def access_by_address(s, c, a, gva, kind, user, size, value):
    """The same as `access`, for kernels that need it seldom."""
    return access(s, c, a, gva, kind, user, size, value)


@by_address
def store(s, c, a, gfn, i, value):
    """The guest's kernel stores `value` in entry `i` of the table in frame `gfn`, through its direct map.

    Returns DONE or BY_EMULATION. A PV guest's kernel asks by hypercall when the frame is a table. A 32-bit kernel writes a PAE
    entry in two halves: the upper half first when the entry is present, else last.
    """
    gva = s.direct_map + (gfn << x86.PAGE_BITS) + (i << (TWO if s.guest_levels == TWO else THREE))
    s.pte_stores += ONE
    if s.road == xen.PV and is_page_table(s, a, gfn):
        mmu_update(s, c, a, gfn, i, value)
        emit(s, a, ev.PTE_STORE, c.id, gva, gfn, NONE, i, value)
        return DONE
    if s.guest_levels == TWO:
        result = access_by_address(s, c, a, gva, x86.WRITE, ZERO, FOUR, value)
    elif s.guest_levels == THREE:
        low, high = value & _LOW32, value >> U(32)
        if value & ONE:
            result = _store_halves(s, c, a, gva + FOUR, high, gva, low)
        else:
            result = _store_halves(s, c, a, gva, low, gva + FOUR, high)
    else:
        result = access_by_address(s, c, a, gva, x86.WRITE, ZERO, EIGHT, value)
    emit(s, a, ev.PTE_STORE, c.id, gva, gfn, NONE, i, value)
    return result


@jit
def _store_halves(s, c, a, first, value, second, other):
    """Store `value` at `first` and then `other` at `second`, 4 bytes each. Returns as `store`.

    An emulator that carries out the first store may carry out the second too.
    """
    c.pair_va, c.pair_value, c.pair_done = second, other, ZERO
    result = access_by_address(s, c, a, first, x86.WRITE, ZERO, FOUR, value)
    c.pair_va = NONE
    if c.pair_done == ZERO:
        result |= access_by_address(s, c, a, second, x86.WRITE, ZERO, FOUR, other)
    return result


@by_address
def load_cr3(s, c, a, gfn):
    """Load CR3 with the root in frame `gfn`, which flushes this vCPU's TLB. Under shadow paging it exits.

    A PV guest asks for it by hypercall. Returns DONE, or x86.GP when one of the four entries of a PAE root is bad: then nothing
    has changed. Source: SDM vol. 3, 4.4.1; multi.c: sh_update_cr3.
    """
    if s.road == xen.PV:
        new_baseptr(s, c, a, gfn)
        return DONE
    s.cr3_loads += ONE
    if s.road == xen.HAP and c.levels == THREE and s.npt == ZERO:
        # The processor loads four registers: that is no walk of a page, so the table is read as data is.
        while reach(s, c, a, gfn << x86.PAGE_BITS, x86.READ, ONE) != ZERO:
            handle_exit(s, c, a, ZERO)
    if c.levels == THREE and not load_pdptes(s, c, a, gfn):
        return x86.GP
    s.cr3[c.id] = gfn
    if s.road == xen.SHADOW:
        s.exits_cr3 += ONE
        toplevel.update_cr3(s, c, a, c.id)
    else:
        tlb.flush(s, c.id)
    emit(s, a, ev.CR3_LOAD, c.id, ZERO, gfn, s.root[c.id * FOUR], ZERO, s.cur[c.id])
    return DONE


@jit
def invlpg(s, c, a, gva):
    """Carry out INVLPG for the page of `gva`. Under shadow paging it exits, and the hypervisor decides what the TLB forgets."""
    s.invlpg += ONE
    if shadowing(s):
        s.exits_invlpg += ONE
        faults.invlpg(s, c, a, gva)
    else:
        tlb.drop(s, c, (gva >> x86.PAGE_BITS) & x86.VPN_MASK)
    emit(s, a, ev.INVLPG, c.id, gva, NONE, NONE, ZERO, ZERO)
