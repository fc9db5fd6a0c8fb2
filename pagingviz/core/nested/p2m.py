"""EPT as the hypervisor keeps it: its entries, changes of type, exits, and the page-modification log. A domain has one EPT.

Log-dirty for all frames misconfigures the entries of the root on purpose ("poisons" them); the next access below each of them
exits, and the change moves down one path. EPTP.AD is on while the page-modification log is: then a walk's references to guest
tables count as writes. The processor's walk is in walk.py, AMD's tables are in npt.py.

Source: Xen mm/p2m-ept.c (ept_invalidate_emt_subtree, resolve_misconfig, ept_split_super_page), mm/p2m.c
(p2m_change_entry_type_global, p2m_change_type_one), hvm/hvm.c (hvm_hap_nested_page_fault). Left out: p2m types other than
ram_rw and ram_logdirty.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, TWO, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.frames import mfn_of
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

    ram_rw may be read, written and executed, and has A and D set; ram_logdirty may not be written, and has A set. With the
    page-modification log on, a logged leaf of 4 KiB may be written with D clear, and the processor logs when it sets D. Source:
    p2m-ept.c: ept_p2m_type_to_flags.
    """
    flags = x86.EPT_RWX | x86.EPT_A | x86.EPT_D if kind == xen.P2M_RAM_RW else x86.EPT_R | x86.EPT_X | x86.EPT_A
    if kind != xen.P2M_RAM_RW and sp == ZERO and s.pml & s.ept_ad:
        flags |= x86.EPT_W
    return (mfn << x86.PAGE_BITS) | flags | x86.EPT_WB | sp | (kind << x86.EPT_TYPE_SHIFT) | x86.EPT_SVE


@jit
def table_entry(page):
    """The word of an EPT entry that leads to the table in page `page`. Source: p2m-ept.c: ept_set_middle_entry."""
    return (page << x86.PAGE_BITS) | x86.EPT_RWX | x86.EPT_A | x86.EPT_SVE


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
def poison_root(s, a):
    """Let all frames change their type: only entries of the root are written, one for each 512 GiB. Returns how many.

    It serves EPT and NPT. Source: p2m.c: p2m_change_entry_type_global.
    """
    written = _poison(s, a, s.hap_root) if s.npt == ZERO else npt.postpone(s, a, s.hap_root)
    flush_all(s)
    return written


