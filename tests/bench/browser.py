"""How fast the app feels: frames painted, a step to its picture, every page opened, warm and cold, thirty visitors at once.

    python -m tests.bench.browser

Part of `make bench`. Starts its own servers. Every figure is measured in the page by its own clock; a frame counts when
the map's data-tick has changed, a blank when the map is gone, has no size, or shows one colour only.
"""

import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from playwright.sync_api import Browser, sync_playwright

from pagingviz.boards.registry import HOME
from tests.bench.load import load
from tests.ui.serving import WITH_BOARD, Server, launch, new_page, serve, wait_ready

LECTURE = "/dirty-bitmap?scenario=lecture"  # 64 MiB: a map of 128 x 128 cells
BLACKBOARD = "/?scenario=blackboard"
OPENINGS, STEPS, FRAMES = 5, 30, 300
OWN_MACHINE = tuple(path for path in WITH_BOARD if path != "/real-xen")  # there the recording has to be played first
CLIENTS, CLIENT_SECONDS = 30, 20
QUIET_AFTER = 120  # seconds to wait for a quiet machine

# Runs before the page's own scripts: notes when the shell stands (the board has its maps' frames) and when all maps are
# ready, in milliseconds since the address was opened. deep() looks through shadow roots.
STOPWATCH = """
window.deep = (selector, root = document) => {
    const found = [...root.querySelectorAll(selector)];
    for (const node of root.querySelectorAll('*')) if (node.shadowRoot) found.push(...deep(selector, node.shadowRoot));
    return found;
};
window.times = {};
const watch = setInterval(() => {
    const maps = deep('canvas[data-board]');
    if (maps.length) times.shell ??= performance.now();
    if (!maps.length || maps.some((map) => map.dataset.ready !== '1')) return;
    times.ready = performance.now();
    clearInterval(watch);
}, 15);
"""

# Watch `map` until `frames` frames have been painted: frames a second, elements seen, blanks, longest gap (ms).
WATCH = """async (map, frames) => {
    const small = Object.assign(document.createElement('canvas'), { width: 24, height: 24 });
    const pen = small.getContext('2d', { willReadFrequently: true });
    const blank = () => {
        if (!map.isConnected || !map.width || !map.getBoundingClientRect().width) return true;
        pen.drawImage(map, 0, 0, 24, 24);
        const pixels = new Uint32Array(pen.getImageData(0, 0, 24, 24).data.buffer);
        return pixels.every((pixel) => pixel === pixels[0]);
    };
    const board = map.dataset.board, seen = new Set([map]);
    const first = performance.now();
    let tick = map.dataset.tick, painted = 0, blanks = 0, last = first, gap = 0;
    while (painted < frames && performance.now() - first < 60000) {
        const now = await new Promise(requestAnimationFrame);
        if (blank()) blanks++;
        if (!map.isConnected) seen.add(map = deep(`canvas[data-board="${board}"]`)[0] ?? map);
        if (map.dataset.tick === tick) continue;
        tick = map.dataset.tick;
        painted++;
        gap = Math.max(gap, now - last);
        last = now;
    }
    return { fps: painted / (last - first) * 1000, painted, blanks, elements: seen.size, gap };
}"""

# Milliseconds from a key to the frame in which all maps show the next tick.
STEP = """async () => {
    const maps = deep('canvas[data-board]'), before = maps[0].dataset.tick, pressed = performance.now();
    document.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', code: 'ArrowRight', bubbles: true }));
    while (maps.some((map) => map.dataset.tick === before || map.dataset.ready !== '1')) {
        await new Promise(requestAnimationFrame);
        if (performance.now() - pressed > 10000) return 10000;
    }
    return performance.now() - pressed;
}"""


@dataclass
class Figure:
    """One line of the report, with the bound it should keep, if there is one."""

    name: str
    value: float
    unit: str
    least: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        goal, met = "", True
        if self.least is not None:
            goal, met = f"at least {self.least:g}", self.value >= self.least
        if self.most is not None:
            goal, met = f"at most {self.most:g}", self.value <= self.most
        digits = 2 if self.unit == "x" else 1
        line = f"{self.name:48} {self.value:9.{digits}f} {self.unit:4} {goal:14} {'' if met else 'MISSED'}"
        return line.rstrip()


def opened(browser: Browser, url: str) -> dict[str, float]:
    """Open the address in a fresh context: {"shell", "ready"} in seconds since it was asked for."""
    page = new_page(browser)
    page.add_init_script(STOPWATCH)
    page.goto(url)
    wait_ready(page)
    page.wait_for_function("times.ready")
    times = page.evaluate("times")
    page.context.close()
    return {name: ms / 1000 for name, ms in times.items()}


