"""What a bitmap costs, and the parts of a pause: for guests of any size each part is that of its closed form."""

import pytest

from pagingviz.arch import costs
from pagingviz.experiments.migrations import report
from pagingviz.migration import wire
from pagingviz.migration.state import PARTS
from pagingviz.reading.rounds import fixed, parts
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.migration.finished import ROADS, moved, small, to_the_end

pytestmark = pytest.mark.slow

MS = 1000 * wire.FREQUENCY
GIB = 1 << 18  # frames


def expected(mig):
    """The parts of a pause of pre-copy on EPT: bits / 8 bytes copied, all bits tested, the pages sent, the state."""
    bits, last = mig.p2m_size, mig.state.rounds[-1]
    pages = mig.link.cycles(last.bytes)  # each piece is rounded up to a cycle
    return {
        "suspend": mig.table["suspend"],
        "bitmap": -(-bits // 8 // 4096) * mig.table["bitmap_page"],
        "scan": bits * mig.table["bit_tested"],
        "pages": pages,
        "state": mig.link.cycles(wire.STATE["hap"]),
        "latency": mig.link.latency,
        "resume": mig.table["resume"],
    }


def test_second_reading_2_a_pause_at_64_gib():
    """2 MiB of bitmap are copied and 16.8 million bits tested, about 40 ms, in the pause as in every round."""
    sc = load("moving-64g").replace(zeros=1, policy="numbers", rounds=1)
    mig = to_the_end(Simulation(sc)).migration
    found, wanted = parts(mig), expected(mig)
    assert mig.state.equal and list(found) == [part for part in PARTS if part in wanted]
    assert found.pop("pages") == pytest.approx(wanted.pop("pages"), abs=300)
    assert found == wanted and sum(wanted.values()) == fixed(mig)
    assert found["bitmap"] == 512 * 500 and found["scan"] == pytest.approx(40 * MS, rel=0.06)
    assert sum(mig.state.pause.values()) == mig.state.downtime
    live = mig.state.rounds[0]
    assert live.ended - live.began == pytest.approx(mig.link.cycles(live.bytes) + wanted["scan"], rel=1e-2)


@pytest.mark.parametrize(("gib", "bitmap_mib", "scan"), [(1, 1 / 32, 0.63), (64, 2, 40), (1024, 32, 645)])
def test_second_reading_2_a_pause_grows_with_the_bits_of_the_guest(gib, bitmap_mib, scan):
    """By the closed form alone: bits / 8 bytes copied, bits tested (ms), and what does not depend on the guest."""
    mig = Simulation(load("moving-64g").replace(frames=gib * GIB)).migration
    same = mig.table["suspend"] + mig.table["resume"] + mig.link.latency + mig.link.cycles(wire.STATE["hap"])
    bitmap = int(bitmap_mib * 256) * mig.table["bitmap_page"]
    assert (fixed(mig) - same - bitmap) / MS == pytest.approx(scan, rel=0.05)
    assert mig.clock.price(costs.bitmap_read(mig.p2m_size)) == bitmap


@pytest.mark.parametrize("kind", ["precopy", "stop", "postcopy", "hybrid", "remus"])
@pytest.mark.parametrize("road", ["shadow", "pv", "ept"])
def test_second_reading_2_the_parts_are_the_whole_pause(road, kind):
    """Each cycle of the downtime belongs to one part, and the report names them."""
    sim = moved(**small(road, migrate=kind, epochs=3))
    st = sim.migration.state
    assert sum(st.pause.values()) == st.downtime and set(st.pause) <= set(PARTS)
    assert sum(report(sim)["pause"].values()) == pytest.approx(st.downtime / wire.FREQUENCY, abs=0.01)
    reads = kind not in ("stop", "postcopy")
    assert ("bitmap" in parts(sim.migration)) == reads
    assert ("shadows" in parts(sim.migration)) == (reads and road != "ept")
    assert ("latency" in parts(sim.migration)) == (kind != "remus")


def test_second_reading_2_what_is_not_set_is_copied_and_tested_all_the_same():
    """A guest that stores nothing pays as much for its bitmap as one that stores everywhere; with free tracking, nothing."""
    idle, busy, free = (
        moved(**small("ept", **fields)).migration
        for fields in ({"work": "idle", "write": 0}, {"work": "uniform:200", "write": 100}, {"tracking": "free"})
    )
    for part in ("bitmap", "scan"):
        assert parts(idle)[part] == parts(busy)[part] > 0 == free.state.pause[part]


@pytest.mark.parametrize("road", ROADS)
def test_second_reading_2_a_cheaper_bitmap_is_a_shorter_pause(road):
    """The mutant that copies and tests only what is set is found out: the pause follows from the number of bits alone."""
    for key, part in (("bitmap_page", "bitmap"), ("bit_tested", "scan")):
        pauses = [moved(**small(road, migrate="precopy", **{f"cost_{key}": n})).migration.state.pause[part] for n in (0, 1000)]
        bits = costs.bitmap_read(256)["bitmap_page"] if part == "bitmap" else 256
        if road == "superpages":
            bits = 1 if part == "bitmap" else 1024
        assert pauses == [0, 1000 * bits]
