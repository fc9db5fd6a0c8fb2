"""Making shadows, and linking them to the entries above them.

Source: Xen mm/shadow/multi.c (sh_make_shadow, make_fl1_shadow, shadow_get_and_create_l1e), common.c (shadow_promote), set.c
(shadow_set_l2e).
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.shadow.entries import entry_for, set_upper
from pagingviz.core.shadow.oos import resync, resync_all
from pagingviz.core.shadow.pool import alloc, entry_at, gfn_of
from pagingviz.core.shadow.propagate import propagate_upper, uses_superpages
from pagingviz.core.shadow.shadows import find, hash_insert, hash_lookup, is_fl1, is_shadowed, unpin
from pagingviz.core.shadow.writeable import loaded_l2
from pagingviz.core.walk.page_walk import frame, index
from pagingviz.core.walk.tlb import flush_all

_FOUR, _INDEX = U(4), U(511)


@jit
def _stop_pinning_l3s(s, c, a):
    """A new root, while more than two roots for each vCPU are pinned: level-3 shadows are pinned no longer.

    A guest with so many roots is not the early 64-bit Linux that changed the entries of one root instead of CR3. Source:
    multi.c: sh_make_shadow.
    """
    pinned, page = ZERO, s.pin_head
    while page != NONE:
        if a[s.o_ptype + page] == xen.SH_L4:
            pinned += ONE
        page = a[s.o_pnext + page]
    if pinned <= TWO * s.vcpus:
        return
    page = s.pin_head
    while page != NONE:
        after = a[s.o_pnext + page]
        if a[s.o_ptype + page] == xen.SH_L3:
            unpin(s, c, a, page)
        page = after
    s.opt_l3 = ZERO


@jit
def make_shadow(s, c, a, gfn, kind):
    """Make an empty shadow, of type `kind`, of the table in guest frame `gfn`. Returns its head page.

    The frame is promoted: it has the flag of that type from now on. Source: multi.c: sh_make_shadow; common.c: shadow_promote.
    """
    key = a[s.o_p2m + gfn]
    page = alloc(s, a, kind, key)
    if kind == xen.SH_L4 and s.opt_l3 != ZERO:
        _stop_pinning_l3s(s, c, a)
    resync(s, c, a, gfn)
    if not is_shadowed(s, a, gfn):
        a[s.o_info + gfn] &= ~xen.DYING
    a[s.o_info + gfn] |= ONE << (xen.SHADOW_FLAG_SHIFT + kind)
    s.tflags[c.id] |= xen.SF_PROMOTE
    hash_insert(s, a, key, kind, page)
    emit(s, a, ev.PROMOTE, ZERO, ZERO, gfn, page, xen.SH_LEVEL[kind], kind)
    return page


@jit
def _make_fl1(s, a, gfn, kind):
    """Make a level-1 shadow (fl1) for the guest's superpage that begins at frame `gfn`. Returns its head page.

    It stands for no table of the guest, and no frame is promoted. Source: multi.c: make_fl1_shadow.
    """
    page = alloc(s, a, kind, gfn)
    hash_insert(s, a, gfn, kind, page)
    emit(s, a, ev.PROMOTE, ZERO, ZERO, gfn, page, ONE, kind)
    return page


@jit
def link(s, c, a, at, new):
    """Write a level-2 entry that may lead to a new child. A child that is out of sync comes back into sync first.

    Returns xen.SET_* bits. Source: set.c: shadow_set_l2e.
    """
    if new & x86.P and a[at] != new:
        child = frame(new)
        kind = a[s.o_ptype + child]
        if xen.SH_LEVEL[kind] == ONE and not is_fl1(kind):
            a[s.o_pref + child] += ONE  # as in Xen the new reference is taken before, so that nothing is lost meanwhile
            resync(s, c, a, gfn_of(s, a, a[s.o_pkey + child]))
            a[s.o_pref + child] -= ONE
    return set_upper(s, c, a, at, new)


@jit
def _child(s, c, a, table, kind):
    """The shadow, of type `kind`, of the table in guest frame `table`: found, or made."""
    page = find(s, a, a[s.o_p2m + table], kind)
    return page if page != NONE else make_shadow(s, c, a, table, kind)


@by_address
def get_and_create_l1(s, c, a, gva, kind):
    """Find the level-1 shadow entry for `gva`, whose guest path is in c.w_*; make and link the shadows that are missing.

    Returns its arena index, or NONE when a PAE guest's level-2 table is not among the four that are loaded. `kind`: FETCH, READ
    or WRITE. Source: multi.c: shadow_get_and_create_l1e.
    """
    relinked = False
    if c.levels == _FOUR:
        page = s.root[c.id * _FOUR]
        for level in (_FOUR, THREE):
            at = entry_at(s, page, index(_FOUR, gva, level))
            if a[at] & x86.P:
                page = frame(a[at])
                continue
            page = _child(s, c, a, c.w_tab[level - TWO], xen.TYPE_OF_LEVEL[4, level - ONE])
            if set_upper(s, c, a, at, propagate_upper(s, c, c.w_ent[level - ONE], page, level)) & xen.SET_FLUSH:
                flush_all(s)
            relinked = True
    else:
        page = loaded_l2(s, c, a, gva)
        if page == NONE:
            return NONE
    at = entry_at(s, page, (gva >> U(21)) & _INDEX)
    big = c.w_ent[1] & x86.PSE != ZERO and uses_superpages(s, c)
    if a[at] & x86.P and not (kind == x86.WRITE and (a[at] & x86.RW) == ZERO and big):
        page = frame(a[at])
    else:
        first = _first_of_pair(s, c, at)
        if big:
            start = frame(c.w_ent[1])  # as it stands, with the PAT bit of a superpage (guest_l2e_get_gfn)
            fl1 = xen.FL1_OF[c.levels]
            head = hash_lookup(s, a, start, fl1)
            if head == NONE:
                head = _make_fl1(s, a, start, fl1)
        else:
            head = _child(s, c, a, c.w_tab[0], xen.TYPE_OF_LEVEL[c.levels, 1])
        if link(s, c, a, first, propagate_upper(s, c, c.w_ent[1], head, TWO)) & xen.SET_FLUSH:
            flush_all(s)
        page = (entry_for(s, a, head, index(c.levels, gva, ONE)) - s.o_pool) >> U(9)
    if relinked:
        resync_all(s, c, a, False, True, True)
    return entry_at(s, page, (gva >> x86.PAGE_BITS) & _INDEX)


@jit
def _first_of_pair(s, c, at):
    """Arena index of the first of the two shadow entries that stand for a 32-bit guest's level-2 entry; `at` is either.

    For any other guest it is `at`.
    """
    return s.o_pool + ((at - s.o_pool) & ~ONE) if c.levels == TWO else at
