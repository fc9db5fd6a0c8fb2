"""Reading the text that valgrind's tool lackey prints with --trace-mem=yes: one access a line, reduced to pages.

A line is " L address,size" (read), " S" (write), " M" (modify: a read and a write, taken as a write) or "I  address,size"
(fetch), the address in hexadecimal. Lines that begin with == are valgrind's own and are skipped.
"""

from __future__ import annotations

import re

import numpy as np

from pagingviz.arch import x86
from pagingviz.scenario.fields import ScenarioError, quote
from pagingviz.work.npz import MAX_FILE

_LINE = re.compile(rb"[ \t]*([ILSM])[ \t]+([0-9A-Fa-f]{1,16}),([0-9]{1,4})[ \t]*")
_KINDS = {b"I": int(x86.FETCH), b"L": int(x86.READ), b"S": int(x86.WRITE), b"M": int(x86.WRITE)}
_LAST = (1 << 64) - 1
_MOST_PAGES = 1 << 16  # as many as an .npz can number


def is_text(data: bytes) -> bool:
    """Whether the first line that is not valgrind's own is an access as lackey prints it. data: bytes of a file."""
    for line in data[: 1 << 16].splitlines():
        if line.strip() and not line.startswith(b"=="):
            return _LINE.fullmatch(line) is not None
    return False


def read(data: bytes, bad: str) -> dict[str, np.ndarray]:
    """The accesses of a text, by page: `pages` u64 (n,) ascending, `page` u32, `kind` u8 and `count` u32 (m,), in order.

    An access that crosses a page's end counts on both pages. A run of accesses of one kind to one page is one event, which ends
    when the same kind goes to another page; events are in the order of their first access. Raises ScenarioError ("`bad` ...").
    """
    if len(data) > MAX_FILE:
        raise ScenarioError(f"{bad} has {len(data)} bytes; at most {MAX_FILE >> 20} MiB are read.")
    vpn, kind = _accesses(data, bad)
    pages, page = np.unique(vpn, return_inverse=True)
    if pages.size > _MOST_PAGES:
        raise ScenarioError(f"{bad} touches {pages.size} pages; at most {_MOST_PAGES} are read.")
    starts, counts = [], []
    for value in np.unique(kind):
        of_kind = np.flatnonzero(kind == value)
        new = np.flatnonzero(np.diff(page[of_kind], prepend=-1))
        starts.append(of_kind[new])
        counts.append(np.diff(new, append=of_kind.size))
    first, count = np.concatenate(starts), np.concatenate(counts)
    order = np.argsort(first)
    at = first[order]
    return {
        "pages": pages,
        "page": page[at].astype(np.uint32),
        "kind": kind[at],
        "count": count[order].astype(np.uint32),
    }


def _accesses(data: bytes, bad: str) -> tuple[np.ndarray, np.ndarray]:
    """(vpn u64, kind u8) of every access, one that crosses a page's end twice."""
    vpns: list[int] = []
    kinds = bytearray()
    for number, line in enumerate(data.splitlines(), 1):
        found = _LINE.fullmatch(line)
        if found is None:
            if line.startswith(b"==") or not line.strip():
                continue
            shown = quote(line.decode("ascii", "replace"), 40)
            raise ScenarioError(f"{bad} has line {number}, {shown}, which is no access of lackey's, as ' S 00602264,1' is.")
        first, size, kind = int(found[2], 16), int(found[3]), _KINDS[found[1]]
        last = min(first + max(size, 1) - 1, _LAST)
        for vpn in range(first >> 12, (last >> 12) + 1):
            vpns.append(vpn)
            kinds.append(kind)
    return np.array(vpns, np.uint64), np.frombuffer(bytes(kinds), np.uint8)
