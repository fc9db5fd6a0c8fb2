"""Splitting a superpage leaf of EPT or NPT: a table of 512 smaller leaves takes its place. Nothing is ever merged again.

Both formats have the frame number in the same bits, so the other leaves follow from the word of the first one.

Source: Xen mm/p2m-ept.c (ept_split_super_page), mm/p2m-pt.c (p2m_next_level).
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86
from pagingviz.arch.words import ONE, ZERO, U
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.shadow.pool import entry_at
from pagingviz.core.shadow.recycle import alloc_p2m

_AT = U((1 << 64) - 1)


@jit
def level_of(s, a, at):
    """Level of the nested table that holds arena index `at`; for a page of the p2m it stands in the region `pref`."""
    return a[s.o_pref + ((at - s.o_pool) >> x86.ENTRY_BITS)]


@jit
def table_of(s, c, a, child, level, gfn):
    """A new nested table of `level` with 512 leaves, which map what follows guest frame `gfn`. Returns its page.

    `child` is the word of its first entry. The pool must have a page.
    """
    page = alloc_p2m(s, c, a, gfn)
    a[s.o_pref + page] = level
    first = entry_at(s, page, ZERO)
    step = ONE << (x86.PAGE_BITS + x86.ENTRY_BITS * (level - ONE))
    for i in range(x86.ENTRIES):
        a[first + i] = child + U(i) * step
    return page


@jit
def first_frame(gfn, level):
    """The first of the guest frames that a leaf of `level` around `gfn` maps."""
    return gfn & (_AT << (x86.ENTRY_BITS * (level - ONE)))


@jit
def enough(s, pages):
    """Whether the pool has `pages` free pages."""
    return s.free_pages >= pages


@jit
def record_split(s, a, event, gfn, page, level, pages):
    """Count and report that the leaf of `level` around `gfn` has been split.

    It took `pages` pages of the pool, the first of them `page`. `event`: ev.P2M_SHATTER if a fetch was the cause, else
    ev.P2M_SPLIT.
    """
    s.p2m_split += ONE
    if event == ev.P2M_SHATTER:
        s.p2m_shatter += ONE
    emit(s, a, event, ZERO, ZERO, first_frame(gfn, level), page, level, pages)
