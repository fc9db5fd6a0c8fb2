"""Sentences that once were wrong, each held against the counters and the state of the machine that it speaks of."""

import ast
from pathlib import Path

import pytest

from pagingviz.arch import events as ev
from pagingviz.reading.translate import translate
from pagingviz.scenario.scenario import load
from pagingviz.story.sentences import sentence
from pagingviz.timeline.simulation import Simulation

ROOT = Path(__file__).parents[2]
READ = 1


def strings(path):
    """All string literals of a source file as one text."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return " ".join(
        " ".join(n.value.split()) for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    )


def moved(sim, ticks=1):
    """How much each counter moves in the next ticks."""
    before = sim.counters()
    sim.run(ticks)
    return {name: n - before[name] for name, n in sim.counters().items()}


def kinds(sim):
    return {ev.NAMES[kind] for kind in sim.events()["kind"].tolist()}


@pytest.mark.parametrize("tick", [2_000, 3_100])
def test_second_reading_17_a_pv_switch_is_two_operations_of_a_hypercall(warm, tick):
    sim = Simulation(load("borrowed"))
    sim.run(tick)
    seen = 0
    while seen < 3:
        assert sim.tick < tick + 2_000, f"only {seen} switches of processes came"
        more = moved(sim)
        text, source = sentence(sim)
        if "switches to" not in text:
            continue
        seen += 1
        s = sim.machine.sys[0]
        assert more["calls_to_mmuext_op"] == 2 and more["cr3_loads"] == 1
        assert (
            f"NEW_BASEPTR loads gfn {int(s.kroot[0]):#x} " in text
            and f"NEW_USER_BASEPTR names gfn {int(s.uroot[0]):#x} " in text
        )
        assert "no exit" not in text and source == "x86/mm.c: do_mmuext_op"


def test_second_reading_18_with_out_of_sync_tables_most_stores_to_tables_are_not_emulated(warm):
    text = strings("pages/guest_page_tables.py")
    assert (
        "go out of sync: it may then be written freely, until the guest loads CR3" in text and "with oos=0 to any table" in text
    )
    free, each = (Simulation(load("blackboard").replace(oos=oos)) for oos in (1, 0))
    for sim in (free, each):
        sim.run(20_000)
    free, each = free.counters(), each.counters()
    assert free["pte_stores"] == each["pte_stores"]
    assert 10 * free["shadow_fault_emulate_write"] < free["pte_stores"] and free["shadow_unsync"] > 20
    assert each["shadow_unsync"] == 0 and each["shadow_fault_emulate_write"] > 5 * free["shadow_fault_emulate_write"]


def test_second_reading_19_with_pml_a_frame_costs_no_exit(warm):
    page, migration = strings("pages/ept_npt.py"), strings("pagingviz/ui/migration.py")
    assert (
        "Without PML a store to a ram_logdirty leaf is an EPT violation" in page
        and "the processor notes the frame in a log" in page
    )
    assert "the processor logs the first store to each frame (PML)" in migration
    rounds = {}
    for pml in (0, 1):
        sim = Simulation(load("rounds").replace(pml=pml))
        sim.run(10_000)  # a CLEAN: the round before has split what is written
        rounds[pml] = moved(sim, 4_999) | {"dirty": int(sim.machine.sys[0].dirty_count)}
    assert rounds[0]["ept_violation"] == rounds[0]["dirty"] > 200 and rounds[0]["pml_logged"] == 0
    assert rounds[1]["pml_logged"] > 200 and rounds[1]["ept_violation"] == rounds[1]["p2m_split"] < 5
    assert rounds[1]["pml_full"] == 0, "fewer than 512 were logged"


@pytest.mark.parametrize(("hap", "name"), [("ept", "EPT misconfiguration"), ("npt", "NPF")])
def test_second_reading_20_after_clean_a_read_under_hap_meets_the_poisoned_root_first(warm, hap, name):
    assert "the root is poisoned: any access, a read too, first meets" in " ".join(load("combined").notes.split())
    sim = Simulation(load("combined").replace(road="hap", hap=hap))
    sim.seek(699)
    gva = int(sim.events()["gva"][sim.events()["kind"] == ev.ACCESS][-1])
    assert translate(sim.machine, 0, gva, READ, 1).end.kind == "frame"
    sim.command("clean")
    walk = translate(sim.machine, 0, gva, READ, 1)
    assert (walk.end.kind, walk.end.name) == ("exit", name)
    assert len(walk.references) == (1 if hap == "ept" else 4), "rights, of which US is one, are tested once the leaf is found"


@pytest.mark.parametrize(("hap", "pml"), [("ept", 0), ("ept", 1), ("npt", 0)])
def test_second_reading_21_what_flushes_the_nested_caches(warm, hap, pml):
    text = strings("pagingviz/ui/translation.py")
    assert "on Intel by INVEPT, on AMD by giving the guest another ASID: at ENABLE, CLEAN and OFF, when a logged leaf" in text
    assert "after every NPF. Resolving an EPT misconfiguration flushes nothing." in text
    sim = Simulation(load("rounds").replace(hap=hap, pml=pml, do="enable@4000,off@7000"))
    sim.run(3_990)
    flushing = {"ENABLE", "CLEAN", "OFF", "EPT_VIOLATION", "PML_FULL", "PML_FLUSH", "HVM_NPF", "NPF_RECALC"}
    alone, flushed = 0, set()
    for _ in range(3_500):
        before = sim.machine.sys[0].npt_gen[0]
        sim.run(1)
        found = kinds(sim)
        changed = sim.machine.sys[0].npt_gen[0] != before
        assert changed == bool(found & flushing), found
        flushed |= found & flushing
        alone += "EPT_MISCONFIG" in found and not changed
    assert alone > 2 if hap == "ept" else alone == 0
    assert flushed >= {"ENABLE", "CLEAN", "OFF"} | ({"NPF_RECALC", "HVM_NPF"} if hap == "npt" else {"EPT_VIOLATION"})
