"""Files of recorded cases for `check mmu`: page-table entries, one access, and what came of it, one row a case.

The columns, by the CPU emulators that made the first such files, are in COLUMNS; a nested file (npt, ept) has those of NESTED
too: of its entries in a row the first `ng` are the guest's, and addresses of entries are the host's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pagingviz.arch.words import U
from pagingviz.scenario.fields import ScenarioError, quote
from pagingviz.work.npz import MAX_FILE, read_arrays

# name: how many dimensions, largest value or None. Rows are the first dimension; the second is entries in a row.
COLUMNS = {
    "va": (1, None),
    "acc": (1, 2),
    "user": (1, 1),
    "cr": (1, 127),
    "n": (1, 64),
    "ent_pa": (2, (1 << 52) - 1),
    "ent_val": (2, None),
    "exp_kind": (1, 6),
    "exp_err": (1, None),
    "exp_pa": (1, None),
    "exp_set": (2, 3),
    "cr3": (0, (1 << 52) - 1),
    "maxphyaddr": (0, 52),
}
# ncr3: nested root; base_*: entries that are there in every row; x0: bit 0 EPTP.AD, or (npt) bit 2 the host's EFER.NXE is 0.
NESTED = {
    "ng": (1, 64),
    "x0": (1, 7),
    "exp_qual": (1, None),
    "exp_gpa": (1, None),
    "ncr3": (0, (1 << 52) - 1),
    "base_pa": (1, (1 << 52) - 1),
    "base_val": (1, None),
}
OPTIONAL = {"qemu_set": (2, 3)}
LEVELS = {"long": 4, "pae": 3, "legacy": 2, "npt": 4, "ept": 4}
MAX_HOST = 1 << 16  # frames of host memory that the tables of a nested file may lie in


@dataclass(frozen=True, eq=False)
class Cases:
    """A checked file. columns, named above: uint64[n] or uint64[n, k]; qemu_set is exp_set where the file has none."""

    label: str
    mode: str
    columns: dict[str, np.ndarray]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["columns"][name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def nested(self) -> bool:
        """Two dimensions: the guest's tables and the host's."""
        return self.mode in ("npt", "ept")

    @property
    def rows(self) -> int:
        """How many cases."""
        return self.columns["va"].size


# ---- reading


def read_cases(path: str) -> Cases:
    """Read and check a file. Raises ScenarioError, one sentence, for anything that is not a set of cases."""
    bad = f"The file of cases {quote(path, 80)}"
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{bad} cannot be read: {getattr(error, 'strerror', None) or 'not a usable path'}.") from None
    found = read_arrays(data, bad, "a set of cases", ("mode",), None)
    mode = str(found["mode"]) if found["mode"].dtype.kind == "U" and found["mode"].ndim == 0 else "?"
    if mode not in LEVELS:
        raise ScenarioError(f"{bad} has mode {quote(mode)}; known are {', '.join(LEVELS)}.")
    wanted = COLUMNS | NESTED if mode in ("npt", "ept") else COLUMNS
    columns = {name: _column(found, name, *rule, bad) for name, rule in wanted.items()}
    columns["qemu_set"] = columns["exp_set"]
    for name, rule in OPTIONAL.items():
        if name in found:
            columns[name] = _column(found, name, *rule, bad)
    _check(columns, mode, bad)
    return Cases(path, mode, columns)


def _column(found: dict[str, np.ndarray], name: str, dimensions: int, top: int | None, bad: str) -> np.ndarray:
    if name not in found:
        raise ScenarioError(f"{bad} is not a set of cases: the array '{name}' is missing.")
    array = found[name]
    if array.dtype.kind not in "ui" or array.ndim != dimensions:
        what = ("one whole number", "a list of whole numbers", "a table of whole numbers")[dimensions]
        raise ScenarioError(f"{bad} must hold '{name}' as {what}, not {array.dtype} {array.shape}.")
    if array.dtype.kind == "i" and array.min() < 0:
        raise ScenarioError(f"{bad} has a negative number in '{name}'.")
    array = array.astype(np.uint64)
    if top is not None and array.max() > top:
        raise ScenarioError(f"{bad} has {int(array.max())} in '{name}', where at most {top} makes sense.")
    return array


def _check(columns: dict[str, np.ndarray], mode: str, bad: str) -> None:
    rows, shape = columns["va"].size, columns["ent_pa"].shape
    for name, array in columns.items():
        other = array.ndim and (array.shape[0] != rows or (array.ndim == 2 and array.shape != shape))
        if other and name not in ("base_pa", "base_val"):
            raise ScenarioError(f"{bad} has {rows} rows, but '{name}' has the shape {array.shape}.")
    if columns["n"].max() > shape[1]:
        raise ScenarioError(f"{bad} has a row of {int(columns['n'].max())} entries in a table {shape[1]} wide.")
    if columns["cr3"] % U(4096) or not 32 <= columns["maxphyaddr"]:
        raise ScenarioError(f"{bad} must have a cr3 that is a multiple of 4096 and a maxphyaddr from 32 to 52.")
    if mode in ("npt", "ept"):
        _check_nested(columns, bad)
    elif columns["exp_kind"].max() > 3:
        raise ScenarioError(f"{bad} has {int(columns['exp_kind'].max())} in 'exp_kind', where at most 3 makes sense.")
    used = np.arange(shape[1], dtype=np.uint64) < columns["n"][:, None]
    size = 4 if mode == "legacy" else 8
    if (used & (columns["ent_pa"] % U(size) != 0)).any():
        raise ScenarioError(f"{bad} has an entry at an address that is not a multiple of {size}.")
    if mode == "legacy" and (used & (columns["ent_val"] >> U(32) != 0)).any():
        raise ScenarioError(f"{bad} has an entry of more than 32 bits, which mode legacy does not have.")
    if LEVELS[mode] < 4 and (columns["va"] >> U(32)).any():
        raise ScenarioError(f"{bad} has an address of more than 32 bits, which mode {mode} does not have.")


def _check_nested(columns: dict[str, np.ndarray], bad: str) -> None:
    if columns["base_pa"].shape != columns["base_val"].shape:
        raise ScenarioError(f"{bad} has {columns['base_pa'].size} addresses in 'base_pa', but 'base_val' differs in length.")
    if (columns["ng"] > columns["n"]).any():
        raise ScenarioError(f"{bad} has a row with more guest entries than entries.")
    if columns["ncr3"] % U(4096) or (columns["base_pa"] % U(8)).any():
        raise ScenarioError(f"{bad} must have an ncr3 that is a multiple of 4096 and a base_pa of multiples of 8.")
    highest = max(int(columns[name].max(initial=0)) for name in ("ent_pa", "base_pa", "ncr3", "cr3")) >> 12
    if highest >= MAX_HOST:
        raise ScenarioError(f"{bad} has a table in host frame {highest:#x}; tables below frame {MAX_HOST:#x} are held.")
