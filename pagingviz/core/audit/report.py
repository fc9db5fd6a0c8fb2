"""What the checks share: how they report a broken rule, a region to count in, whether a log holds a frame."""

from pagingviz.arch import x86
from pagingviz.arch.words import ONE, ZERO, U
from pagingviz.core.audit import rules
from pagingviz.core.build.jit import jit
from pagingviz.core.shadow.pool import entry_at


@jit
def broken(rule, where):
    """The audit's result when a rule (a constant of rules.py) is broken at `where`."""
    return U(rule) | (U(where) << rules.CODE_BITS)


@jit
def clear_tmp(s, a, n):
    """Zero the first n words of the region tmp (as long as the larger of frames and pool pages)."""
    for i in range(s.o_tmp, s.o_tmp + n):
        a[i] = ZERO


@jit
def in_pml(s, a, gfn):
    """Whether some vCPU's page-modification log holds the frame: its bit is set when the log is flushed."""
    if s.ept_ad == ZERO:
        return False
    for v in range(s.vcpus):
        for k in range(s.pml_index[v] + ONE, x86.PML_ENTRIES):
            if a[entry_at(s, s.pml_page[v], U(k))] >> x86.PAGE_BITS == gfn:
                return True
    return False
