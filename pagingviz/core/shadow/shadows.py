"""What a shadow is: its entry in the hash, its references, the list of pinned shadows, and how it is destroyed.

A shadow is one page of the pool, or several chained ones; its first page is its head and its name. Its key is the machine frame
of the guest table that it shadows; for the shadow of a guest's superpage (fl1) it is the first guest frame. References to it
are held by the entries of its parents, by the slots of vCPUs, and by its pin. With the last of them it is destroyed at once.
links.py makes shadows.

Source: Xen mm/shadow/common.c (shadow_hash_*, shadow_demote), private.h (sh_get_ref, sh_put_ref, sh_pin, sh_unpin), multi.c
(sh_destroy_l*_shadow).
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.splitmix import GOLDEN, MIX1
from pagingviz.arch.words import NONE, ONE, TWO, ZERO, U
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.shadow.pool import entry_at, gfn_of, release
from pagingviz.core.walk.page_walk import frame

_HALF = U(32)
_OOS_PAGES = U(xen.OOS_PAGES)


# ---- the hash


@jit
def bucket(key, kind):
    """Number (0 to 250) of the hash chain for a key and a type.

    The function is this model's own, because Xen's depends on the machine frames of its host. What it changes is the order in
    which a search of all shadows meets them. Source: common.c: sh_hash.
    """
    return ((key * GOLDEN + kind * MIX1) >> _HALF) % xen.HASH_BUCKETS


@jit
def hash_insert(s, a, key, kind, page):
    """Enter a shadow at the head of its hash chain. Source: common.c: shadow_hash_insert."""
    head = s.o_hash + bucket(key, kind)
    a[s.o_phash + page] = a[head]
    a[head] = page
    s.shadow_hash_inserts += ONE


@jit
def hash_delete(s, a, key, kind, page):
    """Take a shadow out of its hash chain. Source: common.c: shadow_hash_delete."""
    at = s.o_hash + bucket(key, kind)
    while a[at] != page:
        at = s.o_phash + a[at]
    a[at] = a[s.o_phash + page]
    s.shadow_hash_deletes += ONE


@jit
def find(s, a, key, kind):
    """The shadow of the table in machine frame `key`, of type `kind`, or NONE. Source: private.h: get_shadow_status."""
    s.shadow_get_shadow_status += ONE
    return hash_lookup(s, a, key, kind)


@jit
def hash_lookup(s, a, key, kind):
    """The shadow with this key and type, or NONE. One that is found goes to the head of its chain.

    Source: common.c: shadow_hash_lookup.
    """
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
    """Whether the guest frame has a shadow of type `kind`: a flag of the frame (in Xen page->shadow_flags)."""
    return (a[s.o_info + gfn] >> (xen.SHADOW_FLAG_SHIFT + kind)) & ONE != ZERO


@jit
def is_shadowed(s, a, gfn):
    """Whether the guest frame has a shadow of any type (in Xen PGC_shadowed_pt)."""
    return a[s.o_info + gfn] & xen.SHADOW_FLAGS != ZERO


@jit
def is_page_table(s, a, gfn):
    """Whether the frame is a page table: for an HVM guest one that is shadowed, for a PV guest one of the types l1 to l4.

    Source: private.h: sh_mfn_is_a_page_table.
    """
    if s.pv != ZERO:
        kind = a[s.o_info + gfn] & xen.PGT_TYPE
        return kind != ZERO and kind != xen.PGT_WRITABLE << xen.PGT_SHIFT
    return is_shadowed(s, a, gfn)


@jit
def is_oos(s, a, gfn):
    """Whether the table in this guest frame is out of sync. Source: private.h: mfn_is_out_of_sync."""
    return a[s.o_info + gfn] & xen.OOS != ZERO


@jit
def pinnable(s, kind):
    """Whether shadows of this type are pinned: roots, and level-3 shadows while the guest may be an early 64-bit Linux.

    Source: private.h: sh_type_is_pinnable.
    """
    return kind == xen.SH_L4 or kind == xen.SH_L2_PAE or kind == xen.SH_L2_32 or (kind == xen.SH_L3 and s.opt_l3 != ZERO)


@jit
def has_up(s, kind):
    """Whether shadows of this type note an entry that refers to them: those of one page that cannot be pinned.

    Source: private.h: sh_type_has_up_pointer.
    """
    return not (pinnable(s, kind) or kind == xen.SH_L1_32 or kind == xen.SH_FL1_32)


@jit
def is_fl1(kind):
    """Whether shadows of this type stand for a guest's superpage (fl1); their key is then a gfn."""
    return kind == xen.SH_FL1 or kind == xen.SH_FL1_PAE or kind == xen.SH_FL1_32


