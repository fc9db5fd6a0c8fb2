"""Recycling: where pages come from when the pool is full, how all shadows go at once, and the size of the pool.

Source: Xen mm/shadow/common.c (_shadow_prealloc, shadow_blow_tables, shadow_set_allocation, shadow_alloc_p2m_page).
Left out: preemption.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, TWO, ZERO, U
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.shadow.entries import unhook
from pagingviz.core.shadow.pool import alloc, entry_at, free_append, free_pop, release
from pagingviz.core.shadow.shadows import frame_shadowed, unpin
from pagingviz.core.walk.tlb import flush_all


@jit
def min_acceptable(s):
    """Pages that the pool must have for any instruction to be sure to finish; 0 for a toy pool (s.floor 0).

    Source: common.c: shadow_min_acceptable_pages.
    """
    return xen.MIN_PAGES * s.vcpus if s.floor != ZERO else ZERO


@jit
def min_allocation(s):
    """Pages that the pool has at least: that many, and a page for each MiB of the guest, or for what the p2m uses already.

    Source: common.c: sh_min_allocation.
    """
    if s.floor == ZERO:
        return ZERO
    extra = s.frames >> U(8)
    if s.pv == ZERO:
        extra = (extra if extra > U(6) else U(6)) + ONE
    return min_acceptable(s) + (s.p2m_pages if s.p2m_pages > extra else extra)


@jit
def prealloc(s, c, a, kind, count):
    """Make sure that `count` shadows of type `kind` can be taken from the pool. False: the domain has crashed.

    While log-dirty is on, a level-1 shadow may also need a whole path of the bitmap's tree. Source: common.c: shadow_prealloc.
    """
    pages = count * xen.SH_PAGES[kind]
    if s.log_dirty != ZERO and xen.SH_LEVEL[kind] == ONE:
        pages += xen.LOGDIRTY_LEVELS
    if _prealloc(s, c, a, pages):
        return True
    emit(s, a, ev.DOMF_DYING, ZERO, ZERO, NONE, NONE, ZERO, pages)
    s.crashed = ONE
    return False


@by_address
def _prealloc(s, c, a, pages):
    """Make sure that `pages` pages are free, by recycling. False when there is nothing left to recycle.

    First shadows are unpinned, from the tail of the pinned list on; then the loaded roots are unhooked. Source: common.c:
    _shadow_prealloc.
    """
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
    """Take a page for good from the shadows' share of the pool, with key `key`: for a nested table or the bitmap's tree.

    Returns the page, or NONE when none can be had. Source: common.c: shadow_alloc_p2m_page.
    """
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
    """Give a page back to the shadows' share of the pool. Source: common.c: shadow_free_p2m_page."""
    release(s, a, page)
    s.p2m_pages -= ONE
    s.total_pages += ONE


@jit
def blow(s, c, a):
    """Throw all shadows away: unpin every pinned one, unhook every loaded root, flush every TLB.

    The loaded roots remain, empty and unpinned. Source: common.c: shadow_blow_tables.
    """
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
    """Change the size of the pool to `pages`, behind EPT or NPT: pages come and go at the free list only.

    Nothing is recycled, and there is no least size. Source: hap.c: hap_set_allocation.
    """
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
    """Add one new, empty page to the tail of the free list."""
    page = ZERO
    while a[s.o_ptype + page] != xen.SH_OUT:
        page += ONE
    for i in range(x86.ENTRIES):
        a[entry_at(s, page, i)] = ZERO  # the page may have been in the pool before
    a[s.o_ptype + page], a[s.o_pepoch + page] = xen.SH_FREE, NONE
    free_append(s, a, page)
    s.total_pages += ONE
    if page >= s.pool_used:
        s.pool_used = page + ONE


@jit
def set_allocation(s, c, a, pages):
    """Change the size of the pool to `pages`, those of the p2m included. It grows by empty pages, and shrinks by recycling.

    A size below the least one is raised to it, but 0 takes all pages that can be had. Source: common.c: shadow_set_allocation;
    paging.c: arch_set_paging_mempool_size.
    """
    target = ZERO
    if pages != ZERO:
        least = min_allocation(s)
        target = pages if pages > least else least
        target = target - s.p2m_pages if target > s.p2m_pages else ZERO
    while s.total_pages < target:
        _grow_by_one(s, a)
    while s.total_pages > target:
        if not _prealloc(s, c, a, ONE):
            return
        a[s.o_ptype + free_pop(s, a)] = xen.SH_OUT
        s.total_pages -= ONE
