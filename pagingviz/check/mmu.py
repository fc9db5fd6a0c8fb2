"""`check mmu`: the engine's own page walk on recorded cases, each a few page-table entries, one access, and what came of it.

A file (.npz) has one row a case; the columns, by the CPU emulators that made the first such files, are in COLUMNS. What is
compared: what came of the access, its #PF error code or physical address, and which A and D bits it set. On a fault A bits are
the processor's choice: anything from exp_set to qemu_set (eager) passes, but D never.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pagingviz import layout as L
from pagingviz.fields import ScenarioError, quote
from pagingviz.npz import MAX_FILE, read_arrays

# name: how many dimensions, largest value or None. Rows are the first dimension; the second is entries in a row.
COLUMNS = {
    "va": (1, None), "acc": (1, 2), "user": (1, 1), "cr": (1, 127), "n": (1, 64), "ent_pa": (2, (1 << 52) - 1),
    "ent_val": (2, None), "exp_kind": (1, 3), "exp_err": (1, None), "exp_pa": (1, None), "exp_set": (2, 3),
    "cr3": (0, (1 << 52) - 1), "maxphyaddr": (0, 52),
}  # fmt: skip
OPTIONAL = {"qemu_set": (2, 3)}
LEVELS = {"long": 4, "pae": 3, "legacy": 2}
LATER = ("npt", "ept")
MAX_ZONE = 1 << 14  # frames
KINDS = ("ok", "#PF", "#GP", "#GP on MOV CR3")
ASPECTS = ("outcome", "error code", "address", "A/D bits")
ACCESSES = ("read", "write", "fetch")
CR_NAMES = ("CR0.WP", "CR4.SMEP", "CR4.SMAP", "EFER.NXE", "EFLAGS.AC", "CR4.PGE", "CR4.PSE")
_BITS = ((0, "P"), (1, "RW"), (2, "US"), (3, "PWT"), (4, "PCD"), (5, "A"), (6, "D"), (7, "PS"), (8, "G"), (63, "NX"))
_ERROR = ((0, "P"), (1, "W"), (2, "U"), (3, "RSVD"), (4, "I"))


@dataclass(frozen=True, eq=False)
class Cases:
    """A checked file. Arrays are uint64: the columns above as u[n] or u[n, k]; qemu_set is exp_set where the file has none."""

    label: str
    mode: str
    columns: dict[str, np.ndarray]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["columns"][name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def rows(self) -> int:
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
    if mode in LATER:
        raise ScenarioError(f"{bad} has mode {mode}: nested paging follows later; long, pae and legacy are built.")
    if mode not in LEVELS:
        raise ScenarioError(f"{bad} has mode {quote(mode)}; known are long, pae and legacy.")
    columns = {name: _column(found, name, *rule, bad) for name, rule in COLUMNS.items()}
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
        if array.ndim and (array.shape[0] != rows or (array.ndim == 2 and array.shape != shape)):
            raise ScenarioError(f"{bad} has {rows} rows, but '{name}' has the shape {array.shape}.")
    if columns["n"].max() > shape[1]:
        raise ScenarioError(f"{bad} has a row of {int(columns['n'].max())} entries in a table {shape[1]} wide.")
    if columns["cr3"] % L.U(4096) or not 32 <= columns["maxphyaddr"]:
        raise ScenarioError(f"{bad} must have a cr3 that is a multiple of 4096 and a maxphyaddr from 32 to 52.")
    used = np.arange(shape[1], dtype=np.uint64) < columns["n"][:, None]
    size = 4 if mode == "legacy" else 8
    if (used & (columns["ent_pa"] % L.U(size) != 0)).any():
        raise ScenarioError(f"{bad} has an entry at an address that is not a multiple of {size}.")
    if mode == "legacy" and (used & (columns["ent_val"] >> L.U(32) != 0)).any():
        raise ScenarioError(f"{bad} has an entry of more than 32 bits, which mode legacy does not have.")
    if mode != "long" and (columns["va"] >> L.U(32)).any():
        raise ScenarioError(f"{bad} has an address of more than 32 bits, which mode {mode} does not have.")


# ---- scoring


@dataclass(frozen=True, eq=False)
class Score:
    """What the engine made of the cases: came u64[n, 3], newly u64[n, k] as in core.score; wrong bool[n, 4] by ASPECTS."""

    cases: Cases
    came: np.ndarray
    newly: np.ndarray
    wrong: np.ndarray

    @property
    def bad_rows(self) -> np.ndarray:
        """Rows that disagree, ascending."""
        return np.flatnonzero(self.wrong.any(axis=1))


def score(cases: Cases) -> Score:
    """Run every case on a bare machine of the engine and compare.

    Twice, where the tables lie low enough: with their entries alone, and in memory as a guest's tables are, which is the way
    of the engine's fast walk. A row that comes out wrong either way is wrong.
    """
    came, newly = _run(cases, 0)
    wrong = _wrong(cases, came, newly)
    zone = int(cases.ent_pa.max() >> L.PAGE_BITS) + 1
    if zone <= MAX_ZONE:
        again, set_again = _run(cases, zone)
        other = _wrong(cases, again, set_again)
        worse = other.any(axis=1) & ~wrong.any(axis=1)
        came[worse], newly[worse], wrong[worse] = again[worse], set_again[worse], other[worse]
    return Score(cases, came, newly, wrong)


def _run(cases: Cases, zone: int) -> tuple[np.ndarray, np.ndarray]:
    """(came, newly) of core.score, the tables below frame `zone` held in memory."""
    import pagingviz.core.run  # noqa: F401 (knows every far kernel; loads numba: not before the file is known to be good)
    from pagingviz.core.far import connect
    from pagingviz.core.jit import compiling
    from pagingviz.core.score import score as kernel

    width = cases.ent_pa.shape[1]
    sys, cpu = np.zeros(1, L.SYS_DTYPE).view(np.recarray), np.zeros(1, L.CPU_DTYPE).view(np.recarray)
    s = sys[0]
    s.vcpus, s.gib_leaves, s.tlb_gen[:] = 1, 1, 1
    s.guest_levels = cpu["levels"] = LEVELS[cases.mode]
    s.maxphys, s.zone = cases.maxphyaddr, zone
    s.o_sparse = int(L.RING * L.RING_WORDS)  # the ring lies at 0
    s.o_tables = int(s.o_sparse) + 2 * width
    arena = np.zeros(int(s.o_tables) + 512 * zone, np.uint64)
    kind = (cases.acc + L.ONE) % L.THREE  # read, write, fetch to layout's fetch, read, write
    rows = np.column_stack([cases.va, kind, cases.user, cases.cr, cases.n])
    came, newly = np.zeros((cases.rows, 3), np.uint64), np.zeros((cases.rows, width), np.uint64)
    with compiling():
        connect(sys)
        kernel(sys, cpu, arena, cases.cr3 >> L.PAGE_BITS, rows, *map(np.ascontiguousarray, (cases.ent_pa, cases.ent_val)),
               came, newly)  # fmt: skip
    return came, newly


def _wrong(cases: Cases, came: np.ndarray, newly: np.ndarray) -> np.ndarray:
    """bool[n, 4]: the row disagrees in this aspect. Where the outcome is another the rest is not looked at."""
    same = came[:, 0] == cases.exp_kind
    ok, fault = same & (cases.exp_kind == 0), same & (cases.exp_kind == 1)
    used = np.arange(newly.shape[1], dtype=np.uint64) < cases.n[:, None]
    least, most = cases.exp_set & cases.qemu_set, (cases.exp_set | cases.qemu_set) & L.ONE
    loose = (newly & ~most) | (least & L.ONE & ~newly)
    ad = np.where((cases.exp_kind == 0)[:, None], newly ^ cases.exp_set, loose) & np.where(used, L.U(7), L.ZERO)
    return np.column_stack([~same, fault & (came[:, 1] != cases.exp_err), ok & (came[:, 2] != cases.exp_pa),
                            same & ad.any(axis=1)])  # fmt: skip


# ---- reporting


def report(result: Score) -> dict[str, Any]:
    """Plain data: rows, mismatches in all, by expected outcome and by aspect, and the first one decoded (or None)."""
    cases, bad = result.cases, result.wrong.any(axis=1)
    kinds = {}
    for code, name in enumerate(KINDS):
        of_kind = cases.exp_kind == code
        kinds[name] = {"rows": int(of_kind.sum()), "mismatches": int((of_kind & bad).sum())}
    return {
        "schema": 1,
        "file": cases.label,
        "mode": cases.mode,
        "rows": cases.rows,
        "mismatches": int(bad.sum()),
        "by_outcome": kinds,
        "by_aspect": {name: int(result.wrong[:, i].sum()) for i, name in enumerate(ASPECTS)},
        "first": decode(result, int(result.bad_rows[0])) if bad.any() else None,
    }


def decode(result: Score, row: int) -> dict[str, Any]:
    """One row in words."""
    cases = result.cases
    n, cr = int(cases.n[row]), int(cases.cr[row])
    entries = [
        {"at": f"{int(pa):#x}", "value": f"{int(value):#x}", "bits": _names(value, _BITS)}
        for pa, value in zip(cases.ent_pa[row, :n], cases.ent_val[row, :n], strict=True)
    ]
    expected = cases.exp_kind[row], cases.exp_err[row], cases.exp_pa[row]
    return {
        "row": row,
        "differs in": [name for name, wrong in zip(ASPECTS, result.wrong[row], strict=True) if wrong],
        "access": f"{ACCESSES[int(cases.acc[row])]} at {int(cases.va[row]):#x} by CPL {3 if cases.user[row] else 0}",
        "on": " ".join(f"{name}={cr >> bit & 1}" for bit, name in enumerate(CR_NAMES)),
        "entries": entries,
        "expected": _came(*expected) + _set(cases.exp_set[row, :n]),
        "got": _came(*result.came[row]) + _set(result.newly[row, :n]),
    }


def _names(value: Any, bits: tuple) -> str:
    return " ".join(name for bit, name in bits if int(value) >> bit & 1) or "-"


def _came(kind: Any, code: Any, pa: Any) -> str:
    detail = {0: f", physical address {int(pa):#x}", 1: f", error code {int(code):#x} ({_names(code, _ERROR)})"}
    return KINDS[int(kind)] + detail.get(int(kind), "")


def _set(newly: np.ndarray) -> str:
    words = (f"entry {i} {_names(bits, ((0, 'A'), (1, 'D'), (2, 'and more')))}" for i, bits in enumerate(newly) if bits)
    return f"; newly set: {', '.join(words) or 'nothing'}"


def lines(data: dict[str, Any]) -> Iterator[str]:
    """The report as text."""
    yield f"{data['file']}: mode {data['mode']}, {data['rows']} rows, {data['mismatches']} mismatches"
    for name, row in data["by_outcome"].items():
        if row["rows"]:
            yield f"  expected {name:<16}{row['rows'] - row['mismatches']:>8} of {row['rows']} agree"
    for name, count in data["by_aspect"].items():
        if count:
            yield f"  wrong {name:<16}{count:>8}"
    if first := data["first"]:
        yield f"  first mismatch: row {first['row']}, {', '.join(first['differs in'])}"
        yield f"    {first['access']}, {first['on']}"
        for i, entry in enumerate(first["entries"]):
            yield f"    entry {i} at {entry['at']}: {entry['value']} ({entry['bits']})"
        yield f"    expected {first['expected']}"
        yield f"    got      {first['got']}"
