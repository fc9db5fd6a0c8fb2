"""Least recently used, twice: the TLB against an independent set-associative LRU, the pinned list against the CR3 loads."""

from collections import OrderedDict

import numpy as np
import pytest

from pagingviz.arch import events as ev
from pagingviz.arch import operation, x86, xen
from pagingviz.arch.words import NONE, U
from pagingviz.core.build.jit import from_python
from pagingviz.core.walk import tlb
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.core.agree import _chain


class Lru:
    """`sets` x `ways` true LRU over page numbers; shares nothing with the engine or the slow model."""

    def __init__(self, sets, ways):
        self.sets, self.ways = [OrderedDict() for _ in range(sets)], ways

    def hit(self, vpn):
        """Whether the page is there; if so it is now the most recent."""
        found = vpn in self.sets[vpn % len(self.sets)]
        if found:
            self.sets[vpn % len(self.sets)].move_to_end(vpn)
        return found

    def fill(self, vpn):
        ways = self.sets[vpn % len(self.sets)]
        ways[vpn] = True
        ways.move_to_end(vpn)
        if len(ways) > self.ways:
            ways.popitem(last=False)


def expected(vpns, procs):
    """(L1 hits, L2 hits, misses) of these accesses, starting empty; another process means another CR3, hence a flush."""
    counts, now = [0, 0, 0], None
    for vpn, proc in zip(vpns, procs, strict=True):
        if proc != now:
            first, second, now = Lru(16, 4), Lru(128, 12), proc
        if first.hit(vpn):
            counts[0] += 1
            continue
        if second.hit(vpn):
            counts[1] += 1
        else:
            counts[2] += 1
            second.fill(vpn)
        first.fill(vpn)
    return counts


CASES = {  # fields, and the ticks after which nothing is new any more: all pages mapped, all A and D bits set
    "sqlite, second lap": ({"trace": "sqlite", "work": "", "quantum": 10**6}, 6_500_000),
    "zipf": ({"trace": "", "work": "zipf:4000:0.50", "quantum": 10**6, "write": 50}, 2_000_000),
    "zipf, two processes": ({"trace": "", "work": "zipf:2000:0.50,uniform:500", "quantum": 3000, "write": 50}, 2_000_000),
    "a page more than fits": ({"trace": "", "work": "sequential:1537:1", "quantum": 10**6, "write": 0}, 10_000),
}


@pytest.mark.parametrize("case", CASES)
def test_tlb_counts_equal_an_independent_lru(case):
    fields, start = CASES[case]
    n = 200_000
    sim = Simulation(load("blackboard").replace(**fields, road="bare", frames=16384, order="", do="", clean_every=0))
    sim.run(start)
    sim.command("flush")
    before = sim.counters()
    op, credit = np.empty(n, np.uint64), np.empty(n, np.uint32)
    sim.work.fill(op, credit, start)
    sim.run(n)
    moved = {name: value - before[name] for name, value in sim.counters().items()}
    assert moved["guest_faults"] == moved["ad_updates"] == 0, "the case is not warm"
    procs = (op >> operation.OP_PROC_SHIFT & operation.OP_PROC_MASK).tolist()
    want = expected((op >> operation.OP_VPN_SHIFT).tolist(), procs)
    assert [moved[name] for name in ("tlb_l1_hit", "tlb_l2_hit", "tlb_miss")] == want
    assert min(want[0] + want[1], want[2]) > 0


@pytest.mark.parametrize("pool", [24, 64])
def test_the_pinned_list_is_the_order_of_cr3_loads(pool):
    """Rule S 23: head = most recently loaded root, the victim of a recycling is always the tail."""
    works = ",".join(["hotcold:8:2:90"] * 6)
    sim = Simulation(
        load("blackboard").replace(
            trace="", work=works, quantum=5, order="0,1,0,2,3,1,4,0,5", frames=1024, pool=pool, shopt=495, do="", clean_every=0
        )
    )
    m, loads, recycled = sim.machine, [0], 0
    for _ in range(400):
        pinned = _chain(m, m.sys[0].pin_head, "pnext")
        sim.step()
        if (cur := int(m.sys[0].cur[0])) != loads[0]:
            loads = [cur, *(p for p in loads if p != cur)]
        events = sim.events()
        victims = events["mfn"][events["kind"] == ev.PREALLOC_UNPIN].tolist()
        oldest = [page for page in pinned[::-1] if page != m.sys[0].root[0]]  # a load moves its root to the head first
        assert victims == [*oldest, int(m.sys[0].root[0])][: len(victims)]
        recycled += len(victims)
        roots = {int(g): p for p, g in enumerate(m.view("roots")[:6]) if g != NONE}
        m2p = m.view("m2p")
        here = _chain(m, m.sys[0].pin_head, "pnext")
        order = [roots[int(m2p[int(m.view("pkey")[page] - xen.RAM_BASE)])] for page in here]
        assert order == [p for p in loads if p in order] and (recycled or order == loads)
    assert (recycled > 0) == (pool == 24)


def test_generations_start_again_without_changing_what_the_tlb_holds(warm):
    sim = Simulation(load("blackboard"))
    sim.run(1990)
    s, c = sim.machine.sys[0], sim.machine.cpu[0]
    live = s.tlb_gen[0]
    before = [(tags & x86.VPN_MASK)[tags >> x86.TLB_GEN_SHIFT == live].tolist() for tags in (c.t1t, c.t2t)]
    for tags in (c.t1t, c.t2t):
        tags[tags >> x86.TLB_GEN_SHIFT == live] += U(1 << 27) << x86.TLB_GEN_SHIFT
    s.tlb_gen[0] = live + U(1 << 27)
    from_python(tlb.renew)(s, c)
    assert s.tlb_gen[0] == 1
    for tags, want in zip((c.t1t, c.t2t), before, strict=True):
        valid = tags >> x86.TLB_GEN_SHIFT == 1
        assert (tags & x86.VPN_MASK)[valid].tolist() == want and want
        assert not tags[~valid].any()
    assert sim.audit() == ""
