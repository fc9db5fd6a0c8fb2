"""Nested tables on the screen: against a slow reading of the tables, the engine's own exits, and what was written when."""

import random
from types import SimpleNamespace

import numpy as np
import pytest

from pagingviz.arch import events as ev
from pagingviz.arch import x86
from pagingviz.arch.words import ONE, ZERO, U
from pagingviz.boards.frame_map import LARGEST
from pagingviz.boards.leaf_rows import leaf_rows
from pagingviz.boards.nested_card import entry_of
from pagingviz.boards.palette import (
    FILL_MASK,
    LETTER_MASK,
    LETTER_SHIFT,
    LETTERS,
    PENDING,
    PINNED,
    READ_ONLY,
    SUPERPAGE,
    TABLE,
    WRITABLE,
)
from pagingviz.boards.registry import make_plan
from pagingviz.core.build.jit import from_python
from pagingviz.core.nested.exits import handle_exit
from pagingviz.core.nested.walk import second
from pagingviz.reading import nested
from pagingviz.reading.root_writes import root_writes
from pagingviz.scenario.scenario import load
from pagingviz.story.nested_tables import exits_and_pages, why_entry
from pagingviz.timeline.simulation import Simulation
from tests.boards.on_screen import Shown

pytestmark = pytest.mark.slow

HAPS = pytest.mark.parametrize("hap, pml", [("ept", 0), ("ept", 1), ("npt", 0)])
BIG = pytest.mark.parametrize("superpages", [0, 1])
COUNTERS = "ept_misconfig", "ept_violation", "npf_recalc", "npf_write", "pml_full", "p2m_split", "p2m_shatter", "pml_logged"
DO = "enable@60,clean@150,off@260,enable@280,clean@400"
RW, US, PSE = 2, 4, 0x80


def machine(hap, pml, superpages, frames=1024, **fields):
    """A small guest that forks and writes, log-dirty switched on, off and on again."""
    more = {
        "road": "hap",
        "hap": hap,
        "pml": pml,
        "superpages": superpages,
        "frames": frames,
        "trace": "gzip",
        "work": "fork:12,zipf:60",
        "quantum": 17,
        "write": 40,
        "do": DO,
        "clean_every": 0,
    }
    return Simulation(load("blackboard").replace(**more | fields))


def board(sim, name="nested-tables"):
    shown = Shown(sim, name)
    return shown, shown.flat


# ---- the slow reading


def entries(sim):
    """Every present entry, by recursion over plain numbers: [(level, gfn, entry, marked on the way to it)]."""
    pool, npt, out = sim.machine.view("pool").tolist(), sim.scenario.hap == "npt", []

    def walk(page, level, gfn, marked):
        for i in range(512):
            e = pool[page * 512 + i]
            if not e & (1 if npt else 7):
                continue
            first = gfn + (i << 9 * (level - 1))
            out.append((level, first, e, marked))
            own = not e & US if npt else e >> 3 & 7 == 7
            if level > 1 and not e & PSE:
                walk(e >> 12 & (1 << 40) - 1, level - 1, first, marked or own)

    walk(int(sim.machine.sys[0].hap_root), 4, 0, False)
    return out


def looks(sim, level, e):
    """(how bad, letter, fill, thick) of one entry."""
    npt = sim.scenario.hap == "npt"
    leaf = level == 1 or bool(e & PSE)
    thick = leaf and bool(e & (0x40 if npt else 0x200))
    letter = "S" if level > 1 else "W" if e & RW else "R"
    if not e & US if npt else e >> 3 & 7 == 7:
        return 9 + (not thick), "?", PENDING, thick
    if not leaf:
        return 1, "T", TABLE, False
    if e & RW:
        return 3 + (not thick), letter, SUPERPAGE if level > 1 else WRITABLE, thick
    return 5 + (not thick), letter, READ_ONLY, thick


