"""The board of every page comes first; what stands below it comes afterwards, and moves nothing."""

import pytest
from playwright.sync_api import expect

from tests.bench.browser import STOPWATCH
from tests.boards.scripts import STATIC
from tests.ui.serving import WITH_BOARD, new_page, wait_ready

pytestmark = pytest.mark.browser

WITH_CHART = ("/guest-page-tables", "/shadow-pool", "/ept-npt", "/dirty-bitmap", "/live-migration")
HEAVY = ("PlotlyChart", "DataFrame", "StreamlitSyntaxHighlighter")  # parts of Streamlit: 4.7, 0.5 and 1.6 MB of script
LAST = {"/shadow-pool": ".st-key-pool-size h3", "/live-migration": ".st-key-every-road h3", "/translation": "table"}  # to come
MOVING = "?scenario=moving&tick=2880"  # a migration under way: its page has charts

# From the first picture until a chart stands: how often the board was away, was not where it first stood, or was another one.
WATCHED = """
performance.setResourceTimingBufferSize(2000);
window.seen = { frames: 0, away: 0, moved: 0, scrolled: 0, boards: new Set() };
const look = () => {
    requestAnimationFrame(look);
    if (!times.ready) return;
    const maps = deep('canvas[data-board]');
    const places = JSON.stringify(maps.map((map) => map.getBoundingClientRect()));
    seen.place ??= places;
    seen.frames += 1;
    seen.away += !maps.length || maps.some((map) => !map.checkVisibility());
    seen.moved += places !== seen.place;
    seen.scrolled += document.querySelector('[data-testid=stMain]').scrollTop !== 0;
    for (const map of maps) seen.boards.add(map);
};
requestAnimationFrame(look);
"""


def opened(browser, url):
    """A page at that address that has kept a record of itself from the start, its maps ready."""
    page = new_page(browser)
    page.add_init_script(STOPWATCH)
    page.add_init_script(WATCHED)
    page.goto(url)
    wait_ready(page)
    page.wait_for_function("times.ready")
    return page


def asked_for(page, names):
    """[(name, whether it was asked for only after the first picture), ...] of the scripts that the page has asked for."""
    found = page.evaluate(
        "performance.getEntriesByType('resource').map((entry) => [entry.name, entry.startTime > times.ready])"
    )
    return [(name, late) for url, late in found for name in names if f"/{name}." in url]


@pytest.mark.parametrize("path", WITH_BOARD)
def test_nothing_heavy_is_asked_for_before_the_first_picture_and_what_comes_below_it_moves_nothing(browser, server, path):
    page = opened(browser, server + path + (MOVING if path == "/live-migration" else ""))
    if path in LAST:
        expect(page.locator(LAST[path]).first).to_be_visible()
    if path in WITH_CHART:
        expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
        assert ("PlotlyChart", True) in asked_for(page, HEAVY)
    elif path != "/real-xen":
        expect(page.get_by_test_id("stSidebar").locator("code")).to_be_visible()  # the link to this view, the last of it all
    heavy = HEAVY[:2] if path == "/real-xen" else HEAVY  # there the link stands while the recording is being played
    assert all(late for _, late in asked_for(page, heavy)), asked_for(page, heavy)
    if path in LAST:
        assert_still(page)
    page.context.close()


def assert_still(page):
    """The maps have been there, in their places and the same, since the first picture."""
    page.evaluate("seen.from = seen.frames")
    page.wait_for_function("seen.frames > seen.from + 10")  # so often all of it has been looked at
    seen = page.evaluate("({ ...seen, boards: seen.boards.size })")
    maps = page.locator("canvas[data-board]").count()
    assert (seen["away"], seen["moved"], seen["scrolled"], seen["boards"]) == (0, 0, 0, maps)


def test_the_browser_hears_with_the_page_which_scripts_the_board_needs(browser, server):
    page = new_page(browser)
    links = page.goto(server + "/shadow-pool").headers["link"]
    assert {path.name for path in STATIC.glob("*.js")} == {
        part.partition(">")[0].rpartition("/")[2] for part in links.split(", ")[:-1]
    }
    wait_ready(page)
    asked = page.evaluate("performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname)")
    board = [path for path in asked if path.startswith("/board/")]
    assert len(board) == len(set(board)) == links.count("<"), "each is fetched once"
    page.context.close()
