"""XBZRLE: a page that was sent before is sent as what differs (QEMU docs/devel/migration and migration/xbzrle.c).

The difference is a list of pairs: how many bytes are equal, how many differ, and those; the numbers in LEB128. Contents come
from versions: the i-th store to a data page writes i into one of its 512 words, chosen by the page and i.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pagingviz.arch import splitmix

if TYPE_CHECKING:
    from pagingviz.migration.run import Migration

PAGE = 4096
LIFETIME = 2  # rounds during which a cached page cannot be thrown out (CACHED_PAGE_LIFETIME)
_DEEP = 1 << 14  # of a page stored to more often, only so many last stores are told apart


def contents(gfn: int, version: int) -> np.ndarray:
    """uint8[4096]: a data page after `version` stores."""
    i = np.arange(max(1, version - _DEEP + 1), version + 1, dtype=np.uint64)
    x = (i + np.uint64(gfn << 32)) * splitmix.GOLDEN
    x = (x ^ x >> np.uint64(30)) * splitmix.MIX1
    words = np.zeros(PAGE // 8, np.uint64)
    np.maximum.at(words, (x >> np.uint64(55)).astype(np.intp), i)
    return words.view(np.uint8)


def _number(n: int) -> bytes:
    return bytes([n]) if n < 128 else bytes([n & 127 | 128, n >> 7])


def encode(old: np.ndarray, new: np.ndarray) -> bytes | None:
    """What makes `new` of `old` (uint8[4096] both); None when that would be no smaller than the page."""
    differs = np.concatenate(([False], old != new, [False]))
    edges = np.flatnonzero(differs[1:] != differs[:-1])
    out, at = bytearray(), 0
    for first, end in edges.reshape(-1, 2).tolist():
        out += _number(first - at) + _number(end - first) + new[first:end].tobytes()
        at = end
    return bytes(out) if len(out) < PAGE else None


def decode(old: np.ndarray, change: bytes) -> np.ndarray:
    """Inverse of `encode`: the new page, uint8[4096]. Raises ValueError for a `change` that is no encoded page."""
    new, at, k = old.copy(), 0, 0

    def number() -> int:
        nonlocal k
        if k >= len(change) or change[k] & 128 and k + 1 >= len(change):
            raise ValueError("the difference ends in the middle of a number")
        n = change[k] & 127
        if change[k] & 128:
            n |= change[k + 1] << 7
            k += 1
        k += 1
        return n

    while k < len(change):
        at += number()
        n = number()
        if n == 0 or at + n > PAGE or k + n > len(change):
            raise ValueError("the difference leads past the end of the page")
        new[at : at + n] = np.frombuffer(change[k : k + n], np.uint8)
        at, k = at + n, k + n
    return new


class Cache:
    """Pages as they were last sent, at most `size` of them; place in it by page number (migration/page_cache.c)."""

    def __init__(self, size: int):
        self.gfn = np.full(size, -1, np.int64)
        self.age = np.zeros(size, np.int64)

    def copy(self) -> tuple[np.ndarray, np.ndarray]:
        """The cache as a value: int64[size] page numbers, -1 for none, and int64[size] rounds."""
        return self.gfn.copy(), self.age.copy()

    def restore(self, saved: tuple[np.ndarray, np.ndarray]) -> None:
        """Put back what `copy` gave: int64[size] twice."""
        self.gfn[:], self.age[:] = saved

    def holds(self, gfn: int, number: int) -> bool:
        """Whether that page is in the cache; it is from now on, unless a younger one has its place."""
        slot = gfn % self.gfn.size
        if self.gfn[slot] == gfn:
            self.age[slot] = number
            return True
        if self.gfn[slot] < 0 or self.age[slot] + LIFETIME <= number:
            self.gfn[slot], self.age[slot] = gfn, number
        return False


def change_of(mig: Migration, place: int) -> bytes | None:
    """What makes the source's page of the one that the destination has; None when the whole page is no larger."""
    d, m = mig.destination, mig.machine
    gfn, zone = int(m.modelled.frames()[place]), int(m.sys[0].zone)
    if place < zone:
        if d.pv:
            return None  # a table's frames are the other host's there
        return encode(d.tables[place].view(np.uint8), m.view("tables").reshape(-1, 512)[place].view(np.uint8))
    return encode(contents(gfn, int(d.versions[place])), contents(gfn, int(m.view("ver")[place])))


def sizes(mig: Migration, places: np.ndarray, number: int) -> tuple[int, int]:
    """(pages that go as differences, their bytes) of `places`, int64[n], in round `number`; the cache has them afterwards."""
    if not mig.cache.gfn.size:
        return 0, 0
    frames, pages, size = mig.machine.modelled.frames(), 0, 0
    for place in places.tolist():
        if mig.cache.holds(int(frames[place]), number):
            change = change_of(mig, place)
            if change is not None:
                pages, size = pages + 1, size + len(change)
    return pages, size
