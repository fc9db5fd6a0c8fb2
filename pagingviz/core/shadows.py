"""Shadows as things: their hash, their references, the pinned list, how one is made and how one dies.

Source: Xen mm/shadow/common.c (shadow_hash_*, sh_pin, shadow_promote, shadow_demote, sh_unhook_*), private.h (sh_put_ref).
A live shadow is referred to by parents, by loaded slots, by its pin; with the last reference it is destroyed at once.
"""

from pagingviz.core.events import emit
from pagingviz.core.jit import jit
from pagingviz.core.pool import alloc, entry_at, gfn_of, release
from pagingviz.core.walk import frame
from pagingviz.layout import (
    ENTRIES, EV_DEMOTE, EV_PROMOTE, HASH_BUCKETS, NONE, ONE, P, RW, SHADOW_FLAG_SHIFT, SH_L1, SH_LEVEL, U, US, ZERO,
)  # fmt: skip

_MIX1, _MIX2, _HALF = U(0x9E3779B97F4A7C15), U(0xBF58476D1CE4E5B9), U(32)


@jit
def bucket(key, kind):
    """Hash chain (0..250) of a key. Which bucket is the model's own choice: in Xen it hangs on host mfns."""
    return ((key * _MIX1 + kind * _MIX2) >> _HALF) % HASH_BUCKETS


@jit
def hash_insert(s, a, key, kind, page):
    """shadow_hash_insert: at the head of its chain."""
    b = s.o_hash + bucket(key, kind)
    a[s.o_phash + page] = a[b]
    a[b] = page
    s.shadow_hash_inserts += ONE


@jit
def hash_delete(s, a, key, kind, page):
    """shadow_hash_delete."""
    at = s.o_hash + bucket(key, kind)
    while a[at] != page:
        at = s.o_phash + a[at]
    a[at] = a[s.o_phash + page]
    s.shadow_hash_deletes += ONE


@jit
def find(s, a, key, kind):
    """get_shadow_status: the shadow of machine frame `key` as `kind`, or NONE."""
    s.shadow_get_shadow_status += ONE
    return hash_lookup(s, a, key, kind)


@jit
def hash_lookup(s, a, key, kind):
    """shadow_hash_lookup: the page with that key, or NONE; a hit moves to the front of its chain."""
    s.shadow_hash_lookups += ONE
    head = s.o_hash + bucket(key, kind)
    at = head
    while a[at] != NONE:
        page = a[at]
        if a[s.o_pkey + page] == key and a[s.o_ptype + page] == kind:
            if at == head:
                s.shadow_hash_lookup_head += ONE
            else:
                a[at] = a[s.o_phash + page]
                a[s.o_phash + page] = a[head]
                a[head] = page
            return page
        at = s.o_phash + page
    s.shadow_hash_lookup_miss += ONE
    return NONE


@jit
def has_shadow(s, a, gfn, kind):
    """Whether the frame's shadow flag of this type is set (page->shadow_flags)."""
    return (a[s.o_info + gfn] >> (SHADOW_FLAG_SHIFT + kind)) & ONE != ZERO


@jit
def is_page_table(s, a, gfn):
    """sh_mfn_is_a_page_table for an HVM owner: PGC_shadowed_pt, any shadow flag set."""
    return (a[s.o_info + gfn] >> SHADOW_FLAG_SHIFT) != ZERO


@jit
def make_shadow(s, a, gfn, kind):
    """sh_make_shadow: an empty shadow of guest frame `gfn`; the frame is promoted (its shadow flag set). Returns the page."""
    key = a[s.o_p2m + gfn]
    page = alloc(s, a, kind, key)
    a[s.o_info + gfn] |= ONE << (SHADOW_FLAG_SHIFT + kind)
    hash_insert(s, a, key, kind, page)
    emit(s, a, EV_PROMOTE, ZERO, ZERO, gfn, page, SH_LEVEL[kind], kind)
    return page


@jit
def pinned_remove(s, a, page):
    """Unlink a page from the pinned list."""
    before, after = a[s.o_pprev + page], a[s.o_pnext + page]
    if before == NONE:
        s.pin_head = after
    else:
        a[s.o_pnext + before] = after
    if after == NONE:
        s.pin_tail = before
    else:
        a[s.o_pprev + after] = before
    a[s.o_ppin + page] = ZERO


