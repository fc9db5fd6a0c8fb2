"""Pictures as tests: compare with the accepted picture, leave old, new and difference behind when they disagree.

Two kinds. A map's canvas is drawn from integers, by our own glyphs: its PNG must agree exactly. A whole page contains
text, whose antialiasing differs between two starts of the same browser by one level in a few pixels (measured: 4), so
there at most PIXELS pixels may differ by more than LEVELS of 255 in any channel. Whole pages are skipped where fonts
differ.
"""

import base64
import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from tests.support.waiting import until
from tests.ui.serving import ROOT, is_quiet, new_page, wait_quiet

LEVELS = 2
PIXELS = 10
# What was painted piece by piece can be smoothed otherwise along the seams: everything is painted once more, as a whole.
PAINT_ANEW = """async () => {
    const style = document.documentElement.style;
    for (const filter of ["opacity(0.999)", ""]) {
        style.filter = filter;
        for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
    }
}"""

# Every script and weight the pages use; drawn by the browser with its own fonts.
SAMPLE = """<body style="margin:8px;background:#fff;color:#000">
<p style="font:16px sans-serif">The quick brown fox gva -> gpa -> mpa 0123456789</p>
<p style="font:bold 24px sans-serif">Shadow pool RWDdTOS</p>
<p style="font:13px monospace">sh_page_fault 0xffff8800 {} [] il1</p></body>"""


@dataclass
class Album:
    """Accepted pictures in `accepted`; what fails leaves three pictures in `failed`. `accept` takes the new ones."""

    accepted: Path
    failed: Path
    accept: bool = False

    def check(self, name: str, png: bytes, exact: bool) -> None:
        """AssertionError in one sentence when `png` is not the accepted picture `name` (within the page tolerance)."""
        old_path = self.accepted / f"{name}.png"
        new = pixels(png)
        old = pixels(old_path.read_bytes()) if old_path.exists() else None
        verdict = "there is no accepted picture" if old is None else difference(old, new, exact)
        if not verdict:
            return
        if self.accept:
            old_path.parent.mkdir(parents=True, exist_ok=True)
            old_path.write_bytes(png)
            return
        self._leave(name, old, new)
        raise AssertionError(f"{name}: {verdict}; see {self.failed}/{name}-*.png, and make shots to accept it")

    def _leave(self, name: str, old: np.ndarray | None, new: np.ndarray) -> None:
        """Write NAME-old.png, NAME-new.png, NAME-difference.png (what differs: vermilion, on the faded new picture)."""
        self.failed.mkdir(parents=True, exist_ok=True)
        pictures = {"new": new}
        if old is not None:
            faded = (192 + new // 4).astype(np.uint8)
            wrong = np.ones(new.shape[:2], dtype=bool)
            height, width = np.minimum(old.shape[:2], new.shape[:2])
            wrong[:height, :width] = _distance(old[:height, :width], new[:height, :width]) > 0
            faded[wrong] = (0xD5, 0x5E, 0x00)
            pictures |= {"old": old, "difference": faded}
        for kind, picture in pictures.items():
            path = self.failed / f"{name}-{kind}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)


def difference(old: np.ndarray, new: np.ndarray, exact: bool) -> str:
    """What differs between two uint8 (height, width, 3) pictures, in words; "" when they agree."""
    if old.shape != new.shape:
        return f"the size was {old.shape[1]}x{old.shape[0]} and is {new.shape[1]}x{new.shape[0]}"
    levels, allowed = (0, 0) if exact else (LEVELS, PIXELS)
    distance = _distance(old, new)
    count = int((distance > levels).sum())
    if count <= allowed:
        return ""
    return f"{count} pixels differ by more than {levels} levels (allowed {allowed}), the worst by {distance.max()}"


def _distance(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """int16 (height, width): the largest difference over the channels, a pixel."""
    return np.abs(old.astype(np.int16) - new.astype(np.int16)).max(axis=2)


def pixels(png: bytes) -> np.ndarray:
    """uint8 (height, width, 3). Canvases are opaque, so transparency carries nothing."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


ALBUM = Album(ROOT / "tests/screenshots", ROOT / ".shots-failed", os.environ.get("PAGINGVIZ_ACCEPT") == "1")


def canvas_png(page: Page, board: str) -> bytes:
    """The map's own pixels as PNG, whatever the page around it looks like."""
    url = page.locator(f'canvas[data-board="{board}"]').evaluate("canvas => canvas.toDataURL('image/png')")
    return base64.b64decode(url.partition(",")[2])


def check_canvases(page: Page, name: str) -> None:
    """Every map of the page must be, pixel for pixel, the accepted one. Reports all that differ, not only the first."""
    trouble = []
    for board in page.locator("canvas[data-board]").evaluate_all("all => all.map(canvas => canvas.dataset.board)"):
        try:
            ALBUM.check(f"{name}-{board}", canvas_png(page, board), exact=True)
        except AssertionError as wrong:
            trouble.append(str(wrong))
    assert not trouble, "\n".join(trouble)


def check_page(page: Page, name: str) -> None:
    """The page as it stands must be the accepted one within the tolerance; skipped where text is drawn otherwise."""
    if not same_fonts(page.context.browser):
        pytest.skip("this machine draws text otherwise than the one that made tests/screenshots/fonts.png")
    ALBUM.check(name, picture(page), exact=False)


def picture(page: Page) -> bytes:
    """The visible page as PNG, once nothing moves any more. One that was taken while another run began is taken again."""

    taken = []

    def at_rest() -> bool:
        wait_quiet(page)
        page.evaluate(PAINT_ANEW)
        taken.append(page.screenshot(animations="disabled", caret="hide"))
        return is_quiet(page)

    assert until(at_rest), "the page does not come to rest"
    return taken[-1]


def same_fonts(browser: Browser) -> bool:
    """Whether this browser draws the sample text as the one that made the accepted pages (accepting: makes it so)."""
    page = new_page(browser, width=640, height=200)
    page.set_content(SAMPLE)
    png = page.screenshot()
    page.context.close()
    accepted = ALBUM.accepted / "fonts.png"
    if ALBUM.accept:
        ALBUM.check("fonts", png, exact=False)
    return accepted.exists() and not difference(pixels(accepted.read_bytes()), pixels(png), exact=False)
