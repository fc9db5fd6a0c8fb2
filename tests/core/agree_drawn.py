"""Small machines drawn from their number, on which the kernels and the slow model are compared tick by tick."""

import random

from pagingviz.arch.cores import CORES
from pagingviz.core.audit import audit
from pagingviz.core.audit.rules import rule_of
from tests.core.agree import build, command, differences, tick
from tests.model import EXIT, FETCH, FORK, IDLE, READ, WRITE, Op
from tests.model.invariants import broken_rule

LINUX, LINUX420 = 0xFFFF_8800_0000_0000, 0xFFFF_8880_0000_0000
ZONE = 96  # table frames: enough for four processes and a child that share a few L1 tables each


def operation(step, child):
    """The Op of a drawn step, or None where the guest could not do it: process 3 lives from FORK to EXIT only.

    The rights of a page are a function of the page, as in a real address space.
    """
    if step == IDLE:
        return Op(kind=IDLE)
    if step == FORK:
        return None if child else Op(proc=2, kind=FORK)
    if step == EXIT:
        return Op(proc=3, kind=EXIT)
    proc, (page, table), kind = step
    if proc == 4:
        proc = 3 if child else 2
    write, execute = int(page % 4 > 0), int(page % 3 == 0)
    if (kind == WRITE and not write) or (kind == FETCH and not execute):
        kind = READ
    return Op(proc, 0x400 + page + table, kind, write, execute, credit=page)


def turn_of(model, op):
    """Whether it is the turn of the vCPU to which the process is dealt (a process and its child stay together)."""
    entry = {3: 2}.get(op.proc, op.proc)
    return op.kind == IDLE or model.now % len(model.vcpus) == entry % len(model.vcpus)


def play(machine, model, run, with_commands=True):
    """Do all steps on both, yielding after each; stops at the end of the domain."""
    for step in run:
        child = model.guest.roots[3] is not None
        if isinstance(step, tuple) and isinstance(step[0], str):
            if with_commands or step[0] == "dm":  # a device writes on every road
                command(machine, model, *step)
        elif (op := operation(step, child)) is not None:
            while not turn_of(model, op):
                tick(machine, model, Op(kind=IDLE))
            tick(machine, model, op)
        yield step
        if model.crashed:
            return


def rule_broken(machine):
    return rule_of(audit(machine.sys, machine.cpu, machine.mem)).sentence


def drawn(r):
    """(shape, run) from a random.Random: the same on every machine."""
    near, calm = r.random() < 0.5, r.random() < 0.5  # few pages, touched again and again; hardly a command
    shape = {
        "frames": r.choice([128, 192, 440, 512, 1024] if near else [440, 512, 1024]),
        "pool": r.choice([16, 17, 20, 24, 40, 64]),
        "vcpus": r.choice([1, 1, 2]),
        "superpages": r.randrange(2),
        "clean_every": r.choice([0, 0, 7, 30]),
        "direct_map": r.choice([LINUX, LINUX420]),
        "clean": r.choice(["blow", "blow", "revoke"]),
    }

    def step():
        what = r.randrange(30 if calm else 6)
        if what == 4:
            return r.choice(
                [
                    *((name, None) for name in ("enable", "clean", "peek", "off", "blow", "flush")),
                    ("pool", r.randint(16, 70)),
                    ("dm", r.randrange(120) | r.randint(1, 8) << 32),
                ]
            )
        if what == 5:
            return r.choice([FORK, FORK, EXIT, IDLE])
        page = r.randrange(2 if near else 6), r.choice([0, 0, 0, 512] if near else [0, 0, 0, 512, 1024, 1536, 512**2])
        return r.choice([0, 1, 2, 2, 4]), page, r.choice([FETCH, READ, WRITE, WRITE])

    return shape, [step() for _ in range(r.randint(40, 120))]


def agree(road, examples, hap="ept", **fields):
    """Draw `examples` machines of that road, each from its number; returns the counters that moved in any of them."""
    reached = set()
    for number in range(examples):
        shape, run = drawn(random.Random(number))
        core = list(CORES)[number % len(CORES)]
        options = {"exec_sp": number // 2 % 2, "ept_ad": number // 4 % 2 or fields.get("pml", 0)}
        machine, model = build(road=road, hap=hap, zone=ZONE, core=core, **options, **shape, **fields)
        for step in play(machine, model, run):
            if model.crashed:  # the two leave off in the midst of different steps
                assert machine.sys[0].crashed == model.crashed
                break
            assert differences(machine, model) == [], (number, step)
            assert rule_broken(machine) == ""
        if not model.crashed:
            assert broken_rule(model) == "" and machine.log_dirty()["missing"] == 0
        reached.update(name for name, n in machine.counters().items() if n)
    return reached
