"""Hypervisor operations on the domain: log-dirty ENABLE, PEEK, CLEAN, OFF; blow; pool size; TLB flush.

Source: Xen mm/paging.c (paging_domctl, paging_log_dirty_enable, paging_log_dirty_op), shadow/common.c (sh_enable_log_dirty,
sh_clean_dirty_bitmap, shadow_set_allocation), hap/hap.c. The domain is paused while an operation is carried out, so nothing
else happens between its parts. Only a second ENABLE is refused: PEEK, CLEAN and OFF do what they do with log-dirty off as well,
and level 1 of their events says that it was.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import xen
from pagingviz.arch.words import NONE, ONE, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.nested import pml
from pagingviz.core.nested.p2m import change_type_global
from pagingviz.core.shadow import recycle, toplevel
from pagingviz.core.shadow.oos import resync_all
from pagingviz.core.shadow.pool import shadowing
from pagingviz.core.shadow.shadows import is_page_table
from pagingviz.core.shadow.writeable import remove_shadows, revoke_all
from pagingviz.core.walk.tlb import flush_all

_FRAME, _COUNT_SHIFT = U(0xFFFF_FFFF), U(32)  # of the value of dm:GFN:N


@jit
def command(s, cpus, a, code, value):
    """Carry out one command (xen.CMD_*) with its value. What Xen refuses becomes an IGNORED event and changes nothing else.

    A command comes from another domain (s.foreign): no vCPU of the guest is running, so no CPU's path flags change.
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
        ignore(s, a, code)
    elif code == xen.CMD_DM:
        _modified_memory(s, c, a, value & _FRAME, value >> _COUNT_SHIFT)
    elif code == xen.CMD_FLUSH:
        flush_all(s)
        emit(s, a, ev.TLB_FLUSH, ZERO, ZERO, NONE, NONE, ZERO, ZERO)
    elif s.road == xen.BARE:
        ignore(s, a, code)
    elif code == xen.CMD_ENABLE:
        _enable(s, cpus, a, code)
    elif code == xen.CMD_OFF:
        _off(s, cpus, a)
    elif code == xen.CMD_PEEK or code == xen.CMD_CLEAN:
        if _bits_are_lost(s, cpus, a, code):
            return
        if code == xen.CMD_CLEAN:
            clean(s, cpus, a)
        else:
            s.peeks += ONE
            emit(s, a, ev.PEEK, ZERO, ZERO, NONE, NONE, s.log_dirty ^ ONE, s.dirty_count)
    elif code == xen.CMD_POOL and s.road == xen.HAP:
        recycle.hap_set_allocation(s, a, value)
        emit(s, a, ev.SET_ALLOCATION, ZERO, ZERO, NONE, NONE, ZERO, value)
    elif not shadowing(s):
        ignore(s, a, code)
    elif code == xen.CMD_BLOW:
        recycle.blow(s, c, a)
    elif code == xen.CMD_POOL:
        recycle.set_allocation(s, c, a, value)
        emit(s, a, ev.SET_ALLOCATION, ZERO, ZERO, NONE, NONE, ZERO, value)


@jit
def _modified_memory(s, c, a, first, n):
    """A device has written `n` frames from `first` on, and the device model reports it (hvm/dm.c: modified_memory).

    While log-dirty is on each frame is marked, and its shadows are removed because it is hardly a page table any more. The
    stores come by DMA: no table translates them, they cause no fault, and they happen on the bare road too. A PV guest's device
    writes through a grant. It never writes to a page table, and the frame is marked when the grant ends, which is at once here.
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
    """PEEK and CLEAN flush the logs first. They fail (-ENOMEM) if the bitmap's tree ever lacked a page: returns True then."""
    pml.flush_all_logs(s, cpus, a)
    if s.failed_allocs == ZERO:
        return False
    s.no_memory += ONE
    emit(s, a, ev.NO_MEMORY, ZERO, ZERO, NONE, NONE, ZERO, code)
    return True


@jit
def ignore(s, a, code):
    """What Xen refuses with -EINVAL: it is counted, and an event shows it."""
    s.ignored += ONE
    emit(s, a, ev.IGNORED, ZERO, ZERO, NONE, NONE, ZERO, code)


@jit
def _enable(s, cpus, a, code):
    """ENABLE_LOGDIRTY. Shadow: a blow, the mode bit, and every vCPU reloads its root. HAP: the root's entries are poisoned.

    PV: shadow paging begins here (shadow_one_bit_enable), in a pool as small as Xen allows. A pool below Xen's least size
    (s.floor is 0) has the size that the scenario gives. Level 1 of the event: Xen has a page-modification log, but no pages.
    """
    if s.log_dirty != ZERO:
        ignore(s, a, code)
        return
    s.enables += ONE
    detail = without = ZERO
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
        s.log_dirty = ONE
        on = pml.enable(s, cpus, a)  # a new EPTP, so an INVEPT in any case
        without = s.pml ^ s.ept_ad
        detail = change_type_global(s, a, ONE, on)
    logdirty.count_afresh(s, a)
    emit(s, a, ev.ENABLE, ZERO, ZERO, NONE, NONE, without, detail)


@jit
def clean(s, cpus, a):
    """CLEAN: the bitmap is read and zeroed, then write access is taken away, all in one pause (sh_clean_dirty_bitmap).

    What the processor has logged is in the bitmap by then. With clean=revoke (s.revoke) the shadows stay and are searched for
    writable entries. Tables that are out of sync are resynced before that, when the bits are zero already, so that nothing
    they map is made writable again. With log-dirty off all shadows go as well, or all types become ram_logdirty: that lasts
    until log-dirty is switched on and off.
    """
    s.cleans += ONE
    had = s.dirty_count
    logdirty.clear(s, a)
    if s.road == xen.HAP:
        change_type_global(s, a, ONE, False)
    elif s.revoke == ZERO or not shadowing(s):
        recycle.blow(s, cpus[0], a)
    else:
        resync_all(s, cpus[0], a, False, True, True)
        revoke_all(s, cpus[0], a)
    emit(s, a, ev.CLEAN, ZERO, ZERO, NONE, NONE, s.log_dirty ^ ONE, had)


@jit
def _off(s, cpus, a):
    """OFF: the mode bit is cleared and the bitmap's tree is freed. With log-dirty off nothing happens.

    Shadow: every vCPU reloads its root; entries that are read-only stay so until they fault. HAP: the root's entries are
    poisoned, and what is found under them becomes writable; what the processor has logged is not marked any more, since the
    mode bit is cleared first (hap.c: hap_disable_log_dirty). PV: shadow paging ends (shadow_one_bit_disable), and the pool
    goes back to the host.
    """
    s.offs += ONE
    if s.log_dirty == ZERO:
        emit(s, a, ev.OFF, ZERO, ZERO, NONE, NONE, ONE, ZERO)
        return
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
        on = pml.disable(s, cpus, a)
        change_type_global(s, a, ZERO, on)
    logdirty.free_tree(s, a)
    if s.road != xen.HAP:
        flush_all(s)
    emit(s, a, ev.OFF, ZERO, ZERO, NONE, NONE, ZERO, ZERO)
