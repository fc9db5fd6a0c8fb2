"""EPT as the hypervisor keeps it: its entries, changes of type, and splits. A domain has one EPT.

Log-dirty for all frames misconfigures the entries of the root on purpose ("poisons" them); the next access below each of them
exits (exits.py), and the change moves down one path. The page-modification log is in pml.py, the processor's walk in walk.py,
AMD's tables in npt.py.

Source: Xen mm/p2m-ept.c (ept_invalidate_emt_subtree, resolve_misconfig, ept_split_super_page), mm/p2m.c
(p2m_change_entry_type_global, p2m_change_type_one). Left out: p2m types other than ram_rw and ram_logdirty.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, TWO, ZERO, U
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.nested import npt
from pagingviz.core.nested.split import enough, first_frame, level_of, record_split, table_of
from pagingviz.core.shadow.pool import entry_at
from pagingviz.core.walk.page_walk import frame
from pagingviz.core.walk.tlb import flush_all

_INDEX = U(511)
_KEEP = ~(x86.EPT_RWX | x86.EPT_EMT | x86.EPT_A | x86.EPT_D | x86.EPT_RECALC | x86.EPT_TYPE_MASK)


@jit
def index(gfn, level):
    """Number (0 to 511) of the entry that `gfn` selects in an EPT table of `level` (1 to 4)."""
    return (gfn >> (x86.ENTRY_BITS * (level - ONE))) & _INDEX


@jit
def leaf_entry(s, mfn, kind, sp):
    """The word of an EPT leaf of p2m type `kind` that maps machine frame `mfn`; `sp` is x86.EPT_SP for a superpage, else 0.

    ram_rw may be read, written and executed, and has A and D set; ram_logdirty may not be written, and has A set. While the
    page-modification log is on, a logged leaf of 4 KiB may be written with D clear, and the processor logs when it sets D.
    Superpages are not executable unless s.exec_sp says so. A and D are left clear where Xen does not use them (s.ad_bits).
    Source: p2m-ept.c: ept_p2m_type_to_flags, ept_set_entry.
    """
    flags = x86.EPT_R | x86.EPT_X | (x86.EPT_A & s.ad_bits)
    if kind == xen.P2M_RAM_RW:
        flags |= x86.EPT_W | (x86.EPT_D & s.ad_bits)
    elif sp == ZERO and s.ept_ad != ZERO:
        flags |= x86.EPT_W
    if sp != ZERO and s.exec_sp == ZERO:
        flags &= ~x86.EPT_X
    return (mfn << x86.PAGE_BITS) | flags | x86.EPT_WB | x86.EPT_IPAT | sp | (kind << x86.EPT_TYPE_SHIFT) | x86.EPT_SVE


@jit
def table_entry(s, page):
    """The word of an EPT entry that leads to the table in page `page`. Source: p2m-ept.c: ept_set_middle_entry."""
    return (page << x86.PAGE_BITS) | x86.EPT_RWX | (x86.EPT_A & s.ad_bits) | x86.EPT_SVE


@jit
def poisoned(entry):
    """Whether an entry is misconfigured on purpose: it is present and has memory type 7, which does not exist."""
    return (entry & x86.EPT_RWX) != ZERO and (entry & x86.EPT_EMT) == x86.EPT_EMT


@jit
def _poison(s, a, page):
    """Misconfigure every present entry of table `page` that is not yet. Returns how many were written.

    Source: p2m-ept.c: ept_invalidate_emt_subtree.
    """
    written = ZERO
    first = entry_at(s, page, ZERO)
    for i in range(first, first + x86.ENTRIES):
        entry = a[i]
        if (entry & x86.EPT_RWX) != ZERO and not poisoned(entry):
            a[i] = entry | x86.EPT_EMT | x86.EPT_RECALC
            written += ONE
    return written


@jit
def invept(s, a):
    """The hypervisor has asked for an INVEPT, which is executed before the guest goes on: no TLB knows the guest any more.

    What several parts of a command ask for, or several commands between two operations of the guest, is one INVEPT. It counts
    once for the domain, not for each processor. Source: p2m-ept.c: ept_sync_domain; vmx.c: vmx_vmenter_helper.
    """
    flush_all(s)
    if s.foreign != ZERO:
        if s.invept_tick == s.tick + ONE:
            return
        s.invept_tick = s.tick + ONE
    s.invept += ONE
    emit(s, a, ev.INVEPT, ZERO, ZERO, NONE, NONE, ZERO, ZERO)


@jit
def change_type_global(s, a, logged, flush):
    """Let all frames become ram_logdirty (`logged` 1) or ram_rw (0): only root entries are written, one for each 512 GiB.

    Returns how many. It serves EPT and NPT. With EPT an INVEPT follows if an entry was written, or with `flush` anyway; AMD's
    processor gets a new ASID. Source: p2m.c: p2m_change_entry_type_global.
    """
    s.global_logdirty = logged
    if s.npt != ZERO:
        written = npt.postpone(s, a, s.hap_root)
        flush_all(s)
        return written
    written = _poison(s, a, s.hap_root)
    if written != ZERO or flush:
        invept(s, a)
    return written


@jit
def recalculated(s, entry):
    """The word of a poisoned leaf with its type computed anew: ram_logdirty while all frames shall be, else ram_rw.

    Without x86.EPT_RECALC only its memory type is put right, and its rights are computed only if its type changes. Source:
    p2m-ept.c: resolve_misconfig; asm/p2m.h: p2m_recalc_type.
    """
    if (entry & x86.EPT_RECALC) == ZERO:
        return (entry & ~x86.EPT_EMT) | x86.EPT_WB
    kind = xen.P2M_RAM_LOGDIRTY if s.global_logdirty != ZERO else xen.P2M_RAM_RW
    if kind == (entry & x86.EPT_TYPE_MASK) >> x86.EPT_TYPE_SHIFT:
        return (entry & ~(x86.EPT_EMT | x86.EPT_RECALC)) | x86.EPT_WB
    return (entry & _KEEP) | leaf_entry(s, frame(entry), kind, entry & x86.EPT_SP)


@jit
def resolve_misconfig(s, a, gfn):
    """Move the poison down along the path of `gfn`, and give all 512 leaves of its 4 KiB table their types at once.

    A poisoned superpage is given its type as a whole. Returns the number of entries written. Source: p2m-ept.c:
    resolve_misconfig.
    """
    written = ZERO
    page = s.hap_root
    level = U(4)
    while level > ONE:
        at = entry_at(s, page, index(gfn, level))
        entry = a[at]
        if (entry & x86.EPT_RWX) == ZERO:
            return written
        if poisoned(entry):
            if entry & x86.EPT_SP:
                a[at] = recalculated(s, entry)
                return written + ONE
            if entry & x86.EPT_RECALC:
                written += _poison(s, a, frame(entry))
            a[at] = entry & ~(x86.EPT_EMT | x86.EPT_RECALC)
            written += ONE
        elif entry & x86.EPT_SP:
            return written
        page = frame(entry)
        level -= ONE
    if poisoned(a[entry_at(s, page, index(gfn, ONE))]):
        first = entry_at(s, page, ZERO)
        for i in range(first, first + x86.ENTRIES):
            if poisoned(a[i]):
                a[i] = recalculated(s, a[i])
                written += ONE
    return written


@jit
def find_leaf(s, a, gfn):
    """Arena index of the entry at which the walk of `gfn` ends: a leaf, a poisoned entry, or one that is not present."""
    page = s.hap_root
    level = U(4)
    while True:
        at = entry_at(s, page, index(gfn, level))
        entry = a[at]
        if level == ONE or (entry & x86.EPT_SP) != ZERO or (entry & x86.EPT_RWX) == ZERO or poisoned(entry):
            return at
        page = frame(entry)
        level -= ONE


@jit
def split(s, c, a, at, gfn, event):
    """Split the superpage leaf at arena index `at` into leaves of 4 KiB of the same type, on the path of `gfn` and beside it.

    A leaf of 1 GiB takes 1 + 512 pages at once. False when the pool does not have them; then nothing has changed. `event`: the
    kind that is written, ev.P2M_SPLIT or ev.P2M_SHATTER. Source: p2m-ept.c: ept_split_super_page.
    """
    entry, level = a[at], level_of(s, a, at)
    pages = ONE if level == TWO else ONE + x86.ENTRIES
    if not enough(s, pages):
        return False
    kind, first, mfn = (entry & x86.EPT_TYPE_MASK) >> x86.EPT_TYPE_SHIFT, first_frame(gfn, level), frame(entry)
    page = table_of(s, c, a, leaf_entry(s, mfn, kind, x86.EPT_SP if level != TWO else ZERO), level - ONE, first)
    if level != TWO:
        for i in range(x86.ENTRIES):
            offset = U(i) * x86.SUPERPAGE_FRAMES
            child = leaf_entry(s, mfn + offset, kind, ZERO)
            a[entry_at(s, page, U(i))] = table_entry(s, table_of(s, c, a, child, ONE, first + offset))
    a[at] = table_entry(s, page)
    record_split(s, a, event, gfn, page, level, pages)
    return True


@jit
def change_type_one(s, c, a, gfn):
    """Make one frame ram_rw if it is ram_logdirty, after pending changes; a superpage is split. True if its type has changed.

    The caller then owes an INVEPT. Without pages for the split the guest repeats its store for ever. Source: p2m.c:
    p2m_change_type_one.
    """
    resolve_misconfig(s, a, gfn)
    at = find_leaf(s, a, gfn)
    entry = a[at]
    if (entry & x86.EPT_TYPE_MASK) >> x86.EPT_TYPE_SHIFT != xen.P2M_RAM_LOGDIRTY:
        return False
    if entry & x86.EPT_SP:
        if not split(s, c, a, at, gfn, ev.P2M_SPLIT):
            s.crashed = xen.HUNG
            return False
        at = find_leaf(s, a, gfn)
    a[at] = leaf_entry(s, frame(a[at]), xen.P2M_RAM_RW, ZERO)
    return True
