"""`check mmu`: the engine's own page walk on recorded cases (cases.py): a few page-table entries, one access, what came of it.

What is compared: what came of the access, its #PF error code or physical address, which A and D bits it set, and of an exit the
qualification (NPF: EXITINFO1) and the guest-physical address. On a fault or an exit A bits are the processor's choice: anything
from exp_set to qemu_set (eager) passes; a #PF never sets D in a guest's entry.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import x86
from pagingviz.arch.cores import CORES
from pagingviz.arch.state import CPU_DTYPE, SYS_DTYPE
from pagingviz.arch.words import ONE, THREE, TWO, ZERO, U
from pagingviz.evidence.mmu.cases import LEVELS, Cases

MAX_ZONE = 1 << 14  # frames
KINDS = ("ok", "#PF", "#GP", "#GP on MOV CR3", "NPF", "EPT violation", "EPT misconfiguration")
ASPECTS = ("outcome", "error code", "address", "A/D bits", "exit qualification", "guest-physical address")
ACCESSES = ("read", "write", "fetch")
CR_NAMES = ("CR0.WP", "CR4.SMEP", "CR4.SMAP", "EFER.NXE", "EFLAGS.AC", "CR4.PGE", "CR4.PSE")
_BITS = ((0, "P"), (1, "RW"), (2, "US"), (3, "PWT"), (4, "PCD"), (5, "A"), (6, "D"), (7, "PS"), (8, "G"), (63, "NX"))
_EPT_BITS = ((0, "R"), (1, "W"), (2, "X"), (7, "SP"), (8, "A"), (9, "D"))
_ERROR = ((0, "P"), (1, "W"), (2, "U"), (3, "RSVD"), (4, "I"))
_NPF = (*_ERROR, (32, "final"), (33, "table"))
_VIOLATION = ((0, "read"), (1, "write"), (2, "fetch"), (3, "R"), (4, "W"), (5, "X"), (7, "linear"), (8, "final"))


# ---- scoring


@dataclass(frozen=True, eq=False)
class Score:
    """What the engine made of the cases: came uint64[n, 5], newly uint64[n, k] as core.score; wrong bool[n, 6] by ASPECTS."""

    cases: Cases
    came: np.ndarray
    newly: np.ndarray
    wrong: np.ndarray

    @property
    def bad_rows(self) -> np.ndarray:
        """int64[k]: rows that disagree, ascending."""
        return np.flatnonzero(self.wrong.any(axis=1))


def score(cases: Cases) -> Score:
    """Run every case on a machine of the engine and compare.

    A flat one twice, where the tables lie low enough: with their entries alone, and in memory as a guest's tables are, which is
    the way of the engine's fast walk. A row that comes out wrong either way is wrong.
    """
    if cases.nested:
        came, newly = _run_nested(cases)
        return Score(cases, came, newly, _wrong(cases, came, newly))
    came, newly = _run(cases, 0)
    wrong = _wrong(cases, came, newly)
    zone = int(cases.ent_pa.max() >> x86.PAGE_BITS) + 1
    if zone <= MAX_ZONE:
        again, set_again = _run(cases, zone)
        other = _wrong(cases, again, set_again)
        worse = other.any(axis=1) & ~wrong.any(axis=1)
        came[worse], newly[worse], wrong[worse] = again[worse], set_again[worse], other[worse]
    return Score(cases, came, newly, wrong)


def _record(cases: Cases) -> tuple[np.recarray, np.recarray, list[Any]]:
    """A record of one vCPU, without memory, and the accesses as core.score takes them."""
    import pagingviz.core.run  # noqa: F401 (all kernels; loads numba, so not before the file is known to be good)

    sys, cpu = np.zeros(1, SYS_DTYPE).view(np.recarray), np.zeros(1, CPU_DTYPE).view(np.recarray)
    s = sys[0]
    s.vcpus, s.gib_leaves, s.tlb_gen[:] = 1, 1, 1
    s.t1_sets, s.t1_ways, s.t2_sets, s.t2_ways = CORES["skylake"].tlb
    s.guest_levels = cpu["levels"] = LEVELS[cases.mode]
    s.maxphys = cases.maxphyaddr
    kind = (cases.acc + ONE) % THREE  # read, write, fetch to layout's fetch, read, write
    return sys, cpu, [cases.va, kind, cases.user, cases.cr, cases.n]


def _compiled(kernel: str, sys: np.recarray, *arguments: Any) -> None:
    from pagingviz.core import score as kernels
    from pagingviz.core.build.by_address import connect
    from pagingviz.core.build.jit import compiling

    with compiling():
        connect(sys)
        getattr(kernels, kernel)(sys, *arguments)


def _run(cases: Cases, zone: int) -> tuple[np.ndarray, np.ndarray]:
    """(came, newly) of core.score, the tables below frame `zone` held in memory."""
    sys, cpu, rows = _record(cases)
    s, width = sys[0], cases.ent_pa.shape[1]
    s.zone = zone
    s.o_sparse = int(ev.RING * ev.RING_WORDS)  # the ring lies at 0
    s.o_tables = int(s.o_sparse) + 2 * width
    arena = np.zeros(int(s.o_tables) + 512 * zone, np.uint64)
    came, newly = np.zeros((cases.rows, 5), np.uint64), np.zeros((cases.rows, width), np.uint64)
    _compiled(
        "score",
        sys,
        cpu,
        arena,
        cases.cr3 >> x86.PAGE_BITS,
        np.column_stack(rows),
        *map(np.ascontiguousarray, (cases.ent_pa, cases.ent_val)),
        came,
        newly,
    )
    return came, newly


def _run_nested(cases: Cases) -> tuple[np.ndarray, np.ndarray]:
    """(came, newly) of core.score.score_nested. Host memory is one region: guest tables and nested ones lie in it by frame."""
    sys, cpu, rows = _record(cases)
    s = sys[0]
    s.npt, s.by_host, s.frames = cases.mode == "npt", 1, 1 << 40
    addresses = cases.ent_pa, cases.base_pa, cases.ncr3, cases.cr3
    s.zone = s.pool_cap = (max(int(array.max(initial=0)) for array in addresses) >> 12) + 1
    s.hap_root, s.cr3[0] = cases.ncr3 >> x86.PAGE_BITS, cases.cr3 >> x86.PAGE_BITS
    s.o_ver = int(ev.RING * ev.RING_WORDS)  # the ring lies at 0
    s.o_tables = s.o_pool = int(s.o_ver) + int(s.zone)
    arena = np.zeros(int(s.o_tables) + 512 * int(s.zone), np.uint64)
    came, newly = np.zeros((cases.rows, 5), np.uint64), np.zeros(cases.ent_pa.shape, np.uint64)
    _compiled(
        "score_nested",
        sys,
        cpu,
        arena,
        np.column_stack([*rows, cases.ng, cases.x0]),
        *map(np.ascontiguousarray, (cases.ent_pa, cases.ent_val)),
        np.column_stack([cases.base_pa, cases.base_val]),
        came,
        newly,
    )
    return came, newly


def _wrong(cases: Cases, came: np.ndarray, newly: np.ndarray) -> np.ndarray:
    """bool[n, 6]: the row disagrees in this aspect. Where the outcome is another the rest is not looked at."""
    same = came[:, 0] == cases.exp_kind
    ok, fault, left = same & (cases.exp_kind == 0), same & (cases.exp_kind == 1), same & (cases.exp_kind >= 4)
    slot = np.arange(newly.shape[1], dtype=np.uint64)
    least, most = cases.exp_set & cases.qemu_set, cases.exp_set | cases.qemu_set
    guests = slot < (cases.ng if cases.nested else cases.n)[:, None]
    never = np.where(guests & (cases.exp_kind < 4)[:, None], TWO, ZERO)
    loose = (newly & ~(most & ~never)) | (least & ~never & ~newly)
    used = np.where(slot < cases.n[:, None], U(7), ZERO)
    ad = np.where((cases.exp_kind == 0)[:, None], newly ^ cases.exp_set, loose) & used
    wrong = [~same, fault & (came[:, 1] != cases.exp_err), ok & (came[:, 2] != cases.exp_pa), same & ad.any(axis=1)]
    if cases.nested:
        wrong += [left & (came[:, 3] != cases.exp_qual), left & (came[:, 4] != cases.exp_gpa)]
    else:
        wrong += [left, left]
    return np.column_stack(wrong)


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
    epts = int(cases.ng[row]) if cases.mode == "ept" else n
    on = [f"{name}={cr >> bit & 1}" for bit, name in enumerate(CR_NAMES)]
    if cases.nested:
        x0 = int(cases.x0[row])
        on.append(f"EPTP.AD={x0 & 1}" if cases.mode == "ept" else f"host EFER.NXE={1 - (x0 >> 2 & 1)}")
    entries = [
        {"at": f"{int(pa):#x}", "value": f"{int(value):#x}", "bits": _names(value, _EPT_BITS if i >= epts else _BITS)}
        for i, (pa, value) in enumerate(zip(cases.ent_pa[row, :n], cases.ent_val[row, :n], strict=True))
    ]
    expected = [cases.exp_kind[row], cases.exp_err[row], cases.exp_pa[row]]
    expected += [cases.exp_qual[row], cases.exp_gpa[row]] if cases.nested else [0, 0]
    return {
        "row": row,
        "differs in": [name for name, wrong in zip(ASPECTS, result.wrong[row], strict=True) if wrong],
        "access": f"{ACCESSES[int(cases.acc[row])]} at {int(cases.va[row]):#x} by CPL {3 if cases.user[row] else 0}",
        "on": " ".join(on),
        "entries": entries,
        "expected": _came(*expected) + _set(cases.exp_set[row, :n]),
        "got": _came(*result.came[row]) + _set(result.newly[row, :n]),
    }


def _names(value: Any, bits: tuple) -> str:
    return " ".join(name for bit, name in bits if int(value) >> bit & 1) or "-"


def _came(kind: Any, code: Any, pa: Any, info: Any, gpa: Any) -> str:
    detail = {
        0: f", physical address {int(pa):#x}",
        1: f", error code {int(code):#x} ({_names(code, _ERROR)})",
        4: f", EXITINFO1 {int(info):#x} ({_names(info, _NPF)}), guest-physical address {int(gpa):#x}",
        5: f", qualification {int(info):#x} ({_names(info, _VIOLATION)}), guest-physical address {int(gpa):#x}",
        6: f", guest-physical address {int(gpa):#x}",
    }
    return KINDS[int(kind)] + detail.get(int(kind), "")


def _set(newly: np.ndarray) -> str:
    words = (f"entry {i} {_names(bits, ((0, 'A'), (1, 'D'), (2, 'and more')))}" for i, bits in enumerate(newly) if bits)
    return f"; newly set: {', '.join(words) or 'nothing'}"


def lines(data: dict[str, Any]) -> Iterator[str]:
    """The report as text."""
    yield f"{data['file']}: mode {data['mode']}, {data['rows']} rows, {data['mismatches']} mismatches"
    for name, row in data["by_outcome"].items():
        if row["rows"]:
            yield f"  expected {name:<20}{row['rows'] - row['mismatches']:>8} of {row['rows']} agree"
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
