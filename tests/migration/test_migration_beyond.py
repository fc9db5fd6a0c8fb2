"""Rules H 35 and H 37 to H 40 of the manual: post-copy, PV tables, what only changes bytes, Remus, tracking."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st_

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ZERO
from pagingviz.migration import Migration, wire, xbzrle
from pagingviz.migration.destination import Destination
from pagingviz.migration.effects import Checkpoint, RollBack
from pagingviz.timeline.simulation import Simulation
from tests.migration.finished import ROADS, by_round, intercept, moved, scenario, small, to_the_end, wiretap

pytestmark = pytest.mark.slow

# ---- 35: post-copy


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("prefetch", [0, 7])
def test_35_each_page_crosses_exactly_once(road, prefetch, monkeypatch):
    """Pushed, wanted or brought along. In a hybrid that is what the live round left stale."""
    for kind in ("postcopy", "hybrid"):
        heard = wiretap(monkeypatch)
        sim = moved(**small(road, migrate=kind, prefetch=prefetch, latency=5, tracking="free"))
        r = sim.migration.state.rounds[-1]
        (crossed,) = (np.concatenate(records) for n, records in by_round(heard).items() if n == r.number)
        assert sim.migration.state.equal and r.kind == "pushed" and r.faults > 0
        assert np.unique(crossed).size == crossed.size == r.sent == r.planned
        if kind == "postcopy":
            assert np.array_equal(np.sort(crossed), np.arange(sim.scenario.frames))
            exact = r.bytes * wire.FREQUENCY / sim.migration.link.bandwidth  # the background goes on while a fault travels
            assert 0 <= r.ended - r.began - exact <= r.planned + 2 * sim.migration.op + 2 * sim.migration.link.latency
        monkeypatch.undo()


@pytest.mark.parametrize("road", ["shadow", "pv", "ept"])
def test_35_the_pause_depends_on_neither_memory_nor_stores(road):
    """As opposed to pre-copy's, of the same guests."""
    pauses = {
        kind: {
            moved(**small(road, migrate=kind, frames=frames, write=write, tracking="free", pace=60)).migration.state.downtime
            for frames, write in ((256, 0), (256, 100), (1024, 50))
        }
        for kind in ("postcopy", "precopy")
    }
    assert len(pauses["postcopy"]) == 1 and len(pauses["precopy"]) == 3
    assert max(pauses["postcopy"]) <= min(pauses["precopy"])


# ---- 37: PV


def walked(root, tables, m2p, vpn):
    """pfns on the way to each page through tables that hold machine frames: int64[5, n], -1 where there is none."""
    at, out = np.full(vpn.size, root), [np.full(vpn.size, root)]
    for shift in (27, 18, 9, 0):
        entry = np.where(at >= 0, tables[np.maximum(at, 0), vpn >> shift & 511], ZERO)
        mfn = np.where(entry & x86.P != 0, ((entry & x86.FRAME_MASK) >> x86.PAGE_BITS) - xen.RAM_BASE, ZERO)
        at = np.where(entry & x86.P != 0, m2p[mfn.astype(np.intp)].astype(np.int64), -1)
        out.append(at)
    return np.stack(out)


