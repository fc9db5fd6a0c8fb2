"""Unpacking .npz files that may come from anybody: nothing in them is trusted or executed.

The container is unpacked only after its directory has been checked, so a small file cannot become a large one; arrays are taken
from their bytes, so there is no way to a pickle.
"""

from __future__ import annotations

import io
import zipfile
import zlib

import numpy as np

from pagingviz.scenario.fields import ScenarioError, quote

MAX_FILE = 64 << 20  # bytes of the file
MAX_UNPACKED = 256 << 20  # bytes of all its arrays
MAX_PARTS = 64  # entries of the directory; a genuine file has far fewer
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_arrays(data: bytes, bad: str, what: str, required: tuple, optional: tuple | None) -> dict[str, np.ndarray]:
    """The arrays of an .npz, name -> read-only array. ScenarioError ("`bad` ...") when it is not one or not `what`.

    A part that is neither required nor optional makes the file bad; with `optional` None any further part is taken as well.
    """
    return {name: _array(raw, name, bad) for name, raw in _members(data, bad, what, required, optional).items()}


def _members(data: bytes, bad: str, what: str, required: tuple, optional: tuple | None) -> dict[str, bytes]:
    """Unpacked bytes of each array, after checking names and sizes in the zip directory."""
    if len(data) > MAX_FILE:
        raise ScenarioError(f"{bad} has {len(data)} bytes; at most {MAX_FILE >> 20} MiB are read.")
    if data[:4] != b"PK\x03\x04":
        raise ScenarioError(f"{bad} is not an .npz file.")
    if data.count(b"PK\x01\x02") > MAX_PARTS:
        raise ScenarioError(f"{bad} holds too many parts to be {what}.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check_directory(infos, bad, what, required, optional)
            return {info.filename.removesuffix(".npy"): archive.read(info) for info in infos}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, NotImplementedError) as error:
        if isinstance(error, ScenarioError):
            raise
        raise ScenarioError(f"{bad} is damaged or cut short and cannot be unpacked.") from None


def _check_directory(infos: list[zipfile.ZipInfo], bad: str, what: str, required: tuple, optional: tuple | None) -> None:
    found = [info.filename.removesuffix(".npy") for info in infos]
    if missing := [name for name in sorted(required) if name not in found]:
        raise ScenarioError(f"{bad} is not {what}: the array '{missing[0]}' is missing.")
    for info, name in zip(infos, found, strict=True):
        if (optional is not None and name not in (*required, *optional)) or found.count(name) > 1:
            raise ScenarioError(f"{bad} holds {quote(info.filename)}, which is not part of {what}.")
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ScenarioError(f"{bad} is encrypted or packed in a way that numpy never uses.")
    # Sizes are the directory's claim, but zipfile never unpacks more than a part claims.
    if (total := sum(info.file_size for info in infos)) > MAX_UNPACKED:
        raise ScenarioError(f"{bad} would unpack to {total >> 20} MiB; at most {MAX_UNPACKED >> 20} MiB are read.")


def _array(raw: bytes, name: str, bad: str) -> np.ndarray:
    """View of a .npy's bytes. `np.load` is not used: it allocates what the header claims before it looks."""
    file = io.BytesIO(raw)
    try:
        shape, fortran, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
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
    return np.frombuffer(body, dtype).reshape(shape, order="F" if fortran else "C")
