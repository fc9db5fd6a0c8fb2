"""Small trace files for tests: good ones, and ones with an array replaced."""

import io
import json
import zipfile

import numpy as np


def good(**changes):
    """Arrays of a tiny genuine trace, some replaced; None leaves one out."""
    arrays = {
        "pages": np.array([0x400, 0x401, 0x7FFF], np.uint64),
        "page": np.array([0, 1, 2, 1], np.uint16),
        "kind": np.array([0, 1, 2, 1], np.uint8),
        "count": np.array([5, 1, 2, 70000], np.uint32),
        "meta": np.array(json.dumps({"name": "tiny", "recorded_accesses": 70008})),
    }
    arrays |= changes
    return {name: array for name, array in arrays.items() if array is not None}


def npz(compressed=True, **changes):
    """Bytes of an .npz of `good(**changes)`."""
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **good(**changes))
    return file.getvalue()


def zipped(members):
    """Bytes of a zip with these (name, bytes)."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()
