"""Every page looks as it was accepted, light and dark, at one fixed tick, and axe finds nothing grave on it.

`make shots` accepts what is there now.
"""

import pytest
from playwright.sync_api import expect

from tests.ui.accessible import violations
from tests.ui.serving import PAGES, WITHOUT_BOARD, launch, new_page, wait_quiet, wait_ready
from tests.ui.shots import canvas_png, check_canvases, check_page, difference, picture, pixels

TICK = 300
FRESH_BROWSERS = 3
pytestmark = pytest.mark.browser


def name_of(path: str) -> str:
    """The page's name in file names."""
    return path.strip("/") or "machine"


VIEWS = {  # the same page of another machine
    "ept-npt-npt": "/ept-npt?scenario=blackboard&road=hap&hap=npt&do=enable@100,clean@200&tick=300",
    "ept-npt-pml": "/ept-npt?scenario=rounds&road=hap&superpages=1&pml=1&tick=6000",
    "moving": "/live-migration?scenario=moving&tick=2880",
    "broken-rule": "/what-if?rule=resync-at-cr3&broken=1&tick=14",
    "moved": "/live-migration?scenario=moving&road=hap&migrate=hybrid&tick=8000",
}


def address(path: str, theme: str) -> str:
    """The page at the fixed tick of the blackboard, paused, dirty logging on so that every map has something."""
    return f"{path}?scenario=blackboard&tick={TICK}&do=enable@100,clean@200&theme={theme}"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", VIEWS)
def test_another_machine_looks_as_accepted(open_page, name, theme):
    page = open_page(f"{VIEWS[name]}&theme={theme}", tick=int(VIEWS[name].rpartition("=")[2]))
    wait_quiet(page)  # the sizes of its cells hang on the widths of words
    check_canvases(page, f"{name}-{theme}")
    check_page(page, f"{name}-{theme}")
    assert violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_a_page_looks_as_accepted(open_page, path, theme):
    has_maps = path not in WITHOUT_BOARD
    own_tick = has_maps and path != "/real-xen"  # the maps there are those of the recorded machine
    page = open_page(address(path, theme), tick=TICK if own_tick else None, boards=has_maps)
    if has_maps:
        wait_quiet(page)
        check_canvases(page, f"{name_of(path)}-{theme}")
    check_page(page, f"{name_of(path)}-{theme}")
    assert violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("bits", ["often", "who"])
def test_the_bitmap_tells_other_things(open_page, bits, theme):
    do = "enable@100,clean@150,clean@200,dm:200:5@240"
    page = open_page(f"/dirty-bitmap?scenario=blackboard&tick={TICK}&do={do}&bits={bits}&theme={theme}", tick=TICK)
    check_canvases(page, f"bits-{bits}-{theme}")
    expect(page.locator(".st-key-history .main-svg").first).to_be_visible()  # it comes after the map
    check_page(page, f"bits-{bits}-{theme}")


def test_fresh_browsers_draw_the_same(playwright, server):
    """Three new browser processes: the maps of the home page agree bit for bit, the whole page within the tolerance."""
    maps, pages = set(), []
    for _ in range(FRESH_BROWSERS):
        browser = launch(playwright)
        page = new_page(browser)
        page.goto(server + address("/", "light"))
        wait_ready(page, TICK)
        wait_quiet(page)
        boards = page.locator("canvas[data-board]").evaluate_all("all => all.map(map => map.dataset.board)")
        maps.add(tuple(canvas_png(page, board) for board in boards))
        pages.append(pixels(picture(page)))
        browser.close()
    assert len(maps) == 1
    assert [difference(pages[0], page, exact=False) for page in pages] == [""] * FRESH_BROWSERS
