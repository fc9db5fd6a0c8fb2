"""The first visitor of a computer that has never compiled a kernel: a picture at once, then the machine, without a jump."""

import fcntl
import re
import shutil

import pytest
from playwright.sync_api import expect

from pagingviz.core.build.jit import CACHE, cache_key
from tests.support.waiting import until
from tests.ui.serving import new_page, serve, wait_ready

pytestmark = pytest.mark.browser


@pytest.fixture
def compiled(warm, tmp_path):
    """compiled(): what compiles, which has waited so far, finds all kernels in its cache: this session has compiled them.

    Until then the compiler's lock is held (core/build/jit.py: compiling).
    """
    folder = tmp_path / f"kernels-{cache_key()}"
    folder.mkdir(mode=0o700)
    with open(folder / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def compiled_():
            shutil.copytree(CACHE, folder, ignore=shutil.ignore_patterns("lock", "*.tmp.*"), dirs_exist_ok=True)
            fcntl.flock(lock, fcntl.LOCK_UN)

        yield compiled_


@pytest.fixture
def cold_server(compiled, tmp_path):
    """The real app, whose cache of compiled kernels is empty."""
    with serve(NUMBA_CACHE_DIR=str(tmp_path)) as running:
        yield running


def picture(page):
    """What stands on the screen: each board's tick and cells, and all words but those of the corner."""
    canvases = page.locator("canvas[data-board]").evaluate_all(
        "all => all.map((c) => [c.dataset.board, c.dataset.tick, c.toDataURL()])"
    )
    boxes = page.locator("canvas[data-board]").evaluate_all("all => all.map((c) => JSON.stringify(c.getBoundingClientRect()))")
    words = [page.locator(part).inner_text() for part in (".chips", ".sentence", ".timeline", ".boards")]
    return canvases, boxes, words


def test_a_cold_start_shows_a_picture_that_can_be_used_and_hands_over_without_a_jump(browser, cold_server, compiled):
    page, lab = new_page(browser), new_page(browser)
    aside, boards = page.locator(".aside"), page.locator("canvas[data-board]")

    def tick():
        return int(boards.first.get_attribute("data-tick"))

    page.goto(cold_server.url)
    wait_ready(page, 2796)
    expect(aside).to_have_text(re.compile("You see a recording. The simulator is being compiled"))
    page.keyboard.press("ArrowRight")
    wait_ready(page, 2797)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    wait_ready(page, 2795)
    page.keyboard.press("Space")
    assert until(lambda: tick() > 2800), (tick(), aside.is_visible(), "it does not run beyond the CLEAN at tick 2800")
    page.keyboard.press("Space")
    page.locator('[data-board="dirty-bitmap"]').click(position={"x": 40, "y": 12})
    expect(page.locator(".rail")).to_contain_text("dirty bit")
    lab.goto(f"{cold_server.url}/ept-npt?scenario=lab")
    wait_ready(lab, 20_003)
    expect(lab.locator(".aside")).to_be_visible()
    before = picture(page)
    expect(aside).to_be_visible()
    compiled()
    expect(aside).to_be_hidden()
    wait_ready(page)
    assert picture(page) == before
    here = tick()
    page.keyboard.press("ArrowRight")
    wait_ready(page, here + 1)
    expect(lab.locator(".aside")).to_be_hidden()
    wait_ready(lab, 20_003)
    for visited in (page, lab):
        visited.context.close()
