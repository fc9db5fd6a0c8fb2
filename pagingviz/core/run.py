"""The loop: next operation, perform it, stop at a tick or at an event somebody waits for. The entry points from Python."""

from pagingviz.core import control, guest, pv_roots
from pagingviz.core.access import access
from pagingviz.core.events import emit
from pagingviz.core.jit import entry, jit
from pagingviz.core.raw import raw_operation
from pagingviz.core.recycle import alloc_p2m
from pagingviz.core.shadow import make_monitor, make_snapshots, update_cr3
from pagingviz.core.tlb import renew
from pagingviz.core.walk import load_pdptes
from pagingviz.layout import (
    CMD_CLEAN, EV_ACCESS, EXIT, FAULT, FETCH, FORK, IDLE, NONE, ONE, OP_KIND, OP_PROC_MASK, OP_PROC_SHIFT, OP_VMA_W, OP_VMA_X,
    OP_VPN_SHIFT, PAGE_BITS, RAW, READ, SHADOW, THREE, U, ZERO,
)  # fmt: skip

_RENEW = U((1 << 20) - 1)  # ticks between two looks at the TLB's generations; far fewer flushes than a tag can count

@jit
def operate(s, cpus, c, a, op, credit):
    """One operation of the work on vCPU `c`: one tick. `op` as in layout.OP_*; `credit` further hits merged into it."""
    kind = op & OP_KIND
    proc = (op >> OP_PROC_SHIFT) & OP_PROC_MASK
    s.ops += ONE
    if kind == IDLE:
        return
    if kind == EXIT:
        guest.exit_process(s, c, a, proc)
        return
    if proc != s.cur[c.id]:
        guest.switch_to(s, c, a, proc)
    if kind == FORK:
        guest.fork(s, cpus, c, a, proc)
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
        pv_roots.enter(s, c, a, ONE)
        r = access(s, c, a, gva, kind, ONE, ZERO, ZERO)
        if (r & FAULT) == ZERO:
            return
        guest.handle_fault(s, cpus, c, a, gva, r, op & OP_VMA_W, op & OP_VMA_X)


@entry
def run(r, cpus, a, ops, credits):
    """Perform `ops` (uint64[n]) with `credits` (uint32[n]) from the present tick on. Returns how many ticks were done.

    The vCPUs take turns, tick by tick; a raw guest's rows name their own.

    Fewer than n when an event of s.stop_mask was written (after finishing its tick) or the domain has crashed.
    """
    s = r[0]
    v = s.tick % s.vcpus
    for j in range(ops.size):
        if s.crashed != ZERO:
            return j
        s.ev_tick = s.ev_n
        s.ev_now = s.tick + ONE
        if ops[j] & OP_KIND == RAW:
            raw_operation(s, cpus, a, ops[j] >> OP_VPN_SHIFT)
        else:
            operate(s, cpus, cpus[v], a, ops[j], U(credits[j]))
        s.tick += ONE
        v = v + ONE if v + ONE < s.vcpus else ZERO
        if s.clean_every != ZERO and s.log_dirty != ZERO and s.tick % s.clean_every == ZERO:
            control.command(s, cpus, a, CMD_CLEAN, ZERO)
        if s.tick & _RENEW == ZERO:
            for k in range(s.vcpus):
                renew(s, cpus[k])
        if s.stop_hit != ZERO:
            return j + 1
    return ops.size


@entry
def command(r, cpus, a, code, value):
    """Carry out one hypervisor operation (layout.CMD_*) at the present tick; its events join that tick's."""
    s = r[0]
    s.ev_now = s.tick
    control.command(s, cpus, a, code, value)


@entry
def boot(r, cpus, a):
    """What stands before tick 0: pages the p2m has taken, each vCPU's snapshots and monitor table, its first CR3 load."""
    s = r[0]
    s.foreign = ONE
    for _ in range(s.boot_p2m):
        alloc_p2m(s, cpus[0], a, NONE)
    for v in range(s.vcpus):
        c = cpus[v]
        s.cr3[v] = a[s.o_roots]
        if c.levels == THREE:
            load_pdptes(s, c, a, s.cr3[v])
        if s.pv != ZERO and not pv_roots.hold_root(s, c, a):
            return
        if s.road == SHADOW:
            make_snapshots(s, c, a)
            s.monitor[v] = make_monitor(s, c, a)
            update_cr3(s, c, a, U(v))
        s.tflags[v] = ZERO
    s.foreign = ZERO
    s.ev_n = ZERO
