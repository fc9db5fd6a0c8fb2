"""The hardware's walk through nested tables, EPT and NPT, and the two-dimensional walk that one guest access makes.

Each guest table is reached through the nested tables before its entry is read. Then the guest's own rights are judged, A and D
of the guest's entries are set from the top down, and at last the page itself is translated. Exits are not handled here: one is
returned as x86.VM_EXIT, and c.x_* describe it (exits.py).

Source: SDM vol. 3, 29.3 (EPT: entries, misconfigurations, violations, accessed and dirty flags); APM vol. 2, 15.25 (nested
paging). Left out: mode-based execute control, sub-page rights, paging-write, #VE.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit, refer
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
def _rights(s, entry):
    """The rights that an entry gives, as EPT_R | EPT_W | EPT_X; 0 when it is not present, or in NPT not for user accesses."""
    if s.npt == ZERO:
        return entry & x86.EPT_RWX
    if (entry & (x86.P | x86.US)) != x86.P | x86.US:
        return ZERO
    rights = x86.EPT_R | x86.EPT_X if s.host_nxe == ZERO or (entry & x86.NX) == ZERO else x86.EPT_R
    return rights | x86.EPT_W if entry & x86.RW else rights


@jit
def _is_leaf(level, entry):
    """Whether an entry of `level` is a leaf. Bit 7 of EPT and the PS bit of NPT are the same one."""
    return level == ONE or (level < FOUR and (entry & x86.EPT_SP) != ZERO)


@jit
def _malformed(s, entry, level):
    """Whether no walk may use a present entry: EPT misconfiguration, or reserved bits of an NPT entry."""
    bad = _TOP - (ONE << s.maxphys)
    leaf = _is_leaf(level, entry)
    if leaf and level > ONE:
        bad |= RSVD_2M if level == TWO else RSVD_1G
    if s.npt != ZERO:
        if s.host_nxe == ZERO:
            bad |= x86.NX
        return (entry & (bad | x86.PSE if level == FOUR else bad)) != ZERO
    if (entry & (x86.EPT_R | x86.EPT_W)) == x86.EPT_W:
        return True
    if not leaf:
        bad |= _RSVD_EPT_TABLE | x86.EPT_SP if level == FOUR else _RSVD_EPT_TABLE
        return (entry & bad) != ZERO
    if level > ONE:
        bad |= _BIT12
    emt = (entry & x86.EPT_EMT) >> _RIGHTS_SHIFT
    return (entry & bad) != ZERO or emt == TWO or emt == THREE or emt == U(7)


@jit
def _present(s, entry):
    """Nonzero when an entry is present; in EPT it is by any right."""
    return (entry & x86.P) if s.npt != ZERO else (entry & x86.EPT_RWX)


# ---- one guest-physical access


@jit
def _exit(s, c, gpa, kind, need, final, present, malformed, rights):
    """Describe an exit in c.x_*: its kind, the guest-physical address, and the exit qualification or EXITINFO1. Returns
    VM_EXIT.

    `need`, `rights`: what the access needs and what the entries give, EPT_* bits.
    """
    c.x_gpa, c.x_access = gpa, kind
    if s.npt != ZERO:
        info = x86.PF_U | (x86.NPF_FINAL if final != ZERO else _NPF_TABLE)
        if present:
            info |= x86.PF_P
        if malformed:
            info |= x86.PF_RSVD
        if need & x86.EPT_W:
            info |= x86.PF_W
        if final != ZERO and kind == x86.FETCH and s.host_nxe != ZERO:
            info |= x86.PF_I
        c.x_kind, c.x_info = x86.X_NPF, info
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
    """Enter the address of a leaf whose D is about to be set into the vCPU's page-modification log. False when the log is full.

    Each entry is an event PML_LOG: gfn, and in detail the slot. Source: SDM vol. 3, 29.3.6.
    """
    slot = s.pml_index[c.id]
    if slot >= x86.PML_ENTRIES:
        return False
    a[entry_at(s, s.pml_page[c.id], slot)] = gpa & ~_OFFSET
    s.pml_index[c.id] = slot - ONE
    s.pml_logged += ONE
    emit(s, a, ev.PML_LOG, c.id, ZERO, gpa >> x86.PAGE_BITS, NONE, ZERO, slot)
    return True


@by_address
def refer_nested(s, c, a, gpa, kind, final, page, i, level, entry):
    """Write the event of one nested entry that is read; it also holds whether the entry is a table, a leaf, a hole, or bad."""
    leads = ev.REF_TABLE
    if _present(s, entry) == ZERO:
        leads = ev.REF_HOLE
    elif _malformed(s, entry, level):
        leads = ev.REF_BAD
    elif _is_leaf(level, entry):
        leads = ev.REF_LEAF
    column = ZERO if final != ZERO else c.n_column
    if final == ZERO and kind == x86.WRITE:  # only A and D are written in a guest's table
        level |= ev.REF_UPDATE
    refer(s, a, c.id, gpa, gpa >> x86.PAGE_BITS, page, i, level, ev.REF_NESTED, column, leads, entry)


@by_address
def second(s, c, a, gpa, kind, final):
    """One guest-physical access of `kind`: to data (`final` 1), or to an entry of a guest table (0). Returns 0 or VM_EXIT.

    `gpa`: address in bytes. With NPT, and with EPTP.AD, a READ of a guest table counts as a write. c.n_frame is then the host's
    frame, c.n_store whether a later store needs no walk, and c.n_exec whether a later fetch does not exit. A, and D for a
    write, are set where the processor sets them, and D is logged while the page-modification log is on.
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
        i = (gfn >> (x86.ENTRY_BITS * (level - ONE))) & _INDEX
        at = entry_at(s, page, i)
        entry = a[at] if page < s.pool_cap else ZERO
        if s.verbose == ev.EVERY_REFERENCE:
            refer_nested(s, c, a, gpa, kind, final, page, i, level, entry)
        if _present(s, entry) == ZERO:
            return _exit(s, c, gpa, kind, need, final, False, False, ZERO)
        if _malformed(s, entry, level):
            return _exit(s, c, gpa, kind, need, final, True, True, ZERO)
        rights &= _rights(s, entry)
        marked &= entry
        c.n_at[level - ONE] = at
        if _is_leaf(level, entry):
            break
        page = frame(entry)
        level -= ONE
    if need & ~rights:
        return _exit(s, c, gpa, kind, need, final, True, False, rights)
    within = ZERO if level == ONE else (x86.SUPERPAGE_FRAMES if level == TWO else _GIB_FRAMES) - ONE
    c.n_frame = (frame(entry) & ~within) | (gfn & within)
    if ad != ZERO:
        if need & x86.EPT_W and s.pml != ZERO and (a[at] & d_bit) == ZERO and not _log(s, c, a, gpa):
            c.x_kind, c.x_gpa = x86.X_PML_FULL, gpa
            return x86.VM_EXIT
        if marked == ZERO:
            for k in range(level, U(5)):
                a[c.n_at[U(k) - ONE]] |= a_bit
        if need & x86.EPT_W:
            a[at] |= d_bit
        entry = a[at]
    c.n_store = ONE if (rights & x86.EPT_W) != ZERO and (ad == ZERO or (entry & d_bit) != ZERO) else ZERO
    c.n_exec = rights & x86.EPT_X
    return ZERO


