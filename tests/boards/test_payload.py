"""What the board receives is what was sent: round trip, deltas, and a clear refusal of anything else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pagingviz.boards.palette import PALETTES, cell_codes
from pagingviz.boards.payload import decode, encode

sizes = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4)


def header(shapes, count, **more):
    boards = [{"id": f"b{k}", "w": w, "h": h} for k, (h, w) in enumerate(shapes)]
    return {"v": 1, "theme": "light", "boards": boards, "frames": [{"tick": t} for t in range(count)]} | more


@st.composite
def films(draw):
    shapes = draw(sizes)
    count = draw(st.integers(0, 5))
    return shapes, [[draw(arrays(np.uint16, shape)) for shape in shapes] for _ in range(count)]


@pytest.mark.slow
@settings(max_examples=60)
@given(films(), st.text(max_size=20))
def test_round_trip(film, sentence):
    shapes, frames = film
    sent = header(shapes, len(frames), sentence=sentence)
    got, grids = decode(encode(sent, frames))
    assert got == sent | {"palette": PALETTES["light"].wire(), "codes": cell_codes()}
    assert len(grids) == len(frames)
    for want, have in zip(frames, grids, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(want, have, strict=True))


def test_a_frame_without_changes_costs_one_word_a_board():
    grid = np.arange(12, dtype=np.uint16).reshape(3, 4)
    one = encode(header([(3, 4)], 1, pad="x" * 11), [[grid]])
    two = encode(header([(3, 4)], 2), [[grid], [grid]])
    assert len(two) - int.from_bytes(two[:4], "little") == len(one) - int.from_bytes(one[:4], "little") + 4


def test_the_caller_may_reuse_its_grid():
    grid = np.zeros((2, 2), np.uint16)

    def film():
        for k in range(3):
            grid[0, 0] = k
            yield [grid]

    _, frames = decode(encode(header([(2, 2)], 3), film()))
    assert [int(f[0][0, 0]) for f in frames] == [0, 1, 2]


def test_grids_that_do_not_belong_to_the_header_are_refused():
    grid = np.zeros((2, 3), np.uint16)
    with pytest.raises(ValueError, match="sizes"):
        encode(header([(3, 2)], 1), [[grid]])
    with pytest.raises(ValueError, match="2 records"):
        encode(header([(2, 3)], 2), [[grid]])


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_payload_is_refused(data):
    good = encode(header([(3, 5)], 3), [[np.full((3, 5), k, np.uint16)] for k in range(3)])
    cut = data.draw(st.integers(0, len(good) - 1))
    with pytest.raises(ValueError):
        decode(good[:cut])
    with pytest.raises(ValueError):
        decode(good + b"\0" * 4)
