"""The record on disk: read, and compared with what is now."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path

import numpy as np

RENAMED: dict[str, str] = {"sys.kept": "sys.modelled"}  # name in the record -> name of the same value now
DATA = Path(__file__).parents[1] / "data" / "record"
MACHINES, TEXTS, PAGES, ADDRESSES = (
    DATA / name for name in ("machines.npz", "machines.json.gz", "pages.json.gz", "addresses.json")
)


@cache
def machines() -> dict[str, dict]:
    """{machine: {(moment, name): hash}} of the record."""
    with np.load(DATA / "machines.npz") as data:
        rows, values, table = data["rows"], data["values"], data["hashes"]
    out: dict[str, dict] = {}
    for row, hashes in zip(rows.tolist(), table.T.tolist(), strict=True):
        case, _, moment = row.rpartition("@")
        known = {(f"@{moment}", name): h for name, h in zip(values.tolist(), hashes, strict=True) if h}
        out.setdefault(case.strip(), {}).update(known)
    return out


@cache
def texts(path: Path) -> dict:
    """The texts of one file of the record."""
    raw = path.read_bytes()
    return json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)


def different_values(recorded: dict, now: dict) -> list[str]:
    """Names whose hash is another one, or that are gone. Names that the record does not have are no difference."""
    out = []
    for (moment, name), value in recorded.items():
        found = now.get((moment, RENAMED.get(name, name)))
        if found != value:
            out.append(f"{moment} {name}{' is gone' if found is None else ''}")
    return out


def different_texts(recorded, now, at: str = "") -> list[str]:
    """ "where: recorded -> now" of all that differs. A key that the record does not have is no difference."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        return [
            line
            for key, value in recorded.items()
            for line in different_texts(value, now.get(key, "(gone)"), f"{at} / {key}" if at else key)
        ]
    return [] if recorded == now else [f"{at}: {recorded!r} -> {now!r}"]
