"""The hardware's walk through nested tables, EPT and NPT, and the two-dimensional walk that one guest access makes.

Source: SDM vol. 3, 29.3 (EPT: entries, misconfigurations, violations, accessed and dirty flags); APM vol. 2, 15.25 (nested
paging). Order: each guest table is reached through the nested tables before its entry is read; then the guest's own rights;
then A and D of the guest's entries from the top; then the final translation. Nothing is handled here: an exit is returned, and
c.x_* says which. Left out: mode-based execute control, sub-page rights, paging-write, #VE.
"""

from pagingviz.arch import x86
from pagingviz.arch.words import ONE, THREE, TWO, ZERO, U
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.shadow.pool import entry_at
from pagingviz.core.walk.page_walk import (
    FOUR,
    RSVD_1G,
    RSVD_2M,
    begin,
    frame,
    identity,
    index,
    judge,
    may,
    needs_ad,
    plain,
    set_ad,
    step,
)

_INDEX, _TOP = U(511), U(1 << 52)
_RSVD_EPT_TABLE = U(0x78)  # bits 6:3 of an entry that points to a table
_BIT12 = U(1 << 12)  # the PAT bit of an ordinary superpage, reserved in EPT's
_GIB_FRAMES = x86.SUPERPAGE_FRAMES * x86.SUPERPAGE_FRAMES
_LINEAR = U(1 << 7)  # of an EPT violation's qualification
_RIGHTS_SHIFT = U(3)
_NPF_TABLE = U(1 << 33)  # of an NPF's EXITINFO1
_OFFSET = U(0xFFF)


# ---- one nested entry


@jit
def _rights(s, e):
    """EPT_R | EPT_W | EPT_X that the entry gives; ZERO when it is not present, or (NPT) not for user accesses."""
    if s.npt == ZERO:
        return e & x86.EPT_RWX
    if (e & (x86.P | x86.US)) != x86.P | x86.US:
        return ZERO
    r = x86.EPT_R | x86.EPT_X if s.host_nxe == ZERO or (e & x86.NX) == ZERO else x86.EPT_R
    return r | x86.EPT_W if e & x86.RW else r


@jit
def _is_leaf(level, e):
    """EPT's bit 7 and the PS bit of NPT are the same one."""
    return level == ONE or (level < FOUR and (e & x86.EPT_SP) != ZERO)


@jit
def _malformed(s, e, level):
    """A present entry that no walk may use: EPT misconfiguration, or reserved bits of an NPT entry."""
    bad = _TOP - (ONE << s.maxphys)
    leaf = _is_leaf(level, e)
    if leaf and level > ONE:
        bad |= RSVD_2M if level == TWO else RSVD_1G
    if s.npt != ZERO:
        if s.host_nxe == ZERO:
            bad |= x86.NX
        return (e & (bad | x86.PSE if level == FOUR else bad)) != ZERO
    if (e & (x86.EPT_R | x86.EPT_W)) == x86.EPT_W:
        return True
    if not leaf:
        bad |= _RSVD_EPT_TABLE | x86.EPT_SP if level == FOUR else _RSVD_EPT_TABLE
        return (e & bad) != ZERO
    if level > ONE:
        bad |= _BIT12
    emt = (e & x86.EPT_EMT) >> _RIGHTS_SHIFT
    return (e & bad) != ZERO or emt == TWO or emt == THREE or emt == U(7)


# ---- one guest-physical access


@jit
def _exit(s, c, gpa, kind, need, final, present, malformed, rights):
    """Describe an exit in c.x_*: kind, guest-physical address, and the exit qualification or EXITINFO1."""
    c.x_gpa, c.x_access = gpa, kind
    if s.npt != ZERO:
        q = x86.PF_U | (x86.NPF_FINAL if final != ZERO else _NPF_TABLE)
        if present:
            q |= x86.PF_P
        if malformed:
            q |= x86.PF_RSVD
        if need & x86.EPT_W:
            q |= x86.PF_W
        if final != ZERO and kind == x86.FETCH and s.host_nxe != ZERO:
            q |= x86.PF_I
        c.x_kind, c.x_info = x86.X_NPF, q
    elif malformed:
        c.x_kind, c.x_info = x86.X_MISCONFIG, ZERO
    else:
        c.x_kind, c.x_info = (
            x86.X_VIOLATION,
            need | rights << _RIGHTS_SHIFT | _LINEAR | (x86.EPT_FINAL if final != ZERO else ZERO),
        )
    return x86.VM_EXIT


