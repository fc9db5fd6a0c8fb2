"""The pool of hypervisor pages: pages, and the free list in the order they were freed.

Source: Xen mm/shadow/common.c (shadow_alloc, shadow_free). A pool page is named by its index, which is also its mfn. Under HAP
the same pages hold EPT tables and the log-dirty tree; they have no shadow counters. Left out: NUMA, TLB timestamps finer than
one epoch.
"""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, ZERO
from pagingviz.core.build.jit import jit
from pagingviz.core.walk.tlb import flush_all


@jit
def shadowing(s):
    """Whether the hardware runs on shadows now (PG_SH_enable): an HVM guest's always or never, a PV guest's for log-dirty."""
    return s.road == xen.SHADOW or (s.road == xen.PV and s.log_dirty != ZERO)


@jit
def entry_at(s, page, i):
    """Arena index of entry `i` of pool page `page`."""
    return s.o_pool + (page << x86.ENTRY_BITS) + i


@jit
def gfn_of(s, a, mfn):
    """Guest frame that lies in machine frame `mfn`, or NONE for the hypervisor's own pages."""
    return a[s.o_m2p + mfn - xen.RAM_BASE] if mfn >= xen.RAM_BASE else NONE


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
def head_of(s, a, page):
    """The page that speaks for the shadow `page` belongs to: itself, or the head of a shadow of several pages."""
    return a[s.o_pkey + page] if a[s.o_ptype + page] == xen.SH_MORE else page


@jit
def _take(s, a, key):
    """One page from the head of the free list, zeroed. One freed since the last flush may still be in a TLB: that costs one."""
    page = free_pop(s, a)
    if a[s.o_pepoch + page] == s.flush_epoch:
        s.shadow_alloc_tlbflush += ONE
        flush_all(s)
    if page >= s.pool_used:  # of a large guest's pool only what has ever been used is state
        s.pool_used = page + ONE
    o = entry_at(s, page, ZERO)
    for i in range(o, o + x86.ENTRIES):
        a[i] = ZERO
    a[s.o_pkey + page] = key
    a[s.o_pref + page] = ZERO
    a[s.o_pup + page] = NONE
    a[s.o_ppin + page] = ZERO
    a[s.o_pmore + page] = NONE
    a[s.o_pstamp + page] = s.ev_now
    if s.road != xen.HAP:
        s.shadow_alloc_count += ONE
    return page


@jit
def alloc(s, a, kind, key):
    """shadow_alloc: the pages of one shadow (callers prealloc first). Returns the head: the page taken last, as in Xen."""
    if s.road != xen.HAP:
        s.shadow_alloc += ONE
    head = NONE
    for _ in range(xen.SH_PAGES[kind]):
        page = _take(s, a, key)
        a[s.o_ptype + page] = kind
        a[s.o_pmore + page] = head
        if head != NONE:
            a[s.o_ptype + head] = xen.SH_MORE
        head = page
    page = a[s.o_pmore + head]
    while page != NONE:
        a[s.o_pkey + page] = head
        page = a[s.o_pmore + page]
    return head


@jit
def release(s, a, page):
    """shadow_free: the pages go to the tail of the free list and keep their contents until reuse.

    Every vCPU forgets its fast-emulation memory, and its last writeable shadow if that was this one.
    """
    if s.road != xen.HAP:
        s.shadow_free += ONE
    while page != NONE:
        after = a[s.o_pmore + page]
        for v in range(s.vcpus):
            s.last_ok[v] = ZERO
            if s.last_wr[v] == page:
                s.last_wr[v] = NONE
        a[s.o_ptype + page] = xen.SH_FREE
        a[s.o_pkey + page] = NONE
        a[s.o_pmore + page] = NONE
        a[s.o_pepoch + page] = s.flush_epoch
        a[s.o_pstamp + page] = s.ev_now
        free_append(s, a, page)
        if s.road != xen.HAP:
            s.shadow_alloc_count -= ONE
        page = after