@pytest.mark.parametrize("kind", ["precopy", "stop", "remus"])
def test_37_every_address_leads_to_the_same_pfn_on_both_sides(kind, monkeypatch):
    """For each process: all its pages and the kernel's map of memory. And on the wire no entry of a table, by type, has a
    machine frame of the source: those begin at RAM_BASE, and pfns end far below."""
    wires, contents = [], Destination.normalised

    def hear(destination, places):
        words = contents(destination, places)
        wires.append(words[destination._typed(places)])
        return words

    monkeypatch.setattr(Destination, "normalised", hear)
    sim = moved(**small("pv", migrate=kind, tracking="free", epochs=3))
    m, there = sim.machine, sim.migration.destination
    crossed = np.concatenate(wires).reshape(-1)
    crossed = (crossed[crossed & x86.P != 0] & x86.FRAME_MASK) >> x86.PAGE_BITS
    assert crossed.size > 500 and int(crossed.max()) < sim.scenario.frames < int(xen.RAM_BASE)
    assert int(there.p2m.min()) > int(m.view("p2m").max())  # no machine frame in common
    first = int(m.sys[0].direct_map) >> 12 & int(x86.VPN_MASK)
    kernel = np.arange(first, first + sim.scenario.frames)
    reached = 0
    for root, user, spec in zip(m.view("roots"), m.view("uroots"), sim.work.processes, strict=False):
        if root == NONE:
            continue
        for top, vpn in ((root, np.concatenate([spec.pages.astype(np.int64), kernel])), (user, spec.pages.astype(np.int64))):
            ours = walked(int(top), m.view("tables").reshape(-1, 512), m.view("m2p"), vpn)
            assert np.array_equal(walked(int(top), there.tables, there.m2p, vpn), ours)
            reached += int((ours[-1] >= 0).sum())
    assert reached > sim.scenario.frames


# ---- 38: only bytes


def test_38_zero_pages_and_differences_change_the_bytes_and_not_the_image():
    """Of a suspended guest: the same image for fewer bytes. Of a running one: other rounds, and it is equal at the end."""
    images, sizes = [], []
    for fields in ({}, {"zeros": 1}):
        mig = moved(**small("ept", migrate="stop", **fields)).migration
        images.append(mig.destination.image())
        sizes.append(mig.state.bytes)
        assert not mig.destination.differs(*images[0]).size and mig.state.rounds[-1].sent == 256
    assert sizes[1] < sizes[0] * 0.6
    plain, less, both = (
        moved(**small("ept", **fields)).migration.state for fields in ({}, {"xbzrle": 256}, {"xbzrle": 256, "zeros": 1})
    )
    assert plain.equal and less.equal and both.equal
    for k in (0, 1):  # XBZRLE begins after the first round, with an empty cache
        assert plain.rounds[k].bytes == less.rounds[k].bytes
    assert plain.rounds[2].planned == less.rounds[2].planned and less.rounds[2].data == plain.rounds[2].data
    assert less.rounds[2].bytes < plain.rounds[2].bytes / 2
    assert both.bytes < less.bytes


def test_38_what_goes_as_a_difference_makes_the_source_page_of_the_destination_page(monkeypatch):
    sent, change_of = [], xbzrle.change_of

    def hear(machine, destination, index):
        change = change_of(machine, destination, index)
        if change is not None and index >= int(machine.sys[0].zone):
            old, new = (xbzrle.contents(index, int(v[index])) for v in (destination.versions, machine.view("ver")))
            assert np.array_equal(xbzrle.decode(old, change), new)
            sent.append(index)
        return change

    monkeypatch.setattr(xbzrle, "change_of", hear)
    assert moved(**small("ept", xbzrle=256)).migration.state.equal and len(sent) > 50


@settings(max_examples=150)
@given(st_.integers(0, 2**32 - 1), st_.integers(0, 60), st_.integers(1, 300))
def test_38_decode_is_the_inverse_of_encode(seed, runs, longest):
    rng = np.random.default_rng(seed)
    old = rng.integers(0, 256, 4096, dtype=np.uint8)
    new = old.copy()
    for at in rng.integers(0, 4096, runs):
        n = rng.integers(1, longest + 1)
        new[at : at + n] = rng.integers(0, 256, new[at : at + n].size, dtype=np.uint8)
    change = xbzrle.encode(old, new)
    if change is not None:
        assert len(change) < 4096 and np.array_equal(xbzrle.decode(old, change), new)
    else:
        assert (old != new).sum() > 1000


@settings(max_examples=300)
@given(st_.binary(max_size=40))
def test_38_whatever_comes_is_a_page_or_a_value_error(change):
    old = np.zeros(4096, np.uint8)
    try:
        assert xbzrle.decode(old, change).shape == (4096,)
    except ValueError:
        pass
    assert not old.any()