# ---- one guest access: two dimensions


@jit
def reach(s, c, a, gpa, kind, final):
    """As `second`, for a machine whose memory ends at frame s.frames: an access beyond it does not exit, and reads 0."""
    if gpa >> x86.PAGE_BITS < s.frames:
        return second(s, c, a, gpa, kind, final)
    c.n_frame, c.n_store, c.n_exec = gpa >> x86.PAGE_BITS, ONE, ONE
    return ZERO


@jit
def _usual(s, a, gfn):
    """The leaf of `gfn` when its walk is a usual one: three tables that give every right, then a well-formed 4 KiB entry that
    may be executed. Else 0.

    Which bits a usual entry has stands in s.table_mask, table_plain, leaf_mask and leaf_plain: one comparison for each level.
    """
    page, shift = s.hap_root, U(27)
    while shift != ZERO:
        entry = a[entry_at(s, page, (gfn >> shift) & _INDEX)]
        if entry & s.table_mask != s.table_plain:
            return ZERO
        page = frame(entry)
        shift -= x86.ENTRY_BITS
    entry = a[entry_at(s, page, gfn & _INDEX)]
    return entry if entry & s.leaf_mask == s.leaf_plain else ZERO


@jit
def _swift(s, c, a, gpa, kind, final):
    """As `reach`, but fast where the walk is a usual one, everything is allowed, and no A or D is missing."""
    gfn = gpa >> x86.PAGE_BITS
    if gfn < s.frames and s.by_host == ZERO:
        entry = _usual(s, a, gfn)
        if entry != ZERO:
            if s.npt | s.ept_ad == ZERO:
                store = entry & x86.EPT_W
                fine = kind != x86.WRITE or store != ZERO
            else:  # a reference to a guest table counts as a store; in a usual entry A is set, and RW is EPT's W
                store = entry & x86.EPT_W if entry & (x86.D if s.npt != ZERO else x86.EPT_D) else ZERO
                fine = store != ZERO or (final != ZERO and kind != x86.WRITE)
            if fine:
                c.n_frame, c.n_store, c.n_exec = frame(entry), store, x86.EPT_X
                return ZERO
    return reach(s, c, a, gpa, kind, final)


