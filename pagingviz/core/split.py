"""Splitting a superpage leaf of EPT or NPT: a table of 512 smaller ones takes its place. Nothing is ever merged again.

Source: Xen mm/p2m-ept.c (ept_split_super_page), mm/p2m-pt.c (p2m_next_level). What a child looks like is the format's affair:
both keep the frame number in the same bits, so the first child says all.
"""

from pagingviz.core.events import emit
from pagingviz.core.jit import jit
from pagingviz.core.pool import entry_at
from pagingviz.core.recycle import alloc_p2m
from pagingviz.layout import ENTRIES, ENTRY_BITS, EV_P2M_SPLIT, HUNG, ONE, PAGE_BITS, U, ZERO

_AT = U((1 << 64) - 1)


@jit
def level_of(s, a, at):
    """Level of the p2m table that holds arena index `at` (kept in pref)."""
    return a[s.o_pref + ((at - s.o_pool) >> ENTRY_BITS)]


@jit
def table_of(s, c, a, child, level, gfn):
    """A new table of `level`: 512 leaves, the first of them `child`, of guest frame `gfn`. The pool must have a page."""
    page = alloc_p2m(s, c, a, gfn)
    a[s.o_pref + page] = level
    o = entry_at(s, page, ZERO)
    step = ONE << (PAGE_BITS + ENTRY_BITS * (level - ONE))
    for i in range(ENTRIES):
        a[o + i] = child + U(i) * step
    return page


@jit
def first_frame(gfn, level):
    """First of the frames that a leaf of `level` around `gfn` maps."""
    return gfn & (_AT << (ENTRY_BITS * (level - ONE)))


@jit
def enough(s, pages):
    """Whether the pool has `pages` free pages. If not the store that needs them is repeated for ever."""
    if s.free_pages >= pages:
        return True
    s.crashed = HUNG
    return False


@jit
def told(s, a, gfn, page, level, pages):
    """A leaf of `level` is split: `pages` pages of the pool at once, the first of them `page`."""
    s.p2m_split += ONE
    emit(s, a, EV_P2M_SPLIT, ZERO, ZERO, first_frame(gfn, level), page, level, pages)
