"""The page Live migration: its boards agree with the state and each other, its charts with the rounds; its controls work."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from pagingviz.boards.migration_scene import MigrationScene
from pagingviz.boards.palette import CHANGED, LETTER_MASK, LETTER_SHIFT, LETTERS, PINNED
from pagingviz.boards.registry import MIGRATION
from pagingviz.migration.state import ABORTED, BROKEN, DONE, EPOCH, FINAL, LIVE, LOST, ROLLING
from pagingviz.reading import rounds
from pagingviz.scenario.scenario import from_mapping, load
from pagingviz.story.rounds import convergence, rows
from pagingviz.timeline.simulation import Simulation
from pagingviz.ui import figures_migration as charts
from tests.boards.on_screen import Shown
from tests.ui.serving import wait_quiet, wait_ready
from tests.ui.visiting import finished, machine, settled, visit

KINDS = (
    {},
    {"road": "hap"},
    {"road": "hap", "hap": "npt"},
    {"road": "hap", "pml": "1"},
    {"road": "pv"},
    {"policy": "legacy"},
    {"migrate": "hybrid", "road": "hap"},
    {"migrate": "postcopy"},
    {"migrate": "stop"},
    {"migrate": "remus", "road": "pv"},
)


def moving(**fields):
    return Simulation(from_mapping({"scenario": "moving"} | fields))


def finish(sim):
    """Run on until nothing is left to do."""
    while sim.migration.state.next < 10**9:
        sim.run(500)
    return sim


def shown(sim):
    """{board: (letters, thick, outlined)}, each by cell that stands for a frame."""
    out = {}
    for board in MIGRATION:
        drawn = Shown(sim, board)
        grid = drawn.flat[drawn.plan.key >= 0]
        out[board] = np.array(list(LETTERS))[grid >> LETTER_SHIFT & LETTER_MASK], grid & PINNED != 0, grid & CHANGED != 0
    return out


@pytest.mark.parametrize("fields", KINDS, ids=str)
def test_the_boards_agree_with_the_state_and_with_each_other(warm, fields):
    sim = moving(**fields)
    seen = set()
    while sim.migration.state.next < 10**9 and sim.tick < 12_000:
        sim.run(37)
        mig, st = sim.migration, sim.migration.state
        seen.add(st.phase)
        (source, _, _), (wire, _, _), (there, _, _) = boards = list(shown(sim).values())
        assert all(np.array_equal(boards[0][2], board[2]) for board in boards), "the same frames are outlined everywhere"
        counted = np.isin(wire, list("1234."))
        assert np.array_equal(wire[counted], np.array(list(".1234"))[np.minimum(st.times, 4)][counted])
        paused = st.phase == FINAL and st.rounds and st.rounds[-1].kind in ("final", "checkpoint")
        assert not paused or int((wire == "H").sum()) == st.rounds[-1].sent
        versions = mig.destination.versions != sim.machine.view("ver")
        if st.phase in (LIVE, FINAL, EPOCH):
            assert np.array_equal(there == ".", st.times == 0)
            old = np.isin(there, ["d", "D"])
            assert np.all(old[versions & (st.times > 0)])
            assert np.all(np.isin(source[old], ["d", "D", "?"])), "what is old over there the source knows it must send"
            assert int(np.isin(source, ["d", "."]).sum()) == st.rounds[-1].planned - st.at or st.phase == EPOCH
        if st.phase == ROLLING:
            assert np.array_equal(there == ".", ~st.arrived) and np.array_equal(np.isin(source, ["d", "."]), ~st.arrived)
            assert int((there == "F").sum()) >= st.rounds[-1].faults
    assert {LIVE, FINAL} <= seen or fields.get("migrate") in ("stop", "postcopy", "hybrid"), seen
    if st.phase == DONE and fields.get("migrate") != "remus":
        sim.run(500)
        letters = shown(sim)["destination"][0]
        assert set(letters) <= {"T", "W", "F"}, "the guest runs there now, whatever it writes"


def test_outlined_is_what_has_just_been_handed_to_the_wire(warm):
    sim, moved = moving(), 0
    sim.seek(610)
    times = sim.migration.state.times.copy()
    for _ in range(700):
        sim.run(3)
        now = sim.migration.state.times
        if (now != times).any() and sim.migration.state.phase == LIVE and sim.migration.state.at:
            outlined = shown(sim)["wire"][2]
            assert outlined.any() and np.all((now - times)[outlined] == 1)
            moved += 1
        times = now.copy()
    assert moved > 100


def test_a_thick_edge_says_that_the_frame_goes_again(warm):
    sim = moving()
    sim.seek(2880)
    st = sim.migration.state
    assert st.rounds[-1].number == 2 and st.at < st.rounds[-1].planned
    dirty = np.zeros(192, bool)
    dirty[sim.machine.dirty_frames()] = True
    source, wire = (shown(sim)[board] for board in ("source", "wire"))
    waits = np.isin(source[0], ["d", "."])
    assert np.array_equal(wire[1], dirty) and np.array_equal(source[1], dirty & waits) and (dirty & waits).any()
    assert np.array_equal(source[0] == "D", dirty & ~waits)


def test_skipped_and_deferred_frames_are_left_for_later(warm):
    sim = moving(policy="legacy", frames="2048", road="hap", work="hotcold:1400:1400:90")  # two batches a round
    while not (sim.migration.state.rounds and sim.migration.state.rounds[-1].skipped):
        sim.run(200)
        assert sim.migration.state.phase != DONE
    source, _, _ = shown(sim)["source"]
    assert 0 < int((source == "?").sum()) == sim.migration.state.rounds[-1].skipped
    sim = moving(road="pv", fail="flux:7")
    sim.seek(900)
    assert shown(sim)["source"][0][7] == "?" == shown(sim)["wire"][0][7]
    assert "EAGAIN" in Shown(sim, "source").card(7)["why"]


def test_back_in_time_the_boards_are_the_same(warm):
    forth, back = moving(road="hap"), moving(road="hap")
    back.seek(9000)
    for tick in (4000, 2500, 700, 300):
        forth = moving(road="hap")
        forth.seek(tick)
        back.seek(tick)
        for board in MIGRATION:
            one, other = Shown(forth, board), Shown(back, board)
            assert np.array_equal(one.grid, other.grid) and one.caption == other.caption
        assert MigrationScene(forth).sentence() == MigrationScene(back).sentence()


def test_cells_of_several_frames_show_the_worst_and_say_so(warm):
    sim = Simulation(
        from_mapping(
            {"scenario": "lecture", "road": "hap", "migrate": "precopy", "clean_every": "0", "do": "", "migrate_at": "100"}
        )
    )
    sim.seek(20_000)
    drawn = Shown(sim, "destination")
    plan = drawn.plan
    assert plan.per_cell == 4 and "4 frames" in plan.unit and "worst" in plan.unit and "4 frames" in plan.legend[-1][2]
    there = shown(sim)["destination"][0]
    wrong = sim.migration.destination.versions != sim.machine.view("ver")
    wrong &= sim.migration.state.times > 0
    assert wrong.any() and set(there[np.unique(np.flatnonzero(wrong) // 4)]) == {"D"}
    card = dict(drawn.card(5)["rows"])
    assert card["this cell"].startswith("gfn 0x14 to 0x17")


def test_a_guest_whose_frames_are_not_all_kept(warm):
    sim = Simulation(load("cloud").replace(migrate="precopy", clean_every=0, do="", migrate_at=50))
    sim.seek(60)
    there, wire = shown(sim)["destination"][0], shown(sim)["wire"][0]
    sent = sim.migration.state.at // Shown(sim, "wire").plan.per_cell
    assert sim.machine.modelled.spread and set(there[sent + 1 :]) == {"."} and set(wire[sent + 1 :]) == {"."}


@pytest.mark.parametrize(
    "fields, phase",
    [
        ({"fail": "link:200"}, ABORTED),
        ({"fail": "link:9", "migrate": "postcopy"}, BROKEN),
        ({"fail": "host:9", "migrate": "postcopy"}, LOST),
    ],
)
def test_given_up_and_lost(warm, fields, phase):
    sim = finish(moving(**fields))
    assert sim.migration.state.phase == phase
    letters = shown(sim)
    if phase == ABORTED:
        assert set(letters["source"][0]) == {"."} and set(letters["destination"][0]) == {"."}, "thrown away"
    else:
        assert np.array_equal(letters["destination"][0] == ".", letters["source"][0] == ".")
    assert str(sim.migration.state.why) == MigrationScene(sim).sentence()[0]


# ---- numbers and figures


@pytest.mark.parametrize("fields", KINDS, ids=str)
def test_charts_show_what_the_rounds_counted(warm, fields):
    sim = moving(**fields)
    sim.run(1000)
    finish(sim)
    mig, st = sim.migration, sim.migration.state
    bars = {bar.name: bar for bar in charts.rounds_bars(st.rounds, "light").data}
    assert list(bars["sent"].y) == [r.sent for r in st.rounds]
    needed, needless = (bar.y for name, bar in bars.items() if name != "sent")
    assert [a + b for a, b in zip(needed, needless, strict=True)] == [r.dirtied for r in st.rounds]
    exits = charts.exits_bars(st.rounds, [rounds.exits(mig, r) for r in st.rounds], "dark")
    assert sum(sum(bar.y) for bar in exits.data) == sum(sum(r.exits.values()) for r in st.rounds)
    table = rows(mig)
    assert [row["sent"] for row in table] == [r.sent for r in st.rounds] and len(table) == len(st.rounds)
    stretches = rounds.stretches(sim)
    line = charts.time_line(stretches, rounds.now(sim) - st.began, "light")
    assert len(line.data) == len(stretches)
    paused = sum(until - since for lane, _, since, until in stretches if lane == "nowhere")
    assert paused == st.downtime
    guest = sorted((since, until) for lane, _, since, until in stretches if lane != "wire")
    assert guest[0][0] == 0 and all(a[1] == b[0] for a, b in zip(guest, guest[1:], strict=False)), "without a gap"


def test_the_pause_foretold_after_the_last_round_is_the_pause(warm):
    for fields in ({}, {"road": "hap"}, {"road": "pv"}):
        sim = finish(moving(tracking="free", **fields))
        mig = sim.migration
        foretold = rounds.paces(mig)[-1].downtime
        assert abs(foretold - mig.state.downtime) < 0.02 * mig.state.downtime


def test_what_dirties_faster_than_the_link_is_said_to(warm):
    sim = finish(moving(bandwidth="125", pace="500", road="hap"))
    assert any("no number of rounds" in text for text in convergence(sim.migration)) or (
        rounds.paces(sim.migration)[-1].dirtied < 125
    )
    pages = [r.dirtied for r in sim.migration.state.rounds if r.kind == "live"]
    plateau = rounds.working_set(sim.migration)
    assert plateau == (min(pages[-2:]) if pages[-1] >= rounds.PLATEAU * pages[-2] else 0)


# ---- the page


@pytest.mark.parametrize("fields", KINDS, ids=str)
def test_the_page_of_every_kind(warm, fields):
    sim = moving(**fields)
    sim.seek(9000)
    app = visit("live_migration", scenario="moving", tick="9000", **fields)
    assert machine(app) == (sim.machine.digest(), 9000) and not app.error
    assert [chart.key for chart in app.get("plotly_chart")][0] == "time-line"
    if sim.migration.state.phase == DONE:
        assert "The destination equals the source" in app.success[0].value
    table = next(item.value for item in app.dataframe if "planned" in item.value.columns)
    assert table["sent"].tolist() == [r.sent for r in sim.migration.state.rounds]


def choice(app, name):
    return next(item for item in app.selectbox if item.label == name)


@pytest.mark.slow
def test_choices_in_the_heading_change_the_scenario(warm):
    app = visit("live_migration", scenario="moving", tick="1200")
    settled(choice(app, "pace").set_value(100).run())
    assert app.query_params["pace"] == "100" and machine(app)[1] == 1200
    settled(choice(app, "bandwidth").set_value(125).run())
    settled(choice(app, "policy").set_value("qemu").run())
    settled(choice(app, "migrate").set_value("hybrid").run())
    assert (app.query_params["bandwidth"], app.query_params["policy"], app.query_params["migrate"]) == ("125", "qemu", "hybrid")
    assert not app.error and not app.exception
    number = next(item for item in app.number_input if item.label == "latency, µs")  # in the sidebar of this page alone
    settled(number.set_value(7).run())
    assert app.query_params["latency"] == "7" and not app.error
    own = visit("live_migration", scenario="moving", tick="1200", pace="33")
    assert choice(own, "pace").value == 33


def test_a_guest_that_is_not_moved_can_be(warm):
    app = visit("live_migration", tick="900")
    assert not app.get("plotly_chart") and any("Nothing is being moved" in text.value for text in app.markdown)
    settled(app.button(key="migrate-this").click().run())
    assert app.query_params["migrate"] == "precopy" and app.query_params["migrate_at"] == "900"
    assert machine(app)[1] == 900 and not app.error and app.query_params["clean_every"] == "0"
    assert any("round 1 sends all 256 pages" in text.value for text in app.markdown)
    assert visit("live_migration", tick="900", road="bare").button(key="migrate-this").disabled


def test_one_button_watches_gzip_move(warm):
    app = visit("live_migration", tick="900")
    settled(app.button(key="watch").click().run())
    assert app.query_params["scenario"] == "moving" and app.query_params["play"] == "1"
    assert machine(app)[1] >= load("moving").start and not app.error


def test_the_boards_as_heatmap_and_as_table(warm):
    app = visit("live_migration", scenario="moving", tick="2880")
    app.session_state["view"] = "Plotly heatmap"
    assert {"heatmap-source", "heatmap-wire", "heatmap-destination"} <= {chart.key for chart in app.run().get("plotly_chart")}
    app.session_state["view"] = "Table"
    tables = [item.value for item in app.run().dataframe if "letter" in item.value.columns]
    assert len(tables) == 3 and all(len(table) for table in tables) and not app.exception


@pytest.mark.browser
def test_two_clicks_from_home_and_the_keys(open_page):
    page = open_page("/?scenario=blackboard&tick=900", tick=900)
    page.get_by_role("link", name="Live migration").click()
    wait_ready(page)
    page.get_by_role("button", name="Watch gzip move").click()
    page.wait_for_url(re.compile("scenario=moving"))
    tick = page.locator('canvas[data-board="wire"]')
    expect(tick).not_to_have_attribute("data-tick", "900")
    page.wait_for_function("() => window.pagingvizNow?.running === true")
    page.keyboard.press("Space")
    wait_quiet(page)
    wait_ready(page)
    page.get_by_label("Kind of event that Next and Previous look for").select_option("ROUND")
    page.keyboard.press("Home")
    wait_ready(page, 0)
    begins = "The migration begins"
    for key, at, word in (
        ("n", 600, begins),
        ("n", 2820, "CLEAN: 56 pages"),
        ("p", 600, begins),
        ("ArrowRight", 601, "Round 1"),
        ("ArrowLeft", 600, begins),
    ):
        page.keyboard.press(key)
        wait_ready(page, at)
        expect(page.locator(".what")).to_contain_text(word)


@pytest.mark.browser
def test_a_present_lecturer_has_all_three_boards_with_letters(open_page):
    page = open_page("/live-migration?scenario=moving&tick=2880&present=1", tick=2880)
    boxes = [page.locator(f'canvas[data-board="{board}"]').bounding_box() for board in MIGRATION]
    assert all(box["width"] >= 12 * 28 and box["y"] + box["height"] < 720 for box in boxes)
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")


@pytest.mark.slow
def test_the_same_guest_down_every_road_on_demand(warm):
    app = visit("live_migration", scenario="moving", tick="700")
    finished(app.button(key="every-road-run").click().run())
    assert any("Shadow paging" in text.value for text in app.markdown)
    table = next(item.value for item in app.table if "stopped because" in item.value.columns)
    assert table["road"].tolist() == ["PV", "shadow", "EPT", "EPT + PML", "NPT"] and set(table["equal"]) == {"yes"}
    assert "every-road-chart" in {chart.key for chart in app.get("plotly_chart")} and not app.exception
