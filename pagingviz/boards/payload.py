"""The bytes that carry frames to the live board: one message, one key frame, then only what changed.

Layout, little-endian, every part padded to 4 bytes:
    u32 header_len | header: JSON in UTF-8, padded with spaces to header_len
    key frame:     for each board u16[h*w], row by row
    later frames:  for each frame, for each board: u32 n | u32 index[n] | u16 value[n]
The header's "boards" gives the sizes and the order of the boards, its "frames" one record a frame. Without frames
(kernels still compiling, a long seek) the header stands alone. static/payload.js is the reader in the browser.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import numpy as np

from pagingviz.boards.palette import PALETTES, cell_codes

_U16, _U32 = np.dtype("<u2"), np.dtype("<u4")


def _padded(raw: bytes) -> bytes:
    return raw + b"\0" * (-len(raw) % 4)


def encode(header: dict, frames: Iterable[Sequence[np.ndarray]]) -> bytes:
    """One message of `frames`; frames[f][b] is the grid uint16[h, w] of board b at frame f.

    `header` must have "boards" (each with w and h), "frames" (one record for each frame) and "theme". Added to it are
    "palette", the colours of that theme, and "codes", how a cell word is read: the scripts have no copy of them.
    Raises ValueError when grids and header do not fit together.
    """
    boards, records = header["boards"], header["frames"]
    whole = header | {"palette": PALETTES[header["theme"]].wire(), "codes": cell_codes()}
    text = json.dumps(whole, separators=(",", ":"), ensure_ascii=False)
    raw = text.encode()
    raw += b" " * (-len(raw) % 4)
    parts = [np.array(len(raw), _U32).tobytes(), raw]
    last: list[np.ndarray] | None = None
    count = 0
    for count, grids in enumerate(frames, 1):  # noqa: B007 - the count is needed after the loop
        if [grid.shape for grid in grids] != [(board["h"], board["w"]) for board in boards]:
            raise ValueError(f"frame {count - 1}: the grids do not have the sizes of header['boards']")
        flat = [np.array(grid, _U16).ravel() for grid in grids]  # a copy: the caller may reuse its grids
        for b, now in enumerate(flat):
            if last is None:
                parts.append(_padded(now.tobytes()))
            else:
                index = np.flatnonzero(now != last[b])
                parts += (np.array(len(index), _U32).tobytes(), index.astype(_U32).tobytes())
                parts.append(_padded(now[index].tobytes()))
        last = flat
    if count != len(records):
        raise ValueError(f"{count} frames of grids but {len(records)} records in header['frames']")
    return b"".join(parts)


Change = tuple[np.ndarray, np.ndarray]  # (index uint32[n], value uint16[n]): cells of a board that differ from the frame before


def decode(payload: bytes) -> tuple[dict, list[list[np.ndarray]]]:
    """(header, frames) of a message, frames[f][b] uint16[h, w] as given to `encode`. Raises ValueError for anything else."""
    header, key, changes = read(payload)
    frames = [key] if header["frames"] else []
    for later in changes:
        grids = [grid.copy() for grid in frames[-1]]
        for grid, (index, value) in zip(grids, later, strict=True):
            grid.flat[index] = value
        frames.append(grids)
    return header, frames


def read(payload: bytes) -> tuple[dict, list[np.ndarray], list[list[Change]]]:
    """(header, key frame, what changes in each later frame), by board: a message that is not unrolled into all its frames.

    The key frame has uint16[h, w] of each board; it is empty when the message has no frames. Raises ValueError for anything
    that is not a message.
    """
    try:
        return _read(payload)
    except (IndexError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"not a board payload: {error}") from error


def _read(payload: bytes) -> tuple[dict, list[np.ndarray], list[list[Change]]]:
    at = 0

    def take(dtype: np.dtype, count: int) -> np.ndarray:
        nonlocal at
        if at + dtype.itemsize * count > len(payload):
            raise IndexError("it ends too early")
        part = np.frombuffer(payload, dtype, count, at)
        at += dtype.itemsize * count
        at += -at % 4
        return part

    header = json.loads(take(np.dtype("u1"), int(take(_U32, 1)[0])).tobytes())
    key: list[np.ndarray] = []
    changes: list[list[Change]] = []
    for f in range(len(header["frames"])):
        if f == 0:
            key = [take(_U16, board["w"] * board["h"]).reshape(board["h"], board["w"]).copy() for board in header["boards"]]
            continue
        one = []
        for board in header["boards"]:
            count = int(take(_U32, 1)[0])
            index = take(_U32, count)
            if count and index.max() >= board["w"] * board["h"]:
                raise IndexError("a cell beyond its board")
            one.append((index, take(_U16, count)))
        changes.append(one)
    if at != len(payload):
        raise ValueError(f"not a board payload: {len(payload) - at} bytes too many")
    return header, key, changes
