"""The guest page-table walk in every paging mode: 4-level, PAE, 32-bit (SDM vol. 3, 4.3 to 4.8).

At each level P is asked first, then the reserved bits. Rights are judged after the leaf is found, for all levels together: R/W
and U/S are ANDed, NX is ORed, and PAE's PDPTEs have none. Only a walk that succeeds sets A (all levels) and D (the leaf of a
write). Left out: 5 levels, protection keys, shadow stacks, implicit supervisor accesses.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit, refer
from pagingviz.core.frames import mfn_of

FOUR = U(4)
_INDEX, _INDEX32, _BITS32 = U(511), U(1023), U(10)
_LOW32, _WORD = U(0xFFFFFFFF), U(32)
_SIGN, _SIGNS = U(47), U(0x1FFFF)  # bits 63:47 of a canonical address are equal
_LONG_TOP, _PAE_TOP = U(1 << 52), U(1 << 63)  # entries have physical-address bits up to here; in PAE all up to NX are reserved
_LOW_2M, _LOW_1G, _LOW_4M = U(0x1FF), U(0x3FFFF), U(0x3FF)  # frame number within a superpage
RSVD_2M, RSVD_1G = U(0x1FE000), U(0x3FFFE000)  # bits 20:13 and 29:13; bit 12 is the PAT bit
_RSVD_4M = U(0x3FE000)  # bits 21:13, of which PSE-36 uses 20:13 as physical-address bits 39:32
_RSVD_PDPTE = U(0x1E6)  # bits 8:5 and 2:1
_FULL_L1E = x86.P | x86.RW | x86.US | x86.A | x86.D


# ---- tables


@jit
def index(levels, gva, level):
    """Number of the entry that `gva` selects in a table of `level`: 9 bits a level, 10 when levels=2, 2 at the top of PAE."""
    if levels == TWO:
        return (gva >> (x86.PAGE_BITS + _BITS32 * (level - ONE))) & _INDEX32
    i = (gva >> (x86.PAGE_BITS + x86.ENTRY_BITS * (level - ONE))) & _INDEX
    return i & THREE if levels == THREE and level == THREE else i


@jit
def frame(entry):
    """Frame number in an entry."""
    return (entry & x86.FRAME_MASK) >> x86.PAGE_BITS


@jit
def guest_frame(s, a, entry):
    """The guest's own number of the frame in a guest entry: a PV guest's tables hold machine frames. NONE: not its frame."""
    f = frame(entry)
    if s.pv == ZERO:
        return f
    return a[s.o_m2p + f - xen.RAM_BASE] if f - xen.RAM_BASE < s.frames else NONE


@jit
def _word_at(s, a, levels, tab, i):
    """Arena index of the word with entry `i` of the table in frame `tab`; NONE where the state has no contents."""
    if levels == TWO:
        i >>= ONE
    if tab < s.zone:
        return s.o_tables + (tab << x86.ENTRY_BITS) + i
    at = (tab << x86.PAGE_BITS) + (i << THREE)
    for k in range(s.n_sparse):
        pair = s.o_sparse + TWO * U(k)
        if a[pair] == at:
            return pair + ONE
    return NONE


@jit
def get_entry(s, a, levels, tab, i):
    """Entry `i` of the guest table in frame `tab`: 8 bytes, or 4 when levels=2. A frame without contents reads as 0."""
    at = _word_at(s, a, levels, tab, i)
    if at == NONE:
        return ZERO
    if levels == TWO:
        return (a[at] >> (_WORD * (i & ONE))) & _LOW32
    return a[at]


@jit
def put_entry(s, a, levels, tab, i, value):
    """Store entry `i` of the guest table in frame `tab`; a frame without contents takes nothing. No version, no event."""
    at = _word_at(s, a, levels, tab, i)
    if at == NONE:
        return
    if levels == TWO:
        shift = _WORD * (i & ONE)
        a[at] = (a[at] & ~(_LOW32 << shift)) | ((value & _LOW32) << shift)
    else:
        a[at] = value


# ---- the walk


@jit
def _reserved_always(s, levels):
    """Bits that are reserved in every entry of a mode: above MAXPHYADDR, and NX where it is not in use."""
    if levels == TWO:
        return ZERO
    bad = (_LONG_TOP if levels == FOUR else _PAE_TOP) - (ONE << s.maxphys)
    return bad if s.cr & x86.CR_NXE else bad | x86.NX


@jit
def begin(s, c, gva):
    """Start a walk at the vCPU's root. Returns the level of the first table to read from memory (c.w_next is its frame).

    In PAE the top is one of the four registers c.pdpte, unless the tables are nested in NPT; 0 when that one ends the walk.
    """
    c.w_missing, c.w_rsvd, c.w_size, c.w_rights = ZERO, ZERO, ZERO, ZERO
    c.w_all, c.w_any = ~ZERO, ZERO
    c.w_next = s.cr3[c.id]
    c.w_mask = _reserved_always(s, c.levels)
    if c.levels != THREE or s.npt != ZERO:
        return c.levels
    entry = c.pdpte[index(THREE, gva, THREE)]
    c.w_tab[2], c.w_ent[2] = c.w_next, entry
    return _below_pdpte(s, c, entry)


@jit
def pdpte_reserved(s):
    """The bits reserved in a PAE PDPTE: 2:1, 8:5, and all from MAXPHYADDR on."""
    return _RSVD_PDPTE | ~((ONE << s.maxphys) - ONE)


@jit
def _below_pdpte(s, c, entry):
    """Go on from a PAE guest's PDPTE: returns TWO with its table in c.w_next, or 0 when it is not present or has reserved bits.

    A register may hold reserved bits too, since Xen's shadow code loads it unchecked.
    """
    if (entry & x86.P) == ZERO or entry & pdpte_reserved(s):
        c.w_missing, c.w_rsvd = THREE, entry & x86.P
        return ZERO
    c.w_next = frame(entry)
    return TWO


@jit
def big_leaf(levels, level, entry):
    """First 4 KiB frame of the superpage that an entry of `level` maps (PSE-36 in 32-bit mode)."""
    if levels == TWO:
        return ((entry >> U(22)) << _BITS32) | (((entry >> U(13)) & U(0xFF)) << U(20))
    return frame(entry) & ~(_LOW_2M if level == TWO else _LOW_1G)


@jit
def _reserved_big(s, levels, level):
    """Bits that are reserved in the entry of a superpage beside those of every entry."""
    if levels == TWO:
        if s.gib_leaves == ZERO:  # Xen's shadow code knows no PSE-36 either (guest_can_use_pse36)
            return _RSVD_4M
        wide = s.maxphys - _WORD if s.maxphys < U(40) else U(8)
        return _RSVD_4M & ~((ONE << (U(13) + wide)) - ONE)
    return RSVD_2M if level == TWO else RSVD_1G


@jit
def _is_big(s, levels, level, entry):
    """Whether a present entry maps a superpage, or tries to."""
    return level > ONE and (entry & x86.PSE) != ZERO and (levels != TWO or (s.cr & x86.CR_PSE) != ZERO)


@jit
def reserved(s, entry, level, levels):
    """The reserved bits that are set in a present entry of `level` (guest_l1e_rsvd_bits .. l4e)."""
    bad = _reserved_always(s, levels)
    if _is_big(s, levels, level, entry):
        bad |= x86.PSE if level == FOUR or (level == THREE and s.gib_leaves == ZERO) else _reserved_big(s, levels, level)
    return entry & bad


@jit
def step(s, c, a, gva, level):
    """Read the entry of `level` in the table c.w_next. Returns the next level, or 0 when the walk ends.

    At the end either c.w_size is the level of the leaf, or c.w_missing that of an entry not present, or (c.w_rsvd) reserved.
    """
    below = _step(s, c, a, gva, level)
    if s.verbose == ev.EVERY_REFERENCE:
        refer_guest(s, c, a, gva, level, below)
    return below


@by_address
def refer_guest(s, c, a, gva, level, below):
    """Write the event of the guest's entry of `level` that `step` has just read; `below`: what it returned.

    The table's frame on the host: where there are nested tables, the walk of these has just found it.
    """
    ended = ev.REF_LEAF if c.w_size != ZERO else (ev.REF_BAD if c.w_rsvd != ZERO else ev.REF_HOLE)
    leads = ev.REF_TABLE if below != ZERO else ended
    tab, i = c.w_tab[level - ONE], index(c.levels, gva, level)
    host = mfn_of(s, a, tab) if tab < s.frames else tab
    if s.hap_root != NONE:
        host = c.n_frame
    refer(s, a, c.id, gva, tab, host, i, level, ev.REF_GUEST, level, leads, c.w_ent[level - ONE])


@jit
def _step(s, c, a, gva, level):
    """`step` without the event."""
    entry = get_entry(s, a, c.levels, c.w_next, index(c.levels, gva, level))
    c.w_tab[level - ONE], c.w_ent[level - ONE] = c.w_next, entry
    if level == THREE and c.levels == THREE:
        return _below_pdpte(s, c, entry)
    if (entry & x86.P) == ZERO:
        c.w_missing = level
        return ZERO
    big = _is_big(s, c.levels, level, entry)
    if entry & c.w_mask or (big and reserved(s, entry, level, c.levels)):
        c.w_missing, c.w_rsvd = level, ONE
        return ZERO
    c.w_all &= entry
    c.w_any |= entry
    if level > ONE and not big:
        c.w_next = guest_frame(s, a, entry)
        return level - ONE
    if level == ONE:
        c.w_leaf = guest_frame(s, a, entry)
    else:
        within = _LOW_4M if c.levels == TWO else (_LOW_2M if level == TWO else _LOW_1G)
        c.w_leaf = big_leaf(c.levels, level, entry) | ((gva >> x86.PAGE_BITS) & within)
    c.w_size = level
    c.w_rights = (c.w_all & (x86.RW | x86.US)) | (c.w_any & x86.NX)
    return ZERO


@jit
def plain(s, c, a, gva):
    """Read a usual path of a 64-bit guest fast: four entries, all present and accessed, none special. False for any other path.

    Fills c.w_tab, c.w_ent, c.w_leaf, c.w_size, c.w_missing, c.w_rsvd and c.w_rights.
    """
    if s.pv != ZERO or s.verbose == ev.EVERY_REFERENCE:
        return False
    mask = _reserved_always(s, FOUR)
    odd = x86.P | x86.A | x86.PSE | mask
    tab, both, either, level, shift = s.cr3[c.id], ~ZERO, ZERO, THREE, U(39)
    while level != ZERO:
        if tab >= s.zone:
            return False
        entry = a[s.o_tables + (tab << x86.ENTRY_BITS) + ((gva >> shift) & _INDEX)]
        if entry & odd != x86.P | x86.A:
            return False
        c.w_tab[level], c.w_ent[level] = tab, entry
        both &= entry
        either |= entry
        tab = frame(entry)
        shift -= x86.ENTRY_BITS
        level -= ONE
    if tab >= s.zone:
        return False
    entry = a[s.o_tables + (tab << x86.ENTRY_BITS) + ((gva >> x86.PAGE_BITS) & _INDEX)]
    if entry & (x86.P | x86.A | mask) != x86.P | x86.A:
        return False
    c.w_tab[0], c.w_ent[0] = tab, entry
    c.w_leaf, c.w_size, c.w_missing, c.w_rsvd = frame(entry), ONE, ZERO, ZERO
    c.w_rights = (both & entry & (x86.RW | x86.US)) | ((either | entry) & x86.NX)
    return True


@jit
def _read_any(s, c, a, gva):
    """As read_path, for any path."""
    if s.cr & x86.CR_PG == ZERO:
        identity(s, c, gva)
        return
    level = begin(s, c, gva)
    while level != ZERO:
        level = step(s, c, a, gva, level)


@jit
def read_path(s, c, a, gva):
    """Read the entries of the path of `gva` into c.w_*, without judging rights. Returns 0, or the level that ended it early."""
    if c.levels != FOUR or not plain(s, c, a, gva):
        _read_any(s, c, a, gva)
    return c.w_missing


@jit
def identity(s, c, gva):
    """CR0.PG=0: every address is physical. Filled as from Xen's table of 1024 identical superpages (unpaged_pagetable).

    That table is no memory of the guest: it counts as the frame after the last one.
    """
    c.w_missing, c.w_rsvd, c.w_size, c.w_rights = ZERO, ZERO, TWO, x86.RW | x86.US
    c.w_leaf = gva >> x86.PAGE_BITS
    c.w_tab[1], c.w_ent[1] = s.frames, ((gva >> U(22)) << U(22)) | _FULL_L1E | x86.PSE
    c.w_l1e = (c.w_leaf << x86.PAGE_BITS) | _FULL_L1E


@jit
def may(have, kind, user, cr):
    """Whether a path with these rights allows an access (SDM vol. 3, 4.6)."""
    if kind == x86.FETCH:
        if have & x86.NX:
            return False
        return (have & x86.US) != ZERO if user != ZERO else (have & x86.US) == ZERO or (cr & x86.CR_SMEP) == ZERO
    if user != ZERO:
        return (have & x86.US) != ZERO and (kind != x86.WRITE or (have & x86.RW) != ZERO)
    if kind == x86.WRITE and (have & x86.RW) == ZERO and (cr & x86.CR_WP) != ZERO:
        return False
    return (have & x86.US) == ZERO or (cr & (x86.CR_SMAP | x86.CR_AC)) != x86.CR_SMAP


@jit
def error_code(have, missing, rsvd, kind, user, cr, levels):
    """FAULT | #PF error code of an access, or 0 when it is allowed (SDM vol. 3, 4.7).

    `have`: RW, US, NX of all levels together; `missing`: level of the entry that ended the walk, because of its reserved
    bits when `rsvd`, else because it is not present; `cr`: CR_* bits.
    """
    if missing == ZERO and may(have, kind, user, cr):
        return ZERO
    err = x86.FAULT if missing != ZERO else x86.FAULT | x86.PF_P
    if rsvd != ZERO:
        err |= x86.PF_P | x86.PF_RSVD
    if kind == x86.WRITE:
        err |= x86.PF_W
    if user != ZERO:
        err |= x86.PF_U
    if kind == x86.FETCH and ((cr & x86.CR_SMEP) != ZERO or (levels != TWO and (cr & x86.CR_NXE) != ZERO)):
        err |= x86.PF_I
    return err


@jit
def canonical(gva):
    """Whether bits 63:47 of a 64-bit guest's address are all equal; any 32-bit address is."""
    return ((gva >> _SIGN) + ONE) & _SIGNS <= ONE