@jit
def pin(s, a, page):
    """sh_pin: put a root at the head of the pinned list; the first time it gains a reference, later it only moves."""
    if a[s.o_ppin + page] != ZERO:
        pinned_remove(s, a, page)
    else:
        a[s.o_pref + page] += ONE
    a[s.o_ppin + page] = ONE
    a[s.o_pprev + page] = NONE
    a[s.o_pnext + page] = s.pin_head
    if s.pin_head == NONE:
        s.pin_tail = page
    else:
        a[s.o_pprev + s.pin_head] = page
    s.pin_head = page
    a[s.o_pstamp + page] = s.ev_now


@jit
def unpin(s, a, page):
    """sh_unpin: off the list, and drop the reference that the pin held."""
    if a[s.o_ppin + page] != ZERO:
        pinned_remove(s, a, page)
        put_ref(s, a, page, NONE)


@jit
def put_ref(s, a, page, up):
    """sh_put_ref: drop one reference (`up` = entry_at index that held it, or NONE); at zero the shadow is destroyed at once."""
    if up != NONE and a[s.o_pup + page] == up:
        a[s.o_pup + page] = NONE
    a[s.o_pref + page] -= ONE
    if a[s.o_pref + page] == ZERO:
        destroy(s, a, page)


@jit
def _unlink(s, a, page):
    """First half of destroying a shadow: out of the hash, and the guest frame is demoted."""
    key, kind = a[s.o_pkey + page], a[s.o_ptype + page]
    hash_delete(s, a, key, kind, page)
    gfn = gfn_of(s, a, key)
    a[s.o_info + gfn] &= ~(ONE << (SHADOW_FLAG_SHIFT + kind))
    emit(s, a, EV_DEMOTE, ZERO, ZERO, gfn, page, SH_LEVEL[kind], kind)


@jit
def destroy(s, a, top):
    """sh_destroy_shadow: unlink, drop what the entries refer to in order 0..511 (children die with their last reference), free.

    A walk with a small stack of its own (s.d_page, s.d_idx), since the depth is at most four levels.
    """
    depth = ZERO
    s.d_page[depth], s.d_idx[depth] = top, ZERO
    _unlink(s, a, top)
    while True:
        page, i = s.d_page[depth], s.d_idx[depth]
        if i == ENTRIES:
            release(s, a, page)
            if depth == ZERO:
                return
            depth -= ONE
            continue
        s.d_idx[depth] = i + ONE
        at = entry_at(s, page, i)
        e = a[at]
        if (e & P) == ZERO:
            continue
        if a[s.o_ptype + page] == SH_L1:
            if e & RW:
                a[s.o_info + gfn_of(s, a, frame(e))] -= ONE
            continue
        child = frame(e)
        if a[s.o_pup + child] == at:
            a[s.o_pup + child] = NONE
        a[s.o_pref + child] -= ONE
        if a[s.o_pref + child] == ZERO:
            depth += ONE
            s.d_page[depth], s.d_idx[depth] = child, ZERO
            _unlink(s, a, child)


@jit
def set_upper(s, a, page, i, new):
    """shadow_set_l2e/l3e/l4e: write an entry that points to a shadow, moving the references. Returns 1 if TLBs must be flushed.

    Xen: a flush is owed when a present entry changed its target or lost rights (SHADOW_SET_FLUSH).
    """
    at = entry_at(s, page, i)
    old = a[at]
    if old == new:
        return ZERO
    if new & P:
        child = frame(new)
        a[s.o_pref + child] += ONE
        if a[s.o_pup + child] == NONE:
            a[s.o_pup + child] = at
    a[at] = new
    need = ZERO
    if old & P:
        if (new & P) == ZERO or frame(old) != frame(new) or (old & ~new & (RW | US)) != ZERO or (new & ~old) >> U(63) != ZERO:
            need = ONE
        put_ref(s, a, frame(old), at)
    return need


@jit
def unhook(s, a, page):
    """sh_unhook_l4_mappings: clear every present entry of a loaded root; what only it referred to is freed."""
    s.unhooks += ONE
    for i in range(ENTRIES):
        if a[entry_at(s, page, i)] & P:
            set_upper(s, a, page, i, ZERO)