@jit
def frame_shadowed(s, a, page):
    """Guest frame of the table that a shadow stands for; for an fl1 the first frame of the superpage."""
    return a[s.o_pkey + page] if is_fl1(a[s.o_ptype + page]) else gfn_of(s, a, a[s.o_pkey + page])


# ---- the pinned list


@jit
def pinned_remove(s, a, page):
    """Unlink a shadow from the list of pinned ones."""
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
    """Put a shadow at the head of the pinned list. Only one that was not on it gains a reference.

    Source: private.h: sh_pin.
    """
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
    """Take a shadow off the pinned list, and drop the reference that its pin held. Source: private.h: sh_unpin."""
    if a[s.o_ppin + page] != ZERO:
        pinned_remove(s, a, page)
        put_ref(s, c, a, page, NONE)


# ---- references


@jit
def get_ref(s, a, page, up):
    """Take a reference to a shadow for the entry at arena index `up` (NONE: for a slot of a vCPU).

    The shadow notes the first entry that refers to it (its up-pointer). Source: private.h: sh_get_ref.
    """
    a[s.o_pref + page] += ONE
    if a[s.o_pup + page] == NONE and has_up(s, a[s.o_ptype + page]):
        a[s.o_pup + page] = up


@jit
def put_ref(s, c, a, page, up):
    """Drop the reference to a shadow that the entry at arena index `up` held (NONE: a slot of a vCPU, or the pin).

    With its last reference the shadow is destroyed. Source: private.h: sh_put_ref.
    """
    if up != NONE and a[s.o_pup + page] == up:
        a[s.o_pup + page] = NONE
    a[s.o_pref + page] -= ONE
    if a[s.o_pref + page] == ZERO:
        destroy(s, c, a, page)


@jit
def _demote(s, c, a, gfn, kind):
    """Take the flag of type `kind` from a guest frame. Without any it is an ordinary frame, and no longer out of sync.

    Source: common.c: shadow_demote.
    """
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
    """Begin to destroy a shadow: take it out of the hash, and demote the guest frame that it stands for."""
    key, kind = a[s.o_pkey + page], a[s.o_ptype + page]
    hash_delete(s, a, key, kind, page)
    gfn = frame_shadowed(s, a, page)
    if not is_fl1(kind):
        _demote(s, c, a, gfn, kind)
    emit(s, a, ev.DEMOTE, ZERO, ZERO, gfn, page, xen.SH_LEVEL[kind], kind)


@by_address
def destroy(s, c, a, top):
    """Destroy shadow `top`: unlink it, drop what its entries refer to in ascending order, and free its pages.

    A child that loses its last reference is destroyed in turn. Instead of calling itself the function has a stack of four
    levels in the record: s.d_head is the shadow, s.d_page which of its pages, s.d_idx which entry comes next. Source: common.c:
    sh_destroy_shadow.
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
        entry = a[at]
        if (entry & x86.P) == ZERO:
            continue
        if xen.SH_LEVEL[kind] == ONE:
            if entry & x86.RW and s.pv == ZERO:
                a[s.o_info + gfn_of(s, a, frame(entry))] -= ONE
            continue
        child = frame(entry)
        if a[s.o_pup + child] == at:
            a[s.o_pup + child] = NONE
        a[s.o_pref + child] -= ONE
        if a[s.o_pref + child] == ZERO:
            depth += ONE
            s.d_page[depth], s.d_idx[depth] = child, ZERO
            s.d_head[depth] = child
            _unlink(s, c, a, child)