@jit
def _entry_gpa(c, gva, gfn, level):
    """Guest-physical address of the entry of `level` that `gva` selects in the table in frame `gfn`."""
    return (gfn << x86.PAGE_BITS) + (index(c.levels, gva, level) << (TWO if c.levels == TWO else THREE))


@jit
def _table_of(s, c, level):
    """Guest frame of the table of `level` on the path that has just been read."""
    return s.cr3[c.id] if level == c.levels else frame(c.w_ent[level])


@jit
def _read_tables(s, c, a, gva):
    """Read the guest's path into c.w_*; each table is reached through the nested tables before it is read.

    Returns 0, or VM_EXIT at the first exit.
    """
    level = begin(s, c, gva)
    while level != ZERO:
        c.n_column = level
        if reach(s, c, a, _entry_gpa(c, gva, c.w_next, level), x86.READ, ZERO) != ZERO:
            return x86.VM_EXIT
        if s.by_host != ZERO:
            c.w_next = c.n_frame
        level = step(s, c, a, gva, level)
    return ZERO


@jit
def _reach_tables(s, c, a, gva):
    """Reach the four tables of a path through the nested tables, when `plain` has already read the path.

    Returns 0, or VM_EXIT at the first exit.
    """
    for level in (FOUR, THREE, TWO, ONE):
        if _swift(s, c, a, _entry_gpa(c, gva, c.w_tab[level - ONE], level), x86.READ, ZERO) != ZERO:
            return x86.VM_EXIT
    return ZERO


@jit
def _mark(s, c, a, gva, kind):
    """Set A and D on the guest's path from the top down, each as a store to guest memory. Returns 0, or VM_EXIT at the first
    exit.

    The bits that were set before an exit stay set.
    """
    level = c.levels
    while level >= c.w_size:
        if needs_ad(c, level, kind):
            c.n_column = level
            if reach(s, c, a, _entry_gpa(c, gva, _table_of(s, c, level), level), x86.WRITE, ZERO) != ZERO:
                return x86.VM_EXIT
            set_ad(s, c, a, level, gva, kind)
        level -= ONE
    return ZERO


@jit
def attempt(s, c, a, gva, kind, user):
    """One guest access from its first table to its data. Returns 0, x86.FAULT | the error code of the page fault, or VM_EXIT.

    With 0, c.w_leaf is the guest's frame and c.n_frame the host's, and c.n_store and c.n_exec are whether the TLB may serve a
    later store or fetch.
    When an exit has been handled the whole walk starts again.
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
