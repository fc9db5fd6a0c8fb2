"""One address resolved reference by reference: always what the hardware's own walk does, and the machine is not touched."""

import random
from types import SimpleNamespace

import numpy as np
import pytest

from pagingviz.arch import events as ev
from pagingviz.arch import x86
from pagingviz.arch.cores import HAPS
from pagingviz.arch.words import ZERO, U
from pagingviz.boards import translate_words as words
from pagingviz.boards.palette import CACHED, FILL_MASK
from pagingviz.boards.registry import REGISTRY, make_plan
from pagingviz.boards.scene import Scene, Walks
from pagingviz.core import access
from pagingviz.core.build.jit import from_python
from pagingviz.core.nested import walk
from pagingviz.core.shadow import faults
from pagingviz.core.walk import page_walk
from pagingviz.reading.caches import tlb_entry
from pagingviz.reading.shadows import in_use
from pagingviz.reading.translate import translate
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.core.agree_raw import Pair
from tests.core.raw_drawn import SWITCHES, USUAL, drawn
from tests.core.rawgen import random_guest

EXITS = {
    int(x86.X_NPF): "NPF",
    int(x86.X_VIOLATION): "EPT violation",
    int(x86.X_MISCONFIG): "EPT misconfiguration",
    int(x86.X_PML_FULL): "page-modification log full",
}


def copied(machine):
    """(sys, cpu, mem) of a machine, for kernels to change."""
    return machine.sys.copy(), machine.cpu.copy(), machine.mem.copy()


def by_hardware(machine, vcpu, gva, kind, user):
    """What the kernels say of the access on a copy: (kind of end, ...)."""
    sys, cpu, a = copied(machine)
    s, c = sys[0], cpu[vcpu]
    args = U(gva), U(kind), U(user)
    if not from_python(page_walk.canonical)(args[0]):
        return ("gp",)
    if in_use(machine):
        leaf = from_python(faults.hardware_walk)(s, c, a, *args)
        if leaf:
            return "frame", int(from_python(page_walk.frame)(U(leaf)))
        code, guest = int(cpu[vcpu].hw_err), int(from_python(page_walk.walk)(s, c, a, *args))
        return "exit", "shadow page fault", code, ("fault", guest & 0xFFF) if guest else ("frame", int(cpu[vcpu].w_leaf))
    if machine.scenario.road != "hap":
        err = int(from_python(page_walk.walk)(s, c, a, *args))
        gfn = int(cpu[vcpu].w_leaf)
        return ("fault", err & 0xFFF) if err else ("frame", host(machine, gfn))
    r = from_python(walk.attempt)(s, c, a, *args)
    c = cpu[vcpu]
    if r == x86.VM_EXIT:
        known = int(c.x_kind) != x86.X_PML_FULL
        return "exit", EXITS[int(c.x_kind)], int(c.x_info) if known else 0, int(c.x_gpa)
    return ("fault", int(r) & 0xFFF) if r else ("frame", int(c.n_frame))


def host(machine, gfn):
    return int(machine.view("p2m")[gfn]) if gfn < machine.scenario.frames else gfn


def as_written(w):
    """A Walk's end in the same words."""
    end = w.end
    if end.kind == "frame":
        return "frame", end.frame
    if end.kind == "exit" and w.guest is not None:
        return "exit", end.name, end.code, ("fault", w.guest.code) if w.guest.kind == "fault" else ("frame", w.guest.gfn)
    return {"fault": ("fault", end.code), "gp": ("gp",), "exit": ("exit", end.name, end.code, end.gpa)}[end.kind]


def expected_references(w, machine, vcpu):
    """The closed form: what a finished walk has to read, from the levels of the leaves that it met."""
    levels = int(machine.cpu[vcpu].levels)
    if in_use(machine):
        return 4 if levels == 4 else 2
    memory = 0 if not machine.sys[0].cr & x86.CR_PG else min(levels, 4 if levels == 4 else 2)
    g = memory - (w.size - 1) if memory else 0
    if machine.scenario.road != "hap":
        return g
    h = {
        column: 5 - ref.level
        for ref in w.references
        if ref.dimension == "nested" and ref.leads == "leaf"
        for column in [ref.column]
    }
    return sum(h.values()) + g


