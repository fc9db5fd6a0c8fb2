"""Kernels and slow model stay equal, tick by tick, on small random machines; all roads show the same guest.

Machines held against the model are drawn from their number, the same ones everywhere, so a failure can be repeated at once.
"""

import random

from agree import build, command, differences, tick
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from model import EXIT, FETCH, FORK, IDLE, READ, WRITE, Op
from model.invariants import broken_rule

from pagingviz.arch import x86
from pagingviz.arch.state import XEN_COUNTERS
from pagingviz.core.audit import audit
from pagingviz.core.audit.rules import rule_of

LINUX, LINUX420 = 0xFFFF_8800_0000_0000, 0xFFFF_8880_0000_0000
ZONE = 96  # table frames: enough for four processes and a child that share a few L1 tables each
NEVER = {  # what a 64-bit guest with this kernel and all tables free to leave sync does not meet; test_agree_raw takes them all
    "shadow_em_ex_fail",
    "shadow_em_ex_non_pt",
    "shadow_em_ex_pt",
    "shadow_fault_bail_bad_gfn",
    "shadow_fault_emulate_failed",
    "shadow_fault_emulate_wp",
    "shadow_fault_fast_emulate_fail",
    "shadow_inconsistent_gwalk",
    "shadow_oos_fixup_evict",
    "shadow_unshadow_bf",
    "shadow_validate_gl1e_calls",
    "shadow_writeable_bf_1",
    "shadow_writeable_h_1",
    "shadow_writeable_h_2",
    "shadow_writeable_h_3",
    "shadow_writeable_h_6",
    "shadow_writeable_h_8",
}
CALM = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # shrinking takes minutes

machines = st.fixed_dictionaries(
    {
        "frames": st.sampled_from([128, 192, 440, 512, 1024]),  # two scatterings of small RAM, whole chunks, a remainder
        "pool": st.sampled_from([16, 17, 20, 24, 40, 64]),
        "vcpus": st.sampled_from([1, 1, 2]),
        "superpages": st.sampled_from([0, 1]),
        "clean": st.sampled_from(["blow", "revoke"]),
        "clean_every": st.sampled_from([0, 0, 7, 30]),
        "direct_map": st.sampled_from([LINUX, LINUX420]),
    }
)
pages = st.tuples(st.integers(0, 5), st.sampled_from([0, 0, 0, 512, 1024, 1536, 512**2]))  # page, and its L1 table
accesses = st.tuples(st.sampled_from([0, 1, 2, 2, 4]), pages, st.sampled_from([FETCH, READ, WRITE, WRITE]))
commands = st.one_of(
    st.sampled_from([("enable", None), ("clean", None), ("peek", None), ("off", None), ("blow", None), ("flush", None)]),
    st.tuples(st.just("pool"), st.integers(16, 70)),
)
devices = st.tuples(st.just("dm"), st.builds(lambda gfn, n: gfn | n << 32, st.integers(0, 120), st.integers(1, 8)))
told = st.one_of(commands, commands, commands, devices)
steps = st.one_of(accesses, accesses, accesses, accesses, told, st.sampled_from([FORK, FORK, EXIT, IDLE]))


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
        core = list(x86.CORES)[number % len(x86.CORES)]
        machine, model = build(road=road, hap=hap, zone=ZONE, core=core, **shape, **fields)
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


def test_bare_equals_the_model():
    assert agree("bare", 40) >= {"cow_breaks", "exits", "invlpg", "tlb_l1_hit"}


def test_shadow_equals_the_model():
    reached = agree("shadow", 110)
    assert set(XEN_COUNTERS) - NEVER - reached == set(), "paths that no drawn machine took"


def test_hap_equals_the_model():
    assert agree("hap", 60) >= {"ept_misconfig", "ept_violation", "p2m_split", "pages_marked", "cow_breaks"}


def test_npt_equals_the_model():
    assert agree("hap", 60, "npt") >= {"npf_recalc", "npf_write", "p2m_split", "pages_marked", "cow_breaks"}


def test_pml_equals_the_model():
    assert agree("hap", 60, pml=1) >= {"pml_logged", "ept_misconfig", "ept_violation", "p2m_split", "pages_marked"}


@settings(CALM, max_examples=40)
@given(machines, st.lists(steps, min_size=60, max_size=160), st.lists(commands, min_size=1, max_size=8))
def test_a_guest_cannot_tell_its_road(shape, run, extra):
    """Same operations on three roads, with commands on two of them: the same guest after every tick."""
    roads = [build(road=road, zone=ZONE, **shape | {"pool": max(shape["pool"], 24)}) for road in ("bare", "shadow", "hap")]
    plays = [play(*pair, run, with_commands=pair[0].scenario.road != "bare") for pair in roads]
    for t, _ in enumerate(zip(*plays, strict=True)):
        if t % 20 == 19:
            command(*roads[1], *extra[t // 20 % len(extra)])
        if roads[1][1].crashed:  # a pool set too small
            return
        guests = [machine.guest_digests() for machine, _ in roads]
        assert guests[0] == guests[1] == guests[2]
