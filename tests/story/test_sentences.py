"""Every event has words, path flags are decoded, and the maps and the inspector know every shadow type and guest kind."""

import numpy as np
import pytest

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.boards.palette import FILL_MASK, LETTER_MASK, LETTER_SHIFT, LETTERS, OUT_OF_SYNC, SUPERPAGE
from pagingviz.machine.event_record import EVENT_DTYPE
from pagingviz.migration.policy import STOP
from pagingviz.scenario.scenario import Scenario, load
from pagingviz.story.events import TYPES, WORDS, event_text, path_flags
from pagingviz.story.kinds import EVENT_KINDS
from pagingviz.story.migration import counted_before
from pagingviz.story.sentences import begin_with, sentence
from pagingviz.timeline.simulation import Simulation
from pagingviz.work.raw_guest import RawWork
from tests.boards.on_screen import MACHINE, Shown

RW, TABLE, BIG = 0x63, 0x67, 0xE7


def event(kind, **fields):
    row = np.zeros(1, EVENT_DTYPE)
    row["kind"] = ev.CODES[kind]
    for name, value in fields.items():
        row[name] = value
    return row[0]


@pytest.mark.parametrize("kind", ev.NAMES)
def test_every_event_kind_has_a_sentence(kind):
    text = event_text(event(kind, gfn=0x123, mfn=5, level=3, detail=7))
    assert text and "{" not in text


def test_only_kinds_that_exist_have_words():
    assert set(WORDS) == set(ev.NAMES)
    assert {kind for kind, _ in EVENT_KINDS} <= set(ev.NAMES)


def test_path_flags_have_xens_names():
    flags = int(xen.SF["PROMOTE"] | xen.SF["WRMAP"])
    e = event("FIXUP", gfn=1, level=1 | flags << 16)
    assert path_flags(e) == "PROMOTE|WRMAP" and "PROMOTE|WRMAP" in event_text(e)
    assert "entry 5," in event_text(event("EMULATE", gfn=1, level=5 | flags << 16))
    assert path_flags(event("PROMOTE", level=1)) == ""


def test_every_shadow_type_has_xens_name():
    assert len(TYPES) == len(xen.SH_LEVEL) == 18
    for kind, name in TYPES.items():
        if xen.SH_LEVEL[kind]:
            assert name.startswith(("l", "fl")) and name[-2:] in ("32", "ae", "64")


def simulation(work, **fields):
    base = {"road": "shadow", "frames": 1024, "pool": 64, "trace": "", "work": "idle", "name": "raw"}
    return Simulation(Scenario(**base | fields), work=work)


def guest64(program):
    """L4 0x10, L3 0x11, L2 0x12, L1 0x13 (4 KiB identity of 512 frames), a 2 MiB page at 2 MiB."""
    tables = {
        0x10: {0: 0x11 << 12 | TABLE},
        0x11: {0: 0x12 << 12 | TABLE},
        0x12: {0: 0x13 << 12 | TABLE, 1: 1 << 21 | BIG},
        0x13: {i: i << 12 | RW for i in range(512)},
    }
    return RawWork(levels=4, zone=32, frames=1024, cr3=0x10, tables=tables, program=program)


def letters(sim, board):
    shown = Shown(sim, board)
    grid = shown.flat
    return shown, grid, [LETTERS[word >> LETTER_SHIFT & LETTER_MASK] for word in grid.tolist()]


def test_a_table_out_of_sync_is_seen_on_three_maps_and_said(warm):
    sim = simulation(guest64([("read", 0x5000), ("store", 0x13 << 12 | 6 * 8, 6 << 12 | RW, 8), ("cr3", 0, 0x10)]))
    sim.seek(2)
    assert sim.counters()["shadow_unsync"] == 1
    text, source = sentence(sim)
    assert "0x13" in text and "out of sync" in text and "sh_unsync" in source and "UNSYNC" in source
    for board in ("guest-tables", "shadow-pool", "ept-npt"):
        map_, grid, shown = letters(sim, board)
        assert np.count_nonzero(grid & FILL_MASK == OUT_OF_SYNC) >= 1 and "O" in shown
        cell = int(np.flatnonzero(grid & FILL_MASK == OUT_OF_SYNC)[0])
        card = map_.card(cell)
        assert "out of sync" in str(card)
        assert "out of sync" in map_.alt
        assert any(row["state"] == "out of sync" for row in map_.table)
    sim.seek(3)
    assert "brought up to date" in sentence(sim)[0]
    assert not any(grid.size and np.any(grid & FILL_MASK == OUT_OF_SYNC) for _, grid, _ in [letters(sim, "shadow-pool")])


