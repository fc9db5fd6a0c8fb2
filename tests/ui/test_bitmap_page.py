"""The page Dirty bitmap: what its cells tell is part of the address; tree, PEEK and CLEAN, logs, the road not taken."""

import pytest
from playwright.sync_api import expect

from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.boards.on_screen import Shown
from tests.ui.serving import wait_quiet, wait_ready
from tests.ui.shots import canvas_png
from tests.ui.visiting import finished, settled, visit


def rows(app, head):
    """The table that has a column of that name: its rows as dicts."""
    table = next(item.value for item in app.table if head in item.value.columns)
    return table.to_dict("records")


def test_what_the_cells_tell_is_chosen_by_address_and_by_switch(warm):
    app = visit("dirty_bitmap", tick="900", bits="who", do="enable@300,dm:200:6@850")
    said = [text.value for text in app.caption if text.value.startswith("Dirty bitmap")]
    assert said and all(text.startswith("Dirty bitmap: who set the bit last at tick 900") for text in said)
    assert "6 device model" in said[0]
    switch = next(item for item in app.get("button_group") if item.key and item.key.startswith("bits-"))
    settled(switch.set_value(["often"] if isinstance(switch.value, list) else "often").run())
    assert app.query_params["bits"] in ("often", ["often"]) and not app.exception and not app.error
    assert any(text.value.startswith("Dirty bitmap: how often at tick 900") for text in app.caption)
    assert "bits" not in visit("dirty_bitmap", tick="900").query_params, "this round is the default"


def test_peek_and_clean_say_what_they_would_do(warm):
    sim = Simulation(load("blackboard"))
    sim.seek(900)
    app = visit("dirty_bitmap", tick="900")
    told = {row[""]: (row["PEEK"], row["CLEAN"]) for row in rows(app, "PEEK")}
    n = int(sim.machine.sys[0].dirty_count)
    assert n > 0 and told["would report now"] == (f"{n:,} frames",) * 2
    assert told["done so far"] == ("0", str(sim.counters()["cleans"]))
    assert told["write access afterwards"] == ("stays", "all shadows are thrown away")
    app = visit("dirty_bitmap", tick="900", clean="revoke")
    assert "searching" in {row[""]: row for row in rows(app, "PEEK")}["write access afterwards"]["CLEAN"]
    assert "log-dirty is off" in str(rows(visit("dirty_bitmap", tick="200"), "PEEK"))


def test_the_tree_and_the_logs(warm):
    app = visit("dirty_bitmap", tick="900")
    assert any(chart.key == "dirty-tree" for chart in app.get("plotly_chart"))
    table = next(item.value for item in app.dataframe if "pool page" in item.value.columns)
    assert table["level"].tolist() == ["root", "L3 node", "L2 node", "leaf"]
    assert table["covers"].tolist() == ["16 PiB", "32 TiB", "64 GiB", "128 MiB"]
    app = visit("dirty_bitmap", tick="900", road="hap", pml="1")
    sim = Simulation(load("blackboard").replace(road="hap", pml=1))
    sim.seek(900)
    (log,) = sim.machine.pml()
    (row,) = rows(app, "PML index")
    known = len({*sim.machine.dirty_bits().nonzero()[0].tolist(), *log})
    told = {line[""]: line["PEEK"] for line in rows(app, "PEEK")}
    assert told["would report now"] == f"{known} frames", "logs are flushed first"
    assert log and row["logged"] == len(log) and row["gfn, newest first"].startswith(f"{log[-1]:#x}")
    assert not app.exception


@pytest.mark.slow
def test_both_ledgers_and_their_crossover(warm):
    app = finished(visit("dirty_bitmap", scenario="search", tick="600"))
    app.session_state["ledger-over"] = "Dirty rate"
    finished(app.run())
    assert any(chart.key == "ledger-curve" for chart in app.get("plotly_chart"))
    table = next(item.value for item in app.dataframe if "counted" in item.value.columns)
    looked = table.set_index("counted").loc["entries looked at (entries_searched)"]
    assert int(looked["search: in the pauses"].replace(",", "")) > 1000 and looked["blow: in the pauses"] == "0"
    assert any("the same frames dirty at every CLEAN and the same guest" in text.value for text in app.markdown)
    assert any("crossover" in text.value or "cheaper everywhere" in text.value for text in app.markdown)
    assert not app.exception and not app.error
    for road in ("hap", "bare"):
        other = visit("dirty_bitmap", tick="600", road=road)
        assert any("There are shadows on the shadow road" in text.value for text in other.markdown)


@pytest.mark.browser
def test_the_switch_paints_the_map_anew_at_the_same_tick(open_page):
    page = open_page("/dirty-bitmap?scenario=blackboard&tick=900", tick=900)
    seen = [canvas_png(page, "dirty-bitmap")]
    for words, bits in (("Who set it", "who"), ("How often", "often"), ("This round", "round")):
        page.get_by_text(words, exact=True).click()
        page.wait_for_url(lambda url, bits=bits: (f"bits={bits}" in url) if bits != "round" else "bits=" not in url)
        title = {"who": "who set the bit last", "often": "how often", "round": "bits set in round"}[bits]
        expect(page.locator("section.panel header").first).to_contain_text(title)
        wait_quiet(page)
        wait_ready(page, 900)
        seen.append(canvas_png(page, "dirty-bitmap"))
    assert len(set(seen)) == 3 and seen[0] == seen[3]


_WATCH = """(panel) => {
  const seen = (window.seen = []);
  const look = () => {
    seen.push([panel.querySelector("canvas").dataset.tick, panel.querySelector(".caption").textContent]);
    requestAnimationFrame(look);
  };
  look();
}"""
_PICTURES = "new Set(window.seen.map(([tick]) => tick)).size"  # of how many ticks a picture has stood on the screen


@pytest.mark.browser
def test_no_caption_is_of_another_tick_than_the_picture(open_page, warm):
    """While the machine runs messages are ahead of the screen; just after a pause the answer is still on its way."""
    page = open_page("/dirty-bitmap?scenario=blackboard&tick=780", tick=780)
    page.locator("section.panel").first.evaluate(_WATCH)
    for _ in range(2):
        before = page.evaluate(_PICTURES)
        page.keyboard.press("Space")
        page.wait_for_function(f"{_PICTURES} >= {before} + 15")  # it runs, past the CLEAN of tick 800
        page.keyboard.press("Space")
        wait_ready(page)
    wait_quiet(page)
    sim, seen = Simulation(load("blackboard")), {(int(tick), caption) for tick, caption in page.evaluate("window.seen")}
    for tick, caption in sorted(seen):
        sim.seek(tick)
        assert caption == Shown(sim, "dirty-bitmap").caption, tick
