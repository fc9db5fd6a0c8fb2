"""How the tests are dealt out, and fixtures: warmed kernels, the real app, and pages of it in a real browser."""

from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import sync_playwright

from tests.ui.serving import launch, new_profile, serve, serve_files, wait_ready

# An example has no deadline and may take long to be drawn: what else runs on the machine is no property of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
FIRST = ("browser", "plain")  # groups that begin, one on each process


@pytest.hookimpl(wrapper=True)  # around xdist, which reads the groups in the same hook
def pytest_collection_modifyitems(config, items):
    """How the tests are dealt out to processes (make test: --dist loadgroup --no-loadscope-reorder).

    A file stays whole, but all that need the browser go to one process and share it. That is the longest group, so it begins,
    and its process compiles the kernels. Meanwhile the next process does what needs no compiled kernel.
    """
    for item in items:
        own = [name for name in FIRST if item.get_closest_marker(name)]
        item.add_marker(pytest.mark.xdist_group(own[0] if own else item.path.name))
    if hasattr(config, "workerinput"):
        order = {name: n for n, name in enumerate(FIRST)}
        items.sort(key=lambda item: order.get(item.get_closest_marker("xdist_group").args[0], len(order)))
    return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node, ids):
    """xdist writes the groups into the tests' names; of some versions of pytest it does not know how, and says nothing."""
    if node.config.getoption("dist") == "loadgroup" and not all("@" in name for name in ids):
        raise pytest.UsageError("pytest-xdist deals out no groups of tests with this pytest: see tests/requirements.txt.")


@pytest.fixture(scope="session")
def warm():
    """Compile every kernel once. The cache on disk is shared: the app's own process then loads it."""
    from pagingviz.timeline import warm as kernels

    kernels.warm()


@pytest.fixture(scope="session")
def server(warm):
    """The address of the real app, without a slash at the end. All tests share the server that ask for no fresh one."""
    with serve() as running:
        yield running.url


@pytest.fixture
def fresh_server(warm):
    """A Server of one's own, that nobody has visited yet."""
    with serve() as running:
        yield running


@pytest.fixture(scope="session")
def playwright():
    """Playwright's own process: one a session, it starts as many browsers as asked."""
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browser(playwright):
    """The system's Chromium."""
    chromium = launch(playwright)
    yield chromium
    chromium.close()


@pytest.fixture(scope="session")
def known_here(browser, server):
    """A profile whose browser has been in the app before: it has the scripts, and keeps them while the first tab is open."""
    profile = new_profile(browser)
    profile.new_page().goto(f"{server}/_stcore/health")
    yield profile
    profile.close()


@pytest.fixture
def open_page(known_here, server):
    """open_page(path_or_url, tick=None, boards=True, width=1280, height=720) -> Page, with all its maps ready.

    What a visitor leaves in the browser is forgotten before each test; only the app's scripts are still known from the others.
    At the end of the test: no error may have been thrown in any page, and nothing asked of another host.
    """
    forget = known_here.new_cdp_session(known_here.pages[0])
    forget.send("Storage.clearDataForOrigin", {"origin": server, "storageTypes": "cookies,local_storage,indexeddb"})
    pages = []

    def open_(path: str, tick: int | None = None, boards: bool = True, width: int = 1280, height: int = 720):
        page = known_here.new_page()
        page.set_viewport_size({"width": width, "height": height})
        url = path if "://" in path else server + path
        host = urlsplit(url).netloc
        page.trouble = []
        page.on("pageerror", lambda error: page.trouble.append(f"error in the page: {error}"))
        page.on("request", lambda request: _note_foreign(page, request.url, host))
        pages.append(page)
        page.goto(url)
        if boards:
            wait_ready(page, tick)
        return page

    yield open_
    trouble = [line for page in pages for line in page.trouble]
    for page in pages:
        page.close()
    forget.detach()
    assert not trouble, trouble


@pytest.fixture(scope="session")
def scripts_url():
    """The address at which the scripts of the live board are served without the app, without a slash at the end."""
    from tests.boards.scripts import STATIC

    with serve_files(STATIC) as url:
        yield url


@pytest.fixture(scope="session")
def script_page(browser, scripts_url):
    """A page that can import the scripts; for all tests that leave nothing behind in it."""
    from tests.boards.scripts import blank

    page = blank(browser, scripts_url)
    yield page
    page.context.close()


@pytest.fixture
def open_script_page(browser, scripts_url):
    """open_script_page(**size): a page of the test's own that can import the scripts; no error may be thrown in it."""
    from tests.boards.scripts import blank

    pages, trouble = [], []

    def open_(**size: int):
        page = blank(browser, scripts_url, **size)
        page.on("pageerror", lambda error: trouble.append(f"error in the page: {error}"))
        pages.append(page)
        return page

    yield open_
    for page in pages:
        page.context.close()
    assert not trouble, trouble


def _note_foreign(page, url: str, host: str) -> None:
    """Note a request that leaves for another host than the app's: the app must work without internet."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != host:
        page.trouble.append(f"request to another host: {url}")
