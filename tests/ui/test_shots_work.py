"""The picture tests can fail: each kind of damage is found, and leaves old, new and difference behind."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.ui.shots import LEVELS, PIXELS, Album

SKY, VERMILION, WHITE = (0x56, 0xB4, 0xE9), (0xD5, 0x5E, 0x00), (255, 255, 255)


def draw(fill=SKY, label_x=8, wrong_cell=None) -> np.ndarray:
    """A page of 320x200: a map of 16x8 cells of 16 pixels in a chessboard of two fills, and one label below it."""
    image = Image.new("RGB", (320, 200), WHITE)
    pen = ImageDraw.Draw(image)
    for cell in range(128):
        x, y = cell % 16 * 16 + 8, cell // 16 * 16 + 8
        odd = (cell % 16 + cell // 16) % 2
        if cell == wrong_cell:
            odd = 1 - odd
        pen.rectangle((x, y, x + 14, y + 14), fill=VERMILION if odd else fill)
    pen.text((label_x, 160), "gva -> gpa -> mpa", fill=(0, 0, 0))
    return np.asarray(image)


def png(pixels: np.ndarray) -> bytes:
    """The picture as PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def album(tmp_path):
    """An album with one accepted page and one accepted map."""
    album = Album(tmp_path / "accepted", tmp_path / "failed", accept=True)
    album.check("page", png(draw()), exact=False)
    album.check("map", png(draw()), exact=True)
    album.accept = False
    return album


DAMAGE = {
    "a palette entry 8 levels off": {"fill": (SKY[0] + 8, SKY[1], SKY[2])},
    "a label moved by 3 pixels": {"label_x": 11},
    "one wrong cell": {"wrong_cell": 37},
}


@pytest.mark.parametrize("exact", [False, True], ids=["page", "map"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_found_and_shown(album, damage, exact):
    name = "map" if exact else "page"
    with pytest.raises(AssertionError, match="pixels differ"):
        album.check(name, png(draw(**damage)), exact)
    old, new, difference = (
        np.asarray(Image.open(album.failed / f"{name}-{kind}.png")) for kind in ("old", "new", "difference")
    )
    assert (old == draw()).all()
    assert (new == draw(**damage)).all()
    assert ((difference == VERMILION).all(axis=2) == (old != new).any(axis=2)).all(), "marks all that differ, only that"


def test_the_same_picture_passes_and_leaves_nothing(album):
    album.check("page", png(draw()), exact=False)
    album.check("map", png(draw()), exact=True)
    assert not album.failed.exists()


def test_noise_passes_on_a_page_but_never_on_a_map(album):
    """What two starts of one browser differ by (a few pixels, one level) is no difference of a page."""
    noisy = draw().copy()
    noisy[5:8, 5:30] -= LEVELS  # many pixels, within LEVELS
    noisy[190, :PIXELS] -= 100  # PIXELS pixels, far off
    album.check("page", png(noisy), exact=False)
    with pytest.raises(AssertionError, match="allowed 0"):
        album.check("map", png(noisy), exact=True)
    noisy[190, PIXELS] -= 100
    with pytest.raises(AssertionError, match=f"allowed {PIXELS}"):
        album.check("page", png(noisy), exact=False)


def test_another_size_and_a_new_picture_fail(album):
    with pytest.raises(AssertionError, match="320x200 and is 320x190"):
        album.check("page", png(draw()[:190]), exact=False)
    assert (album.failed / "page-difference.png").exists()
    with pytest.raises(AssertionError, match="no accepted picture"):
        album.check("unheard-of", png(draw()), exact=False)
    assert (album.failed / "unheard-of-new.png").exists()


def test_accepting_replaces_only_what_differs(album):
    album.accept = True
    path = album.accepted / "page.png"
    noisy = draw().copy()
    noisy[5, 5] -= 1
    before = path.read_bytes()
    album.check("page", png(noisy), exact=False)
    assert path.read_bytes() == before
    album.check("page", png(draw(wrong_cell=3)), exact=False)
    assert path.read_bytes() == png(draw(wrong_cell=3))
