"""Pool sizes of the recorded domains: libxl's default, the floor, what an asked 0 leaves, and the thrash grid.

The grid (oracle `thrash.csv`): one guest after command `13 1024`; for every cell in its recorded order the pool is set,
`14 0 T 1 1` warms, then `14 0 T 1 2` is measured. State carries over from cell to cell.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

from pagingviz.evidence.xen.guest import PAGES, Guest
from pagingviz.evidence.xen.model import Model, scenario_of
from pagingviz.evidence.xen.script import Step
from pagingviz.scenario.fields import ScenarioError

COLUMNS = {
    "shadow_fault": "shadow_fault",
    "shadow_fault_fixed": "shadow_fault_fixed",
    "shadow_alloc": "shadow_alloc",
    "shadow_free": "shadow_free",
    "prealloc_1": "shadow_prealloc_1",
    "prealloc_2": "shadow_prealloc_2",
}
LOOP = 0x104  # the program that knows commands 13 to 15 is the rebuilt one


@dataclass(frozen=True)
class Cell:
    """One cell: pool pages asked for, tables T, and the six counts."""

    pool: int
    tables: int
    counts: dict[str, int]


def default_pool(kind: str, mib: int, vcpus: int) -> int:
    """Pool pages libxl gives a domain (libxl_create.c: libxl__get_required_paging_memory): `kind` shadow, hap or pv."""
    return 0 if kind == "pv" else 256 * vcpus + (2 if kind == "shadow" else 1) * mib


def read_grid(text: str) -> list[Cell]:
    """Cells of thrash.csv in their order."""
    try:
        rows = list(csv.DictReader(io.StringIO(text)))
        return [Cell(int(r["pool_pages_asked"]), int(r["tables"]), {name: int(r[name]) for name in COLUMNS}) for r in rows]
    except (KeyError, TypeError, ValueError):
        raise ScenarioError("The thrash grid needs the columns pool_pages_asked, tables and the six counts.") from None


def read_pools(text: str) -> list[tuple[str, int, int, int]]:
    """(kind, MiB, vCPUs, pages) of each default pool in pools.txt."""
    found = re.findall(r'^(hap|shadow|pv) mem=(\d+) vcpus=(\d+) .*"mempool_pages":(\d+)', text, re.MULTILINE)
    return [(kind, int(mib), int(vcpus), int(pages)) for kind, mib, vcpus, pages in found]


def grid(cells: list[Cell]) -> list[Cell]:
    """The same cells as the model has them."""
    guest = Guest("hvm64", LOOP)
    model = Model(guest, scenario_of({"pool": 2048}), PAGES)
    model.run(guest.boot() + guest.idle())
    _command(model, guest, 13, PAGES, 0, 1)
    out = []
    for cell in cells:
        model.operation("setpages", cell.pool)
        model.run(guest.idle("loop"))
        _command(model, guest, 14, 0, cell.tables, 1)
        before = model.counters()
        _command(model, guest, 14, 0, cell.tables, 2)
        after = model.counters()
        out.append(Cell(cell.pool, cell.tables, {name: after[own] - before[own] for name, own in COLUMNS.items()}))
    return out


def sizes(asked: list[int], road: str = "shadow") -> list[int]:
    """Pool pages left after each of `asked` is set on a freshly booted 64-bit guest, one after the other."""
    guest = Guest("hvm64")
    model = Model(guest, scenario_of({}, road), largest=max(asked, default=0))
    model.run(guest.boot() + guest.idle())
    out = []
    for pages in asked:
        model.operation("setpages", pages)
        out.append(model.pool_pages)
    return out


def _command(model: Model, guest: Guest, number: int, a: int, b: int, d: int) -> None:
    model.run(guest.command(Step(0, "cmd", number=number, args=(a, b, 1, d, 0)), model.word))
    model.run(guest.finish() + guest.idle())
    model.take()