def test_a_superpage_is_seen_and_its_fl1_too(warm):
    sim = simulation(guest64([("read", 0x5000), ("read", 0x201000)]))
    sim.seek(2)
    assert "; 1 shadow table made for it first, fl1_64 for the superpage at gfn 0x200" in sentence(sim)[0]
    map_, grid, shown = letters(sim, "guest-tables")
    big = np.flatnonzero(grid & FILL_MASK == SUPERPAGE)
    assert big.size == 1 and shown[big[0]] == "S"
    card = map_.card(int(big[0]))
    assert "2 MiB" in " ".join(card["chain"]) and "make_fl1_shadow" in card["why"]
    map_, _, shown = letters(sim, "shadow-pool")
    assert shown.count("f") == 1
    assert "splinters" in str(map_.card(shown.index("f")))


def test_what_goes_for_want_of_pages_is_called_what_it_is(warm):
    sim = simulation(guest64([]))

    def told(kind, *shadows):
        events = np.array([event(kind, gfn=gfn, level=level, detail=2) for gfn, level in shadows], EVENT_DTYPE)
        return begin_with(sim, events, kind, ("", ""), ())[0]

    text = told("PREALLOC_UNPIN", (9, 4), (10, 3))
    assert "it unpins what was pinned longest ago, the root gfn 0x9, then the L3 shadow of gfn 0xa. With that 0 " in text
    assert "it unhooks the loaded root gfn 0x9. " in told("PREALLOC_UNHOOK", (9, 4))
    assert "it unhooks the loaded roots gfn 0x9, then gfn 0xa. " in told("PREALLOC_UNHOOK", (9, 2), (10, 2))


@pytest.mark.slow
@pytest.mark.parametrize("big", ["4k", "large"])
@pytest.mark.parametrize("guest", x86.GUESTS)
def test_processes_of_every_guest_kind(warm, guest, big):
    """Both maps of tables follow the guest's own walk: each present leaf of the running process is drawn as one."""
    scenario = Scenario(guest=guest, direct_map_pages=big, frames=1024, trace="", work="zipf:60,hotcold:40", quantum=50)
    sim = Simulation(scenario)
    sim.seek(400)
    map_, grid, shown = letters(sim, "guest-tables")
    assert {"T", "W"} <= set(shown) and ("S" in shown) == (big == "large")
    used = {e.slot: e for e in map_.plan.entries if e.level == 1}
    assert any(shown[cell] in "WRwr" for cell in used[0].cell)
    for board in MACHINE:
        map_, grid, shown = letters(sim, board)
        for cell in range(len(guest), grid.size, 7):
            map_.card(cell)
        assert map_.alt
    assert sim.audit() == ""


@pytest.mark.slow
@pytest.mark.parametrize(("levels", "kinds"), [(3, {"2", "1", "f"}), (2, {"2", "1", "f", "+"})])
def test_guests_of_other_kinds(warm, levels, kinds):
    if levels == 3:
        tables = {
            0x10: {0: 0x12 << 12 | 1},
            0x12: {0: 0x13 << 12 | TABLE, 1: 1 << 21 | BIG},
            0x13: {i: i << 12 | RW for i in range(512)},
        }
        big = 0x201000
    else:
        tables = {0x10: {0: 0x13 << 12 | TABLE, 1: 1 << 22 | BIG}, 0x13: {i: i << 12 | RW for i in range(1024)}}
        big = 0x401000
    work = RawWork(levels=levels, zone=32, frames=2048, cr3=0x10, tables=tables, program=[("read", 0x5000), ("write", big)])
    sim = simulation(work, frames=2048)
    sim.seek(2)
    assert sim.machine.live_tables().tolist() == sorted(tables)
    for board in MACHINE:
        map_, grid, shown = letters(sim, board)
        for cell in range(grid.size):
            map_.card(cell)
        assert map_.alt and map_.caption
        if board == "shadow-pool":
            assert kinds <= set(shown)
        if board == "guest-tables":
            assert "S" in shown and "T" in shown


def test_what_the_policy_counted_is_told_once_it_has_been_sent(warm):
    sim = Simulation(load("moving"))
    while sim.migration.state.answer != STOP:
        sim.seek(sim.migration.state.next)
    assert sim.migration.state.rounds[-1].kind == "live" and counted_before(sim.migration) == ""
    while sim.migration.state.rounds[-1].kind == "live":
        sim.seek(sim.migration.state.next)
    _, _, counted, pause = sim.migration.state.rounds
    told = f" The {counted.planned} pages that the policy counted were sent in round 3, while the guest still ran; round 4 "
    assert counted_before(sim.migration).startswith(told) and pause.planned == counted.dirtied
