"""The dirty bitmap of log-dirty mode: a tree of four levels of pages, each allocated when the first bit below it is set.

A leaf page has 512 words, which are 32768 bits, for 128 MiB of guest memory. The words of a node are page numbers plus one, or
0 where there is no page. Bits are numbered by gfn.

Source: Xen mm/paging.c (paging_mark_pfn_dirty). Left out: a change of the physmap clears no bits, because there are none.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, ZERO, U
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.frames import mfn_of, word_of
from pagingviz.core.shadow.pool import entry_at
from pagingviz.core.shadow.recycle import alloc_p2m, free_p2m

_SIX, _WORD, _INDEX = U(6), U(63), U(511)


@jit
def leaf_of(s, a, gfn):
    """Leaf page that holds the bit of `gfn`, or NONE while no bit of its 128 MiB has been set: they are all clear."""
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
    """Whether the bit of `gfn` is set. Source: mm/paging.c: paging_mfn_is_dirty."""
    page = leaf_of(s, a, gfn)
    if page == NONE:
        return False
    bit = gfn & U(0x7FFF)
    return (a[entry_at(s, page, bit >> _SIX)] >> (bit & _WORD)) & ONE != ZERO


@by_address
def _grow(s, c, a, gfn):
    """Allocate what is missing of the path to the bit of `gfn`, the root first. Returns the leaf page.

    NONE when the pool cannot give a page; the pages that it could give remain in the tree.
    """
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
    """Set the bit of `gfn`, while log-dirty is on. s.dirty_count counts only bits that were clear.

    `cause` (xen.MK_*) is noted beside the frame when the bit goes from 0 to 1. That happens at most once a round, so the note
    also counts the rounds in which the frame was dirtied. Source: mm/paging.c: paging_mark_pfn_dirty.
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
        note = s.o_dround + word_of(s, gfn)
        rounds = (a[note] >> xen.DR_ROUNDS_SHIFT) + ONE
        a[note] = (s.dirty_round + ONE) | cause << xen.DR_CAUSE_SHIFT | rounds << xen.DR_ROUNDS_SHIFT
        emit(s, a, ev.MARK_DIRTY, ZERO, ZERO, gfn, mfn_of(s, a, gfn), cause, s.dirty_count)


@jit
def _each_leaf(s, a, free):
    """Clear every leaf of the tree, or with `free` give all pages of the tree back, a node after its children.

    Source: mm/paging.c: paging_log_dirty_op, paging_free_log_dirty_bitmap.
    """
    root = s.tree_root
    if root == NONE:
        return
    for i in range(x86.ENTRIES):
        node3 = a[entry_at(s, root, i)]
        if node3 == ZERO:
            continue
        for j in range(x86.ENTRIES):
            node2 = a[entry_at(s, node3 - ONE, j)]
            if node2 == ZERO:
                continue
            for k in range(x86.ENTRIES):
                leaf = a[entry_at(s, node2 - ONE, k)]
                if leaf == ZERO:
                    continue
                if free:
                    free_p2m(s, a, leaf - ONE)
                else:
                    first = entry_at(s, leaf - ONE, ZERO)
                    for w in range(first, first + x86.ENTRIES):
                        a[w] = ZERO
            if free:
                free_p2m(s, a, node2 - ONE)
        if free:
            free_p2m(s, a, node3 - ONE)
    if free:
        free_p2m(s, a, root)
        s.tree_root = NONE


@jit
def clear(s, a):
    """Clear the bitmap and its counts, as CLEAN does, without freeing a page; a new round begins."""
    _each_leaf(s, a, False)
    s.dirty_count = ZERO
    s.fault_count = ZERO
    s.dirty_round += ONE
    count_afresh(s, a)


@jit
def count_afresh(s, a):
    """Store the version of every frame that has words: the number of stores to it so far.

    What has been stored to since then, and has no bit, is a dirty page that log-dirty has missed.
    """
    for k in range(s.modelled):
        a[s.o_cver + k] = a[s.o_ver + k]


@jit
def free_tree(s, a):
    """Give every page of the tree back to the pool.

    That pages were lacking is forgotten only if there is a tree. Source: mm/paging.c: paging_free_log_dirty_bitmap.
    """
    if s.tree_root != NONE:
        _each_leaf(s, a, True)
        s.failed_allocs = ZERO
