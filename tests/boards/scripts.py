"""A page without the app, in which the scripts of the live board can be tried, and what Python would send them.

Colours, codes, limits and boards come from where the app has them; nothing is copied.
"""

import base64
from pathlib import Path

import numpy as np

from pagingviz.boards import palette, payload
from pagingviz.boards.board import Plan
from pagingviz.boards.palette import CHANGED, CROSSED, LETTER_SHIFT, LETTERS, PINNED
from pagingviz.boards.payload import encode
from pagingviz.player.message import Display, board_record, header
from tests.ui.serving import new_page

STATIC = Path(payload.__file__).parent / "static"
PAGE = '<!doctype html><title>scripts</title><body style="margin: 0"><div id="component"></div></body>'
LEGEND = (
    ("W", palette.WRITABLE, "writable"),
    ("", palette.TABLE, "a table"),
    (".", palette.FREE, "free"),
    ("", None, "1 cell = 4"),
)
KEY = np.arange(32)
LABELS = (0, "top"), (2, "low")
PLAN = Plan("left", "Left", "1 cell = 1 page", 8, 4, LEGEND, "shadow", KEY, labels=LABELS, marks=("thick", "outlined"))
SHOW = """async (text) => {
    const { show } = await import("/board.js"), component = document.querySelector("#component");
    const shadow = component.shadowRoot ?? component.attachShadow({ mode: "open" });
    if (!shadow.firstChild) shadow.innerHTML = '<div class="pagingviz"></div>';
    window.asks ??= [];
    const data = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    await show({ parentElement: shadow, data, setTriggerValue: (name, ask) => window.asks.push(ask) });
}"""


def blank(browser, site: str, **size: int):
    """A page at the address at which the scripts are served, with nothing in it."""
    page = new_page(browser, **size)
    page.route(f"{site}/", lambda route: route.fulfill(content_type="text/html", body=PAGE))
    page.goto(f"{site}/")
    return page


def run(page, module: str, body: str, **values):
    """The value of `body`, JavaScript that sees the exports of static/`module`.js as m and `values` by their names."""
    names = ", ".join(values)
    return page.evaluate(f"async ({{{names}}}) => {{ const m = await import('/{module}.js'); {body} }}", values)


def random_word(rng) -> int:
    """A cell word that Python could send."""
    fill, letter = int(rng.choice(palette.FILL_CODES)), int(rng.integers(len(LETTERS)))
    flags = int(rng.choice([0, 0, 0, PINNED, CROSSED, CHANGED, CHANGED | CROSSED, CHANGED | PINNED]))
    return fill | letter << LETTER_SHIFT | (0 if fill in (palette.ABSENT, palette.FREE, palette.BLANK) else flags)


def film(frames: int, shape: tuple[int, int], seed: int = 1) -> list[np.ndarray]:
    """Frames of random cells, each uint16 of `shape` and with a third of the cells of the one before changed."""
    rng = np.random.default_rng(seed)
    out: list[np.ndarray] = []
    for _ in range(frames):
        new = np.array([random_word(rng) for _ in range(shape[0] * shape[1])], np.uint16).reshape(shape)
        out.append(np.where(rng.random(shape) < 1 / 3, new, out[-1]) if out else new)
    return out


def message(*plans, seq: int = 0, tick: int = 5, cell: int = palette.WRITABLE, **more) -> bytes:
    """A message of one frame in which every cell of every plan shows the word `cell`; `more` goes into the header."""
    frame = {"tick": tick, "sentence": f"At {tick}.", "status": [["faults", 1234, "warn"]]}
    display = Display("Page", tuple(plan.id for plan in plans))
    boards = [board_record(plan) for plan in plans]
    whole = header(display, seq, **{"machine": "1", "boards": boards, "frames": [frame]} | more)
    return encode(whole, [[np.full((plan.height, plan.width), cell, np.uint16) for plan in plans]])


def show(page, payload: bytes) -> None:
    """Give the live board its next message, as Streamlit does."""
    page.evaluate(SHOW, base64.b64encode(payload).decode())


def boxes(page) -> dict[str, dict]:
    """The rectangles of the visible canvases by board: x, y, width, height in px."""
    return {c.get_attribute("data-board"): c.bounding_box() for c in page.locator("canvas[data-board]:visible").all()}
