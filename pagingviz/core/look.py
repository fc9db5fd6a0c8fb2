"""Looking at the guest's memory without changing it, where numpy would need many small steps."""

from pagingviz.core.jit import jit
from pagingviz.core.walk import frame
from pagingviz.layout import ENTRIES, ENTRY_BITS, NONE, ONE, P, U, ZERO


@jit
def mark_tables(r, a):
    """Set a[o_tmp + gfn] to 1 for every frame that holds a page table of the guest now, 0 for all others (zone frames only)."""
    s = r[0]
    for i in range(s.o_tmp, s.o_tmp + s.zone):
        a[i] = ZERO
    for proc in range(s.processes):
        root = a[s.o_roots + proc]
        if root != NONE:
            _mark_below(s, a, root)


@jit
def _mark_below(s, a, root):
    """Mark a root and, level by level, the tables its entries lead to; what is marked already is not entered again."""
    a[s.o_tmp + root] = ONE
    for i4 in range(ENTRIES):
        e4 = a[s.o_tables + (root << ENTRY_BITS) + i4]
        if (e4 & P) == ZERO or a[s.o_tmp + frame(e4)] != ZERO:
            continue
        l3 = frame(e4)
        a[s.o_tmp + l3] = ONE
        for i3 in range(ENTRIES):
            e3 = a[s.o_tables + (l3 << ENTRY_BITS) + i3]
            if (e3 & P) == ZERO:
                continue
            l2 = frame(e3)
            a[s.o_tmp + l2] = ONE
            for i in range(ENTRIES):
                e2 = a[s.o_tables + (l2 << ENTRY_BITS) + U(i)]
                if e2 & P:
                    a[s.o_tmp + frame(e2)] = ONE
