"""What the proofs of the scenarios' notes read of a simulation."""

import numpy as np

from pagingviz.arch import costs, x86, xen
from pagingviz.arch import events as ev
from pagingviz.boards.pool_card import card_of
from pagingviz.boards.registry import make_plan
from pagingviz.reading import nested, shadows
from pagingviz.reading.translate import translate
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.sentences.moments import pinned
from tests.sentences.proofs_commands import only_empty_roots


class At:
    """A scenario's simulations."""

    def __init__(self, name):
        self.scenario = load(name)

    def __call__(self, tick, **fields):
        sim = Simulation(self.scenario.replace(**fields))
        sim.seek(tick)
        return sim


def moved(sim, ticks):
    """How much the counters move in the next ticks."""
    before = sim.counters()
    sim.run(ticks)
    return {name: n - before[name] for name, n in sim.counters().items()}


def entry_of(sim):
    """(pages, present, pending) by level of the nested tables."""
    return nested.counts(sim.machine)


def walk(sim, kind=1):
    """The walk of the last access."""
    access = sim.events()[sim.events()["kind"] == ev.ACCESS][-1]
    gva = int(access["gva"])
    return translate(sim.machine, 0, gva, kind, int(gva < sim.scenario.direct_map_base))


def split_pages(sim, limit=100_000):
    """Pages that the next split of a superpage takes in all."""
    assert sim.run_to_event("P2M_SPLIT", limit)
    return int(sim.events()["detail"][sim.events()["kind"] == ev.P2M_SPLIT].sum())


def same_guest(one, two):
    """Whether two machines show the same guest."""
    return one.machine.guest_digests() == two.machine.guest_digests()


class _View:
    def __init__(self, sim):
        self.m = sim.machine
        self.live = lambda: [int(p) for p in np.flatnonzero((self.m.view("ptype") >= 1) & (self.m.view("ptype") <= 12))]


def empty_roots(sim):
    """Whether the loaded roots are the only shadows, and empty."""
    return only_empty_roots(_View(sim))


def storms(at):
    """Shadow faults of each 200 ticks after the blow."""
    sim = at(60_000)
    return [moved(sim, 200)["shadow_fault"] for _ in range(6)]


def pages_of(sim, kind):
    """Pool pages that one shadow of a type takes."""
    head = np.flatnonzero(sim.machine.view("ptype") == kind)
    return len(shadows.chain(sim.machine, int(head[0]))) if head.size else 0


def writable_tables(sim):
    """Frames with a shadow that is in sync, and mapped writable by a shadow."""
    return np.count_nonzero(shadows.shadowed_tables(sim.machine) & ~shadows.out_of_sync(sim.machine) & written(sim.machine))


def written(machine):
    """Frames that a present level-1 shadow entry maps writable."""
    pool, kind = machine.view("pool").reshape(-1, 512), machine.view("ptype")
    l1 = pool[xen.SH_LEVEL[kind[shadows.head_pages(machine, kind.size)].astype(np.intp)] == 1]
    mfn = (l1[l1 & (x86.P | x86.RW) == x86.P | x86.RW] & x86.FRAME_MASK) >> x86.PAGE_BITS
    out = np.zeros(machine.view("info").size, bool)
    out[machine.view("m2p")[(mfn - xen.RAM_BASE).astype(np.intp)].astype(np.intp)] = True
    return out


def back_again(at):
    sim = at(2796)
    digest = sim.machine.digest()
    sim.seek(2800)
    sim.seek(2796)
    return sim.machine.digest() == digest


def recycles(at):
    with_log, without = at(2796).counters(), at(2796, do="").counters()
    return with_log["shadow_prealloc_1"] > without["shadow_prealloc_1"]


def new_memory(at):
    sim = at(2799)
    more = moved(sim, 200)
    return more["cleans"] == 1 and more["guest_faults"] > 10 and more["pte_stores"] > 10 and sim.machine.sys[0].dirty_count > 10


def hypercalls_only(at):
    c = at(2999).counters()
    changes = c["num_page_updates"] + c["calls_to_update_va"] + c["ptwr_emulations"]
    return c["pte_stores"] <= changes and not shadows.in_use(at(2999).machine)


def never_both(at):
    info = at(2999).machine.view("info")
    kinds = (info & xen.PGT_TYPE) >> xen.PGT_SHIFT
    return {int(kind) for kind in np.unique(kinds)} <= {0, 1, 2, 3, 4, int(xen.PGT_WRITABLE)}


def ticks_of(sim, kind):
    """The tick of the last event of a kind."""
    return int(sim.machine.sys[0].last_tick[int(ev.CODES[kind])])


def forked(sim):
    """What the counters do in the next tick with a fork."""
    assert sim.run_to_event("FORK", 5000)
    sim.seek(sim.tick - 1)
    return moved(sim, 1)


def emulated(sim):
    """Stores that are emulated at the next fork."""
    return _emulated(forked(sim))


def emulations(sim):
    """Stores that have been emulated so far."""
    return _emulated(sim.counters())


def _emulated(counters):
    return counters["shadow_fault_emulate_write"] + counters["shadow_fault_fast_emulate"]


