"""The loop: next operation, perform it, stop at a tick or at an event somebody waits for. The entry points from Python."""

from pagingviz.core import control, guest
from pagingviz.core.access import access
from pagingviz.core.events import emit
from pagingviz.core.jit import jit
from pagingviz.core.shadow import update_cr3
from pagingviz.core.tlb import renew
from pagingviz.layout import (
    EV_ACCESS, EXIT, FAULT, FETCH, FORK, IDLE, NONE, ONE, OP_KIND, OP_PROC_MASK, OP_PROC_SHIFT, OP_VMA_W, OP_VMA_X,
    OP_VPN_SHIFT, PAGE_BITS, READ, SHADOW, U, ZERO,
)  # fmt: skip

_RENEW = U((1 << 20) - 1)  # ticks between two looks at the TLB's generations; far fewer flushes than a tag can count

@jit
def operate(s, c, a, op, credit):
    """One operation of the work: one tick. `op` as laid out in layout.OP_*; `credit` further hits merged into it."""
    kind = op & OP_KIND
    proc = (op >> OP_PROC_SHIFT) & OP_PROC_MASK
    s.ops += ONE
    if kind == IDLE:
        return
    if kind == EXIT:
        guest.exit_process(s, c, a, proc)
        return
    if proc != s.cur:
        guest.switch_to(s, c, a, proc)
    if kind == FORK:
        guest.fork(s, c, a, proc)
        return
    gva = (op >> OP_VPN_SHIFT) << PAGE_BITS
    if kind == FETCH:
        s.fetches += ONE
        s.merged_fetch += credit
    elif kind == READ:
        s.reads += ONE
        s.merged_read += credit
    else:
        s.writes += ONE
        s.merged_write += credit
    emit(s, a, EV_ACCESS, c.id, gva, NONE, NONE, ZERO, op)
    while s.crashed == ZERO:
        r = access(s, c, a, gva, kind, ONE, ZERO, ZERO)
        if (r & FAULT) == ZERO:
            return
        guest.handle_fault(s, c, a, gva, r, op & OP_VMA_W, op & OP_VMA_X)


@jit
def run(r, cpus, a, ops, credits):
    """Perform `ops` (uint64[n]) with `credits` (uint32[n]) from the present tick on. Returns how many ticks were done.

    Fewer than n when an event of s.stop_mask was written (after finishing its tick) or the domain has crashed.
    """
    s = r[0]
    c = cpus[0]
    for j in range(ops.size):
        if s.crashed != ZERO:
            return j
        s.ev_tick = s.ev_n
        s.ev_now = s.tick + ONE
        operate(s, c, a, ops[j], U(credits[j]))
        s.tick += ONE
        if s.clean_every != ZERO and s.log_dirty != ZERO and s.tick % s.clean_every == ZERO:
            control.clean(s, a)
        if s.tick & _RENEW == ZERO:
            for v in range(s.vcpus):
                renew(s, cpus[v])
        if s.stop_hit != ZERO:
            return j + 1
    return ops.size


@jit
def command(r, cpus, a, code, value):
    """Carry out one hypervisor operation (layout.CMD_*) at the present tick; its events join that tick's."""
    s = r[0]
    s.ev_now = s.tick
    control.command(s, cpus[0], a, code, value)


@jit
def boot(r, cpus, a):
    """First CR3 load of every vCPU, before tick 0."""
    s = r[0]
    for v in range(s.vcpus):
        s.cr3[v] = a[s.o_roots]
        if s.road == SHADOW:
            update_cr3(s, cpus[v], a, v)
        s.ev_n = ZERO