def check(machine, vcpu, gva, kind, user):
    """Compare one access; returns the Walk."""
    before = [part.copy() for part in (machine.sys, machine.cpu, machine.mem)]
    w = translate(machine, vcpu, gva, kind, user)
    after = machine.sys, machine.cpu, machine.mem
    assert all(was.tobytes() == part.tobytes() for was, part in zip(before, after, strict=True)), "looking changes nothing"
    assert as_written(w) == by_hardware(machine, vcpu, gva, kind, user), (machine.scenario.road, hex(gva), kind, user, w.end)
    assert [ref.number for ref in w.references] == list(range(1, len(w.references) + 1))
    if w.end.kind == "frame":
        assert len(w.references) == expected_references(w, machine, vcpu) == w.end.at
        assert (w.rights, len(w.references) - w.cached) == by_access(machine, vcpu, gva, kind, user)
    else:
        assert w.end.at <= len(w.references) and w.rights == 0
    texts = [words.reference(w, ref)[0] for ref in w.references] + [words.then(w)[0], words.ending(w) + "."]
    assert all(text.endswith(".") and "\n" not in text and "None" not in text for text in texts), texts
    return w


def by_access(machine, vcpu, gva, kind, user):
    """(TLB rights, references made) that the access itself leaves when only the TLB is empty."""
    sys, cpu, a = copied(machine)
    sys[0].tlb_gen[vcpu] += 1
    r = from_python(access.access_by_address)(sys[0], cpu[vcpu], a, U(gva), U(kind), U(user), ZERO, ZERO)
    assert r == 0
    entry = tlb_entry(SimpleNamespace(sys=sys.view(np.recarray), cpu=cpu.view(np.recarray)), vcpu, gva)
    return entry.rights, int(sys[0].walk_refs) - int(machine.sys[0].walk_refs)


# ---- guests of every kind, at odd moments


ROADS = [("bare", "ept"), ("shadow", "ept"), ("hap", "ept"), ("hap", "npt")]


def raw_guest(r, road, hap, number):
    """(Pair of a drawn guest, its rows, its journal); the model beside it only tells when it would loop for ever."""
    shape, guest, seed, cr, big, journal = drawn(r, x86.GUESTS, SWITCHES if number % 4 else [USUAL])
    big &= road != "bare"  # the model of the bare road keeps no memory beyond the guest's
    shape |= {
        "guest": guest,
        "frames": 1100 if big else 160,
        "pool": shape["pool"] + shape["vcpus"] * 11,
        "road": road,
        "hap": hap,
        "pml": int(hap == "ept" and r.random() < 0.4),
        "superpages": int(big),
    }
    g = random_guest(seed, guest, shape["frames"], 40, shape["vcpus"], 60, cr, big, False, road == "shadow")
    return Pair(tables=g.tables, cr3=g.cr3, program=g.program, zone=40, cr=cr, **shape), g.program, journal


@pytest.mark.slow
@pytest.mark.parametrize("road, hap", ROADS)
def test_any_address_of_any_guest_is_resolved_as_the_kernels_do(warm, road, hap):
    seen = set()
    for number in range(20 if road == "bare" else 9):
        r = random.Random(f"{road}{hap}{number}")
        pair, rows, journal = raw_guest(r, road, hap, number)
        m = pair.machine
        for t in range(len(rows)):
            pair.step()
            if pair.over:
                break
            if t % 10 != 9:
                continue
            if journal and road != "bare":
                pair.command(*r.choice(journal)[1])
            for _ in range(8):
                va = r.choice(rows).va ^ (r.choice([0, 0, 0, 1 << 21, 1 << 30]) if m.sys[0].guest_levels == 4 else 0)
                w = check(m, r.randrange(int(m.sys[0].vcpus)), va, r.randrange(3), r.randrange(2))
                seen |= {w.end.kind, w.end.name, len(w.references), *(ref.leads for ref in w.references)}
    assert {"frame", "table", "leaf", "hole"} <= seen
    if road != "shadow":
        assert {"#PF", "bad"} <= seen
    if (road, hap) == ("hap", "ept"):
        assert {"EPT violation", "EPT misconfiguration", 24} <= seen, seen
    if (road, hap) == ("hap", "npt"):
        assert {"NPF", 24, 14} <= seen, seen
    if road == "shadow":
        assert {"shadow page fault", 2, 4} <= seen