@pytest.mark.parametrize(
    "change", [b"\x80", b"\x00", b"\x00\x01", b"\x00\x00", b"\xff\x7f\x01a", b"\x00\x05abc", b"\xff\x1f\x02ab"]
)
def test_38_a_bad_difference_is_refused(change):
    with pytest.raises(ValueError, match="difference"):
        xbzrle.decode(np.zeros(4096, np.uint8), change)


# ---- 39: Remus


def failed_over(monkeypatch, lost):
    """(migration, images of the source at each checkpoint): Remus whose link is lost after so many pages."""
    images = []

    def note(mig, effect, carry_out):
        images.append(mig.destination.image())
        carry_out()

    intercept(monkeypatch, Checkpoint, note)
    sim = moved(
        work="zipf:60:0.80", frames=128, write=40, migrate_at=2000, migrate="remus", epoch=100, epochs=5, fail=f"link:{lost}"
    )
    monkeypatch.undo()
    return sim.migration, images


def test_39_the_backup_goes_on_from_the_last_complete_checkpoint(monkeypatch):
    """Never a mix: whenever the link is lost. Before the first checkpoint the source goes on."""
    seen = set()
    for lost in range(100, 560, 19):
        mig, images = failed_over(monkeypatch, lost)
        seen.add(len(images))
        assert mig.state.checkpoints == len(images)
        if not images:
            assert mig.state.phase == "aborted" and mig.state.equal is None
        else:
            assert mig.state.phase == "done" and mig.state.equal and not mig.destination.differs(*images[-1]).size
    assert seen == {0, 1, 2, 3, 4, 5}


def test_39_a_backup_that_keeps_half_a_set_is_found_out(monkeypatch):
    """The mutant does not throw away what came after the checkpoint."""
    found = 0
    for lost in range(300, 500, 13):
        intercept(monkeypatch, RollBack, lambda mig, effect, carry_out: None)
        mig, images = failed_over(monkeypatch, lost)
        part = mig.state.rounds[-1]
        if images and 0 < part.sent < part.planned:
            found += 1
            assert mig.destination.differs(*images[-1]).size
    assert found > 5


# ---- 40: tracking


@dataclass(frozen=True)
class Even(wire.Link):
    """A wire on which every record takes as long, whatever is in it: rounds of one length, whatever else is dirty."""

    def cycles(self, size, pages=0, rate=0):
        return 2000 if (size, pages) == (wire.PAGE_DATA, 0) else 0


def test_40_with_free_tracking_all_roads_send_the_same_data_pages(monkeypatch):
    """The same trace, the same ticks of every reading: then the same sets, but for frames that hold guest page tables.

    Those differ because each road sees other stores to them: shadows set A/D bits by software, which is a store of Xen's; with
    EPT's A/D bits (PML) and on NPT every walk stores to all tables on its way, and each is logged; EPT without A/D sees only
    the walker's real changes. As sizes differ by tables, so would the length of rounds: the wire here takes even times.
    """
    sets, tables = {}, {}
    for road in ("shadow", "ept", "npt", "pml"):
        heard = wiretap(monkeypatch)
        sc = scenario(
            **small(road, tracking="free", work="zipf:300:0.90", frames=512, pace=1, policy="numbers", rounds=6, target=1)
        )
        sim = to_the_end(Simulation(sc, migration=lambda m, w: Migration(m, w, link=Even(1250, 0, 0))))
        monkeypatch.undo()
        live_tables = set(sim.machine.live_tables().tolist())
        assert sim.migration.state.equal
        frames = {n: set(np.concatenate(records).astype(int).tolist()) for n, records in by_round(heard).items()}
        sets[road] = {n: found - live_tables for n, found in frames.items()}
        tables[road] = {n: found & live_tables for n, found in frames.items() if n > 1}
    assert sets["shadow"] == sets["ept"] == sets["npt"] == sets["pml"]
    assert len(sets["ept"]) == 7 and min(map(len, sets["ept"].values())) > 50
    assert tables["pml"] == tables["npt"] != tables["ept"]  # and they do differ
    for n in tables["ept"]:
        assert tables["ept"][n] <= tables["pml"][n]
