"""What things cost: one table of cycles, which the viewer may edit. Every row names its source, or says that it is a guess.

The engine counts references, exits and entries; cycles are computed from the counts afterwards and decide nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

GUESS = "a guess"


@dataclass(frozen=True)
class Cost:
    """One row: `key` names it in code, `cycles` is for one time, `source` says where the number comes from."""

    key: str
    what: str
    cycles: int
    source: str = GUESS


COSTS = (
    Cost("reference", "a walk's reference to a table entry, answered by a data cache", 20),
    Cost("cached", "a walk's reference answered by a paging-structure cache or the nested TLB", 1),
    Cost("exit", "VM exit and entry", 1360, "1344 to 1376 around VMRUN on an AMD host: LKML, December 2020"),
    Cost("ept_violation", "EPT violation or NPF of a store while logging, with its exit", 2500),
    Cost("entry_fixed", "one entry rewritten when a pending change is carried out, beside the exit", 10),
    Cost("pml_entry", "one entry of a page-modification log flushed, beside the exit", 150),
    Cost("shadow_fault", "page fault fixed up by the shadow code, with its exit", 4000),
    Cost("cr3_exit", "MOV CR3 handled by the shadow code, beside the exit", 1500),
    Cost("invlpg_exit", "INVLPG handled by the shadow code, beside the exit", 500),
    Cost("entry_searched", "one shadow entry looked at in a search for mappings of a frame", 1),
    Cost("shadow_freed", "one shadow destroyed: its entries are looked at, its references dropped", 1000),
)
DEFAULT = {cost.key: cost.cycles for cost in COSTS}


def cycles(counts: Mapping[str, int], table: Mapping[str, int] = DEFAULT) -> int:
    """Cycles of so many times each; `counts` by key of COSTS, `table` the viewer's own numbers."""
    return sum(int(n) * table[key] for key, n in counts.items())