@pytest.mark.parametrize("pml", [0, 1])
def test_accessed_and_dirty_bits_are_stores_that_may_exit_or_fill_the_log(warm, pml):
    sim = Simulation(load("rounds").replace(pml=pml, work="", trace="matmul", order="", clean_every=300, superpages=0))
    m, r, seen = sim.machine, random.Random(pml), set()
    for tick in range(4010, 4700, 90):
        sim.seek(tick)
        for left in (600, 1, 0) if pml else (600,):
            index = m.sys[0].pml_index[0]
            m.sys[0].pml_index[0] = (left - 1) % 2**64 if left < 512 else index
            for _ in range(6):
                w = check(m, 0, int(r.choice(sim.work.processes[0].pages)) << 12, r.choice([1, 2]), 1)
                seen |= {(w.end.name, w.end.update)}
            m.sys[0].pml_index[0] = index
    assert not pml or ("page-modification log full", False) in seen
    # the guest's D is clear, and the frame of its table may not be written: the update exits, not the walk
    event = sim.events()[sim.events()["kind"] == ev.ACCESS][-1]
    w = check(m, 0, int(event["gva"]), x86.READ, 1)
    leaf = next(ref for ref in w.references if ref.dimension == "guest" and ref.level == 1)
    nest = next(ref for ref in w.references if (ref.dimension, ref.column, ref.level) == ("nested", 1, 1))
    m.view("tables")[leaf.gfn * 512 + leaf.index] = U(leaf.entry) & ~x86.D | x86.RW
    m.view("pool")[nest.frame * 512 + nest.index] &= ~(x86.EPT_W | x86.EPT_D)
    w = check(m, 0, int(event["gva"]), x86.WRITE, 1)
    assert (w.end.kind, w.end.update, w.end.at) == ("exit", not pml, nest.number if pml else leaf.number)


@pytest.mark.parametrize("hap", HAPS)
def test_nested_tables_full_of_oddities(warm, hap):
    """Entries on the way of an address are scrambled bit by bit, and made leaves of 2 MiB and 1 GiB."""
    sim = Simulation(load("rounds").replace(hap=hap))
    sim.seek(4100)
    m, r = sim.machine, random.Random(7)
    event = sim.events()[sim.events()["kind"] == ev.ACCESS][-1]
    gva, seen = int(event["gva"]), set()
    plain = translate(m, 0, gva, x86.READ, 1)
    places = [m.sys[0].o_pool + ref.frame * 512 + ref.index for ref in plain.references if ref.dimension == "nested"]
    for _ in range(150):
        at = int(r.choice(places))
        old = m.mem[at]
        bits = {*range(12), 40, 51, 63} - ({7} if old & x86.PSE else set())  # a table's frame stays: the kernels trust it
        for bit in r.sample(sorted(bits), r.choice([1, 1, 2])):
            m.mem[at] ^= U(1 << bit)
        w = check(m, 0, gva, r.randrange(3), r.randrange(2))
        seen |= {w.end.kind, len(w.references)}
        m.mem[at] = old
    assert {"frame", "exit"} <= seen and len(seen) > 10


def test_closed_forms_of_the_two_dimensional_walk(warm):
    """(g+1)(h+1)-1 references: 24 with 4 KiB on both sides, 15 with 2 MiB on both, 8 with 1 GiB; 19 for a 2 MiB guest page."""
    found = {}
    for pages, superpages in (("4k", 0), ("large", 0), ("large", 1)):
        sim = Simulation(
            load("blackboard").replace(road="hap", frames=1024, direct_map_pages=pages, superpages=superpages, exec_sp=1)
        )
        sim.seek(50)
        gva = sim.scenario.direct_map_base + (1 << 21) * superpages
        found[pages, superpages] = len(check(sim.machine, 0, gva, x86.READ, 0).references)
    assert found["4k", 0] == 24 and found["large", 0] == 19
    # all of the guest, its tables too, in one 2 MiB leaf, then in one 1 GiB leaf
    m, pool = sim.machine, sim.machine.view("pool").reshape(-1, 512)
    assert found["large", 1] == 15
    l3 = int(pool[int(m.sys[0].hap_root), 0] & x86.FRAME_MASK) >> 12
    pool[l3, 0] = U(1 << 30) | x86.EPT_RWX | x86.EPT_WB | x86.EPT_SP
    assert len(check(m, 0, gva, x86.READ, 0).references) == 3 * 3 + 2
    s = m.sys[0]
    kernel = m.view("tables").reshape(-1, 512)[0]
    kernel[sim.scenario.direct_map_base >> 30 & 511] = x86.P | x86.RW | x86.A | x86.D | x86.PSE  # the guest's own 1 GiB page
    assert s.gib_leaves and len(check(m, 0, gva, x86.READ, 0).references) == 8


