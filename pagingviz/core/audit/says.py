"""What every check uses: how it reports, and its counting space."""

from pagingviz.core.jit import jit
from pagingviz.layout import U, ZERO


@jit
def says(code, where):
    """The audit's word for "rule `code` is broken at `where`"."""
    return U(code) | (U(where) << U(8))


@jit
def clear_tmp(s, a, n):
    """Zero the first n words of the region tmp (as long as the larger of frames and pool pages)."""
    for i in range(s.o_tmp, s.o_tmp + n):
        a[i] = ZERO
