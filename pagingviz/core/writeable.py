"""The road back from a frame to its mappings: taking write access away from a page table, and taking its shadows away.

Source: Xen mm/shadow/common.c (sh_remove_write_access, sh_remove_shadows). There is no reverse map: a typecount says whether a
writable mapping exists, and three searches find where.
"""

from pagingviz.core.events import emit
from pagingviz.core.jit import jit
from pagingviz.core.pool import entry_at
from pagingviz.core.shadows import has_shadow, hash_lookup, is_page_table, set_upper, unpin
from pagingviz.core.tlb import flush_all
from pagingviz.core.walk import frame, index
from pagingviz.layout import (
    ENTRIES, ENTRY_BITS, EV_UNSHADOW, EV_WRMAP, EV_WRMAP_BF, GUESS_BASE, HASH_BUCKETS, NONE, ONE, P, PAGE_BITS, RW, SH_L1,
    SH_L4, THREE, TYPECOUNT, TYPE_OF_LEVEL, U, ZERO,
)  # fmt: skip


@jit
def typecount(s, a, gfn):
    """Number of writable shadow mappings of a guest frame (type_info & PGT_count_mask)."""
    return a[s.o_info + gfn] & TYPECOUNT


@jit
def _strip(s, a, page, mfn, gfn):
    """Clear RW in every entry of L1 shadow `page` that maps `mfn`, until the typecount is zero; remember where that worked."""
    o = entry_at(s, page, ZERO)
    for i in range(o, o + ENTRIES):
        e = a[i]
        if e & P and e & RW and frame(e) == mfn:
            a[i] = e & ~RW
            a[s.o_info + gfn] -= ONE
            s.last_writeable = page
            if typecount(s, a, gfn) == ZERO:
                return


@jit
def _guess(s, c, a, gfn, mfn):
    """The heuristic of sh_remove_write_access for Linux' direct map: is `gfn` mapped writable at GUESS_BASE + gpa?"""
    gva = GUESS_BASE + (gfn << PAGE_BITS)
    page = s.root[c.id]
    if page == NONE:
        return
    for level in (U(4), U(3), U(2)):
        e = a[entry_at(s, page, index(gva, level))]
        if (e & P) == ZERO:
            return
        page = frame(e)
    at = entry_at(s, page, index(gva, ONE))
    e = a[at]
    if e & P and e & RW and frame(e) == mfn:
        a[at] = e & ~RW
        a[s.o_info + gfn] -= ONE
        s.shadow_writeable_h_4 += ONE


@jit
def remove_write_access(s, c, a, gfn, level):
    """sh_remove_write_access: take away every writable mapping of a frame that is to be shadowed. True if any was removed.

    Three searches, stopping as soon as the typecount is zero: a guess where Linux maps it (h_4), the L1 shadow where the last
    search succeeded (h_5), then every L1 shadow in the hash (bf).
    """
    if is_page_table(s, a, gfn) or typecount(s, a, gfn) == ZERO:
        return False
    s.shadow_writeable += ONE
    mfn = a[s.o_p2m + gfn]
    how = ONE
    _guess(s, c, a, gfn, mfn)
    last = s.last_writeable
    before = typecount(s, a, gfn)
    if before != ZERO and last != NONE and a[s.o_ptype + last] == SH_L1:
        how = U(2)
        _strip(s, a, last, mfn, gfn)
        if typecount(s, a, gfn) != before:
            s.shadow_writeable_h_5 += ONE
    if typecount(s, a, gfn) != ZERO:
        how = THREE
        s.shadow_writeable_bf += ONE
        emit(s, a, EV_WRMAP_BF, c.id, ZERO, gfn, mfn, level, typecount(s, a, gfn))
        _brute_force(s, a, mfn, gfn)
    emit(s, a, EV_WRMAP, c.id, ZERO, gfn, mfn, level, how)
    return True


@jit
def _brute_force(s, a, mfn, gfn):
    """Walk the whole hash over all L1 shadows (hash_vcpu_foreach) until no writable mapping of the frame is left."""
    for b in range(HASH_BUCKETS):
        page = a[s.o_hash + b]
        while page != NONE:
            if a[s.o_ptype + page] == SH_L1:
                _strip(s, a, page, mfn, gfn)
                if typecount(s, a, gfn) == ZERO:
                    return
            page = a[s.o_phash + page]


# ---- removing shadows


@jit
def remove_shadows(s, c, a, gfn, fast):
    """sh_remove_shadows: unshadow a frame. Roots are unpinned; others are cut from the entry that first referred to them.

    fast=0 goes on to search all possible parents when references remain. Always flushes.
    """
    if not is_page_table(s, a, gfn):
        return
    s.shadow_unshadow += ONE
    emit(s, a, EV_UNSHADOW, c.id, ZERO, gfn, a[s.o_p2m + gfn], ZERO, fast)
    for level in (U(4), U(3), U(2), ONE):
        kind = TYPE_OF_LEVEL[level]
        if not has_shadow(s, a, gfn, kind):
            continue
        page = hash_lookup(s, a, a[s.o_p2m + gfn], kind)
        if kind == SH_L4:
            unpin(s, a, page)
        elif a[s.o_pup + page] != NONE:
            if a[s.o_pref + page] > ONE:
                s.shadow_unshadow_bf += ONE
            else:
                s.shadow_up_pointer += ONE
            at = a[s.o_pup + page] - s.o_pool
            set_upper(s, a, at >> ENTRY_BITS, at & (ENTRIES - ONE), ZERO)
        if fast == ZERO and level < U(4) and has_shadow(s, a, gfn, kind):
            _cut_from_parents(s, a, page, TYPE_OF_LEVEL[level + ONE])
        if fast == ZERO and has_shadow(s, a, gfn, kind):
            s.crashed = ONE
    flush_all(s)


@jit
def _cut_from_parents(s, a, child, parent_kind):
    """Brute force over the hash: clear every entry of the parents' level that points to shadow `child`."""
    for b in range(HASH_BUCKETS):
        page = a[s.o_hash + b]
        while page != NONE:
            after = a[s.o_phash + page]
            if a[s.o_ptype + page] == parent_kind:
                for i in range(ENTRIES):
                    e = a[entry_at(s, page, i)]
                    if e & P and frame(e) == child:
                        last = a[s.o_pref + child] == ONE
                        set_upper(s, a, page, i, ZERO)
                        if last:
                            return
            page = after
