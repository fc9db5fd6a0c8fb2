"""The loop: next operation, perform it, stop at a tick or at an event somebody waits for. The entry points from Python."""

from pagingviz.arch import events as ev
from pagingviz.arch import operation, x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, ZERO, U
from pagingviz.core import control, guest
from pagingviz.core.access import access
from pagingviz.core.build.jit import entry, jit
from pagingviz.core.events import emit
from pagingviz.core.pv import roots
from pagingviz.core.raw import raw_operation
from pagingviz.core.shadow.faults import make_monitor, make_snapshots, update_cr3
from pagingviz.core.shadow.recycle import alloc_p2m
from pagingviz.core.walk.page_walk import load_pdptes
from pagingviz.core.walk.tlb import renew

_RENEW = U((1 << 20) - 1)  # ticks between two looks at the TLB's generations; far fewer flushes than a tag can count


@jit
def operate(s, cpus, c, a, op, credit):
    """One operation of the work on vCPU `c`: one tick. `op` as in layout.OP_*; `credit` further hits merged into it."""
    kind = op & operation.OP_KIND
    proc = (op >> operation.OP_PROC_SHIFT) & operation.OP_PROC_MASK
    s.ops += ONE
    if kind == operation.IDLE:
        return
    if kind == operation.EXIT:
        guest.exit_process(s, c, a, proc)
        return
    if proc != s.cur[c.id]:
        guest.switch_to(s, c, a, proc)
    if kind == operation.FORK:
        guest.fork(s, cpus, c, a, proc)
        return
    gva = (op >> operation.OP_VPN_SHIFT) << x86.PAGE_BITS
    if kind == x86.FETCH:
        s.fetches += ONE
        s.merged_fetch += credit
    elif kind == x86.READ:
        s.reads += ONE
        s.merged_read += credit
    else:
        s.writes += ONE
        s.merged_write += credit
    emit(s, a, ev.ACCESS, c.id, gva, NONE, NONE, ZERO, op)
    while s.crashed == ZERO:
        roots.enter(s, c, a, ONE)
        r = access(s, c, a, gva, kind, ONE, ZERO, ZERO)
        if (r & x86.FAULT) == ZERO:
            return
        guest.handle_fault(s, cpus, c, a, gva, r, op & operation.OP_VMA_W, op & operation.OP_VMA_X)


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
        if ops[j] & operation.OP_KIND == operation.RAW:
            raw_operation(s, cpus, a, ops[j] >> operation.OP_VPN_SHIFT)
        else:
            operate(s, cpus, cpus[v], a, ops[j], U(credits[j]))
        s.tick += ONE
        v = v + ONE if v + ONE < s.vcpus else ZERO
        if s.clean_every != ZERO and s.log_dirty != ZERO and s.tick % s.clean_every == ZERO:
            control.command(s, cpus, a, xen.CMD_CLEAN, ZERO)
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
def refuse(r, a, code):
    """A command that cannot be carried out at the present tick, whatever the road: one IGNORED event."""
    s = r[0]
    s.ev_now = s.tick
    control.ignore(s, a, code)


@entry
def migration_event(r, a, kind, level, detail):
    """Write an event of the toolstack that migrates the guest at the present tick: ROUND, SUSPEND or RESUME.

    `level`: number of the round, or how the guest goes on; `detail` by kind (story/events.py). May raise MicroStop, see `emit`.
    """
    s = r[0]
    s.ev_now = s.tick
    emit(s, a, kind, ZERO, ZERO, NONE, NONE, level, detail)


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
        if s.pv != ZERO and not roots.hold_root(s, c, a):
            return
        if s.road == xen.SHADOW:
            make_snapshots(s, c, a)
            s.monitor[v] = make_monitor(s, c, a)
            update_cr3(s, c, a, U(v))
        s.tflags[v] = ZERO
    s.foreign = ZERO
    s.ev_n = ZERO