@pytest.mark.parametrize("guest, flat, deep", [("hvm64", 4, 24), ("pae", 2, 14), ("hvm32", 2, 14)])
def test_all_roads_end_in_the_same_guest_frame(warm, guest, flat, deep):
    base = load("blackboard").replace(guest=guest, do="", clean_every=0)
    walks = {}
    for road, hap in ROADS:
        sim = Simulation(base.replace(road=road, hap=hap))
        sim.seek(700)
        event = sim.events()[sim.events()["kind"] == ev.ACCESS][-1]
        walks[road, hap] = check(sim.machine, 0, int(event["gva"]), int(event["detail"]) & 3, 1)
    assert len({w.end.gfn for w in walks.values()}) == 1 and {w.end.kind for w in walks.values()} == {"frame"}
    assert [len(w.references) for w in walks.values()] == [flat, flat, deep, deep]


@pytest.mark.parametrize("tick", [2000, 3100, 9100])
def test_a_pv_guest_is_walked_by_its_own_tables_or_by_the_shadows_it_borrows(warm, tick):
    sim = Simulation(load("borrowed"))
    sim.seek(tick)
    m, r = sim.machine, random.Random(tick)
    ends = set()
    for _ in range(60):
        process = sim.work.processes[int(m.sys[0].cur[0])]
        w = check(m, 0, int(r.choice(process.pages)) << 12, r.randrange(3), 1)
        ends.add(w.end.kind)
        assert {ref.dimension for ref in w.references} <= {"shadow" if in_use(m) else "guest"}
    assert "frame" in ends and len(ends) > 1
    kernel = sim.scenario.direct_map_base + (5 << 12)
    assert translate(m, 0, kernel, x86.READ, 0).end.kind in ("frame", "exit"), "the kernel has a root of its own"


def test_the_tlb_is_read_without_being_used(warm):
    sim = Simulation(load("blackboard"))
    sim.seek(600)
    event = sim.events()[sim.events()["kind"] == ev.ACCESS][-1]
    gva = int(event["gva"])
    before = sim.machine.digest()
    entry = tlb_entry(sim.machine, 0, gva)
    w = translate(sim.machine, 0, gva, int(event["detail"]) & 3, 1)
    assert (entry.level, entry.gfn, entry.rights) == (1, w.end.gfn, w.rights) and sim.machine.digest() == before
    assert w.cached == 3, "the PDE cache knows the L1 table: one reference of four is made"
    first, levels = len(sim.work.processes[0].pages), set()
    for page in sim.work.processes[0].pages:
        found = tlb_entry(sim.machine, 0, int(page) << 12)
        levels.add(found.level if found else 0)
    assert first > 64 and {0, 1} <= levels
    sim.command("flush")
    assert tlb_entry(sim.machine, 0, gva) is None


def test_what_caches_hold_is_no_reference_to_memory(warm):
    """Greyed are just the references that the engine does not make when it walks now, with full caches and with empty ones."""
    sim, saved = Simulation(load("two-dimensions")), set()
    for tick in (280, 281, 282, 290):
        sim.seek(tick)
        event = sim.events()[sim.events()["kind"] == ev.ACCESS][-1]
        gva = int(event["gva"])
        for emptied in (False, True):
            if emptied:
                sim.command("flush")
            page_walk = translate(sim.machine, 0, gva, x86.READ, 1)
            assert len(page_walk.references) == 24 == page_walk.cached + by_access(sim.machine, 0, gva, x86.READ, 1)[1]
            board, scene = "translation-ept", Scene(sim, Walks({"translation-ept": page_walk}, 24, "translation-ept"))
            grid = REGISTRY[board].cells(scene, make_plan(board, sim.scenario, sim.work))
            assert int((grid & FILL_MASK == CACHED).sum()) == page_walk.cached
            saved.add((emptied, page_walk.cached))
    assert {n for emptied, n in saved if emptied} == {12}, "the nested PDE cache serves the other translations of one cold walk"
    assert max(n for emptied, n in saved if not emptied) > 20
    sim.seek(300)  # ENABLE has poisoned the root, and flushed
    page_walk = translate(sim.machine, 0, gva, x86.READ, 1)
    assert (page_walk.end.name, len(page_walk.references), page_walk.cached) == ("EPT misconfiguration", 1, 0)
