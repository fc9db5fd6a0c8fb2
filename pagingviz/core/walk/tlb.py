"""The TLB: final translations only (no paging-structure caches, no global pages, no PCID).

Two levels with true LRU, of the sizes of a named core (arch/cores.py). An entry holds the virtual page number, tagged with the
generation of its vCPU (a flush is one increment), the gfn it reaches, and the rights the walk found. TLB_W is set only when a
store needs nothing more from the tables: writable at every level and the leaf already dirty. A superpage is held in pieces of
4 KiB, and INVLPG of any address in it drops them all (SDM vol. 3, 4.10.4.1).
"""

from pagingviz.arch import x86
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.build.jit import jit

_MANY = U(1 << 26)


@jit
def allowed(val, kind, user, cr):
    """Whether an access of this kind may use a TLB value: write needs TLB_W, user needs TLB_U, a fetch must not meet TLB_NX.

    The supervisor's writes may use TLB_KW while CR0.WP is 0; SMEP and SMAP keep it off pages with TLB_U.
    """
    if user != ZERO:
        if (val & x86.TLB_U) == ZERO or (kind == x86.WRITE and (val & x86.TLB_W) == ZERO):
            return False
    elif not _supervisor(val, kind, cr):
        return False
    return not (kind == x86.FETCH and (val & x86.TLB_NX) != ZERO)


@jit
def _supervisor(val, kind, cr):
    """`allowed` for an access of the supervisor, without the question of NX."""
    if kind == x86.WRITE and (val & x86.TLB_W) == ZERO and ((val & x86.TLB_KW) == ZERO or (cr & x86.CR_WP) != ZERO):
        return False
    if (val & x86.TLB_U) == ZERO:
        return True
    return (cr & x86.CR_SMEP) == ZERO if kind == x86.FETCH else (cr & (x86.CR_SMAP | x86.CR_AC)) != x86.CR_SMAP


@jit
def rights(have, leaf, size, cr):
    """TLB_* bits of a finished walk: a store is free later only if it is allowed and the leaf is already dirty.

    `size`: level of the leaf; `cr`: CR_* bits (only CR_WP counts: the others are judged at each access).
    """
    granted = ZERO
    if leaf & x86.D:
        if have & x86.RW:
            granted |= x86.TLB_W
        elif (cr & x86.CR_WP) == ZERO:
            granted |= x86.TLB_KW
    if have & x86.US:
        granted |= x86.TLB_U
    if have & x86.NX:
        granted |= x86.TLB_NX
    if size == TWO:
        granted |= x86.TLB_BIG
    elif size == THREE:
        granted |= x86.TLB_HUGE
    return granted


@jit
def lookup(s, c, vpn, kind, user):
    """gfn that the page with number `vpn` leads to, or NONE on a miss. An entry without the rights asked for is a miss too."""
    c.clock += ONE
    tag = (s.tlb_gen[c.id] << x86.TLB_GEN_SHIFT) | vpn
    first = (vpn & (s.t1_sets - ONE)) * s.t1_ways
    for way in range(first, first + s.t1_ways):
        if c.t1t[way] == tag:
            value = c.t1v[way]
            if not allowed(value, kind, user, s.cr):
                return NONE
            c.t1s[way] = c.clock
            s.tlb_l1_hit += ONE
            return value >> x86.TLB_GFN_SHIFT
    first = (vpn & (s.t2_sets - ONE)) * s.t2_ways
    for way in range(first, first + s.t2_ways):
        if c.t2t[way] == tag:
            value = c.t2v[way]
            if not allowed(value, kind, user, s.cr):
                return NONE
            c.t2s[way] = c.clock
            s.tlb_l2_hit += ONE
            fill1(s, c, tag, vpn, value)
            return value >> x86.TLB_GFN_SHIFT
    return NONE


@jit
def fill1(s, c, tag, vpn, val):
    """Put a value into the first level: over the same page, else the first stale way, else the least recently used way."""
    first = (vpn & (s.t1_sets - ONE)) * s.t1_ways
    gen = tag >> x86.TLB_GEN_SHIFT
    best, least = first, NONE
    for way in range(first, first + s.t1_ways):
        held = c.t1t[way]
        if held == tag:
            best = way
            break
        stamp = c.t1s[way] if (held >> x86.TLB_GEN_SHIFT) == gen else ZERO
        if stamp < least:
            best, least = way, stamp
    c.t1t[best], c.t1v[best], c.t1s[best] = tag, val, c.clock


