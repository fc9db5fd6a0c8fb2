"""Paging-structure caches and the nested TLB: which references of a walk the processor need not make to memory.

Source: SDM vol. 3, 4.10.3 (PML4, PDPTE and PDE caches), 4.10.4 (what drops them), 29.4 (linear, guest-physical and combined
mappings); Bhargava et al., ASPLOS 2008 (nested TLB). They count references and decide nothing: what a walk finds is read from
the tables, since a guest that flushes as it must never meets the difference. A walk is counted when it fills the TLB. Sizes:
x86.CACHES. Left out: the same caches in front of 5-level tables, PCID and VPID, entries made by speculation.

An entry of level L stands for the table entries of a walk from its top down to L: with it the walk begins at the table below.
Linear and combined ones (one vCPU's linear addresses, under HAP with the host's frame) go with every flush of its TLB, all of
them with any INVLPG; those of guest-physical addresses stay at MOV CR3 and go when the hypervisor flushes (INVEPT).
"""

import numpy as np

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.build.jit import jit
from pagingviz.core.shadow.pool import entry_at
from pagingviz.core.walk.page_walk import FOUR, frame

_BITS32 = U(10)
_INDEX = U(511)
_BASE, _SETS, _WAYS = (np.array([cache[k] for cache in x86.CACHES.values()], np.uint64) for k in range(3))
_PDE, _NESTED_PDE, _NESTED_TLB = (tuple(map(U, x86.CACHES[name])) for name in ("pde", "nested_pde", "nested_tlb"))
NESTED = U(3)  # place of the nested caches among CACHES, after the linear ones; the nested TLB is the last


@jit
def _knows(c, base, sets, ways, gen, key):
    """Whether the cache of that shape holds `key`; a key that is held becomes the most recently used of its set."""
    tag = (gen << x86.PSC_GEN_SHIFT) | key
    k = base + (key & (sets - ONE)) * ways
    for w in range(k, k + ways):
        if c.psc_t[w] == tag:
            c.psc_s[w] = c.clock
            return True
    return False


@jit
def _learn(c, cache, gen, key):
    """Put `key` into that cache: over the first stale way of its set, else the least recently used."""
    k = _BASE[cache] + (key & (_SETS[cache] - ONE)) * _WAYS[cache]
    best, least = k, NONE
    for w in range(k, k + _WAYS[cache]):
        stamp = c.psc_s[w] if c.psc_t[w] >> x86.PSC_GEN_SHIFT == gen else ZERO
        if stamp < least:
            best, least = w, stamp
    c.psc_t[best], c.psc_s[best] = (gen << x86.PSC_GEN_SHIFT) | key, c.clock


@jit
def _first(c, first_cache, gen, page, bits, top, size):
    """Level of the first table that a walk from `top` to a leaf of level `size` must read; what it reads above is learnt."""
    level = size
    while level < top:
        cache = first_cache + level - ONE
        if _knows(c, _BASE[cache], _SETS[cache], _WAYS[cache], gen, page >> (bits * level)):
            break
        level += ONE
    for k in range(size, level):
        _learn(c, first_cache + U(k) - ONE, gen, page >> (bits * U(k)))
    return level


@jit
def _nested(s, c, a, gfn):
    """References that the translation of one guest frame through EPT or NPT makes."""
    if gfn >= s.frames:
        return ZERO
    gen = s.npt_gen[c.id]
    if _knows(c, _NESTED_TLB[0], _NESTED_TLB[1], _NESTED_TLB[2], gen, gfn):
        return ZERO
    _learn(c, NESTED + NESTED, gen, gfn)
    page, size = s.hap_root, FOUR
    while size != ONE:
        e = a[entry_at(s, page, (gfn >> (x86.ENTRY_BITS * (size - ONE))) & _INDEX)]
        if size < FOUR and e & x86.EPT_SP:
            break
        page = frame(e)
        size -= ONE
    if size == ONE and _knows(c, _NESTED_PDE[0], _NESTED_PDE[1], _NESTED_PDE[2], gen, gfn >> x86.ENTRY_BITS):
        return ONE
    return _first(c, NESTED, gen, gfn, x86.ENTRY_BITS, FOUR, size) - size + ONE


@jit
def count_walk(s, c, a, vpn):
    """Count the references of the walk that has just succeeded (c.w_*), and learn from it.

    Bare: the guest's levels; shadow: those of the shadow; HAP: each guest table and the data through the nested tables, too.
    PAE's top is in registers. While the guest does not page, only the nested tables (HAP) or a shadow are walked.
    """
    s.walks += ONE
    gen = s.psc_gen[c.id]
    guest = s.road == xen.BARE or s.road == xen.HAP or (s.pv != ZERO and s.log_dirty == ZERO)
    refs = ZERO
    if not guest:
        refs = ONE
        if not _knows(c, _PDE[0], _PDE[1], _PDE[2], gen, vpn >> x86.ENTRY_BITS):
            refs = _first(c, ZERO, gen, vpn, x86.ENTRY_BITS, FOUR if c.levels == FOUR else TWO, ONE)
    elif s.cr & x86.CR_PG:
        top = c.levels if c.levels != THREE else TWO
        bits = _BITS32 if c.levels == TWO else x86.ENTRY_BITS
        level = ONE
        if c.w_size != ONE or not _knows(c, _PDE[0], _PDE[1], _PDE[2], gen, vpn >> bits):
            level = _first(c, ZERO, gen, vpn, bits, top, c.w_size)
        refs = level - c.w_size + ONE
        if s.road == xen.HAP:
            if level == top:  # no cache gives the host's frame of the first table
                refs += _nested(s, c, a, c.w_tab[level - ONE])
            while level > c.w_size:
                level -= ONE
                refs += _nested(s, c, a, c.w_tab[level - ONE])
    if s.road == xen.HAP:
        refs += _nested(s, c, a, c.w_leaf)
    s.walk_refs += refs
