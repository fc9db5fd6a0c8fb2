"""The guest page-table walk of a 64-bit guest (SDM vol. 3, 4.5 to 4.8), and the same walk over shadow tables.

Rights: R/W and U/S are ANDed, NX is ORed over all levels; they are tested only after the leaf is found. A (all levels) and
D (leaf, on a write) are set only by a walk that succeeds. CR0.WP=1, EFER.NXE=1, no SMEP, SMAP or keys; 4 KiB leaves only.
"""

from pagingviz.core.events import emit
from pagingviz.core.jit import jit
from pagingviz.layout import (
    A, D, ENTRY_BITS, EV_AD_UPDATE, FAULT, FETCH, FRAME_MASK, NONE, NX, ONE, P, PAGE_BITS, PF_I, PF_P, PF_U, PF_W, RW, TLB_NX,
    TLB_U, TLB_W, US, WRITE, ZERO, U,
)  # fmt: skip

_INDEX = U(511)


@jit
def index(gva, level):
    """Entry number (0..511) that `gva` selects in a table of `level` (1..4)."""
    return (gva >> (PAGE_BITS + ENTRY_BITS * (level - ONE))) & _INDEX


@jit
def frame(entry):
    """Frame number in an entry."""
    return (entry & FRAME_MASK) >> PAGE_BITS


@jit
def read_path(c, a, base, root, gva):
    """Read the four entries on the way of `gva`, from table frame `root`; tables lie at a[base + frame*512].

    Fills c.w_tab (frames) and c.w_ent (entries), index level-1. Returns 0, or the level of the first not-present entry.
    """
    tab = root
    for level in (U(4), U(3), U(2), ONE):
        e = a[base + (tab << ENTRY_BITS) + index(gva, level)]
        c.w_tab[level - ONE] = tab
        c.w_ent[level - ONE] = e
        if (e & P) == ZERO:
            return level
        tab = frame(e)
    return ZERO


@jit
def rights(c):
    """Combined rights of the path in c.w_ent: RW, US (AND over levels) and NX (OR), in page-table bits."""
    e1, e2, e3, e4 = c.w_ent[0], c.w_ent[1], c.w_ent[2], c.w_ent[3]
    return (e1 & e2 & e3 & e4 & (RW | US)) | ((e1 | e2 | e3 | e4) & NX)


@jit
def error_code(missing, have, kind, user):
    """FAULT | #PF error code of an access, or 0 when the path allows it. `missing` is read_path's result, `have` its rights."""
    err = ZERO
    if kind == WRITE:
        err |= PF_W
    if user != ZERO:
        err |= PF_U
    if kind == FETCH:
        err |= PF_I
    if missing != ZERO:
        return FAULT | err
    bad = (kind == WRITE and (have & RW) == ZERO) or (user != ZERO and (have & US) == ZERO)
    if bad or (kind == FETCH and (have & NX) != ZERO):
        return FAULT | err | PF_P
    return ZERO


@jit
def needs_ad(c, level, kind):
    """Whether the entry of `level` on the path lacks A, or (leaf, write) D."""
    e = c.w_ent[level - ONE]
    if (e & A) == ZERO:
        return True
    return level == ONE and kind == WRITE and (e & D) == ZERO


@jit
def set_ad(s, c, a, level, gva, kind):
    """Set A, and D in the leaf for a write, in the guest's own entry; the table's frame gets a new version."""
    tab = c.w_tab[level - ONE]
    e = c.w_ent[level - ONE] | A
    if level == ONE and kind == WRITE:
        e |= D
    a[s.o_tables + (tab << ENTRY_BITS) + index(gva, level)] = e
    c.w_ent[level - ONE] = e
    a[s.o_ver + tab] += ONE
    s.ad_updates += ONE
    emit(s, a, EV_AD_UPDATE, c.id, gva, tab, NONE, level, e)


@jit
def tlb_rights(have, leaf):
    """TLB_* bits of a finished walk: a store is free later only if the leaf is writable and already dirty."""
    r = ZERO
    if (have & RW) and (leaf & D):
        r |= TLB_W
    if have & US:
        r |= TLB_U
    if have & NX:
        r |= TLB_NX
    return r


@jit
def hardware_shadow_walk(s, c, a, gva, kind, user):
    """The hardware's walk over the loaded shadow. Returns the leaf entry, or 0 if the access must exit.

    Hardware sets A in each shadow entry it uses and D in the leaf; those bits mean nothing to the guest.
    """
    missing = read_path(c, a, s.o_pool, s.root[c.id], gva)
    have = rights(c)
    if error_code(missing, have, kind, user) != ZERO:
        return ZERO
    for level in (U(4), U(3), U(2), ONE):
        e = c.w_ent[level - ONE] | A
        if level == ONE and kind == WRITE:
            e |= D
        c.w_ent[level - ONE] = e
        a[s.o_pool + (c.w_tab[level - ONE] << ENTRY_BITS) + index(gva, level)] = e
    return c.w_ent[0]
