"""Every page, run from the shell's main script as Streamlit does; bad input leaves the machine as it is."""

import re

import pytest
from streamlit.testing.v1 import AppTest

from pagingviz.left_out import LEFT_OUT, PAGES, left_out
from pagingviz.scenario import load
from pagingviz.simulation import Simulation
from serving import ROOT

MAIN = str(ROOT / "pagingviz/ui/main.py")
TITLES = {
    "machine": "The machine",
    "guest_page_tables": "Guest page tables",
    "shadow_pool": "Shadow pool",
    "ept_npt": "EPT / NPT",
    "dirty_bitmap": "Dirty bitmap",
    "left_out": "What the model leaves out",
}


def visit(page="machine", **params):
    """The app as a visitor has it after opening `page` with these URL keys."""
    app = AppTest.from_file(MAIN, default_timeout=60)
    for key, value in params.items():
        app.query_params[key] = value
    app.run()
    if page != "machine":
        app.switch_page(f"../../pages/{page}.py").run()
    assert not app.exception, app.exception
    return app


def machine(app):
    """(digest, tick) of the machine on the screen."""
    text = next(text.value for text in app.text if text.value.startswith("digest"))
    found = re.fullmatch(r"digest (\w+) tick (\d+)", text)
    return found[1], int(found[2])


@pytest.fixture(scope="module")
def expected(warm):
    """The blackboard at tick 900, by the engine itself."""
    from pagingviz import portray

    sim = Simulation(load("blackboard"))
    sim.seek(900)
    return {"digest": sim.machine.digest(), "sentence": portray.sentence(sim)[0], "dirty": int(sim.machine.sys[0].dirty_count)}


@pytest.mark.parametrize("page", TITLES)
def test_a_page_shows_its_title_its_sentence_and_the_engine_s_numbers(page, expected):
    app = visit(page, tick="900")
    assert [title.value for title in app.title] == [TITLES[page]]
    assert expected["sentence"] in [text.value for text in app.markdown]
    assert machine(app) == (expected["digest"], 900)
    if page in ("machine", "dirty_bitmap", "left_out"):
        said = next(text.value for text in app.caption if text.value.startswith("Dirty bitmap at tick 900"))
        assert f"{expected['dirty']} dirty" in said or expected["dirty"] == 0
    assert not app.error


@pytest.mark.parametrize("road", ["bare", "hap"])
@pytest.mark.parametrize("page", TITLES)
def test_every_page_on_every_road(warm, road, page):
    assert not visit(page, road=road, tick="400").error


@pytest.mark.parametrize("page", ["guest_page_tables", "shadow_pool", "ept_npt", "dirty_bitmap"])
def test_the_same_grid_as_plotly_and_as_a_table(warm, page):
    app = visit(page, tick="900")
    assert len(app.get("plotly_chart")) == 1, "the history"
    app.session_state["view"] = "Plotly heatmap"
    assert len(app.run().get("plotly_chart")) == 2
    app.session_state["view"] = "Table"
    assert len(app.run().dataframe) == 1
    assert not app.exception


def test_navigation_keeps_the_address_and_the_machine(warm):
    app = visit(tick="900", road="hap", theme="dark", do="enable@100")
    before, address = machine(app), dict(app.query_params)
    for page in [*TITLES, "machine"]:
        app.query_params.clear()  # as Streamlit's navigation does
        app.switch_page(f"../../pages/{page}.py").run()
        assert machine(app) == before
        assert dict(app.query_params) == address


BAD = [
    {"scenario": "nowhere"}, {"pool": "3"}, {"pool": "many"}, {"road": "pv"}, {"guest": "pae"}, {"tick": "-1"},
    {"tick": "10000000000"}, {"play": "yes"}, {"theme": "pink"}, {"do": "explode@3"}, {"nonsense": "1"},
    {"trace": "cc1"}, {"trace": "0" * 64}, {"trace": "nothing"}, {"work": "zipf:99999"},
]  # fmt: skip


@pytest.mark.parametrize("params", BAD, ids=str)
def test_a_bad_address_is_one_sentence_and_the_machine_stays(warm, params):
    app = visit(tick="900")
    before = machine(app)
    for key, value in params.items():
        app.query_params[key] = value
    app.run()
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
    app.run()
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
    field.set_value(40).run()
    assert app.query_params["pool"] == "40" and machine(app)[1] == 900
    before = machine(app)
    field = next(item for item in app.number_input if item.label == "guest frames")
    field.set_value(64).run()
    assert len(app.error) == 1 and "frames" in app.error[0].value
    assert machine(app) == before
    assert next(item for item in app.number_input if item.label == "guest frames").value == 256


def test_choosing_a_scenario_opens_it_at_its_start(warm):
    app = visit(tick="900")
    app.selectbox[0].set_value("programs").run()
    assert app.query_params["scenario"] == "programs"
    assert machine(app)[1] == load("programs").start


def test_what_is_left_out_comes_from_one_list(warm):
    app = visit("left_out")
    shown = " ".join(str(table.value) for table in app.table)
    assert len(app.table) == len({item.pages[0] for item in LEFT_OUT})
    for item in LEFT_OUT:
        assert item.what[:20] in shown
    for page in ("guest-tables", "shadow-pool", "ept-npt", "dirty-bitmap"):
        assert left_out(page)


def test_what_a_kernel_says_it_leaves_out_is_on_the_list():
    """Each module of core/ whose docstring says "Left out" has entries of its own, and every entry a page and a module."""
    for path in (ROOT / "pagingviz/core").glob("*.py"):
        if "Left out" in path.read_text().partition('"""\n')[0]:
            assert any(item.room == path.stem for item in LEFT_OUT), path.name
    for item in LEFT_OUT:
        assert set(item.pages) <= PAGES.keys()
        assert (ROOT / f"pagingviz/core/{item.room}.py").exists()
