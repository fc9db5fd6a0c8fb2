"""The ledger of machines side by side: what each has cost since tick 0, in counts, and in cycles by the table of costs.

A row is one counter, or a few that are the same thing; the engine counts them, and arch/costs.py prices them. A row without a
price says so, and every price says where it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pagingviz.arch import costs
from pagingviz.arch.state import PV_COUNTERS, XEN_COUNTERS
from pagingviz.migration.run import Migration
from pagingviz.timeline.simulation import Simulation

UNPRICED = "counted; the table has no price for it"
YOURS = "your number"
TOTAL = "all that has a price"
_SOURCE = {cost.key: cost.source for cost in costs.COSTS}

Price = Mapping[str, int]  # how often each key of costs.COSTS is paid for one


@dataclass(frozen=True)
class Row:
    """One row: `what`, the counters or the unit behind it, a number for each machine. cycles: None where there is no price.

    price: of one, for the first machine, as "exit 1,360 + cr3_exit 1,500"; source: where that comes from, or why there is none.
    """

    what: str
    counter: str
    counts: tuple[int, ...]
    cycles: tuple[int, ...] | None
    price: str
    source: str

    @property
    def whose(self) -> str:
        """Whose counters these are: Xen's own performance counters (asm/perfc_defn.h), or the model's."""
        xens = {*XEN_COUNTERS, *PV_COUNTERS}
        return "Xen's own counter" if self.counter and set(self.counter.split(" + ")) <= xens else "counted by the model"

    @property
    def empty(self) -> bool:
        """Whether no machine has anything in it."""
        return not any(self.counts) and not any(self.cycles or ())


@dataclass(frozen=True)
class _Kind:
    """What a row is about. price: None where it has none, then why says what is said instead of a source."""

    what: str
    counters: tuple[str, ...]
    price: Price | None
    why: str = UNPRICED


_KINDS = (
    *(_Kind(what, (counter,), price) for what, counter, price in costs.CAUSES),
    _Kind(
        "store emulated by the shadow code",
        ("shadow_fault_emulate_write", "shadow_fault_emulate_wp", "shadow_fault_fast_emulate"),
        None,
        "counted; it is paid with its shadow fault",
    ),
    _Kind("reference of a walk", ("walk_refs",), {"reference": 1}),
    _Kind("TLB flush", ("tlb_flush",), None),
    _Kind("INVEPT", ("invept",), None),
    *(_Kind(what, (counter,), price) for what, counter, price in costs.PAUSES),
    _Kind("the guest's own page fault", ("guest_faults",), None),
)


def ledger(sims: Sequence[Simulation]) -> list[Row]:
    """The rows in which any of the machines has something, then the sum of all that is priced, and a migration's two rows.

    Every machine is priced by its own scenario's table.
    """
    tables = [sim.scenario.costs for sim in sims]
    counters = [sim.counters() for sim in sims]
    rows = [_row(kind, counters, tables) for kind in _KINDS]
    rows.append(_readings(sims, counters, tables))
    rows = [row for row in rows if not row.empty]
    return [*rows, _total(rows, len(sims)), *_migration(sims)]


def _row(kind: _Kind, counters: Sequence[Mapping[str, int]], tables: Sequence[Mapping[str, int]]) -> Row:
    counts = tuple(sum(one[name] for name in kind.counters) for one in counters)
    name = " + ".join(kind.counters)
    if kind.price is None:
        return Row(kind.what, name, counts, None, "", kind.why)
    each = [costs.cycles(kind.price, table) for table in tables]
    cycles = tuple(n * price for n, price in zip(counts, each, strict=True))
    return Row(kind.what, name, counts, cycles, _priced(kind.price, tables[0]), sources(kind.price, tables[0]))


def _readings(sims: Sequence[Simulation], counters: Sequence[Mapping[str, int]], tables: Sequence[Mapping[str, int]]) -> Row:
    """How often the bitmap was read: the price goes by the size of the guest."""
    names = ("peeks", "cleans")
    counts = tuple(sum(one[name] for name in names) for one in counters)
    prices = [costs.bitmap_read(sim.scenario.frames) for sim in sims]
    cycles = tuple(n * costs.cycles(p, table) for n, p, table in zip(counts, prices, tables, strict=True))
    return Row("bitmap read", " + ".join(names), counts, cycles, _priced(prices[0], tables[0]), sources(prices[0], tables[0]))


def _total(rows: Sequence[Row], machines: int) -> Row:
    """The sum of the cycles of all rows."""
    sums = tuple(sum(row.cycles[k] for row in rows if row.cycles) for k in range(machines))
    return Row(TOTAL, "", (0,) * machines, sums, "", "the sum of the rows above")


def _migration(sims: Sequence[Simulation]) -> list[Row]:
    """What a migration has put on its link, and how long its guest has stood still; none where no guest is moved."""
    moves = [sim.migration for sim in sims]
    if not any(moves):
        return []
    sent = tuple(move.state.bytes if move else 0 for move in moves)
    stood = tuple(move.stood if move else 0 for move in moves)
    pauses = tuple(_paused(move) if move else 0 for move in moves)
    return [
        Row("sent over the link", "bytes", sent, None, "", UNPRICED),
        Row("pause of the guest", "ticks", stood, pauses, "", "the table and the fields of the link"),
    ]


def _paused(move: Migration) -> int:
    """Cycles that a guest has been suspended for, the pause that is not over included."""
    st = move.state
    return st.downtime + (move.time - st.suspended if move.paused else 0)


def _priced(price: Price, table: Mapping[str, int]) -> str:
    """What one costs, in words: "exit 1,360 + 512 x entry_fixed 10"."""
    return " + ".join(f"{f'{n} x ' if n != 1 else ''}{key} {table[key]:,}" for key, n in price.items())


def sources(price: Price, table: Mapping[str, int]) -> str:
    """Where the numbers of a price come from, each source once."""
    found = [(key, _SOURCE[key] if table[key] == costs.DEFAULT[key] else YOURS) for key in price]
    if len({source for _, source in found}) == 1:
        return found[0][1]
    return "; ".join(f"{key}: {source}" for key, source in found)


def differences(rows: Sequence[Row], cycles: bool) -> list[tuple[str, tuple[int, ...]]]:
    """[(what, how much more each other machine has than the first)] in cycles or in counts, of rows that have a number."""
    out = []
    for row in rows:
        numbers = row.cycles if cycles else row.counts
        if numbers is not None and row.what != TOTAL:
            out.append((row.what, tuple(n - numbers[0] for n in numbers[1:])))
    return out