@HAPS
@BIG
@pytest.mark.parametrize("frames", [256, 1024, 3000])
def test_every_cell_is_the_worst_of_its_entries(warm, hap, pml, superpages, frames):
    sim = machine(hap, pml, superpages, frames)
    seen = set()
    for tick in (0, 59, 60, 61, 75, 160, 261, 281, 420):
        sim.seek(tick)
        shown, grid = board(sim)
        plan = shown.plan
        expected = np.zeros((plan.key.size, 4), object)
        expected[:] = [(0, " ", 10, False)]
        for _, at, n, _ in plan.levels:
            expected[at : at + n] = [(0, ".", 1, False)]
        block = {level: (at, per) for level, at, _, per in plan.levels}
        found = entries(sim)
        for level, gfn, e, _ in found:
            at, per = block[level]
            cell = at + (gfn >> 9 * (level - 1)) // per
            expected[cell] = max(tuple(expected[cell]), looks(sim, level, e))
        drawn = [(LETTERS[w >> LETTER_SHIFT & LETTER_MASK], w & FILL_MASK, bool(w & PINNED)) for w in grid.tolist()]
        assert drawn == [tuple(row[1:]) for row in expected]
        seen |= {letter for letter, _, _ in drawn}
        for level, (_, n, waits) in nested.counts(sim.machine).items():
            mine = [e for at, _, e, _ in found if at == level]
            assert (n, waits) == (len(mine), sum(looks(sim, level, e)[1] == "?" for e in mine))
    assert {"T", "W", "?"} <= seen and ("S" in seen) == (superpages and frames >= 512)
    assert frames > 256 or ("R" in seen) == (not pml)


@HAPS
@BIG
def test_what_lies_below_an_entry_is_counted(warm, hap, pml, superpages):
    sim = machine(hap, pml, superpages)
    for tick in (61, 90, 160, 300):
        sim.seek(tick)
        found = entries(sim)
        for level, gfn, e, marked in found:
            if level == 1:
                continue
            size = 512 ** (level - 1)
            leaves = [(at, x, m) for at, g, x, m in found if gfn <= g < gfn + size and at <= level and (at == 1 or x & PSE)]
            waits = [(at, x, m or looks(sim, at, x)[1] == "?") for at, x, m in leaves]
            assert nested.below(sim.machine, level, U(e), marked) == {
                "leaves": len(leaves),
                "pending": sum(m for *_, m in waits),
                "logged": sum(x >> 52 & 63 == 2 for _, x, _ in waits),
                "writable": sum(bool(x & RW) and not m for _, x, m in waits),
            }


# ---- what an access costs


def perform(sim, gfn, kind):
    """Do the access as the hardware does, exits handled, and take it back. Counters that it moved."""
    m = sim.machine
    before, state = m.counters(), m.snapshot()
    walk, handle = from_python(second), from_python(handle_exit)
    s, c = m.sys[0], m.cpu[0]
    gpa = U(gfn << 12)
    while walk(s, c, m.mem, gpa, kind, ONE) != ZERO:
        assert m.tick >= 0 and not s.crashed
        handle(s, c, m.mem, ZERO)
    moved = {name: m.counters()[name] - before[name] for name in COUNTERS}
    m.restore(state)
    return {name: n for name, n in moved.items() if n}


@HAPS
@BIG
@pytest.mark.parametrize("frames", [256, 1024])
def test_the_exits_foretold_are_those_that_come(warm, hap, pml, superpages, frames):
    dice, sim, seen = random.Random(frames + pml), machine(hap, pml, superpages, frames), set()
    for tick in sorted(dice.sample(range(520), 9)) + [60, 150, 260, 280]:
        sim.seek(tick)
        for gfn in dice.sample(range(frames), 20):
            for kind in (x86.FETCH, x86.READ, x86.WRITE):
                told = dict(nested.next_access(sim.machine, gfn, kind))
                assert told == perform(sim, gfn, kind), (tick, hex(gfn), kind)
                seen |= told.keys()
    assert seen >= ({"npf_recalc", "npf_write"} if hap == "npt" else {"ept_misconfig"})
    assert "p2m_split" in seen or not (superpages and frames >= 512)
    assert ("p2m_shatter" in seen) == bool(hap == "ept" and superpages and frames >= 512)
    assert ("pml_logged" in seen) == bool(pml)


