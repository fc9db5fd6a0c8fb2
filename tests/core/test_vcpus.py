"""Several vCPUs: each has its part of the schedule and its own process, CR3 and TLB; what one must forget, all forget."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pagingviz.arch import events as ev
from pagingviz.arch import operation, x86
from pagingviz.arch.words import ZERO
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from pagingviz.work.programs import Programs
from tests.core.agree import build, command, differences, tick
from tests.core.agree_drawn import rule_broken
from tests.model import EXIT, FORK, IDLE, READ, WRITE, Op

MANY = load("blackboard").replace(
    frames=1024,
    pool=200,
    trace="gzip",
    work="fork:12,hotcold:40,sequential:9,uniform:30",
    quantum=7,
    order="",
    do="",
    clean_every=0,
)


def filled(scenario, t0, n):
    op, credit = np.zeros(n, np.uint64), np.zeros(n, np.uint32)
    Programs(scenario).fill(op, credit, t0)
    return op, credit


# ---- the schedule


@pytest.mark.parametrize("vcpus", [2, 3, 4])
@pytest.mark.parametrize("order", ["", "0,1,2,0,3,4,4,1"])
def test_each_vcpu_does_what_a_machine_with_its_programs_alone_would_do(vcpus, order):
    scenario = MANY.replace(vcpus=vcpus, order=order)
    op, credit = filled(scenario, 0, 3000)
    for vcpu in range(vcpus):
        mine = [str(entry) for entry in scenario.turns if entry % vcpus == vcpu]
        alone = filled(MANY.replace(order=",".join(mine)), 0, op[vcpu::vcpus].size)
        assert (op[vcpu::vcpus] == alone[0]).all() and (credit[vcpu::vcpus] == alone[1]).all()


@pytest.mark.parametrize("t0", [1, 2, 5, 1000, 2**29 + 1])
def test_any_tick_can_be_computed_alone(t0):
    scenario = MANY.replace(vcpus=3)
    whole = filled(scenario, t0, 97)
    for k in (0, 1, 2, 50, 96):
        one = filled(scenario, t0 + k, 1)
        assert one[0][0] == whole[0][k] and one[1][0] == whole[1][k]


def test_a_vcpu_without_a_program_is_idle():
    op, _ = filled(MANY.replace(vcpus=4, trace="", work="fork:5,zipf:9"), 0, 400)
    kinds = op & operation.OP_KIND
    assert (kinds[2::4] == operation.IDLE).all() and (kinds[3::4] == operation.IDLE).all()
    assert (kinds[0::4] != operation.IDLE).all() and (kinds[1::4] != operation.IDLE).all()
    work = Programs(MANY.replace(vcpus=4, trace="", work="fork:5,zipf:9"))
    assert [work.busy(vcpu) for vcpu in range(4)] == [True, True, False, False]


def test_laps_count_the_ticks_of_the_programs_own_vcpu():
    one, two = (Programs(MANY.replace(vcpus=vcpus, work="", trace="gzip,gzip", order="")) for vcpus in (1, 2))
    events = one.processes[0].events
    for t in (0, 1, 2 * events - 1, 2 * events, 2 * events + 1, 7 * events):
        assert two.laps(t) == ((t + 1) // 2 // events, t // 2 // events)


# ---- the machine


@pytest.mark.parametrize(("guest", "vcpus"), [("hvm64", 2), ("hvm64", 4), ("pae", 3), ("hvm32", 2)])
def test_all_roads_show_the_same_guest(guest, vcpus):
    guests = []
    for road, extra in (
        ("bare", {}),
        ("shadow", {"do": "enable@500,clean@2000"}),
        ("shadow", {"oos": 0, "pool": 60}),
        ("hap", {"do": "enable@500,clean@2000", "superpages": 1}),
    ):
        sim = Simulation(MANY.replace(road=road, guest=guest, vcpus=vcpus, **extra))
        for _ in range(20):
            sim.run(400)
            assert sim.audit() == "" and not sim.crashed
            assert sim.machine.log_dirty()["missing"] == 0
        guests.append(sim.machine.guest_digests())
        c = sim.counters()
        assert c["cow_breaks"] and c["exits"] and c["context_switches"] > 100
    assert all(other == guests[0] for other in guests)


def test_a_state_is_the_same_however_it_is_reached(warm):
    scenario = MANY.replace(vcpus=3, do="enable@300,clean@700")
    run, step = Simulation(scenario), Simulation(scenario)
    run.run(1001)
    step.seek(1500)
    step.seek(1001)
    assert run.machine.digest() == step.machine.digest()
    for n in (1, 2, 3):
        step.seek(1001 + n)
        run.run(1)
        assert run.machine.digest() == step.machine.digest()


def test_a_process_never_runs_on_two_vcpus():
    sim = Simulation(MANY.replace(vcpus=3, road="bare"))
    where = {}
    for t in range(1500):
        sim.step()
        for vcpu in range(3):
            switched = [e for e in sim.events() if e["kind"] == ev.CR3_LOAD and e["vcpu"] == vcpu]
            if switched:
                where.setdefault(int(switched[-1]["detail"]), set()).add(vcpu)
        assert {int(e["vcpu"]) for e in sim.events() if e["kind"] == ev.ACCESS} <= {t % 3}
    where.pop(0, None)  # every vCPU starts with the first root loaded
    assert where and all(len(vcpus) == 1 for vcpus in where.values())


@pytest.mark.parametrize("road", ["bare", "shadow", "hap"])
@pytest.mark.parametrize("guest", ["hvm64", "pae", "hvm32"])
def test_what_must_be_forgotten_is_forgotten_on_every_vcpu_with_that_root(road, guest):
    """vCPU 1 is idle but has the parent's root loaded; its TLB is given what vCPU 0 has cached, and must follow."""
    sim = Simulation(MANY.replace(road=road, guest=guest, vcpus=2, trace="", work="fork:6", write=50))
    m, seen = sim.machine, set()
    for _ in range(300):
        if m.sys[0].cr3[0] == m.sys[0].cr3[1]:
            for name in ("t1t", "t1v", "t1s", "t2t", "t2v", "t2s", "clock", "big_gen"):
                m.cpu[1][name] = m.cpu[0][name]
            shift = x86.TLB_GEN_SHIFT
            for name in ("t1t", "t2t"):
                live = m.cpu[1][name] >> shift == m.sys[0].tlb_gen[0]
                m.cpu[1][name] = np.where(live, m.cpu[1][name] & x86.VPN_MASK | m.sys[0].tlb_gen[1] << shift, ZERO)
        sim.run(1)
        assert sim.audit() == "", sim.tick
        events = sim.events()
        for kind in ("INVLPG", "FORK"):
            if (events["kind"] == ev.CODES[kind]).any():
                told = "CR3_LOAD" if kind == "FORK" else kind
                seen.add((kind, tuple(events["vcpu"][events["kind"] == ev.CODES[told]].tolist())))
    assert seen >= {("INVLPG", (0, 1)), ("INVLPG", (0,)), ("FORK", (0, 1))}


