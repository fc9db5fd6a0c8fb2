"""Hypervisor operations on the domain: log-dirty ENABLE, PEEK, CLEAN, OFF; blow; pool size; TLB flush.

Source: Xen mm/paging.c (paging_log_dirty_enable, paging_log_dirty_op), shadow/common.c (sh_enable_log_dirty,
sh_clean_dirty_bitmap, shadow_set_allocation), hap/hap.c. The domain is paused meanwhile: an operation is one indivisible step.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import xen
from pagingviz.arch.words import NONE, ONE, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.nested.p2m import pml_flush_all, poison_root
from pagingviz.core.shadow import recycle, toplevel
from pagingviz.core.shadow.oos import resync_all
from pagingviz.core.shadow.pool import shadowing
from pagingviz.core.shadow.shadows import is_page_table
from pagingviz.core.shadow.writeable import remove_shadows, revoke_all
from pagingviz.core.walk.tlb import flush_all

_FRAME, _COUNT_SHIFT = U(0xFFFF_FFFF), U(32)  # of the value of dm:GFN:N


@jit
def command(s, cpus, a, code, value):
    """Carry out one command of the journal. What Xen refuses (-EINVAL) becomes an IGNORED event and changes nothing else.

    It comes from another domain (s.foreign): no vCPU of the guest is running, so no CPU's path flags change.
    """
    if s.crashed != ZERO and s.crashed != xen.HUNG:
        return
    s.foreign = ONE
    for v in range(s.vcpus):
        cpus[v].saved_flags = s.tflags[v]
    _carry_out(s, cpus, a, code, value)
    for v in range(s.vcpus):
        s.tflags[v] = cpus[v].saved_flags
    s.foreign = ZERO


@jit
def _carry_out(s, cpus, a, code, value):
    c = cpus[0]
    if code == xen.CMD_DM and s.spread != ZERO:
        _ignore(s, a, code)
    elif code == xen.CMD_DM:
        _modified_memory(s, c, a, value & _FRAME, value >> _COUNT_SHIFT)
    elif code == xen.CMD_FLUSH:
        flush_all(s)
        emit(s, a, ev.TLB_FLUSH, ZERO, ZERO, NONE, NONE, ZERO, ZERO)
    elif s.road == xen.BARE:
        _ignore(s, a, code)
    elif code == xen.CMD_ENABLE:
        _enable(s, cpus, a, code)
    elif code == xen.CMD_PEEK or code == xen.CMD_CLEAN or code == xen.CMD_OFF:
        if s.log_dirty == ZERO:
            _ignore(s, a, code)
        elif code != xen.CMD_OFF and _bits_are_lost(s, cpus, a, code):
            return
        elif code == xen.CMD_PEEK:
            s.peeks += ONE
            emit(s, a, ev.PEEK, ZERO, ZERO, NONE, NONE, ZERO, s.dirty_count)
        elif code == xen.CMD_CLEAN:
            clean(s, cpus, a)
        else:
            _off(s, cpus, a)
    elif code == xen.CMD_POOL and s.road == xen.HAP:
        recycle.hap_set_allocation(s, a, value)
        emit(s, a, ev.SET_ALLOCATION, ZERO, ZERO, NONE, NONE, ZERO, value)
    elif not shadowing(s):
        _ignore(s, a, code)
    elif code == xen.CMD_BLOW:
        recycle.blow(s, c, a)
    elif code == xen.CMD_POOL:
        recycle.set_allocation(s, c, a, value)
        emit(s, a, ev.SET_ALLOCATION, ZERO, ZERO, NONE, NONE, ZERO, value)


@jit
def _modified_memory(s, c, a, first, n):
    """A device has written `n` frames from `first` on, and the device model tells (hvm/dm.c: modified_memory).

    While log-dirty is on each is marked and loses its shadows ("most probably not page tables any more"). The stores come by
    DMA: they see no table, cause no fault, and happen on the bare road too. A PV guest's device writes through a grant: never
    to a page table, and the mark comes when the grant ends, here at once.
    """
    for k in range(n):
        gfn = first + U(k)
        if s.pv != ZERO and is_page_table(s, a, gfn):
            continue
        a[s.o_ver + gfn] += ONE
        s.device_writes += ONE
        if s.log_dirty != ZERO:
            logdirty.mark(s, c, a, gfn, xen.MK_DEVICE)
            if s.pv == ZERO:
                remove_shadows(s, c, a, gfn, ONE, ZERO)
    emit(s, a, ev.MODIFIED_MEMORY, ZERO, ZERO, first, NONE, ZERO, n)


@jit
def _bits_are_lost(s, cpus, a, code):
    """What PEEK and CLEAN do first: logs are flushed; then they fail (-ENOMEM) if ever a page of the tree could not be had."""
    pml_flush_all(s, cpus, a)
    if s.failed_allocs == ZERO:
        return False
    s.no_memory += ONE
    emit(s, a, ev.NO_MEMORY, ZERO, ZERO, NONE, NONE, ZERO, code)
    return True


@jit
def _ignore(s, a, code):
    s.ignored += ONE
    emit(s, a, ev.IGNORED, ZERO, ZERO, NONE, NONE, ZERO, code)


@jit
def _enable(s, cpus, a, code):
    """ENABLE_LOGDIRTY. Shadow: blow, mode bit on, every vCPU detaches and reloads its root. HAP: poison the root entries.

    PV: shadows begin here (shadow_one_bit_enable), in a pool as small as Xen allows; a toy pool has the size it was given.
    """
    if s.log_dirty != ZERO:
        _ignore(s, a, code)
        return
    s.enables += ONE
    detail = ZERO
    if s.road == xen.PV:
        s.log_dirty = ONE
        recycle.set_allocation(s, cpus[0], a, ONE if s.floor != ZERO else s.pv_pool)
        for v in range(s.vcpus):
            toplevel.make_snapshots(s, cpus[v], a)
            toplevel.update_modes(s, cpus[v], a)
    elif s.road == xen.SHADOW:
        recycle.blow(s, cpus[0], a)
        if s.total_pages < recycle.min_allocation(s):
            recycle.set_allocation(s, cpus[0], a, ONE)
        s.log_dirty = ONE
        for v in range(s.vcpus):
            toplevel.update_modes(s, cpus[v], a)
    else:
        s.log_dirty, s.ept_ad = ONE, s.pml  # p2m_enable_hardware_log_dirty
        detail = poison_root(s, a)
    logdirty.count_afresh(s, a)
    emit(s, a, ev.ENABLE, ZERO, ZERO, NONE, NONE, ZERO, detail)


@jit
def clean(s, cpus, a):
    """CLEAN: the bitmap is read and zeroed, then write access goes away, all within one pause (sh_clean_dirty_bitmap).

    What the processor has logged is in the bitmap by then. clean=revoke keeps the shadows and searches them: tables that are
    out of sync come back first, with the bits gone already, so that nothing they map is made writable again.
    """
    s.cleans += ONE
    had = s.dirty_count
    logdirty.clear(s, a)
    if s.road == xen.HAP:
        poison_root(s, a)
    elif s.revoke == ZERO:
        recycle.blow(s, cpus[0], a)
    else:
        resync_all(s, cpus[0], a, False, True, True)
        revoke_all(s, cpus[0], a)
    emit(s, a, ev.CLEAN, ZERO, ZERO, NONE, NONE, ZERO, had)


@jit
def _off(s, cpus, a):
    """OFF: mode bit off, tree freed. Shadow: CR3 reloaded, read-only entries stay until they fault. HAP: poison towards rw.

    PV: after that shadows end (shadow_one_bit_disable), and their pool goes back to the host but for the tree's pages.
    """
    s.offs += ONE
    pml_flush_all(s, cpus, a)
    s.log_dirty = ZERO
    if s.road == xen.PV:
        for v in range(s.vcpus):
            toplevel.update_modes(s, cpus[v], a)
        for v in range(s.vcpus):
            toplevel.disable(s, cpus[v], a)
        recycle.set_allocation(s, cpus[0], a, ZERO)
    elif s.road == xen.SHADOW:
        for v in range(s.vcpus):
            toplevel.update_modes(s, cpus[v], a)
    else:
        s.ept_ad = ZERO  # p2m_disable_hardware_log_dirty
        poison_root(s, a)
    logdirty.free_tree(s, a)
    flush_all(s)
    emit(s, a, ev.OFF, ZERO, ZERO, NONE, NONE, ZERO, ZERO)
