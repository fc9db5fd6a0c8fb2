"""Every page, run from the shell's main script as Streamlit does; bad input leaves the machine as it is."""

import pytest

from pagingviz.arch import xen
from pagingviz.evidence.xen import moments, saves
from pagingviz.manual.left_out import LEFT_OUT, PAGES, left_out
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.ui.serving import ROOT
from tests.ui.visiting import finished, machine, settled, visit

TITLES = {
    "machine": "The machine",
    "guest_page_tables": "Guest page tables",
    "shadow_pool": "Shadow pool",
    "ept_npt": "EPT / NPT",
    "dirty_bitmap": "Dirty bitmap",
    "translation": "Translation",
    "live_migration": "Live migration",
    "side_by_side": "Side by side",
    "what_if": "What if",
    "real_xen": "Real Xen",
    "left_out": "What the model leaves out",
    "manual": "Manual",
}


@pytest.fixture(scope="module")
def expected(warm):
    """The blackboard at tick 900, by the engine itself."""
    from pagingviz.story.sentences import sentence

    sim = Simulation(load("blackboard"))
    sim.seek(900)
    return {"digest": sim.machine.digest(), "sentence": sentence(sim)[0], "dirty": int(sim.machine.sys[0].dirty_count)}


@pytest.mark.slow
@pytest.mark.parametrize("page", TITLES)
def test_a_page_shows_its_title_its_sentence_and_the_engine_s_numbers(page, expected):
    app = visit(page, tick="900")
    assert [title.value for title in app.title] == [TITLES[page]]
    assert expected["sentence"] in [text.value for text in app.markdown]
    assert machine(app) == (expected["digest"], 900)
    if page in ("machine", "dirty_bitmap", "real_xen", "left_out"):
        said = next(text.value for text in app.caption if text.value.startswith("Dirty bitmap at tick 900"))
        assert f"{expected['dirty']} dirty" in said or expected["dirty"] == 0
    assert not app.error


@pytest.mark.slow
def test_second_reading_15_the_sidebar_tells_what_of_a_program_is_moved(warm):
    said = "so 1 of its 108 pages lies elsewhere than recorded"
    told = {guest: [text.value for text in visit(guest=guest).caption if said in text.value] for guest in ("pae", "hvm64")}
    assert len(told["pae"]) == 1 and told["hvm64"] == []


@pytest.mark.slow
@pytest.mark.parametrize("road", ["bare", "pv", "hap"])
@pytest.mark.parametrize("page", TITLES)
def test_every_page_on_every_road(warm, road, page):
    assert not visit(page, road=road, tick="400").error


@pytest.mark.slow
@pytest.mark.parametrize("page", ["guest_page_tables", "shadow_pool", "ept_npt", "dirty_bitmap"])
def test_the_same_grid_as_plotly_and_as_a_table(warm, page):
    app = visit(page, tick="900")
    assert shown_below(app) == {"history"}
    app.session_state["view"] = "Plotly heatmap"
    assert shown_below(app.run()) == {"history", "heatmap"}
    app.session_state["view"] = "Table"
    assert shown_below(app.run()) == {"history", "table"}
    assert not app.exception


def test_the_tables_of_ept_are_counted_below_their_maps(warm):
    """ENABLE's and CLEAN's entries, exits by cause, pages by level; both boards as heatmaps and as tables."""
    app = visit("ept_npt", road="hap", pml="1", tick="500", do="enable@100")
    assert [list(table.value)[1] for table in app.table] == ["counter", "pool pages"]
    assert {"ept_misconfig", "ept_violation", "pml_full"} <= set(app.table[0].value["counter"])
    assert list(app.table[1].value["level"]) == ["L4", "L3", "L2", "L1"]
    said = " ".join(text.value for text in app.caption)
    assert "ENABLE at tick 100: 1; CLEAN at tick 400: 1" in said and "EPT tables at tick 500" in said
    app.session_state["view"] = "Plotly heatmap"
    assert {"heatmap-ept-npt", "heatmap-nested-tables"} <= {chart.key for chart in app.run().get("plotly_chart")}
    app.session_state["view"] = "Table"
    shown = [table.value for table in app.run().dataframe if "letter" in table.value.columns]
    assert [len(rows) for rows in shown] == [256, 259] and set(shown[1]["level"]) == {1, 2, 3, 4}
    assert not app.exception and not visit("ept_npt", tick="500").table


def shown_below(app):
    """Keys of the charts of the map itself, and "table" when its table is there."""
    charts = {chart.key.partition("-")[0] for chart in app.get("plotly_chart")} & {"history", "heatmap"}
    return charts | {"table" for table in app.dataframe if "letter" in table.value.columns}


