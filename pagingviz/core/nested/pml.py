"""The page-modification log of EPT: switched on and off with log-dirty, and flushed into the bitmap.

EPTP.AD is on while the log is: then the processor sets A and D, a walk's references to guest tables count as writes, and each D
that it sets in a leaf is written down (walk.py). The log of a vCPU is one page of the pool, s.pml_page; its index s.pml_index
counts down from 511 and wraps below slot 0 when the log is full.

Source: SDM vol. 3, 29.3.6; Xen hvm/vmx/vmcs.c (vmx_domain_enable_pml, vmx_vcpu_enable_pml, vmx_vcpu_disable_pml), mm/p2m-ept.c
(ept_enable_pml, ept_disable_pml).
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.nested.p2m import change_type_one, invept
from pagingviz.core.shadow.pool import entry_at
from pagingviz.core.shadow.recycle import alloc_p2m, free_p2m


@jit
def logged(s, vcpu):
    """How many entries the log of a vCPU has now."""
    return x86.PML_ENTRIES - (s.pml_index[vcpu] + ONE)


@jit
def flush(s, c, a, vcpu):
    """Mark dirty what the processor has logged for a vCPU, and let it be written freely from now on.

    The newest entry comes first. There is one INVEPT for all of them. Source: p2m-ept.c: ept_vcpu_flush_pml_buffer (master).
    """
    changed = False
    for k in range(s.pml_index[vcpu] + ONE, x86.PML_ENTRIES):
        gfn = a[entry_at(s, s.pml_page[vcpu], U(k))] >> x86.PAGE_BITS
        changed |= change_type_one(s, c, a, gfn)
        logdirty.mark(s, c, a, gfn, xen.MK_LOG)
    s.pml_index[vcpu] = x86.PML_ENTRIES - ONE
    if changed:
        invept(s, a)


@jit
def flush_all_logs(s, cpus, a):
    """Flush the log of every vCPU, as is done before the bitmap is read and when the logs are switched off."""
    if s.ept_ad:
        for vcpu in range(s.vcpus):
            n = logged(s, vcpu)
            if n != ZERO:
                flush(s, cpus[vcpu], a, U(vcpu))
                emit(s, a, ev.PML_FLUSH, U(vcpu), ZERO, NONE, NONE, ZERO, n)


@jit
def enable(s, cpus, a):
    """Switch the logs on, if Xen uses them: a page of the pool for each vCPU, or for none. Returns whether they are on.

    Without them log-dirty works by write protection, and ENABLE succeeds all the same.
    """
    if s.pml == ZERO:
        return False
    for vcpu in range(s.vcpus):
        page = alloc_p2m(s, cpus[vcpu], a, NONE)
        if page == NONE:
            _free(s, a)
            return False
        s.pml_page[vcpu], s.pml_index[vcpu] = page, x86.PML_ENTRIES - ONE
    s.ept_ad = ONE
    return True


@jit
def disable(s, cpus, a):
    """Switch the logs off: they are flushed, and their pages go back. Returns whether they were on."""
    if s.ept_ad == ZERO:
        return False
    flush_all_logs(s, cpus, a)
    _free(s, a)
    s.ept_ad = ZERO
    return True


@jit
def _free(s, a):
    """Give the pages of the logs back to the pool."""
    for vcpu in range(s.vcpus):
        if s.pml_page[vcpu] != NONE:
            free_p2m(s, a, s.pml_page[vcpu])
            s.pml_page[vcpu] = NONE
