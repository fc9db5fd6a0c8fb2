"""Guests of 64 GiB and 1 TiB: what is written, kept and shown follows from what is touched, never from RAM.

Oracles: arithmetic, a plain walk of the tables, the bare twin. The slow model sees 1 GiB leaves in tests/core/test_gib.py.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE
from pagingviz.boards.palette import LETTERS
from pagingviz.machine.event_record import events_between
from pagingviz.machine.machine import Machine
from pagingviz.scenario.frames import machine_frames, modelled
from pagingviz.scenario.scenario import Scenario, ScenarioError, load
from pagingviz.story.sentences import sentence
from pagingviz.work.programs import Programs
from tests.boards.on_screen import Shown
from tests.machine.large import GIB, KINDS, TIB, large
from tests.support.plainly import answer

MIB = 1 << 20
kinds = pytest.mark.parametrize("kind", KINDS)
sizes = pytest.mark.parametrize(("frames", "roots"), [(64 * GIB + 777, 1), (TIB, 2)])


def root(sim):
    """The words of the root of the nested tables."""
    return sim.machine.view("pool")[int(sim.machine.sys[0].hap_root) * 512 :][:512].copy()


def nested_tables(sim):
    """The words of all nested tables."""
    m = sim.machine
    return m.view("pool").reshape(-1, 512)[(m.view("ptype") == xen.SH_P2M) & (m.view("pkey") != NONE)]


def slow_leaf(sim, gfn):
    """(mfn, level, ram_logdirty, pending) of a frame: the walk, in plain Python."""
    m, pending, page = sim.machine, False, int(sim.machine.sys[0].hap_root)
    npt = bool(m.sys[0].npt)
    for level in (4, 3, 2, 1):
        e = int(m.view("pool")[page * 512 + (gfn >> 9 * (level - 1) & 511)])
        assert e & (1 if npt else 7), f"gfn {gfn:#x} is not mapped"
        pending |= not e & 4 if npt else e >> 3 & 7 == 7
        page = e >> 12 & (1 << 40) - 1
        if level == 1 or (e & 0x80 and level < 4):
            return page + gfn % 512 ** (level - 1), level, e >> 52 & 63 == 2, pending
    return None


def whole_map(sim):
    """Frames mapped by leaves of each level, counted over all tables."""
    m = sim.machine
    pages = np.flatnonzero((m.view("ptype") == xen.SH_P2M) & (m.view("pkey") != NONE))
    rows, level = m.view("pool").reshape(-1, 512)[pages], m.view("pref")[pages].astype(int)
    present = rows & (x86.P if m.sys[0].npt else x86.EPT_RWX) != 0
    return {
        n: int(np.count_nonzero(present[level == n] & ((n == 1) | (rows[level == n] & x86.EPT_SP != 0)))) * 512 ** (n - 1)
        for n in (1, 2, 3)
    }


# ---- where frames lie


@given(st.integers(262145, TIB), st.integers(1, 200_000), st.integers(40, 3000))
def test_kept_frames_are_runs_that_fit(frames, pages, zone):
    """Place and frame are inverse to each other, the zone is kept, the runs lie within memory, and there are enough."""
    need = min(zone + pages, frames)
    keep = modelled(frames, SimpleNamespace(zone=zone, need_frames=need))
    assert keep.count >= need
    if not keep.spread:
        assert keep.count == frames
        return
    assert keep.count < 2 * need + 2 * max(512, zone) and (keep.count >> keep.bits) <= 8
    gfn = keep.frames()
    assert gfn[-1] < frames and np.array_equal(gfn[:zone], np.arange(zone)) and (np.diff(gfn) > 0).all()
    assert np.array_equal(keep.index(gfn), np.arange(keep.count))
    other = np.arange(0, frames, max(1, frames // 997))
    assert set(other[keep.index(other) < keep.count]) == set(other) & set(gfn.tolist())


@pytest.mark.parametrize(
    "fields",
    [{"frames": TIB, "superpages": 2}, {"frames": 64 * GIB + 777, "superpages": 2}, {"frames": 3 * GIB + 5, "superpages": 1}],
)
def test_every_frame_has_a_machine_frame_of_its_own(fields):
    """Checked where it can go wrong: at both ends of every chunk, and of the rest. Kernels compute what frames.py says."""
    sim = large(**fields)
    sc, step = sim.scenario, GIB if fields["superpages"] == 2 else 512
    ends = np.unique(np.r_[np.arange(0, sc.frames, step), np.arange(step - 1, sc.frames, step), sc.frames - 1])[::7]
    ends = ends.astype(np.uint64)
    mfn = machine_frames(sc, ends)
    assert np.unique(mfn).size == mfn.size
    for gfn, want in zip(ends[:: max(1, ends.size // 300)].tolist(), mfn[:: max(1, ends.size // 300)].tolist(), strict=True):
        assert slow_leaf(sim, gfn)[0] == want
    sim.command("enable")
    sim.run(3000)
    last = int(sim.machine.sys[0].ev_n)
    events = events_between(sim.machine, max(0, last - int(ev.RING)), last)
    marks = events[events["kind"] == ev.MARK_DIRTY]
    assert marks.size and np.array_equal(marks["mfn"], machine_frames(sc, marks["gfn"]))


# ---- log-dirty


@kinds
@sizes
def test_h12_h13_enable_and_clean_write_a_root_entry_for_each_512_gib(frames, roots, kind):
    sim = large(frames, kind)
    sim.run(500)
    for name in ("enable", "clean"):
        before, tables = root(sim), nested_tables(sim)
        sim.command(name)
        changed = np.flatnonzero(root(sim) != before)
        if name == "clean" and roots == 2:  # nobody has been in the upper half since ENABLE: still poisoned, not written again
            changed = np.append(changed, 1)
        assert changed.tolist() == list(range(roots)), name
        assert np.count_nonzero(nested_tables(sim) != tables) <= roots or (kind, name) == ("pml", "clean"), "and nothing else"
        if name == "enable":
            assert int(sim.events()[-1]["detail"]) == roots
            words = sentence(sim)[0]
            assert ("2 root entries" in words) if roots == 2 else ("1 root entry" in words)
        sim.run(500)


@kinds
@sizes
def test_h17_h18_h23_h24_h28_what_a_round_costs(frames, roots, kind):
    """By GiB touched: one settling exit each, one split each; pages of the pool as the rule says; no frame lost."""
    sim = large(frames, kind, do="enable@2000")
    m = sim.machine
    assert sum(whole_map(sim).values()) == frames
    built = int(m.sys[0].p2m_pages)
    sim.run(12_000)
    touched = np.unique(m.modelled.frames()[m.view("ver") != 0])
    dirty = m.dirty_frames()
    gibs = np.unique(touched[touched < frames >> 18 << 18] >> 18).size
    moved, s = sim.counters(), m.sys[0]
    assert gibs > 1 and moved["p2m_split"] >= gibs
    if kind == "npt":
        chunks = np.unique(touched >> 9).size
        assert moved["p2m_split"] <= gibs + chunks
        pages = moved["p2m_split"]
    else:
        assert moved["p2m_split"] == gibs and whole_map(sim)[3] == (frames >> 18 << 18) - gibs * GIB
        pages = 513 * gibs
    tree = 1 + sum(np.unique(dirty >> bits).size for bits in (33, 24, 15))
    assert int(s.p2m_pages) == built + pages + tree + (kind == "pml"), "H28: 4 KiB for each leaf and node that is used"
    assert sum(whole_map(sim).values()) == frames and int(s.p2m_pages) <= int(s.pool_cap)
    assert sim.audit() == "" and m.log_dirty()["missing"] == 0
    for gfn in [*touched[::97].tolist(), frames - 1, frames // 2]:
        assert slow_leaf(sim, gfn)[0] == int(machine_frames(sim.scenario, np.array([gfn], np.uint64))[0])
    sim.command("clean")
    before = sim.counters()
    sim.run(2000)
    moved = {name: n - before[name] for name, n in sim.counters().items()}
    if kind == "ept":
        marked = m.dirty_frames()
        assert moved["ept_violation"] == marked.size, "H19"
        assert np.unique(marked >> 9).size <= moved["ept_misconfig"] <= np.unique(touched >> 9).size, "H17: by 2 MiB now"
    assert moved["p2m_split"] <= 1, "only a GiB that is new"


@pytest.mark.parametrize("frames", [64 * GIB + 777, TIB])
def test_the_guest_cannot_tell_its_road(frames):
    work = "fork:200,uniform:900"
    bare, *others = (
        large(frames, kind, road, work, do="enable@900,clean@2500,off@5000" if road == "hap" else "")
        for road, kind in (("bare", "ept"), ("hap", "ept"), ("hap", "npt"), ("hap", "pml"))
    )
    bare.run(6000)
    assert bare.counters()["cow_breaks"] and bare.audit() == ""
    for other in others:
        other.run(6000)
        assert other.machine.guest_digests() == bare.machine.guest_digests() and other.audit() == ""
    again = large(frames, "ept", "hap", work, do="enable@900,clean@2500,off@5000")
    again.run(7000)
    again.seek(3000)
    again.run(3000)
    assert again.machine.digest() == others[0].machine.digest(), "back and forth, bit for bit"


@pytest.mark.parametrize("pages", ["large", "huge"])
@pytest.mark.parametrize("direct_map", ["linux", "0xffff880040000000"])
def test_the_direct_map_maps_all_of_memory_and_nothing_else(pages, direct_map):
    """Larger pages for whole ones, smaller ones for the ragged end; over two root entries or more where they are needed."""
    frames = 600 * GIB + 700
    sim = large(frames, direct_map_pages=pages, direct_map=direct_map, work="uniform:40")
    m, base = sim.machine, sim.scenario.direct_map_base
    tables = m.view("tables").reshape(-1, 512)

    def walk(gva):
        table = int(m.view("roots")[0])
        for level in (4, 3, 2, 1):
            e = int(tables[table, gva >> 12 + 9 * (level - 1) & 511])
            if not e & 1:
                return None
            target = e >> 12 & (1 << 40) - 1
            if level == 1 or (e & 0x80 and level < 4):
                return target + (gva >> 12) % 512 ** (level - 1)
            table = target
        return None

    for gfn in (0, 511, 512, GIB - 1, GIB, 512 * GIB - 1, 512 * GIB, frames - 701, frames - 700, frames - 189, frames - 1):
        assert walk(base + (gfn << 12)) == gfn
    assert all(walk(base + (gfn << 12)) is None for gfn in (frames, frames + 1, frames + 512))
    assert m.sys[0].kslots == 2 and int(sim.work.zone) < 700
    sim.run(500)
    assert not sim.crashed and sim.audit() == ""


def test_large_pages_do_not_reach_past_the_end_of_a_small_guest():
    for guest in x86.GUESTS:
        sc = load("blackboard").replace(
            guest=guest, road="bare", frames=3000, direct_map_pages="large", trace="", work="idle", order=""
        )
        words = Machine(sc, Programs(sc)).view("tables")
        entries = words.view(np.uint32) if guest == "hvm32" else words
        leaf = np.unique(entries[(entries & 0x40) != 0].astype(np.uint64))  # D: leaves alone have it
        big = leaf[leaf & x86.PSE != 0]
        span = 1024 if guest == "hvm32" else 512
        assert big.size == 3000 // span and leaf.size - big.size == 3000 % span
        assert int((leaf & x86.FRAME_MASK).max() >> x86.PAGE_BITS) == 2999


# ---- what it costs


def used_bytes(sim):
    return sum(part.nbytes for part in sim.machine.snapshot())


@kinds
def test_state_follows_from_what_is_touched(kind):
    """Fresh: under 64 MiB at 1 TiB (measured: under 2). After work: what the split rule and the tree take, no more."""
    sim = large(TIB, kind, do="enable@100")
    fresh = used_bytes(sim)
    assert fresh < 2 * MIB
    sim.run(10_000)
    pages = int(sim.machine.sys[0].p2m_pages)
    assert used_bytes(sim) < 2 * MIB + pages * 4096 < 64 * MIB


@pytest.mark.plain
def test_operations_cost_at_1_tib_what_they_cost_at_64_gib():
    """Lines run in plain Python and bytes allocated. The bound is wide: a loop over RAM would be 16 times as much."""
    cost = answer("machine.counted_large")
    for name, counts in cost["1 TiB"].items():
        assert all(at_tib < 2 * at_gib for at_tib, at_gib in zip(counts, cost["64 GiB"][name], strict=True)), cost


# ---- what is shown


@pytest.mark.parametrize(("kind", "frames"), [("ept", GIB), ("pml", 64 * GIB), ("npt", 64 * GIB + 777)])
def test_a_cell_shows_the_worst_of_its_frames(kind, frames):
    """Against a plain walk: every frame of the cells that were touched, the first and last frame of some that were not."""
    sim = large(frames, kind, do="enable@300,clean@4000", direct_map_pages="large" if frames == GIB else "huge")
    for tick in (250, 301, 3900, 4300):
        sim.seek(tick)
        board = Shown(sim, "ept-npt")
        plan, shown = board.plan, board.flat
        state = {}
        touched = np.unique(sim.machine.modelled.frames()[sim.machine.view("ver") != 0] // plan.per_cell)
        some = [*touched[:: max(1, touched.size // 6)].tolist(), 5, int(plan.key.max()) // plan.per_cell]
        for cell in some:
            first = cell * plan.per_cell
            worst = 0
            for gfn in range(first, min(first + plan.per_cell, frames)):
                _, level, logged, pending = slow_leaf(sim, gfn)
                worst = max(worst, 6 if pending else level - 1 + 3 * logged)
            state.setdefault(worst, set()).add(int(shown[cell]))
        assert all(len(seen) == 1 for seen in state.values()) and len({min(seen) for seen in state.values()}) == len(state)


def test_the_size_of_a_cell_is_named_and_its_card_counts(warm):
    sim = large(TIB, do="enable@300")
    sim.run(6000)
    for board in ("ept-npt", "dirty-bitmap"):
        shown = Shown(sim, board)
        plan = shown.plan
        assert "64 MiB = 16,384 frames" in plan.unit and plan.key.max() + plan.per_cell == TIB
    dirty = sim.machine.dirty_frames()
    grid = shown.flat
    cells = np.unique(dirty // plan.per_cell)
    letter = {LETTERS[int(grid[c]) >> 7 & 63] for c in cells}
    assert letter == {"D"} and np.count_nonzero(grid == grid[cells[0]]) == cells.size
    card = dict(shown.card(int(cells[-1]))["rows"])
    inside = np.count_nonzero(dirty // plan.per_cell == cells[-1])
    assert card["dirty"] == f"{inside:,} of 16,384 bits set" and "16,384 frames, gfn" in card["this cell"]
    assert card["mapped"].endswith("leaves")
    untouched = shown.card(int(plan.key.size) - 1)
    rows = dict(untouched["rows"])
    assert rows["mapped"] == "16,384 by 1 GiB leaves" and rows["stores so far"].startswith("none")


# ---- what is refused


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"road": "shadow"}, "needs road=bare or hap"),
        ({"road": "pv"}, "needs road=bare or hap"),
        ({"direct_map_pages": "4k"}, "needs direct_map_pages=large or huge"),
        ({"superpages": 0}, "needs superpages=1 or 2"),
        ({"guest": "pae"}, "32-bit guest"),
        ({"frames": TIB + 1}, "frames must be from 64 to 268435456"),
        ({"direct_map": "0xffffff8040000000", "frames": TIB}, "leaves no room"),
        ({"frames": 4096, "road": "shadow"}, "direct_map_pages=huge needs"),
        ({"frames": 4096, "guest": "hvm32"}, "direct_map_pages=huge needs"),
    ],
)
def test_what_a_large_guest_cannot_have_is_refused_in_one_sentence(fields, words):
    usual = {"road": "hap", "frames": 64 * GIB, "superpages": 2, "direct_map_pages": "huge"}
    with pytest.raises(ScenarioError, match=words) as caught:
        Scenario(**usual | fields)
    assert str(caught.value).count("\n") == 0 and str(caught.value).endswith(".")