# ---- beside the slow model

steps = st.one_of(
    *[st.tuples(st.sampled_from([0, 0, 1, 2, 3]), st.integers(0, 5), st.sampled_from([READ, WRITE, WRITE]))] * 4,
    st.sampled_from([FORK, EXIT, IDLE, ("enable", None), ("clean", None), ("blow", None), ("flush", None)]),
)
shapes = st.fixed_dictionaries(
    {
        "vcpus": st.sampled_from([2, 3, 4]),
        "pool": st.sampled_from([50, 64]),
        "frames": st.sampled_from([192, 512]),
        "guest": st.sampled_from(["hvm64", "pae", "hvm32"]),
        "oos": st.sampled_from([0, 1]),
    }
)


def operation_word(step, child):
    """Process 1 is the child of process 0: the two are one program, so they share a vCPU; 2 and 3 are further programs."""
    if step == IDLE:
        return 0, Op(kind=IDLE)
    if step == FORK:
        return 0, None if child else Op(proc=0, kind=FORK)
    if step == EXIT:
        return 0, Op(proc=1, kind=EXIT)
    proc, page, kind = step
    if proc == 1 and not child:
        proc = 0
    return max(proc - 1, 0), Op(proc, 0x400 + page, kind, int(page % 4 > 0), 0) if page % 4 else Op(proc, 0x400, READ, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("road", ["bare", "shadow", "hap"])
def test_kernels_equal_the_slow_model(road):
    @settings(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck), max_examples=25)
    @given(shapes, st.lists(steps, min_size=30, max_size=70))
    def check(shape, run):
        machine, model = build(road=road, zone=96, **shape)
        for step in run:
            if isinstance(step, tuple) and isinstance(step[0], str):
                command(machine, model, *step)
            else:
                entry, op = operation_word(step, model.guest.roots[1] is not None)
                if op is None:
                    continue
                while op.kind != IDLE and model.now % shape["vcpus"] != entry % shape["vcpus"]:
                    tick(machine, model, Op(kind=IDLE))
                tick(machine, model, op)
            if model.crashed:
                assert machine.sys[0].crashed == model.crashed
                return
            assert differences(machine, model) == [], step
            assert rule_broken(machine) == ""

    check()