@BIG
def test_a_full_log_is_foretold(warm, superpages):
    sim = machine("ept", 1, superpages, 2048)
    sim.seek(160)
    m = sim.machine
    walk, handle = from_python(second), from_python(handle_exit)
    for gfn in (1000, *range(2048)):  # the first one only splits its leaf, where there are large ones
        if m.sys[0].pml_index[0] >= x86.PML_ENTRIES:
            break
        while walk(m.sys[0], m.cpu[0], m.mem, U(gfn << 12), x86.WRITE, ONE) != ZERO:
            handle(m.sys[0], m.cpu[0], m.mem, ZERO)
    assert len(m.pml()[0]) == 512
    full = 0
    for gfn in range(0, 2048, 5):
        for kind in (x86.FETCH, x86.READ, x86.WRITE):
            told = dict(nested.next_access(m, gfn, kind))
            assert told == perform(sim, gfn, kind), (hex(gfn), kind)
            full += "pml_full" in told
            assert ("1 full log" in nested.next_access_words(m, gfn, kind)) == ("pml_full" in told)
    assert full


def test_the_words_of_an_access():
    sim = machine("ept", 0, 1)
    sim.seek(60)
    assert nested.next_access_words(sim.machine, 700, x86.READ) == "1 EPT misconfiguration"
    assert nested.next_access_words(sim.machine, 700, x86.WRITE) == "1 EPT misconfiguration, 1 EPT violation, a split"
    state = sim.machine.snapshot()
    sim.machine.sys[0].free_pages = 0
    assert "the guest hangs" in nested.next_access_words(sim.machine, 700, x86.WRITE)
    sim.machine.restore(state)
    rows = dict(leaf_rows(sim.machine, 700))
    assert rows["p2m type"] == "ram_logdirty (p2m_recalc_type), stored ram_rw" and rows["recalculation"] == "pending at L4"
    sim.seek(59)
    assert nested.next_access_words(sim.machine, 700, x86.WRITE) == "no exit"


# ---- why


def written(words, tick, steps, waits):
    """Ticks up to `tick` at which the last entry of a path was written, of a history of all words by tick.

    What was marked and settled within one tick looks as before: the entry above then lost its mark, and this one has none.
    """
    ticks, above = set(), None
    for step in steps:
        mine = words[:, step.page * 512 + step.index]
        ticks = {t for t in range(1, tick + 1) if mine[t] != mine[t - 1]} | {
            t for t in ticks if above is not None and not waits(above[t]) and not waits(mine[t]) and mine[t]
        }
        above = mine
    return ticks


@HAPS
@BIG
def test_why_names_the_tick_at_which_the_entry_was_last_written(warm, hap, pml, superpages):
    """Every entry of the machine, its word compared tick by tick; A and D, which the hardware sets, do not count."""
    sim, told = machine(hap, pml, superpages, 1024, work="fork:9,zipf:30"), set()
    bits = ~np.uint64(0x60 if hap == "npt" else 0x300)
    words = np.array([(sim.seek(tick), sim.machine.view("pool").copy() & bits)[1] for tick in range(461)])

    def waits(e):
        return int(e) & 5 == 1 if hap == "npt" else int(e) >> 3 & 7 == 7

    for tick in random.Random(7).sample([60, 61, 115, 150, 152, 230, 270, 300, 345, 401, 460], 11):
        sim.seek(tick)
        plan = board(sim)[0].plan
        for level, first, n, _ in plan.levels:
            for cell in range(first, first + n, 1 if level > 1 else 11):
                steps, gfn, _, _ = entry_of(sim.machine, plan, cell)
                if steps[-1].level == level:
                    text, when = why_entry(sim, level, gfn, steps)
                    assert when == max(written(words, tick, steps, waits), default=None), (tick, level, hex(gfn), text)
                    told.add(text.rpartition("(")[0].partition(":")[2][:20])
    assert len(told) >= 4


def test_entries_written_at_enable_and_clean(warm):
    """Each told by the record, compared with what changed in the root; a CLEAN with no access since the last writes none."""
    for hap in ("ept", "npt"):
        for tick, expected in ((59, {}), (60, {"ENABLE": (60, 1)}), (150, {"ENABLE": (60, 1), "CLEAN": (150, 1)})):
            sim = machine(hap, 0, 0)
            sim.seek(tick)
            assert root_writes(sim) == expected
        before = sim.machine.view("pool").copy()
        sim.command("clean")
        assert (sim.machine.view("pool") == before).all() and root_writes(sim)["CLEAN"] == (150, 0)
        said = exits_and_pages(sim)[0][2]
        assert "ENABLE at tick 60: 1" in said and "CLEAN at tick 150: 0" in said
    sim.run(40_000)  # by then the record has forgotten it
    assert root_writes(sim)["ENABLE"] == (280, None)
    sim = machine("ept", 0, 0, do="enable@60")
    sim.run(40_000)
    assert not np.any(sim.past_events()[0]["kind"] == ev.CODES["ENABLE"]) and root_writes(sim) == {"ENABLE": (60, 1)}
    assert exits_and_pages(Simulation(load("blackboard"))) == []


