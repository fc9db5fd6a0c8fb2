"""Start the real app, and open its pages in the system's Chromium. For the tests (see conftest.py) and the bench."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect

from tests.support.waiting import PATIENCE, until

ROOT = Path(__file__).resolve().parents[2]
CHROMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Software rendering, no subpixel text, no colour management: equal pictures wherever Chromium and fonts are equal.
FLAGS = (
    "--disable-gpu",
    "--disable-lcd-text",
    "--font-render-hinting=none",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--process-per-site",  # the tabs of a profile share a process, which has read the app's scripts already
)
PAGES = (
    "/",
    "/guest-page-tables",
    "/shadow-pool",
    "/ept-npt",
    "/dirty-bitmap",
    "/translation",
    "/live-migration",
    "/side-by-side",
    "/what-if",
    "/real-xen",
    "/left-out",
    "/manual",
)
WITHOUT_BOARD = ("/what-if", "/left-out", "/manual")  # /what-if has one when its rule is broken
WITH_BOARD = tuple(path for path in PAGES if path not in WITHOUT_BOARD)
PATIENCE_MS = PATIENCE * 1000
expect.set_options(timeout=PATIENCE_MS)

_SLOW = """
import streamlit.runtime.runtime, streamlit.web.cli
streamlit.runtime.runtime.MESSAGE_FLUSH_INTERVAL_SECS = {}
streamlit.web.cli.main(prog_name="streamlit")
"""


@dataclass
class Server:
    """A running app. url has no slash at its end; log is the file with everything it printed."""

    url: str
    process: subprocess.Popen
    log: Path
    started: float

    def rss_mib(self) -> float:
        """Resident memory in MiB (Linux: proc(5), field VmRSS, kB)."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("no VmRSS in /proc/PID/status")


@contextlib.contextmanager
def serve(root: Path = ROOT, flush: float | None = None, command: list[str] | None = None, **environment: str):
    """Yield a Server as soon as it answers: `streamlit run app.py` in `root` on a free port, and stop it afterwards.

    `command`: what to start instead; the port becomes its last argument.
    `flush`: seconds between two sendings of what the browser shall hear, as on a starved machine (Streamlit's own: 0.01).
    """
    streamlit = ["-m", "streamlit"] if flush is None else ["-c", _SLOW.format(flush)]
    start = command or [sys.executable, *streamlit, "run", "app.py", "--server.port"]
    folder = Path(tempfile.mkdtemp(prefix="pagingviz-server-"))
    server = _start(start, root, folder / "log", environment)
    try:
        while not _answers(server):  # another program has taken the port before the app did
            server = _start(start, root, folder / "log", environment)
        yield server
    finally:
        server.process.terminate()
        try:
            server.process.wait(10)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _start(command: list[str], root: Path, log: Path, environment: dict[str, str]) -> Server:
    """A server on its way up, on a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*command, str(port)]
    started = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=root, env={**os.environ, **environment}, stdout=output, stderr=output, stdin=subprocess.DEVNULL
        )
    return Server(f"http://127.0.0.1:{port}", process, log, started)


def _answers(server: Server) -> bool:
    """Wait for /_stcore/health. False when the port was taken; RuntimeError with the app's log when it does not start."""

    def healthy() -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(server.url + "/_stcore/health", timeout=2) as answer:
            return answer.status == 200
        return False

    came = until(lambda: server.process.poll() is not None or healthy())
    if came and server.process.poll() is None:
        return True
    printed = server.log.read_text()
    if f"Port {server.url.rpartition(':')[2]} is not available" in printed:
        return False
    raise RuntimeError(f"the app did not start:\n{printed}")


class _Files(SimpleHTTPRequestHandler):
    """Files of a folder; scripts as scripts, whatever this machine believes of their names."""

    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".js": "text/javascript"}

    def log_message(self, format: str, *args) -> None:
        """Print nothing: what goes wrong is seen in the page."""


@contextlib.contextmanager
def serve_files(folder: Path):
    """Yield the address, without a slash at the end, at which the files of `folder` are served, on a free port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def launch(playwright: Playwright) -> Browser:
    """The system's Chromium or Chrome, headless. RuntimeError in one sentence when there is none."""
    path = next(filter(None, map(shutil.which, CHROMES)), None)
    if path is None:
        raise RuntimeError("The browser tests need Chromium or Chrome: install it (apt install chromium).")
    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []  # Chromium refuses to start as root with its sandbox
    return playwright.chromium.launch(executable_path=path, args=[*FLAGS, *sandbox])


def new_profile(browser: Browser, width: int = 1280, height: int = 720, touch: bool = False) -> BrowserContext:
    """A browser profile of its own: no cookies, nothing stored, nothing cached, and the same on every machine."""
    profile = browser.new_context(
        viewport={"width": width, "height": height},
        has_touch=touch,
        device_scale_factor=1,
        locale="en-GB",
        timezone_id="UTC",
        color_scheme="light",
        reduced_motion="reduce",
    )
    profile.set_default_timeout(PATIENCE_MS)
    return profile


def new_page(browser: Browser, **size: int) -> Page:
    """A page in a profile of its own: a visitor who has never been here."""
    return new_profile(browser, **size).new_page()


def wait_ready(page: Page, tick: int | None = None, timeout: float = PATIENCE_MS) -> None:
    """Return when every map of the page shows its true picture (data-ready=1), of `tick` if given.

    Playwright's locators look into the component's shadow root, querySelector does not.
    """
    wanted = '[data-ready="1"]' + (f'[data-tick="{tick}"]' if tick is not None else "")
    expect(page.locator("canvas[data-board]").first).to_be_visible(timeout=timeout)
    expect(page.locator(f"canvas[data-board]:not({wanted})")).to_have_count(0, timeout=timeout)


DONE = '[data-testid="stApp"][data-test-connection-state="CONNECTED"][data-test-script-state="notRunning"]'
UNFINISHED = '[data-testid="stSkeleton"], [data-stale="true"]'  # what a run still has to bring, or to bring anew (it is faded)


def is_quiet(page: Page) -> bool:
    """Whether Streamlit has finished its run, and all that stands on the page is of that run."""
    return page.locator(DONE).is_visible() and page.locator(UNFINISHED).count() == 0


def wait_quiet(page: Page, timeout: float = PATIENCE_MS) -> None:
    """Return when Streamlit has finished its run, the fonts are there, and ten frames have passed without a rerun."""
    expect(page.locator(DONE)).to_be_visible(timeout=timeout)
    expect(page.locator(UNFINISHED)).to_have_count(0, timeout=timeout)
    page.evaluate(
        """async () => {
            await document.fonts.ready;
            for (let i = 0; i < 10; i++) await new Promise(requestAnimationFrame);
        }"""
    )
