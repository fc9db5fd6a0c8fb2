"""CLEAN that revokes, beside CLEAN that blows: nothing stays writable, no store is lost, guests and bitmaps are the same."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pagingviz.arch import costs, x86, xen
from pagingviz.arch.words import NONE
from pagingviz.experiments import ledger
from pagingviz.reading.shadows import head_pages
from pagingviz.scenario.scenario import load
from pagingviz.scenario.table import FIELD
from pagingviz.timeline.simulation import Simulation

CALM = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    max_examples=15,
    phases=[Phase.explicit, Phase.generate],
)
BASE = load("blackboard").replace(frames=2048, trace="", order="", quantum=37, do="", clean_every=0, pool=96)

works = st.fixed_dictionaries(
    {
        "road": st.sampled_from(["shadow", "shadow", "shadow", "pv"]),
        "work": st.sampled_from(["zipf:700:0.80,fork:40", "hotcold:600:40:85,hotcold:60", "uniform:400,fork:60,idle"]),
        "vcpus": st.sampled_from([1, 2]),
        "oos": st.sampled_from([0, 1]),
        "pool": st.sampled_from([34, 60, 200]),
        "write": st.sampled_from([5, 40, 90]),
        "seed": st.integers(0, 1000),
        "shopt": st.sampled_from([511, 511, 511 ^ 1, 0]),
        "guest": st.sampled_from(["hvm64", "pae", "hvm32"]),
        "direct_map_pages": st.sampled_from(["4k", "large"]),
    }
)


def scenario_of(fields):
    fields = dict(fields)
    if fields["road"] == "pv":
        fields |= {"guest": "hvm64", "direct_map_pages": "4k"}
    least = load("blackboard").replace(**{**fields, "pool": 4096, "trace": "", "work": "idle", "order": ""}).least_pool
    return BASE.replace(**fields | {"pool": max(fields["pool"], least + 8)})


def l1_entries(machine):
    """Every entry of every L1 and fl1 shadow, uint64[pages, 512]: what a search has to look at."""
    kind = machine.view("ptype")
    of = kind[head_pages(machine, kind.size)].astype(np.intp)
    return machine.view("pool").reshape(-1, 512)[xen.SH_LEVEL[of] == 1]


def writable(machine):
    """Machine frames that some shadow maps writable, one for each such entry."""
    entries = l1_entries(machine)
    hit = entries[entries & (x86.P | x86.RW) == x86.P | x86.RW]
    return (hit & x86.FRAME_MASK) >> x86.PAGE_BITS


@pytest.mark.slow
@CALM
@given(works)
def test_after_the_search_nothing_is_writable_and_no_store_is_lost(fields):
    """Long runs against a bare twin; both roads give the same bitmap at every CLEAN and the same guest after every round."""
    scenario = scenario_of(fields)
    twins = [Simulation(scenario.replace(clean=clean)) for clean in FIELD["clean"].choices]
    bare = Simulation(scenario.replace(road="bare"))
    for sim in twins:
        sim.run(500)
        sim.command("enable")
    bare.run(500)
    for _ in range(8):
        for sim in (bare, *twins):
            sim.run(300)
        bits = []
        for sim in twins:
            assert sim.machine.log_dirty()["missing"] == 0 and sim.audit() == "" and not sim.crashed
            bits.append(np.flatnonzero(sim.machine.dirty_bits()).tolist())
            if sim.scenario.road == "pv":  # its tables hold machine frames, and a PV kernel asks by hypercall: faults only
                assert sim.machine.guest_digests()["faults"] == bare.machine.guest_digests()["faults"]
            else:
                assert sim.machine.guest_digests() == bare.machine.guest_digests()
        assert bits[0] == bits[1] and bits[0]
        assert twins[0].machine.guest_digests() == twins[1].machine.guest_digests()
        assert sum(l1_entries(sim.machine).shape[0] > 0 for sim in twins) == 2
        for sim in twins:
            sim.command("clean")
            assert writable(sim.machine).size == 0 and not (sim.machine.view("info") & xen.OOS).any()
            assert sim.audit() == ""
        assert not l1_entries(twins[0].machine).size and l1_entries(twins[1].machine).size, "one is empty, the other is not"


def predicted(machine):
    """What a search for each writable frame would look at: (frames, entries), from the state before it. The slow way."""
    s, view = machine.sys[0], machine.view
    order = []  # L1 shadows in the order of the hash
    for bucket in range(int(xen.HASH_BUCKETS)):
        page = view("hash")[bucket]
        while page != NONE:
            if xen.SH_LEVEL[int(view("ptype")[int(page)])] == 1:
                order.append(int(page))
            page = view("phash")[int(page)]
    frames, looked = 0, 0
    flat = view("pool").reshape(-1, 512)[order].reshape(-1)
    for gfn in range(int(s.frames)):
        want = view("p2m")[gfn] << x86.PAGE_BITS | x86.P | x86.RW
        places = np.flatnonzero(flat & (x86.FRAME_MASK | x86.P | x86.RW) == want)
        if places.size:
            frames, looked = frames + 1, looked + int(places[-1]) + 1  # ends where the last mapping was found
    return frames, looked


@pytest.mark.parametrize("oos", [0, 1])
def test_every_entry_that_is_looked_at_is_counted(oos):
    sim = Simulation(BASE.replace(work="zipf:700:0.80,fork:40", clean="revoke", oos=oos))
    sim.command("enable")
    for _ in range(5):
        sim.run(400)
        for _ in range(20):  # nothing out of sync: a resync of the CLEAN would search, too
            if not (sim.machine.view("info") & xen.OOS).any():
                break
            sim.run(1)
        else:
            continue
        want, mappings, before = predicted(sim.machine), writable(sim.machine).size, sim.counters()
        sim.command("clean")
        moved = {name: n - before[name] for name, n in sim.counters().items()}
        assert (moved["frames_revoked"], moved["entries_searched"]) == want and want[0] > 5
        assert moved["entries_stripped"] == mappings and moved["shadow_free"] == moved["blows"] == 0


def test_the_hap_and_bare_roads_do_not_know_the_difference():
    for road in ("bare", "hap"):
        runs = []
        for clean in FIELD["clean"].choices:
            sim = Simulation(BASE.replace(road=road, work="zipf:300", clean=clean, do="enable@50", clean_every=100))
            sim.run(500)
            runs.append((sim.counters(), sim.machine.guest_digests()))
        assert runs[0] == runs[1]


def test_both_sides_of_the_ledger_start_from_one_state_and_add_up():
    e = ledger.entry(BASE.replace(work="zipf:700:0.80"), 500)
    assert e.blow.bits == e.revoke.bits and e.blow.guest == e.revoke.guest and len(e.blow.bits) == ledger.ROUNDS
    for side in (e.blow, e.revoke):
        sim = Simulation(
            BASE.replace(work="zipf:700:0.80", clean=side.clean, do="enable@4000,clean@4500,clean@5000,clean@5500")
        )
        sim.run(6000)
        first = Simulation(BASE.replace(work="zipf:700:0.80", do="enable@4000"))
        first.run(4500)
        for name, n in sim.counters().items():
            assert side.pause[name] + side.run[name] == n - first.counters()[name], name
        stop, go = side.cycles()
        assert stop + go == costs.cycles(ledger.priced({k: side.pause[k] + side.run[k] for k in side.run}, 4))
    assert e.blow.pause["frames_revoked"] == 0 == e.revoke.pause["shadow_free"]
    free = {**costs.DEFAULT, "entry_searched": 0, "shadow_freed": 0, "entry_fixed": 0}
    assert e.blow.cycles(free)[0] == e.revoke.cycles(free)[0] == 0, "only what the viewer's table prices"


def test_a_sweep_passes_over_what_cannot_run_and_finds_the_crossing():
    seen = []
    base = BASE.replace(frames=8192, pool=256, work="zipf:6000:0.60")
    out = ledger.sweep([(base.replace(write=w), 2000) for w in (0, 20, 60, 100)], progress=lambda k, n: seen.append((k, n)))
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4)] and [e.write for e in out] == [0, 20, 60, 100]
    free = {**costs.DEFAULT, "entry_searched": 0}
    looked = [e.revoke.pause["entries_searched"] + e.revoke.run["entries_searched"] for e in out]
    even = [(sum(e.blow.cycles(free)) - sum(e.revoke.cycles(free))) / n for e, n in zip(out, looked, strict=True)]
    assert even[0] > 2 * even[-1] > 0, "what an entry may cost before the search loses: less, the more is written"
    for price in (int(even[0]) + 1, max(1, round((even[0] + even[-1]) / 2)), 0):
        lead = [sum(e.revoke.cycles(free)) + price * n < sum(e.blow.cycles(free)) for e, n in zip(out, looked, strict=True)]
        want = [(a.write, b.write) for a, b, x, y in zip(out, out[1:], lead, lead[1:], strict=False) if x != y]
        assert [(a.write, b.write) for a, b in ledger.crossings(out, free | {"entry_searched": price})] == want
        assert len(want) == (even[-1] < price < even[0])
    assert ledger.sweep([(BASE.replace(trace="0" * 64, work=""), 100)]) == [], "a trace that nobody has uploaded"