@jit
def recalculated(s, entry):
    """The word of a poisoned leaf with its type computed anew: ram_logdirty while all frames are logged, else ram_rw.

    Without x86.EPT_RECALC only its memory type is put right. Source: p2m-ept.c: resolve_misconfig; asm/p2m.h: p2m_recalc_type.
    """
    if (entry & x86.EPT_RECALC) == ZERO:
        return (entry & ~x86.EPT_EMT) | x86.EPT_WB
    kind = xen.P2M_RAM_LOGDIRTY if s.log_dirty != ZERO else xen.P2M_RAM_RW
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
def split(s, c, a, at, gfn):
    """Split the superpage leaf at arena index `at` into leaves of 4 KiB of the same type, on the path of `gfn` and beside it.

    A leaf of 1 GiB takes 1 + 512 pages at once. False when the pool does not have them; then nothing has changed. Source:
    p2m-ept.c: ept_split_super_page.
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
            a[entry_at(s, page, U(i))] = table_entry(table_of(s, c, a, child, ONE, first + offset))
    a[at] = table_entry(page)
    record_split(s, a, gfn, page, level, pages)
    return True


@jit
def change_type_one(s, c, a, gfn):
    """Make one frame ram_rw if it is ram_logdirty, after pending changes; a superpage is split. True if its type has changed.

    The caller then owes a TLB flush. Source: p2m.c: p2m_change_type_one.
    """
    resolve_misconfig(s, a, gfn)
    at = find_leaf(s, a, gfn)
    entry = a[at]
    if (entry & x86.EPT_TYPE_MASK) >> x86.EPT_TYPE_SHIFT != xen.P2M_RAM_LOGDIRTY:
        return False
    if entry & x86.EPT_SP:
        if not split(s, c, a, at, gfn):
            return False
        at = find_leaf(s, a, gfn)
    a[at] = leaf_entry(s, frame(a[at]), xen.P2M_RAM_RW, ZERO)
    return True


# ---- page-modification logging


@jit
def pml_flush(s, c, a, vcpu):
    """Mark dirty what the processor has logged for a vCPU, and let it be written freely from now on.

    Returns how many entries the log had. There is one TLB flush for all of them (in Xen 4.17 one for each). Source: p2m-ept.c:
    ept_vcpu_flush_pml_buffer (master).
    """
    first = s.pml_index[vcpu] + ONE  # the index has wrapped below slot 0 when the log is full
    for k in range(first, x86.PML_ENTRIES):
        gfn = a[s.o_pml + vcpu * x86.PML_ENTRIES + U(k)] >> x86.PAGE_BITS
        change_type_one(s, c, a, gfn)
        logdirty.mark(s, c, a, gfn, xen.MK_LOG)
    s.pml_index[vcpu] = x86.PML_ENTRIES - ONE
    if first != x86.PML_ENTRIES:
        flush_all(s)
    return x86.PML_ENTRIES - first


@jit
def pml_flush_all(s, cpus, a):
    """Flush the log of every vCPU, as is done before the bitmap is read and before logging ends."""
    if s.pml & s.ept_ad:
        for vcpu in range(s.vcpus):
            logged = pml_flush(s, cpus[vcpu], a, U(vcpu))
            if logged != ZERO:
                emit(s, a, ev.PML_FLUSH, U(vcpu), ZERO, NONE, NONE, ZERO, logged)


@jit
def _handle_npf(s, c, a, gva, gfn):
    """Handle a nested page fault: carry out pending changes, or let a logged page be written. The guest then tries again.

    `gfn` is the frame that was touched. Source: svm.c: svm_do_nested_pgfault.
    """
    written = npt.do_recalc(s, a, gfn) if c.x_info & x86.PF_P else ZERO
    if written != ZERO:
        s.npf_recalc += ONE
        flush_all(s)
        emit(s, a, ev.NPF_RECALC, c.id, gva, gfn, NONE, c.x_info, written)
        return
    s.npf_write += ONE
    logdirty.mark(s, c, a, gfn, xen.MK_STORE if c.x_info & x86.NPF_FINAL else xen.MK_WALK)
    changed = npt.change_type_one(s, c, a, gfn)
    flush_all(s)
    emit(s, a, ev.HVM_NPF, c.id, gva, gfn, mfn_of(s, a, gfn) if changed else NONE, c.x_info, c.x_gpa)


@by_address
def handle_exit(s, c, a, gva):
    """Handle the exit that c.x_* describe; the access that caused it then starts again.

    A full page-modification log is flushed (exit reason 62). An EPT misconfiguration (reason 49) carries out pending changes.
    An EPT violation (reason 48) is a store to a page that is being logged. Source: hvm/hvm.c: hvm_hap_nested_page_fault.
    """
    gfn = c.x_gpa >> x86.PAGE_BITS
    if c.x_kind == x86.X_NPF:
        _handle_npf(s, c, a, gva, gfn)
        return
    if c.x_kind == x86.X_PML_FULL:  # the access has not happened
        s.pml_full += ONE
        emit(s, a, ev.PML_FULL, c.id, gva, gfn, NONE, ZERO, pml_flush(s, c, a, c.id))
        return
    if c.x_kind == x86.X_MISCONFIG:
        s.ept_misconfig += ONE
        written = resolve_misconfig(s, a, gfn)
        emit(s, a, ev.EPT_MISCONFIG, c.id, gva, gfn, NONE, ZERO, written)
        return
    s.ept_violation += ONE
    emit(s, a, ev.EPT_VIOLATION, c.id, gva, gfn, frame(a[find_leaf(s, a, gfn)]), c.x_info, c.x_access)
    logdirty.mark(s, c, a, gfn, xen.MK_STORE if c.x_info & x86.EPT_FINAL else xen.MK_WALK)
    if change_type_one(s, c, a, gfn):
        flush_all(s)