def test_navigation_keeps_the_address_and_the_machine(warm):
    app = visit(tick="900", road="hap", theme="dark", do="enable@100")
    before, address = machine(app), dict(app.query_params)
    for page in [*TITLES, "machine"]:
        app.query_params.clear()  # as Streamlit's navigation does
        settled(app.switch_page(f"../../pages/{page}.py").run())
        assert machine(app) == before
        assert dict(app.query_params) == address


def test_real_xen_shows_what_was_recorded_beside_the_model(warm):
    film = moments.film("pt")
    app = finished(visit("real_xen", recording="pt", row="9"))
    said = " ".join(text.value for text in app.markdown)
    right = sum(pair.equal for row in film.report.rows for pair in row.pairs)
    assert f"**{right} of {film.report.events}** trace events equal" in said
    assert f"Row 9 of {len(film.moments) - 1}" in said and film.moments[9].recorded in said
    assert app.query_params["recording"] == "pt" and app.query_params["row"] == "9"
    assert any("QEMU" in text.value and "times are not" in text.value for text in app.caption)
    assert len(app.get("bidi_component")) >= 2, "the rows and the maps"
    app.session_state["xen-view"] = "Counts"
    counts = app.run().dataframe[0].value
    assert len(counts) == len(film.report.counters)
    app.session_state["xen-view"] = "What differs"
    assert any("Xen 4.17.5" in text.value for text in app.run().markdown)
    assert not app.exception and not app.error


def test_real_xen_shows_the_processor_s_own_events(warm):
    """A recording on EPT: its rows have addresses and entries of the log, and the page says whose emulation that was."""
    film = moments.film("exec-pml")
    assert any(m.recorded == m.model == "EPT_VIOLATION gpa 0x1000800 \u00b7 x of rw, leaf" for m in film.moments)
    app = finished(visit("real_xen", recording="exec-pml", row="4"))
    assert any("Bochs' emulation of VMX" in text.value for text in app.caption)
    assert any("**31 of 31** trace events equal" in text.value for text in app.markdown)
    app.session_state["xen-view"] = "What differs"
    assert any("page-modification log" in text.value for text in app.run().markdown)


@pytest.mark.slow
def test_real_xen_shows_the_recorded_pre_copy_loops_beside_the_model_s(warm):
    app = finished(visit("real_xen", recording="pt"))
    app.session_state["xen-view"] = "Pre-copy"
    (table,) = finished(app.run()).dataframe
    rows = table.value.set_index("run")
    assert list(rows.index) == list(saves.NAMES)
    assert rows.loc["hap_idle_l0", "round 2"] == "5 | 5 ✓" and rows.loc["hap_idle_l0", "round 3"] == ""
    assert rows.loc["hap_w256_1k_l0", "Xen stopped at"] == "2: dirty_count 14 < 50"
    known = {name: saves.side_by_side(name).why for name in saves.NAMES if saves.side_by_side(name).why}
    assert any(f"**{len(saves.NAMES) - len(known)} of {len(saves.NAMES)}**" in text.value for text in app.markdown)
    assert known and all(any(f"{name}: {why}" == text.value for text in app.caption) for name, why in known.items())
    assert not app.exception and not app.error


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pt-boot2", "pt-oos0", "pt-pae", "trace", "pae", "sweep"])
def test_every_recording_opens_by_its_link(warm, name):
    app = finished(visit("real_xen", recording=name, row="20"))
    assert any("Row 20 of" in text.value for text in app.markdown)
    assert not app.error


def test_a_row_that_the_recording_does_not_have_is_one_sentence(warm):
    app = finished(visit("real_xen", recording="pt", row="9000"))
    assert len(app.error) == 1 and "rows 0 to" in app.error[0].value and app.error[0].value.endswith(".")


def test_choosing_a_recording_changes_the_address(warm):
    app = visit("real_xen")
    box = next(item for item in app.selectbox if item.label == "Recording")
    settled(box.set_value("pae").run())
    assert app.query_params["recording"] == "pae" and not app.exception


@pytest.mark.slow
def test_the_pool_page_shows_the_curve_and_the_recorded_grid(warm):
    app = finished(visit("shadow_pool", scenario="thrash", tick="100"))
    assert len(app.get("plotly_chart")) == 2 and len(app.table) == 1
    assert "2,052" in str(app.table[0].value)
    knob = next(item for item in app.slider if "shadow_set_allocation" in item.label)
    settled(knob.set_value(100).run())
    assert "pool:100@100" in app.query_params["do"] and not app.exception and not app.error


