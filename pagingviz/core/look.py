"""Looking at the guest's memory without changing it, where numpy would need many small steps."""

from pagingviz.core.jit import entry, jit
from pagingviz.core.walk import get_entry, guest_frame
from pagingviz.layout import ENTRIES, NONE, ONE, P, PSE, THREE, TWO, U, ZERO

_FOUR = U(4)


@entry
def mark_tables(r, a):
    """Set a[o_tmp + gfn] to 1 for every frame that holds a page table of the guest now, 0 for all others (zone frames only)."""
    s = r[0]
    for i in range(s.o_tmp, s.o_tmp + s.zone):
        a[i] = ZERO
    for proc in range(s.processes):
        root = a[s.o_roots + proc]
        if root != NONE:
            _mark_below(s, a, root, s.guest_levels)
        if a[s.o_uroots + proc] != NONE:
            a[s.o_tmp + a[s.o_uroots + proc]] = ONE
    if s.rows != ZERO:  # a raw guest's roots are what its program loads
        for v in range(s.vcpus):
            _mark_below(s, a, s.cr3[v], s.guest_levels)


@jit
def _table(s, a, e, level):
    """Frame of the table that entry `e` of a table of `level` leads to; NONE for a leaf, a hole, or a frame beyond the zone."""
    if (e & P) == ZERO or (e & PSE and level <= THREE):
        return NONE
    gfn = guest_frame(s, a, e)
    return gfn if gfn < s.zone else NONE


@jit
def _mark_below(s, a, root, levels):
    """Mark a root and, level by level, the tables its entries lead to; what is marked already is not entered again."""
    if root >= s.zone:
        return
    a[s.o_tmp + root] = ONE
    if levels == TWO:
        _mark_l1s(s, a, root, levels)
        return
    if levels == THREE:
        _mark_l2s(s, a, root, _FOUR, _FOUR)
        return
    for i in range(ENTRIES):
        l3 = _table(s, a, get_entry(s, a, levels, root, U(i)), _FOUR)
        if l3 != NONE and a[s.o_tmp + l3] == ZERO:
            _mark_l2s(s, a, l3, ENTRIES, THREE)


@jit
def _mark_l2s(s, a, table, entries, level):
    """Mark an L3 table (PAE: the four entries of a root) and all below it."""
    a[s.o_tmp + table] = ONE
    for i in range(entries):
        l2 = _table(s, a, get_entry(s, a, _FOUR, table, U(i)), level)
        if l2 != NONE and a[s.o_tmp + l2] == ZERO:
            _mark_l1s(s, a, l2, _FOUR)


@jit
def _mark_l1s(s, a, l2, levels):
    """Mark an L2 table and its L1 tables."""
    a[s.o_tmp + l2] = ONE
    for i in range(ENTRIES * (TWO if levels == TWO else ONE)):
        l1 = _table(s, a, get_entry(s, a, levels, l2, U(i)), TWO)
        if l1 != NONE:
            a[s.o_tmp + l1] = ONE
