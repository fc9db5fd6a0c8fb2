"""References of a walk with and without what the paging-structure caches and the nested TLB hold, reckoned by hand.

That they agree with the slow model in every entry, access by access, is in test_agree; here are the numbers of the manuals.
"""

import pytest

from pagingviz.arch import x86
from pagingviz.arch.cores import CORES
from pagingviz.scenario.fields import ScenarioError
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.core.raw import BASE, FRAME, Raw


def refs(moved):
    """References of the one walk of an operation."""
    assert moved["walks"] == 1
    return moved["walk_refs"]


def test_a_walk_of_four_levels_makes_four_references_and_one_when_the_table_is_known():
    r = Raw(road="bare")
    assert refs(r.read(BASE)) == 4
    assert refs(r.read(BASE + FRAME)) == 1, "the PDE cache knows the L1 table"
    r.invlpg(BASE + 7 * FRAME)
    assert refs(r.read(BASE + 2 * FRAME)) == 4, "INVLPG of any address drops every paging-structure entry (SDM 4.10.4.1)"
    assert refs(r.read(BASE + 3 * FRAME)) == 1
    r.cr3(1)
    assert refs(r.read(BASE)) == 4
    assert "walks" not in r.read(BASE), "a hit of the TLB walks nothing"


@pytest.mark.parametrize("levels", [2, 3])
def test_two_levels_are_in_memory_of_a_32_bit_guest(levels):
    """PAE's third is in registers."""
    r = Raw(levels, road="bare", guest={2: "hvm32", 3: "pae"}[levels])
    assert [refs(r.read(BASE)), refs(r.read(BASE + FRAME))] == [2, 1]


@pytest.mark.parametrize("hap", ["ept", "npt"])
def test_two_dimensions_cost_up_to_24_references_of_which_the_caches_save_most(hap):
    """Without caches 4 * 4 + 4 + 4. In the first walk the nested tables are read whole once, for the guest's root: then their
    PDE-cache serves each of the other four translations with one reference."""
    r = Raw(road="hap", hap=hap)
    cold = (4 + 1) + 3 * (1 + 1) + 1
    assert refs(r.read(BASE)) == cold == 12
    assert refs(r.read(BASE + FRAME)) == 1 + 1, "the guest's leaf, and the nested leaf of the data"
    r.invlpg(BASE)
    assert refs(r.read(BASE)) == 4, "guest-physical mappings stay: the nested TLB knows all five frames"
    r.cr3(1)
    assert refs(r.read(BASE)) == 4, "and they stay at MOV CR3 (SDM 29.4.3.1)"
    r.do("flush")
    assert refs(r.read(BASE)) == cold, "the hypervisor's flush drops them as well (INVEPT)"


def test_a_nested_superpage_saves_its_level():
    r = Raw(road="hap", frames=1024, zone=48, superpages=1)
    assert refs(r.read(BASE)) == (3 + 1) + 3 * (1 + 1) + 1
    r = Raw(road="hap", frames=1024, zone=48, superpages=0)
    assert refs(r.read(BASE)) == (4 + 1) + 3 * (1 + 1) + 1


def test_what_the_nested_caches_hold_after_eight_pages():
    """One entry a level, since all lies in one 2 MiB chunk; the nested TLB the four tables and the data."""
    r = Raw(road="hap", frames=128)
    for k in range(8):
        r.read(BASE + k * FRAME)
    held = {
        name: sum(int(tag) >> 28 == int(r.s.npt_gen[0]) for tag in r.m.cpu[0].psc_t[first : first + sets * ways])
        for name, (first, sets, ways) in x86.CACHES.items()
        if name.startswith("nested")
    }
    assert held == {"nested_pde": 1, "nested_pdpte": 1, "nested_pml4e": 1, "nested_tlb": 4 + 8}


def test_a_shadow_walk_makes_the_references_of_its_shadow():
    r = Raw(road="shadow")
    for k in (0, 1):
        r.read(BASE + k * FRAME)  # the faults have been handled
    r.do("flush")
    assert [refs(r.read(BASE)), refs(r.read(BASE + FRAME))] == [4, 1]


def test_a_walk_that_faults_is_not_counted():
    r = Raw(road="bare")
    assert not r.read(BASE + 20 * FRAME)["walks"]


def test_without_a_hypervisor_cores_differ_in_their_tlb_only():
    """512 entries of the second level hold less than 1536: more walks, the same guest."""
    counts, guests = {}, []
    for core in CORES:
        uniform = load("blackboard").replace(core=core, road="bare", trace="", work="uniform:1200", frames=2048, order="")
        sim = Simulation(uniform)
        sim.run(20_000)
        counts[core] = sim.counters()["walks"]
        guests.append(sim.machine.guest_digests())
    assert counts["nehalem"] > 1.5 * counts["skylake"] and counts["nehalem"] > counts["haswell"] > counts["skylake"]
    assert all(guest == guests[0] for guest in guests)
    with pytest.raises(ScenarioError, match="core must be one of skylake, haswell, nehalem, zen"):
        load("blackboard").replace(core="pentium")
