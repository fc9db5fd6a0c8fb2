"""The statements of the answer about two translations and one, by id, on the engine's own state in their scenarios."""

import numpy as np
import pytest

from pagingviz.arch import x86, xen
from pagingviz.reading.caches import tlb_entry
from pagingviz.reading.translate import translate
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation

P, RW, D, FRAME = (int(bits) for bits in (x86.P, x86.RW, x86.D, x86.FRAME_MASK))


def start(name, tick, **fields):
    sim = Simulation(load(name).replace(**fields))
    sim.seek(tick)
    return sim


def guest_leaf(sim, gva):
    """The guest's L1 entry of an address, read straight from its memory; 0 when a level is missing."""
    tables, tab = sim.machine.view("tables").reshape(-1, 512), int(sim.machine.sys[0].cr3[0])
    for level in (4, 3, 2, 1):
        e = int(tables[tab, gva >> 12 + 9 * (level - 1) & 511])
        if not e & P:
            return 0
        tab = (e & FRAME) >> 12
    return e


def touched(sim):
    """{gva: the guest's leaf} of the running program's pages that are mapped."""
    pages = [int(page) << 12 for page in sim.work.processes[0].pages]
    return {gva: leaf for gva in pages if (leaf := guest_leaf(sim, gva))}


@pytest.mark.parametrize("hap", ["ept", "npt"])
def test_c1_hap_keeps_the_translations_apart_and_the_tlb_holds_their_product(hap):
    sim = start("two-dimensions", 280, hap=hap)
    m, mapped = sim.machine, touched(sim)
    assert len(mapped) > 10
    for gva, leaf in mapped.items():
        gfn = (leaf & FRAME) >> 12
        walk = translate(m, 0, gva, x86.READ, 1)
        assert gfn < sim.scenario.frames and walk.end.gfn == gfn, "the guest's tables know guest frames only"
        assert walk.end.frame == int(m.view("p2m")[gfn]) >= int(xen.RAM_BASE), "the nested ones lead to the machine's"
        assert [ref.dimension for ref in walk.references] == (["nested"] * 4 + ["guest"]) * 4 + ["nested"] * 4
        assert {ref.gfn for ref in walk.references if ref.column == 0} == {gfn}
    held = [gva for gva in mapped if tlb_entry(m, 0, gva)]
    assert held
    for gva in held:
        assert int(m.view("p2m")[tlb_entry(m, 0, gva).gfn]) == translate(m, 0, gva, x86.READ, 1).end.frame
    # its rights are those of both: a page that the guest may write, and has written, is not writable while its leaf logs
    narrowed = 0
    for tick in range(300, 420):
        sim.seek(tick)
        for gva, leaf in touched(sim).items():
            entry = tlb_entry(m, 0, gva)
            if entry and leaf & RW and leaf & D and entry.gfn == (leaf & FRAME) >> 12 and not entry.rights & int(x86.TLB_W):
                assert not m.dirty_bits()[entry.gfn]
                narrowed += 1
    assert narrowed > 0


def test_c1_larger_pages_on_the_nested_side_shorten_every_column():
    sim = start("two-dimensions", 280, superpages=1, frames=1024, exec_sp=1)
    walks = [translate(sim.machine, 0, gva, x86.READ, 1) for gva in touched(sim)]
    assert {len(walk.references) for walk in walks} == {4 * (3 + 1) + 3} == {19}


def test_c2_shadows_combine_both_beforehand_and_the_same_address_takes_four_references():
    sims = {road: start("combined", 690, road=road) for road in ("bare", "shadow", "hap")}
    mapped, together = touched(sims["shadow"]), 0
    m = sims["shadow"].machine
    for gva, leaf in mapped.items():
        walks = {road: translate(sim.machine, 0, gva, x86.READ, 1) for road, sim in sims.items()}
        if {walk.end.kind for walk in walks.values()} != {"frame"}:
            continue
        together += 1
        assert {walk.end.gfn for walk in walks.values()} == {(leaf & FRAME) >> 12}, "the guest is the same"
        assert [len(walks[road].references) for road in sims] == [4, 4, 24]
        assert walks["shadow"].end.frame == walks["hap"].end.frame
        last = walks["shadow"].references[-1]
        entry = int(m.view("pool")[last.frame * 512 + last.index])
        assert (entry & FRAME) >> 12 == int(m.view("p2m")[(leaf & FRAME) >> 12]), "gva to mfn in one entry of the pool"
    assert together > 8


def test_c2_what_a_blow_takes_away_must_be_combined_again():
    sim = start("combined", 699)
    gva = next(gva for gva in touched(sim) if translate(sim.machine, 0, gva, x86.READ, 1).end.kind == "frame")
    sim.seek(700)
    for gva, leaf in touched(sim).items():
        walk = translate(sim.machine, 0, gva, x86.READ, 1)
        assert (walk.end.kind, walk.end.name, len(walk.references)) == ("exit", "shadow page fault", 1)
        assert walk.guest.gfn == (leaf & FRAME) >> 12, "the guest's own tables hold all the truth"
    before = sim.counters()["shadow_fault"]
    sim.seek(760)
    again = [gva for gva in touched(sim) if translate(sim.machine, 0, gva, x86.READ, 1).end.kind == "frame"]
    assert 0 < len(again) < len(touched(sim)) and sim.counters()["shadow_fault"] > before
    assert all(np.size(translate(sim.machine, 0, gva, x86.READ, 1).references) == 4 for gva in again)
