"""Recycling: where pages come from when the pool is full, and how all shadows go at once.

Source: Xen mm/shadow/common.c (_shadow_prealloc, shadow_blow_tables, shadow_set_allocation, shadow_alloc_p2m_page).
Left out: preemption.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, TWO, ZERO, U
from pagingviz.core.build.far import far
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.shadow.entries import unhook
from pagingviz.core.shadow.pool import alloc, entry_at, free_append, free_pop, release
from pagingviz.core.shadow.shadows import frame_shadowed, unpin
from pagingviz.core.walk.tlb import flush_all


@jit
def min_acceptable(s):
    """shadow_min_acceptable_pages: below it no instruction is sure to finish. A toy pool (s.floor 0) has no such floor."""
    return xen.MIN_PAGES * s.vcpus if s.floor != ZERO else ZERO


@jit
def min_allocation(s):
    """sh_min_allocation: that, plus a page for each MiB of the guest or what the p2m already uses."""
    if s.floor == ZERO:
        return ZERO
    extra = s.frames >> U(8)
    if s.pv == ZERO:
        extra = (extra if extra > U(6) else U(6)) + ONE
    return min_acceptable(s) + (s.p2m_pages if s.p2m_pages > extra else extra)


@jit
def prealloc(s, c, a, kind, count):
    """shadow_prealloc: make sure `count` shadows of type `kind` can be had, or crash the domain and return False.

    An L1 may also need a whole path of the log-dirty tree.
    """
    pages = count * xen.SH_PAGES[kind]
    if s.log_dirty != ZERO and xen.SH_LEVEL[kind] == ONE:
        pages += xen.LOGDIRTY_LEVELS
    if _prealloc(s, c, a, pages):
        return True
    emit(s, a, ev.DOMF_DYING, ZERO, ZERO, NONE, NONE, ZERO, pages)
    s.crashed = ONE
    return False


@far
def _prealloc(s, c, a, pages):
    """_shadow_prealloc: unpin from the tail of the pinned list, then unhook loaded roots. False when nothing is left."""
    if s.free_pages >= pages:
        return True
    s.shadow_prealloc_1 += ONE
    while s.pin_tail != NONE:
        victim = s.pin_tail
        level = xen.SH_LEVEL[a[s.o_ptype + victim]]
        emit(s, a, ev.PREALLOC_UNPIN, ZERO, ZERO, frame_shadowed(s, a, victim), victim, level, s.free_pages)
        unpin(s, c, a, victim)
        if s.free_pages >= pages:
            return True
    s.shadow_prealloc_2 += ONE
    for k in range(s.vcpus * U(4)):
        root = s.root[k]
        if root != NONE:
            s.tflags[c.id] |= xen.SF_UNHOOK
            level = xen.SH_LEVEL[a[s.o_ptype + root]]
            emit(s, a, ev.PREALLOC_UNHOOK, U(k) >> TWO, ZERO, frame_shadowed(s, a, root), root, level, s.free_pages)
            unhook(s, c, a, root, ZERO)
            if s.free_pages >= pages:
                flush_all(s)
                return True
    return False


@jit
def alloc_p2m(s, c, a, key):
    """shadow_alloc_p2m_page: a page that leaves the shadows' share of the pool (log-dirty tree). NONE if none can be had."""
    if s.road != xen.HAP:
        if s.total_pages < min_acceptable(s) + ONE or not prealloc(s, c, a, xen.SH_P2M, ONE):
            return NONE
    if s.free_pages == ZERO:
        return NONE
    page = alloc(s, a, xen.SH_P2M, key)
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
def blow(s, c, a):
    """shadow_blow_tables: unpin every pinned shadow, unhook every loaded root, flush. Loaded roots stay, empty and unpinned."""
    s.blows += ONE
    before = s.free_pages
    while s.pin_tail != NONE:
        unpin(s, c, a, s.pin_tail)
    for k in range(s.vcpus * U(4)):
        if s.root[k] != NONE:
            unhook(s, c, a, s.root[k], ZERO)
    flush_all(s)
    emit(s, a, ev.BLOW, ZERO, ZERO, NONE, NONE, ZERO, s.free_pages - before)


@jit
def hap_set_allocation(s, a, pages):
    """hap_set_allocation: pages come and go at the free list only; nothing is recycled, and there is no floor."""
    target = pages - s.p2m_pages if pages > s.p2m_pages else ZERO
    if target > s.pool_cap - s.p2m_pages:
        target = s.pool_cap - s.p2m_pages
    while s.total_pages < target:
        _grow_by_one(s, a)
    while s.total_pages > target and s.free_pages != ZERO:
        a[s.o_ptype + free_pop(s, a)] = xen.SH_OUT
        s.total_pages -= ONE


@jit
def _grow_by_one(s, a):
    """One new, empty page at the tail of the free list."""
    page = ZERO
    while a[s.o_ptype + page] != xen.SH_OUT:
        page += ONE
    for i in range(x86.ENTRIES):
        a[entry_at(s, page, i)] = ZERO  # it may have been here before, perhaps in a run that was rewound
    a[s.o_ptype + page], a[s.o_pepoch + page] = xen.SH_FREE, NONE
    free_append(s, a, page)
    s.total_pages += ONE
    if page >= s.pool_used:
        s.pool_used = page + ONE


@jit
def set_allocation(s, c, a, pages):
    """shadow_set_allocation: grow by new, empty pages, or shrink one by one, which may recycle. `pages` includes p2m pages.

    Less than the minimum is raised to it; but 0 strips the pool as far as it goes (arch_set_paging_mempool_size).
    """
    target = ZERO
    if pages != ZERO:
        low = min_allocation(s)
        target = pages if pages > low else low
        target = target - s.p2m_pages if target > s.p2m_pages else ZERO
    while s.total_pages < target:
        _grow_by_one(s, a)
    while s.total_pages > target:
        if not _prealloc(s, c, a, ONE):
            return
        a[s.o_ptype + free_pop(s, a)] = xen.SH_OUT
        s.total_pages -= ONE
