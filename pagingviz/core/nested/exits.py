"""Exits because of EPT or NPT, as the hypervisor handles them; the access that caused one then starts again.

Source: Xen hvm/vmx/vmx.c (ept_handle_violation), mm/p2m-ept.c (ept_handle_misconfig), hvm/svm/svm.c (svm_do_nested_pgfault),
hvm/hvm.c (hvm_hap_nested_page_fault).
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, ZERO
from pagingviz.core import logdirty
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.frames import mfn_of
from pagingviz.core.nested import npt, p2m, pml
from pagingviz.core.walk.page_walk import frame
from pagingviz.core.walk.tlb import flush_all


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


@jit
def _shatter(s, c, a, gfn):
    """A fetch in a superpage leaf that is not executable: it becomes leaves of 4 KiB of the same type, which are.

    Nothing is marked dirty. Without pages for them Xen crashes the domain. Source: hvm.c: hvm_hap_nested_page_fault; vmx.c:
    ept_handle_violation.
    """
    if p2m.split(s, c, a, p2m.find_leaf(s, a, gfn), gfn, ev.P2M_SHATTER):
        p2m.invept(s, a)
    else:
        s.crashed = xen.NOT_SHATTERED
        emit(s, a, ev.DOMF_DYING, c.id, ZERO, gfn, NONE, ZERO, s.free_pages)


@by_address
def handle_exit(s, c, a, gva):
    """Handle the exit that c.x_* describe.

    A full page-modification log is flushed (exit reason 62). An EPT misconfiguration (reason 49) carries out pending changes,
    and no INVEPT follows. An EPT violation (reason 48) is a store to a page that is being logged, or a fetch in a superpage
    leaf that is not executable. Source: hvm.c: hvm_hap_nested_page_fault.
    """
    gfn = c.x_gpa >> x86.PAGE_BITS
    if c.x_kind == x86.X_NPF:
        _handle_npf(s, c, a, gva, gfn)
        return
    if c.x_kind == x86.X_PML_FULL:  # the access has not happened
        s.pml_full += ONE
        emit(s, a, ev.PML_FULL, c.id, gva, gfn, NONE, ZERO, pml.logged(s, c.id))
        pml.flush(s, c, a, c.id)
        return
    if c.x_kind == x86.X_MISCONFIG:
        s.ept_misconfig += ONE
        written = p2m.resolve_misconfig(s, a, gfn)
        emit(s, a, ev.EPT_MISCONFIG, c.id, gva, gfn, NONE, ZERO, written)
        return
    s.ept_violation += ONE
    emit(s, a, ev.EPT_VIOLATION, c.id, gva, gfn, frame(a[p2m.find_leaf(s, a, gfn)]), c.x_info, c.x_access)
    if c.x_info & x86.EPT_X:
        _shatter(s, c, a, gfn)
        return
    logdirty.mark(s, c, a, gfn, xen.MK_STORE if c.x_info & x86.EPT_FINAL else xen.MK_WALK)
    if p2m.change_type_one(s, c, a, gfn):
        p2m.invept(s, a)
