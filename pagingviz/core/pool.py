"""The pool of hypervisor pages: free list (FIFO), hash of shadows, reference counts, pinned list, prealloc, blow.

Source: Xen mm/shadow/common.c (shadow_alloc, shadow_free, _shadow_prealloc, shadow_hash_*, sh_pin, shadow_blow_tables) and
private.h (sh_get_ref, sh_put_ref). A pool page is named by its index, which is also its mfn. Under HAP the same pages hold EPT
tables and the log-dirty tree; they have no shadow counters. Left out: preemption, NUMA, TLB timestamps finer than one epoch.
"""

from pagingviz.core.events import emit
from pagingviz.core.jit import jit
from pagingviz.core.tlb import flush_all
from pagingviz.layout import (
    ENTRIES, ENTRY_BITS, EV_BLOW, EV_DEMOTE, EV_DOMF_DYING, EV_PREALLOC_UNHOOK, EV_PREALLOC_UNPIN, EV_PROMOTE, HASH_BUCKETS,
    NONE, ONE, P, RAM_BASE, RW, SH_FREE, SH_L1, SH_LEVEL, SH_OUT, SH_P2M, SHADOW, SHADOW_FLAG_SHIFT, US, ZERO, U,
)  # fmt: skip
from pagingviz.core.walk import frame

_MIX1, _MIX2, _HALF = U(0x9E3779B97F4A7C15), U(0xBF58476D1CE4E5B9), U(32)


@jit
def entry_at(s, page, i):
    """Arena index of entry `i` of pool page `page`."""
    return s.o_pool + (page << ENTRY_BITS) + i


@jit
def gfn_of(s, a, mfn):
    """Guest frame that lies in machine frame `mfn`, or NONE for the hypervisor's own pages."""
    return a[s.o_m2p + mfn - RAM_BASE] if mfn >= RAM_BASE else NONE


# ---- the two lists share pprev/pnext: a page is free, or pinned, or in neither


@jit
def free_append(s, a, page):
    """Put a page at the tail of the free list, so that freed pages age before reuse."""
    a[s.o_pprev + page] = s.free_tail
    a[s.o_pnext + page] = NONE
    if s.free_tail == NONE:
        s.free_head = page
    else:
        a[s.o_pnext + s.free_tail] = page
    s.free_tail = page
    s.free_pages += ONE


@jit
def free_pop(s, a):
    """Take the page at the head of the free list, which must not be empty."""
    page = s.free_head
    s.free_head = a[s.o_pnext + page]
    if s.free_head == NONE:
        s.free_tail = NONE
    else:
        a[s.o_pprev + s.free_head] = NONE
    s.free_pages -= ONE
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


# ---- pages


@jit
def alloc(s, a, kind, key):
    """shadow_alloc: take and zero the page at the head of the free list (callers prealloc first). Returns its index.

    A page freed since the last flush may still be in a TLB, so its reuse costs a flush (shadow_alloc_tlbflush).
    """
    page = free_pop(s, a)
    if a[s.o_pepoch + page] == s.flush_epoch:
        s.shadow_alloc_tlbflush += ONE
        flush_all(s)
    o = entry_at(s, page, ZERO)
    for i in range(o, o + ENTRIES):
        a[i] = ZERO
    a[s.o_ptype + page] = kind
    a[s.o_pkey + page] = key
    a[s.o_pref + page] = ZERO
    a[s.o_pup + page] = NONE
    a[s.o_ppin + page] = ZERO
    a[s.o_pstamp + page] = s.ev_now
    if s.road == SHADOW:
        s.shadow_alloc += ONE
    return page


@jit
def release(s, a, page):
    """shadow_free: the page goes to the tail of the free list and keeps its contents until reuse."""
    a[s.o_ptype + page] = SH_FREE
    a[s.o_pkey + page] = NONE
    a[s.o_pepoch + page] = s.flush_epoch
    a[s.o_pstamp + page] = s.ev_now
    free_append(s, a, page)
    if s.road == SHADOW:
        s.shadow_free += ONE


