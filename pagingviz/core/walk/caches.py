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

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.build.jit import jit
from pagingviz.core.shadow.pool import entry_at, shadowing
from pagingviz.core.walk.page_walk import FOUR, frame

_BITS32 = U(10)
_INDEX = U(511)
_WHAT = U(6)  # the word of an event that says which reference it is; two words before it is the guest's frame
_BASE, _SETS, _WAYS = (np.array([cache[k] for cache in x86.CACHES.values()], np.uint64) for k in range(3))
_PDE, _NESTED_PDE, _NESTED_TLB = (tuple(map(U, x86.CACHES[name])) for name in ("pde", "nested_pde", "nested_tlb"))
NESTED = U(3)  # number of the first nested cache in CACHES, after the linear ones; the nested TLB is the last


@jit
def _knows(c, base, sets, ways, gen, key):
    """Whether the cache of that shape holds `key`; a key that is held becomes the most recently used of its set."""
    tag = (gen << x86.PSC_GEN_SHIFT) | key
    first = base + (key & (sets - ONE)) * ways
    for way in range(first, first + ways):
        if c.psc_t[way] == tag:
            c.psc_s[way] = c.clock
            return True
    return False


@jit
def _learn(c, cache, gen, key):
    """Put `key` into that cache: over the first stale way of its set, else the least recently used."""
    first = _BASE[cache] + (key & (_SETS[cache] - ONE)) * _WAYS[cache]
    best, least = first, NONE
    for way in range(first, first + _WAYS[cache]):
        stamp = c.psc_s[way] if c.psc_t[way] >> x86.PSC_GEN_SHIFT == gen else ZERO
        if stamp < least:
            best, least = way, stamp
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
        entry = a[entry_at(s, page, (gfn >> (x86.ENTRY_BITS * (size - ONE))) & _INDEX)]
        if size < FOUR and entry & x86.EPT_SP:
            break
        page = frame(entry)
        size -= ONE
    if size == ONE and _knows(c, _NESTED_PDE[0], _NESTED_PDE[1], _NESTED_PDE[2], gen, gfn >> x86.ENTRY_BITS):
        return ONE
    return _first(c, NESTED, gen, gfn, x86.ENTRY_BITS, FOUR, size) - size + ONE


@jit
def count_walk(s, c, a, vpn):
    """Count the references of the walk that has just succeeded (c.w_*), and learn from it.

    Bare: the guest's levels; shadow: those of the shadow; HAP: each guest table and the data through the nested tables, too.
    PAE's top is in registers, but with NPT it is a table. While the guest does not page, only the nested tables (HAP) or a
    shadow are walked.
    """
    s.walks += ONE
    gen = s.psc_gen[c.id]
    refs = ZERO
    if shadowing(s):
        refs = ONE
        if not _knows(c, _PDE[0], _PDE[1], _PDE[2], gen, vpn >> x86.ENTRY_BITS):
            refs = _first(c, ZERO, gen, vpn, x86.ENTRY_BITS, FOUR if c.levels == FOUR else TWO, ONE)
    elif s.cr & x86.CR_PG:
        top = c.levels if c.levels != THREE or s.npt != ZERO else TWO
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


# ---- a walk whose references are shown


@jit
def _reference(s, a, n):
    """Arena index of the word that describes reference event number `n` (arch/events.py); NONE for another event.

    It is NONE also for what is read again to set A or D: the processor then has the path.
    """
    first = s.o_ring + (n % ev.RING) * ev.RING_WORDS
    return NONE if a[first + ONE] != ev.REFERENCE or a[first + _WHAT] & ev.REF_UPDATE else first + _WHAT


@jit
def _dimension(what):
    """Which tables a reference reads: ev.REF_GUEST, REF_SHADOW or REF_NESTED. `what`: the word that describes it."""
    return (what >> ev.REF_DIMENSION) & THREE


@jit
def _column(what):
    """Level of the guest's table that a reference belongs to; 0 for the page itself."""
    return (what >> ev.REF_COLUMN) & ev.REF_LEVEL


@jit
def _lowest(s, a, first):
    """Lowest level that the nested translation reads whose events begin with number `first`."""
    begins = a[_reference(s, a, first)]
    level = begins & ev.REF_LEVEL
    for n in range(first, s.ev_n):
        at = _reference(s, a, U(n))
        if at == NONE or _dimension(a[at]) != ev.REF_NESTED or _column(a[at]) != _column(begins):
            break
        level = a[at] & ev.REF_LEVEL
    return level


@jit
def mark_served(s, c, a, gva, first):
    """Mark the references among the events from number `first` on that a cache would have answered, were the walk made now.

    The rules are those of `count_walk`, to which this is equal for a walk that succeeds; one that ends early asks the caches
    for what it has read. It teaches them, so the state must be a copy.
    """
    c.clock += ONE
    top, low = ZERO, NONE
    for n in range(first, s.ev_n):
        at = _reference(s, a, U(n))
        if at != NONE:
            top = _column(a[at]) if top == ZERO else top
            low = low if _dimension(a[at]) == ev.REF_NESTED else a[at] & ev.REF_LEVEL
    bits = _BITS32 if c.levels == TWO and not shadowing(s) else x86.ENTRY_BITS
    page = (gva >> x86.PAGE_BITS) & x86.VPN_MASK
    start = top if low == NONE else _first(c, ZERO, s.psc_gen[c.id], page, bits, top, low)
    column, begin = NONE, ZERO
    for n in range(first, s.ev_n):
        at = _reference(s, a, U(n))
        if at == NONE:
            continue
        if _dimension(a[at]) != ev.REF_NESTED:
            begin = start
        elif _column(a[at]) != column:
            column = _column(a[at])
            begin = ZERO if column > start or (column == start and start < top) else _begin_nested(s, c, a, U(n))
        if a[at] & ev.REF_LEVEL > begin:
            a[at] |= ev.REF_SERVED


@jit
def _begin_nested(s, c, a, n):
    """Level of the first nested table that must be read for the translation that begins with event `n`; ZERO: none at all."""
    gen, gfn = s.npt_gen[c.id], a[_reference(s, a, n) - TWO]
    if _knows(c, _NESTED_TLB[0], _NESTED_TLB[1], _NESTED_TLB[2], gen, gfn):
        return ZERO
    _learn(c, NESTED + NESTED, gen, gfn)
    return _first(c, NESTED, gen, gfn, x86.ENTRY_BITS, FOUR, _lowest(s, a, n))
