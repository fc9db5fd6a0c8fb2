"""XBZRLE: a page that was sent before is sent as what differs (QEMU docs/devel/migration and migration/xbzrle.c).

The difference is a list of runs: how many bytes are equal, how many differ, and the bytes that differ; both numbers are in
LEB128. The contents of a data page follow from its version: its i-th store writes i into one of its 512 words, which the page's
number and i choose.
"""

from __future__ import annotations

import numpy as np

from pagingviz.arch import splitmix
from pagingviz.machine.machine import Machine
from pagingviz.migration.destination import Destination

PAGE = 4096
LIFETIME = 2  # rounds during which a cached page is not replaced (CACHED_PAGE_LIFETIME)
_DEEP = 1 << 14  # of a page with more stores, only so many of the last ones show in its contents


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
    """Pages as they were last sent, at most `size` of them, each in the slot that its number gives (migration/page_cache.c)."""

    def __init__(self, size: int):
        self.gfn = np.full(size, -1, np.int64)
        self.age = np.zeros(size, np.int64)

    def copy(self) -> tuple[np.ndarray, np.ndarray]:
        """The cache as a value: int64[size] page numbers, -1 for none, and int64[size] rounds."""
        return self.gfn.copy(), self.age.copy()

    def restore(self, saved: tuple[np.ndarray, np.ndarray]) -> None:
        """Put back what `copy` gave: int64[size] twice."""
        self.gfn[:], self.age[:] = saved

    def lookup(self, gfns: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Look for pages, int64[n], in this order in round `number`: (bool[n], which are there; int64[c], those to `put`).

        A page that is not there comes in, unless its slot holds a page that was used less than LIFETIME rounds ago.
        """
        hits, cached = np.zeros(gfns.size, bool), dict[int, int]()  # slot -> the page that was put there in this call
        for k, gfn in enumerate(gfns.tolist()):
            slot = gfn % self.gfn.size
            holder, used = (cached[slot], number) if slot in cached else (int(self.gfn[slot]), int(self.age[slot]))
            hits[k] = holder == gfn
            if holder == gfn or holder < 0 or used + LIFETIME <= number:
                cached[slot] = gfn
        return hits, np.array(list(cached.values()), np.int64)

    def put(self, gfns: np.ndarray, number: int) -> None:
        """These pages, int64[n], are in the cache from now on, last used in round `number`."""
        if gfns.size:
            self.gfn[gfns % self.gfn.size], self.age[gfns % self.gfn.size] = gfns, number


def change_of(machine: Machine, destination: Destination, index: int) -> bytes | None:
    """What makes the source's page of the one that the destination has; None when the whole page is no larger."""
    gfn, zone = int(machine.modelled.frames()[index]), int(machine.sys[0].zone)
    if index < zone:
        if destination.pv:
            return None  # on the destination the table holds that host's machine frames
        new = machine.view("tables").reshape(-1, 512)[index]
        return encode(destination.tables[index].view(np.uint8), new.view(np.uint8))
    return encode(contents(gfn, int(destination.versions[index])), contents(gfn, int(machine.view("ver")[index])))


def differences(machine: Machine, destination: Destination, index: np.ndarray) -> tuple[int, int]:
    """(pages that go as differences, their bytes) of the frames at `index`, int64[n], all of which are in the cache."""
    changes = [change_of(machine, destination, k) for k in index.tolist()]
    sizes = [len(change) for change in changes if change is not None]
    return len(sizes), sum(sizes)
