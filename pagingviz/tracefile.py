"""Reading recorded programs from .npz files that may come from anybody: nothing in them is trusted or executed.

A trace (made with valgrind's lackey, reduced to pages) holds `pages` u64, `page` u16, `kind` u8, `count` u16 or u32 and
an optional `meta` text. The container is unpacked only after its directory has been checked, so a small file cannot
become a large one; arrays are taken from their bytes, so there is no way to a pickle.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
import weakref
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

from pagingviz.fields import ScenarioError, quote

MAX_FILE = 64 << 20  # bytes of the file
MAX_UNPACKED = 256 << 20  # bytes of all its arrays
MAX_EVENTS = 1 << 25
MAX_VPN = 1 << 35  # lower half of a 48-bit address space: user space
_REQUIRED = {"pages": ("u8",), "page": ("u2",), "kind": ("u1",), "count": ("u2", "u4")}
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
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
    arrays = {name: _array(raw, name, bad) for name, raw in _members(data, bad).items()}
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
    name = meta.get("name")
    trace = Trace(
        name=name if isinstance(name, str) and name.isprintable() and 0 < len(name) <= 32 else label[:32],
        pages=pages.copy(),
        writable=flags[2].copy(),
        executable=flags[0].copy(),
        events=events,
        accesses=accesses,
    )
    for array in (trace.pages, trace.writable, trace.executable, trace.events):
        array.flags.writeable = False
    return trace


def _members(data: bytes, bad: str) -> dict[str, bytes]:
    """Unpacked bytes of each array, after checking names and sizes in the zip directory."""
    if len(data) > MAX_FILE:
        raise ScenarioError(f"{bad} has {len(data)} bytes; at most {MAX_FILE >> 20} MiB are read.")
    if data[:4] != b"PK\x03\x04":
        raise ScenarioError(f"{bad} is not an .npz file.")
    if data.count(b"PK\x01\x02") > 64:  # directory entries; a genuine file has five
        raise ScenarioError(f"{bad} holds too many parts to be a trace.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check_directory(infos, bad)
            return {info.filename.removesuffix(".npy"): archive.read(info) for info in infos}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, NotImplementedError) as error:
        if isinstance(error, ScenarioError):
            raise
        raise ScenarioError(f"{bad} is damaged or cut short and cannot be unpacked.") from None


def _check_directory(infos: list[zipfile.ZipInfo], bad: str) -> None:
    found = [info.filename.removesuffix(".npy") for info in infos]
    if missing := sorted(set(_REQUIRED) - set(found)):
        raise ScenarioError(f"{bad} is not a trace: the array '{missing[0]}' is missing.")
    for info, name in zip(infos, found, strict=True):
        if name not in (*_REQUIRED, "meta") or found.count(name) > 1:
            raise ScenarioError(f"{bad} holds {quote(info.filename)}, which is not part of a trace.")
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ScenarioError(f"{bad} is encrypted or packed in a way that numpy never uses.")
    # Sizes are the directory's claim, but zipfile never unpacks more than a part claims.
    if (total := sum(info.file_size for info in infos)) > MAX_UNPACKED:
        raise ScenarioError(f"{bad} would unpack to {total >> 20} MiB; at most {MAX_UNPACKED >> 20} MiB are read.")


def _array(raw: bytes, name: str, bad: str) -> np.ndarray:
    """View of a .npy's bytes. `np.load` is not used: it allocates what the header claims before it looks."""
    file = io.BytesIO(raw)
    try:
        shape, _, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    except Exception:  # whatever the header's parser stumbles over, the file is no array
        raise ScenarioError(f"{bad} has an array '{name}' that is not in numpy's format.") from None
    if dtype.hasobject:
        raise ScenarioError(f"{bad} holds Python objects (a pickle) in '{name}', which is never read.")
    body = memoryview(raw)[file.tell() :]
    size = dtype.itemsize
    for extent in shape:
        size *= extent
    if size != len(body) or size == 0:
        raise ScenarioError(f"{bad} has an array '{name}' whose size is not what its header says, or which is empty.")
    return np.frombuffer(body, dtype).reshape(shape)


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
    said, total = meta.get("recorded_accesses"), int(count.sum(dtype=np.uint64))
    if said is not None and said != total:
        raise ScenarioError(f"{bad} says it has {quote(said)} accesses, but its counts add up to {total}.")
