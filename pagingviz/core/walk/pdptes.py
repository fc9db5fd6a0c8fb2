"""The four registers that hold the top of a PAE guest's tables, and when the processor loads them.

Source: SDM vol. 3, 4.4.1; APM vol. 2, 15.25.10. The walk that starts at them is in page_walk.py.
"""

from pagingviz.arch import x86
from pagingviz.arch.words import THREE, ZERO, U
from pagingviz.core.build.jit import jit
from pagingviz.core.walk.page_walk import FOUR, get_entry, pdpte_reserved


@jit
def load_pdptes(s, c, a, root):
    """PAE: MOV CR3 loads the four entries at the start of frame `root`. False (#GP, nothing changed) if one is bad.

    Bad is a present entry with a reserved bit; one not present may hold anything. With NPT nothing is loaded and nothing is
    refused: the entries are read in each walk.
    """
    if s.npt != ZERO:
        return True
    rsvd = pdpte_reserved(s)
    for i in range(FOUR):
        entry = get_entry(s, a, THREE, root, U(i))
        if entry & x86.P and entry & rsvd:
            return False
    for i in range(FOUR):
        c.pdpte[i] = get_entry(s, a, THREE, root, U(i))
    return True