@jit
def judge(s, c, kind, user):
    """error_code of an access over the path just read. Fills c.w_l1e when it has a leaf (Xen guest_walk: gw.l1e).

    For a superpage that entry is made up and grants everything: the rights were judged at its own level.
    """
    c.w_l1e = c.w_ent[0] if c.w_size == ONE else (c.w_leaf << x86.PAGE_BITS) | _FULL_L1E
    if s.cr & x86.CR_PG == ZERO:
        return ZERO
    return error_code(c.w_rights, c.w_missing, c.w_rsvd, kind, user, s.cr, c.levels)


@jit
def walk(s, c, a, gva, kind, user):
    """The guest's own walk of an access of `kind` at CPL 3 (user=1) or 0, changing nothing. Returns 0, FAULT | code, or GP.

    Fills c.w_tab[level-1] (frames) and c.w_ent[level-1] of every level read, c.w_size (level of the leaf), c.w_leaf (the 4 KiB
    gfn addressed), c.w_rights (RW | US | NX), c.w_missing, c.w_rsvd, c.w_l1e.
    """
    if c.levels == FOUR and not canonical(gva):
        return x86.GP
    read_path(s, c, a, gva)
    return judge(s, c, kind, user)


# ---- accessed and dirty


@jit
def needs_ad(c, level, kind):
    """Whether the entry of `level` on the path lacks A, or (leaf, write) D. PAE's PDPTEs have neither."""
    if c.levels == THREE and level == THREE:
        return False
    entry = c.w_ent[level - ONE]
    if (entry & x86.A) == ZERO:
        return True
    return level == c.w_size and kind == x86.WRITE and (entry & x86.D) == ZERO


@jit
def set_ad(s, c, a, level, gva, kind):
    """Set A, and D in the leaf for a write, in the guest's own entry; the table's frame gets a new version."""
    tab, i = c.w_tab[level - ONE], index(c.levels, gva, level)
    bits = x86.A | x86.D if level == c.w_size and kind == x86.WRITE else x86.A
    c.w_ent[level - ONE] |= bits
    if level == ONE:
        c.w_l1e = c.w_ent[0]
    entry = get_entry(s, a, c.levels, tab, i)
    if entry | bits == entry:  # one entry may serve at two levels (a self map)
        return
    entry |= bits
    put_entry(s, a, c.levels, tab, i, entry)
    if tab < s.frames:
        a[s.o_ver + tab] += ONE
    s.ad_updates += ONE
    emit(s, a, ev.AD_UPDATE, c.id, gva, tab, NONE, level, entry)
