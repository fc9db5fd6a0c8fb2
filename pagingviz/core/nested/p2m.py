"""EPT as the hypervisor keeps it: entries, lazy global log-dirty by poisoning the root, exits, split. One set a domain.

Source: Xen mm/p2m-ept.c (ept_invalidate_emt_subtree, resolve_misconfig, ept_split_super_page), mm/p2m.c
(p2m_change_entry_type_global, p2m_change_type_one), hvm/hvm.c (hvm_hap_nested_page_fault). The hardware's walk is in nested.py,
NPT in npt.py. EPTP.AD is on while PML is: then a walk's references to guest tables are writes. Left out: p2m types other than
ram_rw and ram_logdirty.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, TWO, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.build.far import far
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.frames import mfn_of
from pagingviz.core.nested import npt
from pagingviz.core.nested.split import enough, first_frame, level_of, table_of, told
from pagingviz.core.shadow.pool import entry_at
from pagingviz.core.walk.page_walk import frame
from pagingviz.core.walk.tlb import flush_all

_INDEX = U(511)
_KEEP = ~(x86.EPT_RWX | x86.EPT_EMT | x86.EPT_A | x86.EPT_D | x86.EPT_RECALC | x86.EPT_TYPE_MASK)


@jit
def index(gfn, level):
    """Entry number (0..511) that `gfn` selects in an EPT table of `level` (1..4)."""
    return (gfn >> (x86.ENTRY_BITS * (level - ONE))) & _INDEX


@jit
def leaf_entry(s, mfn, kind, sp):
    """An EPT leaf of p2m type `kind` (ept_p2m_type_to_flags): ram_rw rwx with A and D preset, ram_logdirty r-x with A.

    With PML a logged 4 KiB leaf may be written, and its D is clear: the processor tells when it is.
    """
    flags = x86.EPT_RWX | x86.EPT_A | x86.EPT_D if kind == xen.P2M_RAM_RW else x86.EPT_R | x86.EPT_X | x86.EPT_A
    if kind != xen.P2M_RAM_RW and sp == ZERO and s.pml & s.ept_ad:
        flags |= x86.EPT_W
    return (mfn << x86.PAGE_BITS) | flags | x86.EPT_WB | sp | (kind << x86.EPT_TYPE_SHIFT) | x86.EPT_SVE


@jit
def table_entry(page):
    """An EPT entry that points to another table (ept_set_middle_entry)."""
    return (page << x86.PAGE_BITS) | x86.EPT_RWX | x86.EPT_A | x86.EPT_SVE


@jit
def poisoned(e):
    """Whether the entry is misconfigured on purpose: present with memory type 7."""
    return (e & x86.EPT_RWX) != ZERO and (e & x86.EPT_EMT) == x86.EPT_EMT


@jit
def _poison(s, a, page):
    """ept_invalidate_emt_subtree(recalc=1) on one table: mark every present entry not yet poisoned. Returns how many."""
    n = ZERO
    o = entry_at(s, page, ZERO)
    for i in range(o, o + x86.ENTRIES):
        e = a[i]
        if (e & x86.EPT_RWX) != ZERO and not poisoned(e):
            a[i] = e | x86.EPT_EMT | x86.EPT_RECALC
            n += ONE
    return n


@jit
def poison_root(s, a):
    """p2m_change_entry_type_global: of either format only root entries are written, one below 512 GiB, whatever the size."""
    n = _poison(s, a, s.hap_root) if s.npt == ZERO else npt.postpone(s, a, s.hap_root)
    flush_all(s)
    return n


@jit
def recalculated(s, e):
    """The leaf entry with its type computed anew (p2m_recalc_type): ram_logdirty while global log-dirty is on, else ram_rw."""
    if (e & x86.EPT_RECALC) == ZERO:
        return (e & ~x86.EPT_EMT) | x86.EPT_WB
    kind = xen.P2M_RAM_LOGDIRTY if s.log_dirty != ZERO else xen.P2M_RAM_RW
    if kind == (e & x86.EPT_TYPE_MASK) >> x86.EPT_TYPE_SHIFT:
        return (e & ~(x86.EPT_EMT | x86.EPT_RECALC)) | x86.EPT_WB
    return (e & _KEEP) | leaf_entry(s, frame(e), kind, e & x86.EPT_SP)


@jit
def resolve_misconfig(s, a, gfn):
    """resolve_misconfig: push the poison down along the path of `gfn`, fixing all 512 leaves of a 4 KiB table at once.

    A poisoned superpage is retyped whole. Returns the number of entries written.
    """
    n = ZERO
    page = s.hap_root
    level = U(4)
    while level > ONE:
        at = entry_at(s, page, index(gfn, level))
        e = a[at]
        if (e & x86.EPT_RWX) == ZERO:
            return n
        if poisoned(e):
            if e & x86.EPT_SP:
                a[at] = recalculated(s, e)
                return n + ONE
            if e & x86.EPT_RECALC:
                n += _poison(s, a, frame(e))
            a[at] = e & ~(x86.EPT_EMT | x86.EPT_RECALC)
            n += ONE
        elif e & x86.EPT_SP:
            return n
        page = frame(e)
        level -= ONE
    if poisoned(a[entry_at(s, page, index(gfn, ONE))]):
        o = entry_at(s, page, ZERO)
        for i in range(o, o + x86.ENTRIES):
            if poisoned(a[i]):
                a[i] = recalculated(s, a[i])
                n += ONE
    return n


@jit
def find_leaf(s, a, gfn):
    """Arena index of the entry where the hardware's walk of `gfn` ends: a leaf, a poisoned entry, or one not present."""
    page = s.hap_root
    level = U(4)
    while True:
        at = entry_at(s, page, index(gfn, level))
        e = a[at]
        if level == ONE or (e & x86.EPT_SP) != ZERO or (e & x86.EPT_RWX) == ZERO or poisoned(e):
            return at
        page = frame(e)
        level -= ONE


