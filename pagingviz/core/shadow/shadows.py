"""Shadows as things: their hash, their references, the pinned list, how they die.

Source: Xen mm/shadow/common.c (shadow_hash_*, shadow_demote), private.h (sh_get_ref, sh_put_ref, sh_pin, sh_unpin),
multi.c (sh_destroy_l*_shadow). A live shadow is referred to by parents, by loaded slots, by its pin; with the last
reference it is destroyed at once. How one is made: links.py.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, TWO, ZERO, U
from pagingviz.core.build.far import far
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.shadow.pool import entry_at, gfn_of, release
from pagingviz.core.walk.page_walk import frame

_MIX1, _MIX2, _HALF = U(0x9E3779B97F4A7C15), U(0xBF58476D1CE4E5B9), U(32)
_OOS_PAGES = U(xen.OOS_PAGES)


# ---- the hash


@jit
def bucket(key, kind):
    """Hash chain (0..250) of a key. Which bucket is the model's own choice: in Xen it hangs on host mfns."""
    return ((key * _MIX1 + kind * _MIX2) >> _HALF) % xen.HASH_BUCKETS


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


# ---- what a guest frame and a shadow are


@jit
def has_shadow(s, a, gfn, kind):
    """Whether the frame's shadow flag of this type is set (page->shadow_flags)."""
    return (a[s.o_info + gfn] >> (xen.SHADOW_FLAG_SHIFT + kind)) & ONE != ZERO


@jit
def is_shadowed(s, a, gfn):
    """Whether the frame has a shadow of any type (PGC_shadowed_pt)."""
    return a[s.o_info + gfn] & xen.SHADOW_FLAGS != ZERO


@jit
def is_page_table(s, a, gfn):
    """sh_mfn_is_a_page_table: of an HVM guest a frame that is shadowed, of a PV guest one of the types l1 to l4."""
    if s.pv != ZERO:
        kind = a[s.o_info + gfn] & xen.PGT_TYPE
        return kind != ZERO and kind != xen.PGT_WRITABLE << xen.PGT_SHIFT
    return is_shadowed(s, a, gfn)


@jit
def is_oos(s, a, gfn):
    """mfn_is_out_of_sync."""
    return a[s.o_info + gfn] & xen.OOS != ZERO


@jit
def pinnable(s, kind):
    """sh_type_is_pinnable: the roots of each mode, and L3 shadows while the guest may be an early 64-bit Linux."""
    return kind == xen.SH_L4 or kind == xen.SH_L2_PAE or kind == xen.SH_L2_32 or (kind == xen.SH_L3 and s.opt_l3 != ZERO)


@jit
def has_up(s, kind):
    """sh_type_has_up_pointer: shadows of one page that cannot be pinned."""
    return not (pinnable(s, kind) or kind == xen.SH_L1_32 or kind == xen.SH_FL1_32)


@jit
def is_fl1(kind):
    """Whether the shadow stands for a superpage; its key is then a gfn."""
    return kind == xen.SH_FL1 or kind == xen.SH_FL1_PAE or kind == xen.SH_FL1_32


@jit
def frame_shadowed(s, a, page):
    """Guest frame behind a shadow (mfn_to_gfn of its backpointer; for an fl1 the superpage's first frame)."""
    return a[s.o_pkey + page] if is_fl1(a[s.o_ptype + page]) else gfn_of(s, a, a[s.o_pkey + page])


# ---- the pinned list


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
    """sh_pin: put a shadow at the head of the pinned list; the first time it gains a reference, later it only moves."""
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
def unpin(s, c, a, page):
    """sh_unpin: off the list, and drop the reference that the pin held."""
    if a[s.o_ppin + page] != ZERO:
        pinned_remove(s, a, page)
        put_ref(s, c, a, page, NONE)


# ---- references


@jit
def get_ref(s, a, page, up):
    """sh_get_ref: one more reference, held by the entry at arena index `up` (NONE: a slot). The first parent is remembered."""
    a[s.o_pref + page] += ONE
    if a[s.o_pup + page] == NONE and has_up(s, a[s.o_ptype + page]):
        a[s.o_pup + page] = up


@jit
def put_ref(s, c, a, page, up):
    """sh_put_ref: drop one reference (`up` = entry_at index that held it, or NONE); at zero the shadow is destroyed at once."""
    if up != NONE and a[s.o_pup + page] == up:
        a[s.o_pup + page] = NONE
    a[s.o_pref + page] -= ONE
    if a[s.o_pref + page] == ZERO:
        destroy(s, c, a, page)


@jit
def _demote(s, c, a, gfn, kind):
    """shadow_demote: the frame loses this shadow; with its last one it is no page table, and not out of sync, any more."""
    a[s.o_info + gfn] &= ~(ONE << (xen.SHADOW_FLAG_SHIFT + kind))
    if not is_shadowed(s, a, gfn):
        if is_oos(s, a, gfn):
            mfn = a[s.o_p2m + gfn]
            for k in range(s.vcpus * _OOS_PAGES):
                if s.oos[k] == mfn:
                    s.oos[k] = NONE
        a[s.o_info + gfn] &= ~(xen.OOS | xen.OOS_MAY_WRITE)
    s.tflags[c.id] |= xen.SF_DEMOTE


@jit
def _unlink(s, c, a, page):
    """First half of destroying a shadow: out of the hash, and the guest frame is demoted."""
    key, kind = a[s.o_pkey + page], a[s.o_ptype + page]
    hash_delete(s, a, key, kind, page)
    gfn = frame_shadowed(s, a, page)
    if not is_fl1(kind):
        _demote(s, c, a, gfn, kind)
    emit(s, a, ev.DEMOTE, ZERO, ZERO, gfn, page, xen.SH_LEVEL[kind], kind)


@far
def destroy(s, c, a, top):
    """sh_destroy_shadow: unlink, drop what the entries refer to in ascending order, free. Children die with the last reference.

    A walk with a small stack of its own (s.d_head: the shadow, s.d_page: which of its pages, s.d_idx: which entry), since the
    depth is at most four levels.
    """
    depth = ZERO
    s.d_page[depth], s.d_idx[depth] = top, ZERO
    _unlink(s, c, a, top)
    s.d_head[0] = top
    while True:
        page, i = s.d_page[depth], s.d_idx[depth]
        head = s.d_head[depth]
        if i >= x86.ENTRIES:
            page = a[s.o_pmore + page]
            if page != NONE:
                s.d_page[depth], s.d_idx[depth] = page, ZERO
                continue
            release(s, a, head)
            if depth == ZERO:
                return
            depth -= ONE
            continue
        kind = a[s.o_ptype + head]
        s.d_idx[depth] = i + (TWO if kind == xen.SH_L2_32 else ONE)
        at = entry_at(s, page, i)
        e = a[at]
        if (e & x86.P) == ZERO:
            continue
        if xen.SH_LEVEL[kind] == ONE:
            if e & x86.RW and s.pv == ZERO:
                a[s.o_info + gfn_of(s, a, frame(e))] -= ONE
            continue
        child = frame(e)
        if a[s.o_pup + child] == at:
            a[s.o_pup + child] = NONE
        a[s.o_pref + child] -= ONE
        if a[s.o_pref + child] == ZERO:
            depth += ONE
            s.d_page[depth], s.d_idx[depth] = child, ZERO
            s.d_head[depth] = child
            _unlink(s, c, a, child)