BAD = [
    {"beside": "road:ring"},
    {"beside": "road:hap;pool:3"},
    {"beside": "pool:32;pool:33;pool:34;pool:35"},
    {"board": "nested-tables"},
    {"bits": "never"},
    {"recording": "nowhere"},
    {"row": "-1"},
    {"row": "x"},
    {"rule": "nowhere"},
    {"broken": "perhaps"},
    {"scenario": "nowhere"},
    {"pool": "3"},
    {"pool": "many"},
    {"pml": "2"},
    {"tick": "-1"},
    {"tick": "10000000000"},
    {"play": "yes"},
    {"theme": "pink"},
    {"do": "explode@3"},
    {"nonsense": "1"},
    {"trace": "cc1"},
    {"trace": "0" * 64},
    {"trace": "nothing"},
    {"work": "zipf:99999"},
    {"frames": "300000"},
    {"direct_map_pages": "huge"},
]


@pytest.mark.parametrize("params", BAD, ids=str)
def test_a_bad_address_is_one_sentence_and_the_machine_stays(warm, params):
    app = visit(tick="900")
    before = machine(app)
    for key, value in params.items():
        app.query_params[key] = value
    settled(app.run())
    assert not app.exception
    assert len(app.error) == 1 and app.error[0].value.endswith(".")
    assert machine(app) == before


@pytest.mark.parametrize("params", BAD, ids=str)
def test_a_bad_address_at_first_opens_the_home_scenario(warm, params):
    app = visit(**params)
    assert len(app.error) == 1
    assert machine(app)[1] == load("blackboard").start


def test_a_new_address_is_followed(warm):
    app = visit(tick="900")
    app.query_params["tick"] = "901"
    settled(app.run())
    assert machine(app)[1] == 901


def test_commands_of_the_sidebar_act_at_the_present_tick(warm):
    app = visit(tick="900")
    before = machine(app)
    app.button(key="do-clean").click().run()
    assert machine(app)[1] == 900 and machine(app)[0] != before[0]
    assert "clean@900" in app.query_params["do"]
    assert machine(visit(tick="900", do=app.query_params["do"])) == machine(app)


def test_a_field_of_the_sidebar_makes_another_machine_at_the_same_tick(warm):
    app = visit(tick="900")
    field = next(item for item in app.number_input if item.label == "shadow pool pages")
    settled(field.set_value(40).run())
    assert app.query_params["pool"] == "40" and machine(app)[1] == 900
    before = machine(app)
    field = next(item for item in app.number_input if item.label == "guest frames")
    settled(field.set_value(64).run())
    assert len(app.error) == 1 and "frames" in app.error[0].value
    assert machine(app) == before
    assert next(item for item in app.number_input if item.label == "guest frames").value == 256


def test_paging_and_xen_s_switches_are_in_the_sidebar(warm):
    app = visit(tick="900")
    switches = next(item for item in app.button_group if "shopt" in item.label)
    assert len(switches.value) == len(xen.SHOPTS)
    settled(switches.set_value([name for name in xen.SHOPTS if name != "prefetch"]).run())
    assert not app.exception and app.query_params["shopt"] == str(511 - 8)
    assert {"guest paging", "CR0.WP", "out-of-sync tables", "version of Xen"} <= {item.label for item in app.button_group}


def test_choosing_a_scenario_opens_it_at_its_start(warm):
    app = visit(tick="900")
    app.button("questions").click().run()
    settled(app.button("question-programs").click().run())
    assert app.query_params["scenario"] == "programs"
    assert machine(app)[1] == load("programs").start


def test_what_is_left_out_comes_from_one_list(warm):
    app = visit("left_out")
    shown = " ".join(str(table.value) for table in app.table)
    assert len(app.table) == len({item.pages[0] for item in LEFT_OUT})
    for item in LEFT_OUT:
        assert item.what[:20] in shown
    for page in ("guest-tables", "shadow-pool", "ept-npt", "dirty-bitmap", "source"):
        assert left_out(page)


def test_what_a_kernel_says_it_leaves_out_is_on_the_list():
    """Each module of core/ whose docstring says "Left out" has entries of its own, and every entry a page and a module."""
    for path in (ROOT / "pagingviz/core").rglob("*.py"):
        if "Left out" in path.read_text().partition('"""\n')[0]:
            room = path.relative_to(ROOT / "pagingviz").with_suffix("").as_posix()
            assert any(item.room == room for item in LEFT_OUT), room
    for item in LEFT_OUT:
        assert set(item.pages) <= PAGES.keys()
        assert (ROOT / f"pagingviz/{item.room}.py").exists()