@jit
def alloc_p2m(s, a, key):
    """shadow_alloc_p2m_page: a page that leaves the shadows' share of the pool (log-dirty tree). NONE if none can be had."""
    if s.road == SHADOW and not prealloc(s, a, ONE):
        return NONE
    if s.free_pages == ZERO:
        return NONE
    page = alloc(s, a, SH_P2M, key)
    s.total_pages -= ONE
    s.p2m_pages += ONE
    return page


@jit
def free_p2m(s, a, page):
    """shadow_free_p2m_page: the page comes back to the shadows' share."""
    release(s, a, page)
    s.p2m_pages -= ONE
    s.total_pages += ONE


# ---- hash of shadows: key (machine frame of the guest table, type)


@jit
def bucket(key, kind):
    """Hash chain (0..250) of a key. Which bucket is the model's own choice (facts/xen-4.17.md, row 4)."""
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


# ---- references


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


@jit
def prealloc(s, a, pages):
    """shadow_prealloc: make sure `pages` are free, or crash the domain and return False."""
    if _prealloc(s, a, pages):
        return True
    emit(s, a, EV_DOMF_DYING, ZERO, ZERO, NONE, NONE, ZERO, pages)
    s.crashed = ONE
    return False


@jit
def _prealloc(s, a, pages):
    """_shadow_prealloc: unpin from the tail of the pinned list, then unhook loaded roots. False when nothing is left."""
    if s.free_pages >= pages:
        return True
    s.shadow_prealloc_1 += ONE
    while s.pin_tail != NONE:
        victim = s.pin_tail
        emit(s, a, EV_PREALLOC_UNPIN, ZERO, ZERO, gfn_of(s, a, a[s.o_pkey + victim]), victim, U(4), s.free_pages)
        unpin(s, a, victim)
        if s.free_pages >= pages:
            return True
    s.shadow_prealloc_2 += ONE
    for v in range(s.vcpus):
        root = s.root[v]
        if root != NONE:
            emit(s, a, EV_PREALLOC_UNHOOK, U(v), ZERO, gfn_of(s, a, a[s.o_pkey + root]), root, U(4), s.free_pages)
            unhook(s, a, root)
            if s.free_pages >= pages:
                flush_all(s)
                return True
    return False


@jit
def blow(s, a):
    """shadow_blow_tables: unpin every pinned shadow, unhook every loaded root, flush. Loaded roots stay, empty and unpinned."""
    s.blows += ONE
    before = s.free_pages
    while s.pin_tail != NONE:
        unpin(s, a, s.pin_tail)
    for v in range(s.vcpus):
        if s.root[v] != NONE:
            unhook(s, a, s.root[v])
    flush_all(s)
    emit(s, a, EV_BLOW, ZERO, ZERO, NONE, NONE, ZERO, s.free_pages - before)


@jit
def set_allocation(s, a, pages):
    """shadow_set_allocation: grow by new, empty pages, or shrink one by one, which may recycle. `pages` includes p2m pages."""
    target = pages - s.p2m_pages if pages > s.p2m_pages else ZERO
    while s.total_pages < target:
        page = ZERO
        while a[s.o_ptype + page] != SH_OUT:
            page += ONE
        for i in range(ENTRIES):
            a[entry_at(s, page, i)] = ZERO  # it may have been here before, perhaps in a run that was rewound
        a[s.o_ptype + page], a[s.o_pepoch + page] = SH_FREE, NONE
        free_append(s, a, page)
        s.total_pages += ONE
        if page >= s.pool_used:
            s.pool_used = page + ONE
    while s.total_pages > target:
        if not _prealloc(s, a, ONE):
            return
        a[s.o_ptype + free_pop(s, a)] = SH_OUT
        s.total_pages -= ONE