@jit
def _log(s, c, a, gpa):
    """A leaf's D is about to be set: its address goes into the vCPU's log (SDM 29.3.6). False: it is full, nothing happens."""
    slot = s.pml_index[c.id]
    if slot >= x86.PML_ENTRIES:
        return False
    a[s.o_pml + c.id * x86.PML_ENTRIES + slot] = gpa & ~_OFFSET
    s.pml_index[c.id] = slot - ONE
    s.pml_logged += ONE
    return True


@by_address
def second(s, c, a, gpa, kind, final):
    """One guest-physical access of `kind`: to data (final 1), or to an entry of a guest table (0). Returns ZERO or EXIT.

    A READ of a guest table counts as a write on NPT, and with EPTP.AD. Fills c.n_frame (the host's frame) and
    c.n_store: whether a later store needs no walk. Sets A, and D for a write, where the hardware does, and logs it (PML).
    """
    gfn = gpa >> x86.PAGE_BITS
    ad = s.npt | s.ept_ad
    if final != ZERO:
        need = x86.EPT_W if kind == x86.WRITE else (x86.EPT_X if kind == x86.FETCH else x86.EPT_R)
    else:
        need = x86.EPT_R | x86.EPT_W if kind == x86.WRITE or ad != ZERO else x86.EPT_R
    a_bit, d_bit = (x86.A, x86.D) if s.npt != ZERO else (x86.EPT_A, x86.EPT_D)
    page, level, rights = s.hap_root, FOUR, x86.EPT_RWX
    marked = a_bit if ad else ZERO
    while True:
        at = entry_at(s, page, (gfn >> (x86.ENTRY_BITS * (level - ONE))) & _INDEX)
        e = a[at] if page < s.pool_cap else ZERO
        here = (e & x86.P) if s.npt != ZERO else (e & x86.EPT_RWX)
        if here == ZERO:
            return _exit(s, c, gpa, kind, need, final, False, False, ZERO)
        if _malformed(s, e, level):
            return _exit(s, c, gpa, kind, need, final, True, True, ZERO)
        rights &= _rights(s, e)
        marked &= e
        c.n_at[level - ONE] = at
        if _is_leaf(level, e):
            break
        page = frame(e)
        level -= ONE
    if need & ~rights:
        return _exit(s, c, gpa, kind, need, final, True, False, rights)
    within = ZERO if level == ONE else (x86.SUPERPAGE_FRAMES if level == TWO else _GIB_FRAMES) - ONE
    c.n_frame = (frame(e) & ~within) | (gfn & within)
    if ad != ZERO:
        if need & x86.EPT_W and s.pml != ZERO and (a[at] & d_bit) == ZERO and not _log(s, c, a, gpa):
            c.x_kind, c.x_gpa = x86.X_PML_FULL, gpa
            return x86.VM_EXIT
        if marked == ZERO:
            for k in range(level, U(5)):
                a[c.n_at[U(k) - ONE]] |= a_bit
        if need & x86.EPT_W:
            a[at] |= d_bit
        e = a[at]
    c.n_store = ONE if (rights & x86.EPT_W) != ZERO and (ad == ZERO or (e & d_bit) != ZERO) else ZERO
    return ZERO


# ---- one guest access: two dimensions


@jit
def reach(s, c, a, gpa, kind, final):
    """`second`, for a machine whose memory ends at s.frames: where none is, nothing exits, and nothing is there."""
    if gpa >> x86.PAGE_BITS < s.frames:
        return second(s, c, a, gpa, kind, final)
    c.n_frame, c.n_store = gpa >> x86.PAGE_BITS, ONE
    return ZERO


@jit
def _usual(s, a, gfn):
    """The leaf of the usual walk: three tables that give every right, then a well-formed 4 KiB entry. ZERO for any other.

    Which bits say so stands in s.table_mask .. s.leaf_plain (Machine): one comparison a level.
    """
    page, shift = s.hap_root, U(27)
    while shift != ZERO:
        e = a[entry_at(s, page, (gfn >> shift) & _INDEX)]
        if e & s.table_mask != s.table_plain:
            return ZERO
        page = frame(e)
        shift -= x86.ENTRY_BITS
    e = a[entry_at(s, page, gfn & _INDEX)]
    return e if e & s.leaf_mask == s.leaf_plain else ZERO


