"""Recycling: where pages come from when the pool is full, and how all shadows go at once.

Source: Xen mm/shadow/common.c (_shadow_prealloc, shadow_blow_tables, shadow_set_allocation, shadow_alloc_p2m_page).
Left out: preemption.
"""

from pagingviz.core.events import emit
from pagingviz.core.jit import jit
from pagingviz.core.pool import alloc, entry_at, free_append, free_pop, gfn_of, release
from pagingviz.core.shadows import unhook, unpin
from pagingviz.core.tlb import flush_all
from pagingviz.layout import (
    ENTRIES, EV_BLOW, EV_DOMF_DYING, EV_PREALLOC_UNHOOK, EV_PREALLOC_UNPIN, NONE, ONE, SHADOW, SH_FREE, SH_OUT, SH_P2M, U,
    ZERO,
)  # fmt: skip


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