def halted(sim):
    """Whether some tick changes nothing but the time."""
    sim.seek(sim.tick // 160 * 160 + 60)  # the fourth of eight slices: the first is the program's
    before = sim.machine.guest_digests()
    sim.seek(sim.tick + 10)
    return before == sim.machine.guest_digests()


def destroyed(sim):
    """Shadows that the next tick destroys."""
    sim.seek(sim.tick + 1)
    return int(np.count_nonzero(sim.events()["kind"] == ev.DEMOTE))


def shadows_of(sim):
    """Pages of the pool in use."""
    return shadows.pool_size(sim.machine) - int(sim.machine.sys[0].free_pages)


def unpinned_is_the_oldest(sim):
    """The next root that is unpinned is the last of the list."""
    assert sim.run_to_event("PREALLOC_UNPIN", 5000)
    e = sim.events()
    gfn = int(e["gfn"][e["kind"] == ev.PREALLOC_UNPIN][0])
    sim.seek(sim.tick - 1)
    return pinned(sim.machine)[-1] == gfn


def share(sim):
    """Share of the guest's tables that have a shadow."""
    live = sim.machine.live_tables()
    return float(shadows.shadowed_tables(sim.machine)[live].mean())


def ended(sim):
    """How the walk of the address ends now."""
    pages = sim.work.processes[0].pages
    return translate(sim.machine, 0, int(pages[0]) << 12, 1, 1).end.name


def exits(counters):
    """VM exits among the counters, of any cause that has a price."""
    return sum(counters[counter] for _, counter, _ in costs.CAUSES)


def shadow_is_faster(shadow, ept):
    """Of two stretches of the same work: no exit, most accesses miss the TLB, a walk reads 1 entry, and behind EPT 2."""
    return (
        not exits(shadow) + exits(ept)
        and shadow["tlb_miss"] == ept["tlb_miss"] > shadow["ops"] / 2
        and (shadow["walk_refs"], ept["walk_refs"]) == (shadow["walks"], 2 * ept["walks"])
    )


def shadow_pages(sim):
    """Pages of the pool that shadows take."""
    kind = sim.machine.view("ptype")
    heads = np.flatnonzero((kind >= xen.SH_L1_32) & (kind <= xen.SH_L4))
    return sum(len(shadows.chain(sim.machine, int(head))) for head in heads)


def card_of_the_root(sim):
    """The rows of the card of the page that the processor walks from."""
    (root,) = shadows.loaded_by(sim.machine)
    return dict(card_of(sim, make_plan("shadow-pool", sim.scenario, sim.work), root).rows)


def resynced_by_a_switch(sim):
    """The first CR3 load that meets tables out of sync brings back all of them."""
    for _ in range(50):
        assert sim.run_to_event("CR3_LOAD", 5000)
        here = sim.tick
        sim.seek(here - 1)
        stale = set(np.flatnonzero(shadows.out_of_sync(sim.machine)).tolist())
        sim.seek(here)
        if stale:
            e = sim.events()
            return stale <= set(e["gfn"][e["kind"] == ev.RESYNC_FULL].tolist())
    return False


def stored_to_tables(sim):
    """Whether the kernel may store to every page table of the guest through its direct map."""
    base = sim.scenario.direct_map_base
    return {translate(sim.machine, 0, base + (int(gfn) << 12), 2, 0).end.kind for gfn in sim.machine.live_tables()} == {"frame"}


def made_when_touched(sim, ticks):
    """Whether shadows were made in these ticks, and only in those with a page fault or a load of CR3."""
    made = 0
    for _ in range(ticks):
        sim.seek(sim.tick + 1)
        kinds = sim.events()["kind"].tolist()
        if ev.PROMOTE in kinds:
            made += 1
            if not {int(ev.SHADOW_FAULT), int(ev.CR3_LOAD)} & set(kinds):
                return False
    return made > 0


def out_of_sync_until_a_switch(sim):
    """While L1 tables are out of sync the kernel may store to them, and up to three are at a time; a CR3 load leaves none."""
    base, most, switches, stale = sim.scenario.direct_map_base, 0, 0, []
    for _ in range(400):
        sim.seek(sim.tick + 1)
        before, stale = stale, np.flatnonzero(shadows.out_of_sync(sim.machine)).tolist()
        e = sim.events()
        if ev.CR3_LOAD in e["kind"]:
            switches += 1
            if set(before) & set(stale) - set(e["gfn"][e["kind"] == ev.UNSYNC].tolist()):
                return False
        stored = [translate(sim.machine, 0, base + (gfn << 12), 2, 0).end.kind for gfn in stale]
        if len(stale) > 3 or set(stored) - {"frame"}:
            return False
        most = max(most, len(stale))
    return most > 1 and switches > 2


def both_change(sim):
    """At the next load of CR3 the guest names another root, and the processor walks another page."""
    assert sim.run_to_event("CR3_LOAD", 100)
    here = sim.tick
    now = int(sim.machine.sys[0].cr3[0]), shadows.loaded_by(sim.machine)
    sim.seek(here - 1)
    before = int(sim.machine.sys[0].cr3[0]), shadows.loaded_by(sim.machine)
    return now[0] != before[0] and now[1] != before[1]


def round_of(at):
    """Ticks from the second CLEAN of a scenario to the third."""
    sim, ticks = at(0), []
    for _ in range(3):
        assert sim.run_to_event("CLEAN", 10_000)
        ticks.append(sim.tick)
    return ticks[2] - ticks[1]