@pytest.mark.parametrize("frames", [1024, 16384])
def test_entries_written_do_not_grow_with_memory(warm, frames):
    sim = machine("ept", 0, 0, frames)
    sim.seek(150)
    assert root_writes(sim) == {"ENABLE": (60, 1), "CLEAN": (150, 1)}
    heads = [heading for heading, _, _ in exits_and_pages(sim)]
    pages = {row["level"]: row["pool pages"] for row in exits_and_pages(sim)[1][1]}
    assert len(heads) == 2 and pages == {"L4": "1", "L3": "1", "L2": "1", "L1": f"{frames // 512}"}


# ---- the board


@pytest.mark.parametrize("frames, hap", [(256, "ept"), (16384, "npt"), (1 << 24, "ept"), (1 << 28, "npt")])
def test_a_plan_of_any_size_fits_and_names_its_cells(frames, hap):
    scenario = SimpleNamespace(road="hap", frames=frames, hap=hap, superpages=1, pml=0, exec_sp=1)
    work = SimpleNamespace(small_chunks=(), huge_leaves=frames >> 18)
    plan = make_plan("nested-tables", scenario, work)
    assert plan.key.size == plan.width * plan.height <= LARGEST and plan is make_plan("nested-tables", scenario, work)
    for (level, at, n, per), (row, label) in zip(plan.levels, plan.labels, strict=True):
        assert row == at // plan.width and label.startswith(f"L{level}") and (per == 1) == (label == f"L{level}")
        assert per == 1 or f"L{level}: {per:,} entries a cell" in plan.unit
        assert (n - 1) * per < -(-frames // 512 ** (level - 1)) <= n * per
        assert plan.key[at : at + n].tolist() == [k * per << 9 * (level - 1) for k in range(n)]


@pytest.mark.parametrize("road", ["bare", "shadow", "pv"])
def test_other_roads_have_no_nested_tables(warm, road):
    sim = Simulation(load("blackboard").replace(road=road))
    sim.seek(400)
    shown, grid = board(sim)
    assert set((grid & FILL_MASK).tolist()) == {0} and shown.card(3) is None
    assert "no nested tables" in shown.caption or road == "bare"
    assert shown.alt and shown.table == []


@HAPS
@BIG
def test_a_frame_and_its_way_light_up_each_other(warm, hap, pml, superpages):
    sim = machine(hap, pml, superpages)
    sim.seek(170)
    tables, _ = board(sim)
    leaves, _ = board(sim, "ept-npt")
    for gfn in (0, 5, 511, 512, 1023):
        lit = leaves.card(gfn)["lit"]["nested-tables"]
        ways = [level for level, at, n, _ in tables.plan.levels for cell in lit if at <= cell < at + n]
        assert ways == [step.level for step in nested.path(sim.machine, gfn)]
        back = tables.card(lit[-1])["lit"]
        assert gfn // leaves.plan.per_cell in back["ept-npt"] and set(lit) <= set(back["nested-tables"])


@HAPS
@BIG
def test_every_cell_has_a_card_and_every_shown_one_a_row(warm, hap, pml, superpages):
    sim = machine(hap, pml, superpages, 3000)
    for tick in (0, 61, 170, 300):
        sim.seek(tick)
        shown, _ = board(sim)
        plan = shown.plan
        cards = [shown.card(cell) for cell in range(plan.key.size)]
        assert [card is None for card in cards] == (plan.key < 0).tolist()
        rows = {row["cell"]: row for row in shown.table}
        for cell, card in enumerate(cards):
            if cell in rows:
                said = dict(card["rows"])
                assert card["why"] and {"covers", "table page", "bits", "recalculation"} <= said.keys()
                assert ("waits in this entry" == said["recalculation"]) == (rows[cell]["letter"] == "?")
                assert rows[cell]["level"] == 4 - [cell >= at for _, at, _, _ in plan.levels[1:]].count(True)
            elif card:
                assert card["why"].startswith("No entry")
        assert str(len(nested.path(sim.machine, 0))) and "table pages" in shown.alt
