"""The pool of hypervisor pages: pages, and the free list in the order they were freed.

Source: Xen mm/shadow/common.c (shadow_alloc, shadow_free). A pool page is named by its index, which is also its mfn. Under HAP
the same pages hold EPT tables and the log-dirty tree; they have no shadow counters. Left out: NUMA, TLB timestamps finer than
one epoch.
"""

from pagingviz.core.jit import jit
from pagingviz.core.tlb import flush_all
from pagingviz.layout import (
    ENTRIES, ENTRY_BITS, NONE, ONE, RAM_BASE, SHADOW, SH_FREE, ZERO,
)  # fmt: skip


@jit
def entry_at(s, page, i):
    """Arena index of entry `i` of pool page `page`."""
    return s.o_pool + (page << ENTRY_BITS) + i


@jit
def gfn_of(s, a, mfn):
    """Guest frame that lies in machine frame `mfn`, or NONE for the hypervisor's own pages."""
    return a[s.o_m2p + mfn - RAM_BASE] if mfn >= RAM_BASE else NONE


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