@jit
def _swift(s, c, a, gpa, kind, final):
    """`reach`, made fast where the walk is usual, all is allowed, and no A or D is missing."""
    gfn = gpa >> x86.PAGE_BITS
    if gfn < s.frames and s.by_host == ZERO:
        e = _usual(s, a, gfn)
        if e != ZERO:
            if s.ept_ad != ZERO:  # an entry of our own always has A
                store = e & x86.EPT_W if e & x86.EPT_D else ZERO
                fine = store != ZERO or (
                    final != ZERO and kind != x86.WRITE and (e & (x86.EPT_R if kind == x86.READ else x86.EPT_X)) != ZERO
                )
            elif s.npt == ZERO:
                need = x86.EPT_R if final == ZERO or kind == x86.READ else (x86.EPT_W if kind == x86.WRITE else x86.EPT_X)
                fine, store = (e & need) != ZERO, e & x86.EPT_W
            else:
                store = e & x86.RW if e & x86.D else ZERO
                fine = store != ZERO or (final != ZERO and kind != x86.WRITE and (kind == x86.READ or (e & x86.NX) == ZERO))
            if fine:
                c.n_frame, c.n_store = frame(e), store
                return ZERO
    return reach(s, c, a, gpa, kind, final)


@jit
def _entry_gpa(c, gva, gfn, level):
    """Guest-physical address of the entry of `level` that `gva` selects in the table in frame `gfn`."""
    return (gfn << x86.PAGE_BITS) + (index(c.levels, gva, level) << (TWO if c.levels == TWO else THREE))


@jit
def _table_of(s, c, level):
    """Guest frame of the table of `level` on the path just read."""
    return s.cr3[c.id] if level == c.levels else frame(c.w_ent[level])


@jit
def _read_tables(s, c, a, gva):
    """Read the guest's path into c.w_*, each table reached through the nested ones first. EXIT at the first exit."""
    level = begin(s, c, gva)
    while level != ZERO:
        if reach(s, c, a, _entry_gpa(c, gva, c.w_next, level), x86.READ, ZERO) != ZERO:
            return x86.VM_EXIT
        if s.by_host != ZERO:
            c.w_next = c.n_frame
        level = step(s, c, a, gva, level)
    return ZERO


@jit
def _reach_tables(s, c, a, gva):
    """The same for a usual path, which has been read already."""
    for level in (FOUR, THREE, TWO, ONE):
        if _swift(s, c, a, _entry_gpa(c, gva, c.w_tab[level - ONE], level), x86.READ, ZERO) != ZERO:
            return x86.VM_EXIT
    return ZERO


@jit
def _mark(s, c, a, gva, kind):
    """A and D of the guest's path, top down, each a store to guest memory. EXIT when one may not be made; the others stay."""
    level = c.levels
    while level >= c.w_size:
        if needs_ad(c, level, kind):
            if reach(s, c, a, _entry_gpa(c, gva, _table_of(s, c, level), level), x86.WRITE, ZERO) != ZERO:
                return x86.VM_EXIT
            set_ad(s, c, a, level, gva, kind)
        level -= ONE
    return ZERO


@jit
def attempt(s, c, a, gva, kind, user):
    """One guest access from its first table to its data. Returns ZERO, FAULT | #PF error code, or EXIT.

    With ZERO c.w_leaf is the guest's frame, c.n_frame the host's, and c.n_store tells whether the TLB may serve a later store.
    After an exit has been handled the whole walk starts again.
    """
    usual = c.levels == FOUR and s.by_host == ZERO and plain(s, c, a, gva)
    if usual:
        if _reach_tables(s, c, a, gva) != ZERO:
            return x86.VM_EXIT
    elif s.cr & x86.CR_PG == ZERO:
        identity(s, c, gva)
    elif _read_tables(s, c, a, gva) != ZERO:
        return x86.VM_EXIT
    if not usual or not may(c.w_rights, kind, user, s.cr) or (kind == x86.WRITE and (c.w_ent[0] & x86.D) == ZERO):
        err = judge(s, c, kind, user)
        if err != ZERO:
            return err
        if _mark(s, c, a, gva, kind) != ZERO:
            return x86.VM_EXIT
    return _swift(s, c, a, (c.w_leaf << x86.PAGE_BITS) | (gva & _OFFSET), kind, ONE)
