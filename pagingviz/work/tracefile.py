"""Reading recorded programs from files that may come from anybody: .npz (npz.py says how that is safe), or lackey's text.

A trace in an .npz (made with valgrind's lackey, reduced to pages) holds `pages` u64, `page` u16, `kind` u8, `count` u16 or u32
and an optional `meta` text.
"""

from __future__ import annotations

import hashlib
import json
import threading
import weakref
from dataclasses import dataclass

import numpy as np

from pagingviz.scenario.fields import ScenarioError, quote
from pagingviz.work import lackey
from pagingviz.work.npz import read_arrays

MAX_EVENTS = 1 << 25
MAX_VPN = 1 << 35  # lower half of a 48-bit address space: user space
_REQUIRED = {"pages": ("u8",), "page": ("u2",), "kind": ("u1",), "count": ("u2", "u4")}
_WORDS = {"u8": "uint64", "u4": "uint32", "u2": "uint16", "u1": "uint8"}


@dataclass(frozen=True, eq=False)
class Trace:
    """A recorded program. Arrays are read-only.

    pages: u64 (n,), ascending virtual page numbers; writable, executable: bool (n,), whether ever written or fetched;
    events: u64 (m,), (count-1)<<32 | index into pages<<8 | kind, in order; accesses: sum of the counts; notice: the sentence
    about what of the file was left out, "" when it is all there.
    """

    name: str
    pages: np.ndarray
    writable: np.ndarray
    executable: np.ndarray
    events: np.ndarray
    accesses: int
    notice: str = ""


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
    """Check and unpack the bytes of an .npz or of a text by lackey, called `label` in errors.

    Accesses outside the user half of the address space, as to the vsyscall page, are left out: `notice` says how many. Raises
    ScenarioError when the bytes are no trace.
    """
    bad = f"The trace file {quote(label)}"
    if lackey.is_text(data):
        arrays = lackey.read(data, bad)
    else:
        arrays = read_arrays(data, bad, "a trace", tuple(_REQUIRED), ("meta",))
        _check_types(arrays, bad)
    meta = _meta(arrays.get("meta"), bad)
    pages, page, kind, count = (arrays[name] for name in _REQUIRED)
    _check(pages, page, kind, count, meta, bad)
    given = meta.get("name")
    name = given if isinstance(given, str) and given.isprintable() and 0 < len(given) <= 32 else label[:32]
    stay = int(np.searchsorted(pages, np.uint64(MAX_VPN)))
    notice = ""
    if stay < pages.size:
        notice = _left_out(name, pages[stay:], count[page >= stay], int(count.sum(dtype=np.uint64)))
        inside = page < stay
        if not inside.any():
            raise ScenarioError(f"{bad} has no access in a program's half of the address space.")
        pages, page, kind, count = pages[:stay], page[inside], kind[inside], count[inside]
    return _packed(name, pages, page, kind, count, notice)


def _packed(name: str, pages: np.ndarray, page: np.ndarray, kind: np.ndarray, count: np.ndarray, notice: str) -> Trace:
    """The checked arrays as a Trace."""
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
    trace = Trace(name, pages.copy(), flags[2].copy(), flags[0].copy(), events, accesses, notice)
    for read_only in (trace.pages, trace.writable, trace.executable, trace.events):
        read_only.flags.writeable = False
    return trace


def _left_out(name: str, outside: np.ndarray, count: np.ndarray, total: int) -> str:
    """The sentence about accesses outside the user half. outside: u64 vpns; count: accesses of each event there."""
    n, first = int(count.sum(dtype=np.uint64)), int(outside[0])
    where = f"page {first:#x}" if outside.size == 1 else f"{outside.size:,} pages, the lowest {first:#x}"
    are = "is left out: it lies" if n == 1 else "are left out: they lie"
    return f"{name}: {n:,} of {total:,} accesses {are} outside the user half of the address space ({where})."


def _check_types(arrays: dict[str, np.ndarray], bad: str) -> None:
    for name, allowed in _REQUIRED.items():
        array = arrays[name]
        if array.dtype.str.lstrip("<|") not in allowed or array.ndim != 1:
            wanted = " or ".join(_WORDS[code] for code in allowed)
            raise ScenarioError(f"{bad} must hold '{name}' as a list of {wanted}, not {array.dtype} {array.shape}.")


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
    if page.max() >= pages.size:
        raise ScenarioError(f"{bad} has an event on page number {page.max()}, but only {pages.size} pages.")
    if kind.max() > 2:
        raise ScenarioError(f"{bad} has an event of kind {kind.max()}; kinds are 0 fetch, 1 read and 2 write.")
    if count.min() == 0:
        raise ScenarioError(f"{bad} has an event that stands for no access at all.")
    stated, total = meta.get("recorded_accesses"), int(count.sum(dtype=np.uint64))
    if stated is not None and stated != total:
        raise ScenarioError(f"{bad} says it has {quote(stated)} accesses, but its counts add up to {total}.")
