"""The fields of prices: one for each row of arch/costs.py, `cost_` and its key. They are no list of their own."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pagingviz.arch.costs import COSTS, Cost
from pagingviz.scenario.declare import declared

MOST_CYCLES = 10**9


def name_of(key: str) -> str:
    """The field that holds the price of this key."""
    return f"cost_{key}"


def _row(cost: Cost) -> tuple[str, type, int]:
    about = f"Cycles: {cost.what} (source: {cost.source})."
    return name_of(cost.key), int, declared("int", cost.cycles, about, bounds=(0, MOST_CYCLES))


if TYPE_CHECKING:

    @dataclasses.dataclass(frozen=True)
    class Priced:
        """What things cost: the attributes are made below."""
else:
    Priced = dataclasses.make_dataclass("Priced", [_row(cost) for cost in COSTS], frozen=True)