def playing(browser: Browser, server: Server) -> list[Figure]:
    """Frames of a 128 x 128 map while it plays as fast as the board's own setting allows (17 ms)."""
    page = new_page(browser)
    page.add_init_script(STOPWATCH)
    page.goto(server.url + LECTURE)
    wait_ready(page)
    page.get_by_label("Delay between two redraws").select_option("17")
    page.keyboard.press("Space")
    seen = page.locator("canvas[data-board]").first.evaluate(WATCH, FRAMES)
    page.context.close()
    return [
        Figure("128x128 map playing: frames painted", seen["fps"], "/s", least=30),
        Figure(f"  elements seen over {seen['painted']} frames", seen["elements"], "", most=1),
        Figure("  blank frames", seen["blanks"], "", most=0),
        Figure("  longest gap between two frames", seen["gap"], "ms"),
    ]


def side_by_side(browser: Browser, server: Server) -> list[Figure]:
    """Frames of two machines side by side, of each map, while they play at the usual pace of 30 frames a second."""
    figures = []
    for board in HOME:
        page = new_page(browser)
        page.add_init_script(STOPWATCH)
        page.goto(f"{server.url}/side-by-side{BLACKBOARD.lstrip('/')}&board={board}")
        wait_ready(page)
        page.keyboard.press("Space")
        seen = page.locator("canvas[data-board]").first.evaluate(WATCH, FRAMES // 2)
        page.context.close()
        figures.append(Figure(f"two machines side by side, {board}", seen["fps"], "/s", least=29.5))
    return figures


def stepping(browser: Browser, server: Server) -> list[Figure]:
    """From the key to the picture, on the home page with its four maps."""
    page = new_page(browser)
    page.add_init_script(STOPWATCH)
    page.goto(server.url + BLACKBOARD)
    wait_ready(page)
    times = [page.evaluate(STEP) for _ in range(STEPS)]
    page.context.close()
    return [
        Figure("a step, key to picture: median", statistics.median(times), "ms", most=100),
        Figure("  slowest", max(times), "ms"),
    ]


def opening(browser: Browser, server: Server) -> list[Figure]:
    """Warm server, fresh visitor, nothing in the browser's cache."""
    times = [opened(browser, server.url + BLACKBOARD) for _ in range(OPENINGS)]
    return [
        Figure("warm: address to shell, median", statistics.median(t["shell"] for t in times), "s"),
        Figure("warm: address to data-ready, median", statistics.median(t["ready"] for t in times), "s", most=3),
        Figure("  slowest", max(t["ready"] for t in times), "s"),
    ]


def every_page(browser: Browser, server: Server) -> list[Figure]:
    """Warm server, fresh visitors: each page with a board beside the home page. In turn: a busy minute meets them all."""
    times: dict[str, list[float]] = {path: [] for path in OWN_MACHINE}
    for _ in range(OPENINGS):
        for path, list_ in times.items():
            list_.append(opened(browser, server.url + path)["ready"])
    home, *others = ((path, statistics.median(list_)) for path, list_ in times.items())
    figures = [Figure("bare address to data-ready, median", home[1], "s")]
    return figures + [Figure(f"  {path}, of the home page's", ready / home[1], "x", most=1.1) for path, ready in others]


def cold(browser: Browser) -> list[Figure]:
    """An empty kernel cache: the first visitor comes as soon as the server answers."""
    with tempfile.TemporaryDirectory() as folder, serve(NUMBA_CACHE_DIR=folder) as server:
        answering = time.perf_counter() - server.started
        times = opened(browser, server.url + BLACKBOARD)
    return [
        Figure("cold cache: start to answering server", answering, "s"),
        Figure("cold cache: address to shell", times["shell"], "s", most=5),
        Figure("cold cache: address to data-ready", times["ready"], "s", most=60),
    ]


def crowd(server: Server) -> list[Figure]:
    """Thirty visitors without browsers play the blackboard."""
    with ThreadPoolExecutor(1) as thread:  # Playwright's event loop has this one
        seen = thread.submit(load, server.url, CLIENTS, CLIENT_SECONDS, BLACKBOARD).result()
    return [
        Figure(f"{CLIENTS} clients playing: least received by one", seen["least"], "/s", least=10),
        Figure("  median received", seen["median"], "/s"),
        Figure("  all together", seen["total"], "/s"),
        Figure("  until the last had its first picture", seen["ready"], "s"),
        Figure("  server's memory", server.rss_mib(), "MiB", most=2048),
    ]


def main() -> None:
    """Print the machine, how busy it is, and every figure as soon as it is measured."""
    cores, patience = os.cpu_count(), time.monotonic() + QUIET_AFTER
    while os.getloadavg()[0] > cores / 4 and time.monotonic() < patience:
        time.sleep(5)  # what ran just before, perhaps the engine's benchmark, still counts in the average
    busy = os.getloadavg()[0]
    print(f"load average {busy:.2f} on {cores} cores")
    if busy > cores / 4:
        print("BUSY: something else is running on this machine, the figures below are worse than they should be")
    with sync_playwright() as playwright:
        browser = launch(playwright)
        print(f"Chromium {browser.version}, headless, software rendering")
        with serve() as server:
            for path in OWN_MACHINE:  # a server's first visitors import, compile and work things out
                opened(browser, server.url + path)
            for measure in (opening, every_page, stepping, playing, side_by_side):
                print(*measure(browser, server), sep="\n", flush=True)
            print(*crowd(server), sep="\n", flush=True)
        print(*cold(browser), sep="\n", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
