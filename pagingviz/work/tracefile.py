"""Reading recorded programs from .npz files that may come from anybody (npz.py says how that is safe).

A trace (made with valgrind's lackey, reduced to pages) holds `pages` u64, `page` u16, `kind` u8, `count` u16 or u32 and
an optional `meta` text.
"""

from __future__ import annotations

import hashlib
import json
import threading
import weakref
from dataclasses import dataclass

import numpy as np

from pagingviz.scenario.fields import ScenarioError, quote
from pagingviz.work.npz import read_arrays

MAX_EVENTS = 1 << 25
MAX_VPN = 1 << 35  # lower half of a 48-bit address space: user space
_REQUIRED = {"pages": ("u8",), "page": ("u2",), "kind": ("u1",), "count": ("u2", "u4")}
_WORDS = {"u8": "uint64", "u4": "uint32", "u2": "uint16", "u1": "uint8"}


@dataclass(frozen=True, eq=False)
class Trace:
    """A recorded program. Arrays are read-only.

    pages: u64 (n,), ascending virtual page numbers; writable, executable: bool (n,), whether ever written or fetched;
    events: u64 (m,), (count-1)<<32 | index into pages<<8 | kind, in order; accesses: sum of the counts.
    """

    name: str
    pages: np.ndarray
    writable: np.ndarray
    executable: np.ndarray
    events: np.ndarray
    accesses: int


def fingerprint(data: bytes) -> str:
    """The name of an uploaded file in scenarios and URLs: its sha256, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


_open: weakref.WeakValueDictionary[str, Trace] = weakref.WeakValueDictionary()
_open_lock = threading.Lock()


def open_trace(data: bytes, label: str) -> Trace:
    """`read_trace`, but the same bytes are unpacked only once as long as somebody still uses the result."""
    key = fingerprint(data)
    with _open_lock:
        trace = _open.get(key)
    if trace is None:
        trace = read_trace(data, label)
        with _open_lock:
            trace = _open.setdefault(key, trace)
    return trace


def read_trace(data: bytes, label: str) -> Trace:
    """Check and unpack the bytes of an .npz, called `label` in errors. Raises ScenarioError when it is not a trace."""
    bad = f"The trace file {quote(label)}"
    arrays = read_arrays(data, bad, "a trace", tuple(_REQUIRED), ("meta",))
    for name, allowed in _REQUIRED.items():
        array = arrays[name]
        if array.dtype.str.lstrip("<|") not in allowed or array.ndim != 1:
            wanted = " or ".join(_WORDS[code] for code in allowed)
            raise ScenarioError(f"{bad} must hold '{name}' as a list of {wanted}, not {array.dtype} {array.shape}.")
    meta = _meta(arrays.get("meta"), bad)
    pages, page, kind, count = (arrays[name] for name in _REQUIRED)
    _check(pages, page, kind, count, meta, bad)
    events = count.astype(np.uint64)
    accesses = int(events.sum())
    events -= np.uint64(1)
    events <<= np.uint64(24)
    events |= page
    events <<= np.uint64(8)
    events |= kind
    flags = np.zeros((3, pages.size), bool)
    for value in range(3):
        flags[value, page[kind == value]] = True
    given = meta.get("name")
    trace = Trace(
        name=given if isinstance(given, str) and given.isprintable() and 0 < len(given) <= 32 else label[:32],
        pages=pages.copy(),
        writable=flags[2].copy(),
        executable=flags[0].copy(),
        events=events,
        accesses=accesses,
    )
    for read_only in (trace.pages, trace.writable, trace.executable, trace.events):
        read_only.flags.writeable = False
    return trace


def _meta(meta: np.ndarray | None, bad: str) -> dict:
    if meta is None:
        return {}
    try:
        values = json.loads(str(meta)) if meta.dtype.kind == "U" and meta.ndim == 0 and meta.nbytes < 1 << 16 else None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ScenarioError(f"{bad} has a 'meta' that is not a short JSON text.")
    return values


def _check(pages: np.ndarray, page: np.ndarray, kind: np.ndarray, count: np.ndarray, meta: dict, bad: str) -> None:
    if not page.size == kind.size == count.size:
        sizes = f"{page.size} page, {kind.size} kind and {count.size} count entries"
        raise ScenarioError(f"{bad} has {sizes}: an event needs one of each.")
    if page.size > MAX_EVENTS:
        raise ScenarioError(f"{bad} has {page.size} events; at most {MAX_EVENTS} are read.")
    if (pages[1:] <= pages[:-1]).any():
        raise ScenarioError(f"{bad} has 'pages' that are not sorted and different.")
    if pages[-1] >= MAX_VPN:
        raise ScenarioError(f"{bad} has page {int(pages[-1]):#x}, outside a program's half of the address space.")
    if page.max() >= pages.size:
        raise ScenarioError(f"{bad} has an event on page number {page.max()}, but only {pages.size} pages.")
    if kind.max() > 2:
        raise ScenarioError(f"{bad} has an event of kind {kind.max()}; kinds are 0 fetch, 1 read and 2 write.")
    if count.min() == 0:
        raise ScenarioError(f"{bad} has an event that stands for no access at all.")
    stated, total = meta.get("recorded_accesses"), int(count.sum(dtype=np.uint64))
    if stated is not None and stated != total:
        raise ScenarioError(f"{bad} says it has {quote(stated)} accesses, but its counts add up to {total}.")
