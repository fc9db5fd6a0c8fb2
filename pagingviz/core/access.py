"""One guest access down the chosen road. The only place that dispatches on the road."""

from pagingviz.core import shadow, tlb
from pagingviz.core.events import emit
from pagingviz.core.jit import jit
from pagingviz.core.p2m import find_leaf, translate
from pagingviz.core.pool import gfn_of
from pagingviz.core.walk import (
    error_code, frame, hardware_shadow_walk, index, needs_ad, read_path, rights, set_ad, tlb_rights,
)  # fmt: skip
from pagingviz.layout import (
    BARE, ENTRIES, ENTRY_BITS, EPT_W, EV_CR3_LOAD, EV_INVLPG, EV_PTE_STORE, EV_TLB_MISS, NONE, ONE, PAGE_BITS, READ,
    SHADOW, THREE, TLB_W, U, VPN_MASK, WRITE, ZERO,
)  # fmt: skip

DONE, BY_EMULATION = ZERO, ONE  # what access returns besides FAULT | error code


@jit
def _miss_bare(s, c, a, gva, vpn, kind, user):
    """Hardware walks the guest's own tables. Returns 0 with the translation in the TLB and c.w_leaf, or FAULT | error code."""
    missing = read_path(c, a, s.o_tables, s.cr3[c.id], gva)
    have = rights(c)
    err = error_code(missing, have, kind, user)
    if err != ZERO:
        return err
    for level in (U(4), U(3), U(2), ONE):
        if needs_ad(c, level, kind):
            set_ad(s, c, a, level, gva, kind)
    c.w_leaf = frame(c.w_ent[0])
    tlb.fill(s, c, vpn, c.w_leaf, tlb_rights(have, c.w_ent[0]))
    return ZERO


@jit
def _miss_shadow(s, c, a, gva, vpn, kind, user, is_store, value):
    """Hardware walks the shadow; what it cannot finish exits to sh_page_fault. Also returns EMULATED: the store is done."""
    while True:
        leaf = hardware_shadow_walk(s, c, a, gva, kind, user)
        if leaf != ZERO:
            c.w_leaf = gfn_of(s, a, frame(leaf))
            tlb.fill(s, c, vpn, c.w_leaf, tlb_rights(rights(c), leaf))
            return ZERO
        r = shadow.page_fault(s, c, a, gva, kind, user, is_store, value)
        if r != ZERO or s.crashed != ZERO:
            return r


@jit
def _miss_hap(s, c, a, gva, vpn, kind, user):
    """Hardware's two-dimensional walk (SDM vol. 3, 28.2): each guest table is itself reached through EPT.

    Order: all table reads, then the guest's rights, then A/D stores from the top, then the final translation. Any EPT exit is
    handled and the whole walk starts again.
    """
    while True:
        tab = s.cr3[c.id]
        missing = ZERO
        exited = False
        for level in (U(4), U(3), U(2), ONE):
            if translate(s, c, a, gva, tab, READ) != ZERO:
                exited = True
                break
            e = a[s.o_tables + (tab << ENTRY_BITS) + index(gva, level)]
            c.w_tab[level - ONE] = tab
            c.w_ent[level - ONE] = e
            if (e & ONE) == ZERO:
                missing = level
                break
            tab = frame(e)
        if exited:
            continue
        have = rights(c)
        err = error_code(missing, have, kind, user)
        if err != ZERO:
            return err
        for level in (U(4), U(3), U(2), ONE):
            if needs_ad(c, level, kind):
                if translate(s, c, a, gva, c.w_tab[level - ONE], WRITE) != ZERO:
                    exited = True
                    break
                set_ad(s, c, a, level, gva, kind)
        if exited or translate(s, c, a, gva, frame(c.w_ent[0]), kind) != ZERO:
            continue
        c.w_leaf = frame(c.w_ent[0])
        r = tlb_rights(have, c.w_ent[0])
        if (a[find_leaf(s, a, c.w_leaf)] & EPT_W) == ZERO:
            r &= ~TLB_W
        tlb.fill(s, c, vpn, c.w_leaf, r)
        return ZERO


@jit
def access(s, c, a, gva, kind, user, is_store, value):
    """One access of `kind` (FETCH, READ, WRITE) at byte address `gva`; `user` 1 at CPL 3.

    A write gives the frame a new version; with `is_store` it also stores `value` in the 8-byte word at `gva` (a table entry).
    Returns DONE, BY_EMULATION, or FAULT | #PF error code.
    """
    vpn = (gva >> PAGE_BITS) & VPN_MASK
    gfn = tlb.lookup(s, c, vpn, kind, user)
    if gfn == NONE:
        s.tlb_miss += ONE
        emit(s, a, EV_TLB_MISS, c.id, gva, NONE, NONE, ZERO, kind)
        if s.road == SHADOW:
            r = _miss_shadow(s, c, a, gva, vpn, kind, user, is_store, value)
        elif s.road == BARE:
            r = _miss_bare(s, c, a, gva, vpn, kind, user)
        else:
            r = _miss_hap(s, c, a, gva, vpn, kind, user)
        if r != ZERO or s.crashed != ZERO:
            return r
        gfn = c.w_leaf
    if kind == WRITE:
        a[s.o_ver + gfn] += ONE
        if is_store != ZERO:
            a[s.o_tables + (gfn << ENTRY_BITS) + ((gva >> THREE) & (ENTRIES - ONE))] = value
    return DONE


@jit
def store(s, c, a, gfn, i, value):
    """The guest kernel writes entry `i` of the table in frame `gfn` through its direct map. Returns DONE or BY_EMULATION."""
    gva = s.direct_map + (gfn << PAGE_BITS) + (i << THREE)
    s.pte_stores += ONE
    r = access(s, c, a, gva, WRITE, ZERO, ONE, value)
    emit(s, a, EV_PTE_STORE, c.id, gva, gfn, NONE, i, value)
    return r


@jit
def load_cr3(s, c, a, gfn):
    """MOV CR3: under shadow an exit (sh_update_cr3), otherwise the hardware's own. Flushes this vCPU's TLB."""
    s.cr3_loads += ONE
    s.cr3[c.id] = gfn
    if s.road == SHADOW:
        s.exits_cr3 += ONE
        shadow.update_cr3(s, c, a, c.id)
    else:
        tlb.flush(s, c.id)
    emit(s, a, EV_CR3_LOAD, c.id, ZERO, gfn, s.root[c.id], ZERO, s.cur)


@jit
def invlpg(s, c, a, gva):
    """INVLPG: under shadow an exit (sh_invlpg); here its whole effect is on the TLB, since no table is out of sync."""
    s.invlpg += ONE
    if s.road == SHADOW:
        s.exits_invlpg += ONE
        s.shadow_invlpg += ONE
    tlb.drop(s, c, (gva >> PAGE_BITS) & VPN_MASK)
    emit(s, a, EV_INVLPG, c.id, gva, NONE, NONE, ZERO, ZERO)


