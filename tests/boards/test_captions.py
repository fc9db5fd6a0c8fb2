"""Captions and titles: what a board holds on its road, when that changes, and never words of another tick."""

import pytest

from pagingviz.boards import registry
from pagingviz.boards.board import Options
from pagingviz.boards.payload import encode
from pagingviz.player.message import Display, board_record, header
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.boards.on_screen import Shown
from tests.boards.scripts import PLAN, message, show

TITLES = {  # by road: titles of the pool, of the second translation and of the bitmap
    "bare": ("No pool on this road", "No second translation on this road", "No dirty bitmap on this road"),
    "pv": ("Shadow pool", "Frame types, or shadow mappings", "Dirty bitmap"),
    "shadow": ("Shadow pool", "Shadow mappings", "Dirty bitmap"),
    "hap": ("HAP pool", "EPT", "Dirty bitmap"),
}


@pytest.mark.parametrize("road", TITLES)
def test_a_title_says_what_the_board_holds_on_this_road(road):
    sim = Simulation(load("blackboard").replace(road=road, frames=512))
    plans = [registry.make_plan(board, sim.scenario, sim.work, Options()) for board in registry.HOME[1:]]
    assert tuple(plan.title for plan in plans) == TITLES[road]


def test_a_change_of_meaning_is_announced_at_its_tick_and_only_there(warm):
    sim = Simulation(load("borrowed").replace(do="enable@50,off@90", clean_every=0))
    boards = {board: Shown(sim, board) for board in registry.HOME[1:]}
    told = {board: {} for board in boards}
    for tick in range(48, 94):
        sim.seek(tick)
        for board, shown in boards.items():
            if shown.caption.startswith("now "):
                assert shown.caption in shown.alt
                told[board][tick] = shown.caption.split(":")[0]
    assert told == {
        "shadow-pool": {50: "now shadows come", 90: "now shadows go"},
        "ept-npt": {50: "now shadow mappings", 90: "now frame types again"},
        "dirty-bitmap": {50: "now log-dirty is on", 90: "now log-dirty is off"},
    }


def test_on_the_shadow_road_only_the_bitmap_changes_its_meaning(warm):
    sim = Simulation(load("blackboard"))
    sim.seek(300)
    assert [board for board in registry.HOME[1:] if Shown(sim, board).caption.startswith("now ")] == ["dirty-bitmap"]


@pytest.mark.browser
def test_a_message_without_frames_leaves_the_caption_of_the_picture(open_script_page):
    """While a machine runs, the header of a batch is of its last tick: the caption on the screen belongs to another."""
    page = open_script_page()
    frame = {"tick": 5, "sentence": "At 5.", "status": [], "captions": ["two bits"]}
    show(page, message(PLAN, seq=0, frames=[frame]))
    caption = page.locator(".caption")
    assert caption.inner_text() == "two bits"
    waiting = header(Display("Page", ("left",)), 0, machine="1", boards=[board_record(PLAN, "nine bits")], state="seeking")
    show(page, encode(waiting, []))
    assert page.locator(".notice").is_visible() and caption.inner_text() == "two bits"