@jit
def fill(s, c, vpn, gfn, rights):
    """Put the result of a walk into both levels. `rights` is a set of TLB_* bits."""
    tag = (s.tlb_gen[c.id] << x86.TLB_GEN_SHIFT) | vpn
    val = (gfn << x86.TLB_GFN_SHIFT) | rights
    if rights & (x86.TLB_BIG | x86.TLB_HUGE):
        c.big_gen = s.tlb_gen[c.id]
    first = (vpn & (s.t2_sets - ONE)) * s.t2_ways
    gen = tag >> x86.TLB_GEN_SHIFT
    best, least = first, NONE
    for way in range(first, first + s.t2_ways):
        held = c.t2t[way]
        if held == tag:
            best = way
            break
        stamp = c.t2s[way] if (held >> x86.TLB_GEN_SHIFT) == gen else ZERO
        if stamp < least:
            best, least = way, stamp
    c.t2t[best], c.t2v[best], c.t2s[best] = tag, val, c.clock
    fill1(s, c, tag, vpn, val)


@jit
def drop(s, c, vpn):
    """INVLPG: forget one page in both levels, every piece of the superpages it may lie in, all paging-structure entries."""
    s.psc_gen[c.id] += ONE
    if c.big_gen == s.tlb_gen[c.id]:
        _drop_pieces(c.t1t, c.t1v, vpn, s.tlb_gen[c.id], c.levels)
        _drop_pieces(c.t2t, c.t2v, vpn, s.tlb_gen[c.id], c.levels)
    tag = (s.tlb_gen[c.id] << x86.TLB_GEN_SHIFT) | vpn
    first = (vpn & (s.t1_sets - ONE)) * s.t1_ways
    for way in range(first, first + s.t1_ways):
        if c.t1t[way] == tag:
            c.t1t[way] = ZERO
    first = (vpn & (s.t2_sets - ONE)) * s.t2_ways
    for way in range(first, first + s.t2_ways):
        if c.t2t[way] == tag:
            c.t2t[way] = ZERO


@jit
def _drop_pieces(tags, values, vpn, gen, levels):
    """Forget the pieces of superpages in one level of the TLB that page `vpn` lies in.

    tags, values: uint64[size] of that level; `gen`: the generation of the vCPU; `levels`: those of its tables.
    """
    big = U(10) if levels == TWO else U(9)
    for way in range(tags.size):
        if tags[way] >> x86.TLB_GEN_SHIFT == gen:
            away = (tags[way] & x86.VPN_MASK) ^ vpn
            if (values[way] & x86.TLB_BIG and away >> big == ZERO) or (values[way] & x86.TLB_HUGE and away >> U(18) == ZERO):
                tags[way] = ZERO


@jit
def flush(s, vcpu):
    """Forget all that a vCPU has cached of linear addresses: a new generation. Pages freed before this need no flush later."""
    s.tlb_gen[vcpu] += ONE
    s.psc_gen[vcpu] += ONE
    s.flush_epoch += ONE
    s.tlb_flush += ONE


@jit
def renew(s, c):
    """Count generations from 1 again when many are used up (a tag has 28 bits for them). What the TLB holds stays the same."""
    if s.tlb_gen[c.id] < _MANY:
        return
    live = s.tlb_gen[c.id]
    s.tlb_gen[c.id] = ONE
    c.big_gen = ONE if c.big_gen == live else ZERO
    for i in range(x86.T1_SIZE):
        c.t1t[i] = (ONE << x86.TLB_GEN_SHIFT) | (c.t1t[i] & x86.VPN_MASK) if c.t1t[i] >> x86.TLB_GEN_SHIFT == live else ZERO
    for i in range(x86.T2_SIZE):
        c.t2t[i] = (ONE << x86.TLB_GEN_SHIFT) | (c.t2t[i] & x86.VPN_MASK) if c.t2t[i] >> x86.TLB_GEN_SHIFT == live else ZERO


@jit
def flush_all(s):
    """The hypervisor flushes every vCPU of the domain (Xen: guest_flush_tlb_mask), guest-physical mappings too (INVEPT)."""
    for vcpu in range(s.vcpus):
        s.npt_gen[vcpu] += ONE
        flush(s, vcpu)
