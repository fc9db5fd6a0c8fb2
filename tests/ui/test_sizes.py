"""Every page on a phone: its board is seen, and nothing covers it or sticks out of the window."""

import pytest

from tests.ui.serving import WITH_BOARD, wait_quiet

pytestmark = pytest.mark.browser
WIDTH, HEIGHT = 390, 844

# Of the first map: [is its middle what one sees there, does it stand between the edges of the window].
SEEN = """map => {
    const { left, right, top, bottom } = map.getBoundingClientRect();
    const low = Math.min(bottom, innerHeight), [x, y] = [(left + right) / 2, (top + low) / 2];
    return [top < innerHeight && map.getRootNode().elementFromPoint(x, y) === map, left >= 0 && right <= innerWidth];
}"""


@pytest.mark.parametrize("path", WITH_BOARD)
def test_the_board_is_seen_on_a_phone(open_page, path):
    query = "" if path == "/real-xen" else "?scenario=blackboard&tick=900"
    page = open_page(path + query, width=WIDTH, height=HEIGHT)
    wait_quiet(page)
    first = page.locator("canvas[data-board]").first
    if path == "/real-xen":
        first.evaluate("map => map.scrollIntoView({ block: 'center' })")  # there the recorded rows come first
    assert first.evaluate(SEEN) == [True, True]
    main = page.get_by_test_id("stMain")
    assert main.evaluate("main => main.scrollWidth <= main.clientWidth")
