"""The log-dirty bitmap: Xen's four-level tree, allocated as it is first dirtied (mm/paging.c: paging_mark_pfn_dirty).

A leaf page is 512 words = 32768 bits = 128 MiB of guest memory; a node holds 512 page indexes, stored plus one (0 = none).
An HVM guest's pfn is its gfn. Left out: bits are never cleared by physmap changes, there are none.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, ZERO, U
from pagingviz.core.build.far import far
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.frames import mfn_of, place
from pagingviz.core.shadow.pool import entry_at
from pagingviz.core.shadow.recycle import alloc_p2m, free_p2m

_SIX, _WORD, _INDEX = U(6), U(63), U(511)


@jit
def leaf_of(s, a, gfn):
    """Page that holds the bit of `gfn`, or NONE while nothing in its 128 MiB has been dirtied (missing = clean)."""
    page = s.tree_root
    if page == NONE:
        return NONE
    for up in (U(18), U(9), ZERO):
        child = a[entry_at(s, page, (gfn >> (xen.LEAF_BITS + up)) & _INDEX)]
        if child == ZERO:
            return NONE
        page = child - ONE
    return page


@jit
def is_dirty(s, a, gfn):
    """Whether the bit of `gfn` is set (paging_mfn_is_dirty)."""
    page = leaf_of(s, a, gfn)
    if page == NONE:
        return False
    bit = gfn & U(0x7FFF)
    return (a[entry_at(s, page, bit >> _SIX)] >> (bit & _WORD)) & ONE != ZERO


@far
def _grow(s, c, a, gfn):
    """Allocate the missing nodes above and the leaf of `gfn`, root first. Returns the leaf, NONE if the pool cannot give."""
    if s.tree_root == NONE:
        page = alloc_p2m(s, c, a, NONE)
        if page == NONE:
            return NONE
        s.tree_root = page
        emit(s, a, ev.TREE_ALLOC, ZERO, ZERO, gfn, page, U(4), ZERO)
    page = s.tree_root
    level = THREE
    for up in (U(18), U(9), ZERO):
        i = (gfn >> (xen.LEAF_BITS + up)) & _INDEX
        child = a[entry_at(s, page, i)]
        if child == ZERO:
            new = alloc_p2m(s, c, a, NONE)
            if new == NONE:
                return NONE
            child = new + ONE
            a[entry_at(s, page, i)] = child
            emit(s, a, ev.TREE_ALLOC, ZERO, ZERO, gfn, new, level, ZERO)
        page = child - ONE
        level -= ONE
    return page


@jit
def mark(s, c, a, gfn, cause):
    """paging_mark_pfn_dirty: set the bit of `gfn`; dirty_count counts only real changes. No-op while log-dirty is off.

    `cause` (layout.MK_*) is remembered when the bit goes from 0 to 1: once a round, so the rounds count themselves.
    """
    if s.log_dirty == ZERO:
        return
    page = leaf_of(s, a, gfn)
    if page == NONE:
        page = _grow(s, c, a, gfn)
        if page == NONE:
            s.failed_allocs += ONE
            return
    bit = gfn & U(0x7FFF)
    at = entry_at(s, page, bit >> _SIX)
    mask = ONE << (bit & _WORD)
    if (a[at] & mask) == ZERO:
        a[at] |= mask
        s.dirty_count += ONE
        s.pages_marked += ONE
        k = s.o_dround + place(s, gfn)
        rounds = (a[k] >> xen.DR_ROUNDS_SHIFT) + ONE
        a[k] = (s.dirty_round + ONE) | cause << xen.DR_CAUSE_SHIFT | rounds << xen.DR_ROUNDS_SHIFT
        emit(s, a, ev.MARK_DIRTY, ZERO, ZERO, gfn, mfn_of(s, a, gfn), cause, s.dirty_count)


@jit
def _each_leaf(s, a, free):
    """Depth first over the tree: clear every leaf, or (free=1) give all its pages back, a node after its children."""
    root = s.tree_root
    if root == NONE:
        return
    for i in range(x86.ENTRIES):
        n3 = a[entry_at(s, root, i)]
        if n3 == ZERO:
            continue
        for j in range(x86.ENTRIES):
            n2 = a[entry_at(s, n3 - ONE, j)]
            if n2 == ZERO:
                continue
            for k in range(x86.ENTRIES):
                leaf = a[entry_at(s, n2 - ONE, k)]
                if leaf == ZERO:
                    continue
                if free:
                    free_p2m(s, a, leaf - ONE)
                else:
                    o = entry_at(s, leaf - ONE, ZERO)
                    for w in range(o, o + x86.ENTRIES):
                        a[w] = ZERO
            if free:
                free_p2m(s, a, n2 - ONE)
        if free:
            free_p2m(s, a, n3 - ONE)
    if free:
        free_p2m(s, a, root)
        s.tree_root = NONE


@jit
def clear(s, a):
    """What CLEAN does to the bitmap: leaves zeroed, counts zeroed, no page freed; a new round begins."""
    _each_leaf(s, a, False)
    s.dirty_count = ZERO
    s.fault_count = ZERO
    s.dirty_round += ONE
    count_afresh(s, a)


@jit
def count_afresh(s, a):
    """Remember every kept frame's version: the ground truth against which `missing` is judged."""
    for k in range(s.kept):
        a[s.o_cver + k] = a[s.o_ver + k]


@jit
def free_tree(s, a):
    """paging_free_log_dirty_bitmap: every page of the tree returns to the pool."""
    _each_leaf(s, a, True)
    s.failed_allocs = ZERO
