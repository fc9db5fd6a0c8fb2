"""The functions that Python calls: run operations up to a tick or an event, carry out a command, and boot."""

from pagingviz.arch import events as ev
from pagingviz.arch import operation, x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, ZERO, U
from pagingviz.core import control, guest
from pagingviz.core.access import access
from pagingviz.core.build.jit import entry, jit
from pagingviz.core.events import emit
from pagingviz.core.pv import roots
from pagingviz.core.raw import raw_operation
from pagingviz.core.shadow.recycle import alloc_p2m
from pagingviz.core.shadow.toplevel import make_monitor, make_snapshots, update_cr3
from pagingviz.core.walk.pdptes import load_pdptes
from pagingviz.core.walk.tlb import renew

_RENEW = U((1 << 20) - 1)  # ticks between two renewals of TLB tags: there are fewer flushes in them than a tag can count


@jit
def operate(s, cpus, c, a, op, credit):
    """Carry out one operation of the work on a vCPU: that is one tick.

    `op`: a word with the parts operation.OP_*; `credit`: how many further accesses of the same page are merged into it. The
    access is repeated after every fault that the guest's kernel has handled.
    """
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
        result = access(s, c, a, gva, kind, ONE, ZERO, ZERO)
        if (result & x86.FAULT) == ZERO:
            return
        guest.handle_fault(s, cpus, c, a, gva, result, op & operation.OP_VMA_W, op & operation.OP_VMA_X)


@entry
def run(r, cpus, a, ops, credits):
    """Carry out `ops` (uint64[n]) with `credits` (uint32[n]), from the present tick on. Returns how many ticks were done.

    The vCPUs take turns, one tick each; the rows of a raw guest name theirs. Fewer than n are done when an event of s.stop_mask
    was written, after the end of its tick, or when the domain has crashed.
    """
    s = r[0]
    vcpu = s.tick % s.vcpus
    for j in range(ops.size):
        if s.crashed != ZERO:
            return j
        s.ev_tick = s.ev_n
        s.ev_now = s.tick + ONE
        if ops[j] & operation.OP_KIND == operation.RAW:
            raw_operation(s, cpus, a, ops[j] >> operation.OP_VPN_SHIFT)
        else:
            operate(s, cpus, cpus[vcpu], a, ops[j], U(credits[j]))
        s.tick += ONE
        vcpu = vcpu + ONE if vcpu + ONE < s.vcpus else ZERO
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
    """Carry out one command on the domain, `code` (xen.CMD_*) with its `value`, at the present tick.

    Its events join those of the tick.
    """
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
    """Make what stands before tick 0.

    These are the pages that the p2m has taken, the snapshots and the monitor table of each vCPU, and its first CR3 load.
    """
    s = r[0]
    s.foreign = ONE
    for _ in range(s.boot_p2m):
        alloc_p2m(s, cpus[0], a, NONE)
    for vcpu in range(s.vcpus):
        c = cpus[vcpu]
        s.cr3[vcpu] = a[s.o_roots]
        if c.levels == THREE:
            load_pdptes(s, c, a, s.cr3[vcpu])
        if s.pv != ZERO and not roots.hold_root(s, c, a):
            return
        if s.road == xen.SHADOW:
            make_snapshots(s, c, a)
            s.monitor[vcpu] = make_monitor(s, c, a)
            update_cr3(s, c, a, U(vcpu))
        s.tflags[vcpu] = ZERO
    s.foreign = ZERO
    s.ev_n = ZERO
