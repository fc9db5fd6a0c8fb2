"""Where the pages of a recorded 64-bit program lie in a process of a 32-bit guest, and what is said about it."""

from __future__ import annotations

import numpy as np

from pagingviz.arch.linux import LOWMEM_BASE
from pagingviz.arch.words import U
from pagingviz.scenario.fields import ScenarioError

_END = LOWMEM_BASE >> 12  # first page that is the 32-bit kernel's
_NEAR, _UNIT = U(2048), U(1024)  # pages: gaps below the first are kept, longer ones shrink by whole pieces of 4 MiB


def fit(pages: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    """(vpns below 3 GiB of a program's ascending vpns, the sentence that says what was moved, "" when nothing was).

    pages: u64 (n,), of the program called `name`. A page below 3 GiB stays at its own address. The pages above, usually the
    stack, are moved down by whole pieces of 4 MiB, to end in the last 4 MiB below 3 GiB; neighbours stay neighbours, long gaps
    between them shrink. Only where these would run into pages that stay, the whole program is packed from address 0 on.
    Raises ScenarioError when the program is too large for 3 GiB.
    """
    stay = int(np.searchsorted(pages, U(_END)))
    if stay == pages.size:
        return pages, ""
    low, high = pages[:stay], _packed(pages[stay:])
    top = high + (U(_END) - _UNIT - high[-1] // _UNIT * _UNIT) if high[-1] < _END else None
    if top is None or (stay and top[0] <= low[-1]):
        placed = _packed(pages)
        if placed[-1] >= _END:
            raise ScenarioError(f"The program {name} is too large for the 3 GiB of a 32-bit process: use guest=hvm64.")
        why = "its pages above the 3 GiB of a 32-bit process do not fit beside the others"
        return placed, _notice(name, pages, placed, why)
    placed = np.concatenate([low, top])
    return placed, _notice(name, pages, placed, "the memory of a 32-bit process ends at 3 GiB")


def _packed(pages: np.ndarray) -> np.ndarray:
    """The same pages from address 0 on, with each long gap shrunk by whole pieces of 4 MiB."""
    gaps = np.diff(pages, prepend=U(0))
    return np.cumsum(np.where(gaps < _NEAR, gaps, _UNIT + gaps % _UNIT), dtype=np.uint64)


def _notice(name: str, pages: np.ndarray, placed: np.ndarray, why: str) -> str:
    """How many pages have another address than in the recording, and the first of them."""
    moved = np.flatnonzero(pages != placed)
    n, first = moved.size, moved[0]
    lie = "lies" if n == 1 else "lie"
    there = f"page {int(pages[first]):#x} lies at {int(placed[first]):#x}"
    rest = f"; the other {pages.size - n:,} keep their addresses" if n < pages.size else ""
    return f"{name}: {why}, so {n:,} of its {pages.size:,} pages {lie} elsewhere than recorded ({there}){rest}."
