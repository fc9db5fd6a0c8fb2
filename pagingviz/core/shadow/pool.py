"""The pool of the hypervisor's pages, and the list of its free ones in the order in which they were freed.

A page of the pool is named by its number, which is also its mfn. Behind EPT or NPT the pages hold the nested tables and the
tree of the dirty bitmap, and the counters of shadows do not count them.

Source: Xen mm/shadow/common.c (shadow_alloc, shadow_free). Left out: NUMA, TLB timestamps finer than one epoch.
"""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, ZERO
from pagingviz.core.build.jit import jit
from pagingviz.core.walk.tlb import flush_all


@jit
def shadowing(s):
    """Whether the hardware runs on shadows now (in Xen PG_SH_enable).

    For an HVM guest that is so always or never, for a PV guest while log-dirty is on.
    """
    return s.road == xen.SHADOW or (s.road == xen.PV and s.log_dirty != ZERO)


@jit
def entry_at(s, page, i):
    """Arena index of entry `i` (0 to 511) of page `page` of the pool."""
    return s.o_pool + (page << x86.ENTRY_BITS) + i


@jit
def gfn_of(s, a, mfn):
    """Guest frame that lies in machine frame `mfn`, or NONE when it is a page of the hypervisor."""
    return a[s.o_m2p + mfn - xen.RAM_BASE] if mfn >= xen.RAM_BASE else NONE


@jit
def free_append(s, a, page):
    """Put a page at the tail of the free list, so that it is the last to be used again."""
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
    """The head page of the shadow that page `page` belongs to."""
    return a[s.o_pkey + page] if a[s.o_ptype + page] == xen.SH_MORE else page


@jit
def _take(s, a, key):
    """Take one page from the head of the free list, zeroed, for a shadow with key `key`.

    A page freed since the last TLB flush may still be in a TLB: taking it for a shadow costs a flush.
    """
    page = free_pop(s, a)
    if s.road != xen.HAP and a[s.o_pepoch + page] == s.flush_epoch:
        s.shadow_alloc_tlbflush += ONE
        flush_all(s)
    if page >= s.pool_used:  # of a large guest's pool only what has ever been used is state
        s.pool_used = page + ONE
    first = entry_at(s, page, ZERO)
    for i in range(first, first + x86.ENTRIES):
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
    """Take the pages of one shadow of type `kind`; the caller has made sure with prealloc that they are there.

    Returns the head, which as in Xen is the page taken last. Source: common.c: shadow_alloc.
    """
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
    """Free the pages of the shadow with head `page`. They keep their contents until they are used again.

    Every vCPU forgets the last store that it emulated, and the shadow in which it last found a writable mapping if that was
    this one. Source: common.c: shadow_free.
    """
    if s.road != xen.HAP:
        s.shadow_free += ONE
    while page != NONE:
        after = a[s.o_pmore + page]
        for vcpu in range(s.vcpus):
            s.last_ok[vcpu] = ZERO
            if s.last_wr[vcpu] == page:
                s.last_wr[vcpu] = NONE
        a[s.o_ptype + page] = xen.SH_FREE
        a[s.o_pkey + page] = NONE
        a[s.o_pmore + page] = NONE
        a[s.o_pepoch + page] = s.flush_epoch
        a[s.o_pstamp + page] = s.ev_now
        free_append(s, a, page)
        if s.road != xen.HAP:
            s.shadow_alloc_count -= ONE
        page = after
