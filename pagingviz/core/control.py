"""Hypervisor operations on the domain: log-dirty ENABLE, PEEK, CLEAN, OFF; blow; pool size; TLB flush.

Source: Xen mm/paging.c (paging_log_dirty_enable, paging_log_dirty_op), shadow/common.c (sh_enable_log_dirty,
sh_clean_dirty_bitmap, shadow_set_allocation), hap/hap.c. The domain is paused meanwhile: an operation is one indivisible step.
"""

from pagingviz.core import logdirty, recycle, shadow
from pagingviz.core.events import emit
from pagingviz.core.jit import jit
from pagingviz.core.p2m import poison_root
from pagingviz.core.tlb import flush_all
from pagingviz.layout import (
    BARE, CMD_BLOW, CMD_CLEAN, CMD_ENABLE, CMD_FLUSH, CMD_OFF, CMD_PEEK, CMD_POOL, EV_CLEAN, EV_ENABLE, EV_IGNORED, EV_OFF,
    EV_PEEK, EV_SET_ALLOCATION, EV_TLB_FLUSH, NONE, ONE, SHADOW, ZERO,
)  # fmt: skip


@jit
def command(s, c, a, code, value):
    """Carry out one command of the journal. What Xen refuses (-EINVAL) becomes an IGNORED event and changes nothing else."""
    if s.crashed != ZERO:
        return
    if code == CMD_FLUSH:
        flush_all(s)
        emit(s, a, EV_TLB_FLUSH, ZERO, ZERO, NONE, NONE, ZERO, ZERO)
    elif s.road == BARE:
        _ignore(s, a, code)
    elif code == CMD_ENABLE:
        _enable(s, c, a, code)
    elif code == CMD_PEEK or code == CMD_CLEAN or code == CMD_OFF:
        if s.log_dirty == ZERO:
            _ignore(s, a, code)
        elif code == CMD_PEEK:
            s.peeks += ONE
            emit(s, a, EV_PEEK, ZERO, ZERO, NONE, NONE, ZERO, s.dirty_count)
        elif code == CMD_CLEAN:
            clean(s, a)
        else:
            _off(s, c, a)
    elif s.road != SHADOW:
        _ignore(s, a, code)
    elif code == CMD_BLOW:
        recycle.blow(s, a)
    elif code == CMD_POOL:
        recycle.set_allocation(s, a, value)
        emit(s, a, EV_SET_ALLOCATION, ZERO, ZERO, NONE, NONE, ZERO, value)


@jit
def _ignore(s, a, code):
    s.ignored += ONE
    emit(s, a, EV_IGNORED, ZERO, ZERO, NONE, NONE, ZERO, code)


@jit
def _enable(s, c, a, code):
    """ENABLE_LOGDIRTY. Shadow: blow, mode bit on, every vCPU detaches and reloads its root. HAP: poison the root entries."""
    if s.log_dirty != ZERO:
        _ignore(s, a, code)
        return
    s.enables += ONE
    detail = ZERO
    if s.road == SHADOW:
        recycle.blow(s, a)
        s.log_dirty = ONE
        for v in range(s.vcpus):
            shadow.detach(s, a, v)
            shadow.update_cr3(s, c, a, v)
    else:
        s.log_dirty = ONE
        detail = poison_root(s, a)
    logdirty.count_afresh(s, a)
    emit(s, a, EV_ENABLE, ZERO, ZERO, NONE, NONE, ZERO, detail)


@jit
def clean(s, a):
    """CLEAN: the bitmap is read and zeroed, then write access goes away, all within one pause (sh_clean_dirty_bitmap)."""
    s.cleans += ONE
    had = s.dirty_count
    logdirty.clear(s, a)
    if s.road == SHADOW:
        recycle.blow(s, a)
    else:
        poison_root(s, a)
    emit(s, a, EV_CLEAN, ZERO, ZERO, NONE, NONE, ZERO, had)


@jit
def _off(s, c, a):
    """OFF: mode bit off, tree freed. Shadow: CR3 reloaded, read-only entries stay until they fault. HAP: poison towards rw."""
    s.offs += ONE
    s.log_dirty = ZERO
    if s.road == SHADOW:
        for v in range(s.vcpus):
            shadow.detach(s, a, v)
            shadow.update_cr3(s, c, a, v)
    else:
        poison_root(s, a)
    logdirty.free_tree(s, a)
    flush_all(s)
    emit(s, a, EV_OFF, ZERO, ZERO, NONE, NONE, ZERO, ZERO)