@jit
def split(s, c, a, at, gfn):
    """ept_split_super_page: the superpage leaf at arena index `at` becomes 4 KiB leaves of the same type, every one of them.

    A 1 GiB leaf takes 1 + 512 pages at once. False: the pool does not have them; nothing has changed.
    """
    e, level = a[at], level_of(s, a, at)
    pages = ONE if level == TWO else ONE + x86.ENTRIES
    if not enough(s, pages):
        return False
    kind, first, mfn = (e & x86.EPT_TYPE_MASK) >> x86.EPT_TYPE_SHIFT, first_frame(gfn, level), frame(e)
    page = table_of(s, c, a, leaf_entry(s, mfn, kind, x86.EPT_SP if level != TWO else ZERO), level - ONE, first)
    if level != TWO:
        for i in range(x86.ENTRIES):
            on = U(i) * x86.SUPERPAGE_FRAMES
            child = leaf_entry(s, mfn + on, kind, ZERO)
            a[entry_at(s, page, U(i))] = table_entry(table_of(s, c, a, child, ONE, first + on))
    a[at] = table_entry(page)
    told(s, a, gfn, page, level, pages)
    return True


@jit
def change_type_one(s, c, a, gfn):
    """p2m_change_type_one(ram_logdirty -> ram_rw): pending changes first, then 4 KiB order, so a superpage is split.

    True if the type has changed: a flush is owed.
    """
    resolve_misconfig(s, a, gfn)
    at = find_leaf(s, a, gfn)
    e = a[at]
    if (e & x86.EPT_TYPE_MASK) >> x86.EPT_TYPE_SHIFT != xen.P2M_RAM_LOGDIRTY:
        return False
    if e & x86.EPT_SP:
        if not split(s, c, a, at, gfn):
            return False
        at = find_leaf(s, a, gfn)
    a[at] = leaf_entry(s, frame(a[at]), xen.P2M_RAM_RW, ZERO)
    return True


# ---- page-modification logging


@jit
def pml_flush(s, c, a, v):
    """ept_vcpu_flush_pml_buffer: what the processor has logged is marked, newest first, and may be written freely from now on.

    One flush for all (Xen 4.17: one an entry). Returns how many there were.
    """
    first = s.pml_index[v] + ONE  # the index has wrapped below slot 0 when the log is full
    for k in range(first, x86.PML_ENTRIES):
        gfn = a[s.o_pml + v * x86.PML_ENTRIES + U(k)] >> x86.PAGE_BITS
        change_type_one(s, c, a, gfn)
        logdirty.mark(s, c, a, gfn, xen.MK_LOG)
    s.pml_index[v] = x86.PML_ENTRIES - ONE
    if first != x86.PML_ENTRIES:
        flush_all(s)
    return x86.PML_ENTRIES - first


@jit
def pml_flush_all(s, cpus, a):
    """Before the bitmap is read, and before logging ends: every vCPU's log."""
    if s.pml & s.ept_ad:
        for v in range(s.vcpus):
            n = pml_flush(s, cpus[v], a, U(v))
            if n != ZERO:
                emit(s, a, ev.PML_FLUSH, U(v), ZERO, NONE, NONE, ZERO, n)


@jit
def _handle_npf(s, c, a, gva, gfn):
    """VMEXIT_NPF (svm.c): pending changes first, and the guest tries again; else a store to a page that is being logged."""
    n = npt.do_recalc(s, a, gfn) if c.x_info & x86.PF_P else ZERO
    if n != ZERO:
        s.npf_recalc += ONE
        flush_all(s)
        emit(s, a, ev.NPF_RECALC, c.id, gva, gfn, NONE, c.x_info, n)
        return
    s.npf_write += ONE
    logdirty.mark(s, c, a, gfn, xen.MK_STORE if c.x_info & x86.NPF_FINAL else xen.MK_WALK)
    changed = npt.change_type_one(s, c, a, gfn)
    flush_all(s)
    emit(s, a, ev.HVM_NPF, c.id, gva, gfn, mfn_of(s, a, gfn) if changed else NONE, c.x_info, c.x_gpa)


@far
def handle_exit(s, c, a, gva):
    """The hypervisor handles the exit that c.x_* describe; the access then starts again. PML full: its log is flushed.

    EPT misconfiguration (reason 49): pending changes. EPT violation (reason 48): a store to a page that is being logged.
    """
    gfn = c.x_gpa >> x86.PAGE_BITS
    if c.x_kind == x86.X_NPF:
        _handle_npf(s, c, a, gva, gfn)
        return
    if c.x_kind == x86.X_PML_FULL:  # reason 62: the access has not happened
        s.pml_full += ONE
        emit(s, a, ev.PML_FULL, c.id, gva, gfn, NONE, ZERO, pml_flush(s, c, a, c.id))
        return
    if c.x_kind == x86.X_MISCONFIG:
        s.ept_misconfig += ONE
        n = resolve_misconfig(s, a, gfn)
        emit(s, a, ev.EPT_MISCONFIG, c.id, gva, gfn, NONE, ZERO, n)
        return
    s.ept_violation += ONE
    emit(s, a, ev.EPT_VIOLATION, c.id, gva, gfn, frame(a[find_leaf(s, a, gfn)]), c.x_info, c.x_access)
    logdirty.mark(s, c, a, gfn, xen.MK_STORE if c.x_info & x86.EPT_FINAL else xen.MK_WALK)
    if change_type_one(s, c, a, gfn):
        flush_all(s)
