"""What things cost: one table of cycles, which the viewer may edit. Every row names its source, or says that it is a guess.

The engine counts references, exits and entries; cycles are computed from the counts afterwards. They decide only how far a
guest gets while it is migrated. A scenario has a field for each row, `cost_` and its key (scenario/cost_fields.py).
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
    Cost("hypercall", "a PV guest's hypercall, or a store to a table that Xen carries out for it", 500),
    Cost("entry_searched", "one shadow entry looked at in a search for mappings of a frame", 1),
    Cost("suspend", "the guest suspends itself; milliseconds in a real one, less in a toy", 240_000),
    Cost("resume", "a guest that is complete goes on on the other host", 240_000),
    Cost(
        "bitmap_page",
        "4 KiB of the dirty bitmap (the bits of 128 MiB) copied to the toolstack or zeroed there, the domain paused",
        500,
    ),
    Cost(
        "bit_tested",
        "one bit of the bitmap tested by the sender, in each round that it sends",
        6,
        "40 ms for 16.8 million bits, reported once; a loop of gcc -O2 took 9 ms here, 1 cycle a bit",
    ),
    Cost("shadow_freed", "one shadow destroyed: its entries are looked at, its references dropped", 1000),
)

# What a guest's processor is taken away for, by cause: the counter of state.COUNTERS that tells how often, and its price.
CAUSES = (
    ("shadow fault", "shadow_fault", {"shadow_fault": 1}),
    ("CR3 exit", "exits_cr3", {"exit": 1, "cr3_exit": 1}),
    ("INVLPG exit", "exits_invlpg", {"exit": 1, "invlpg_exit": 1}),
    ("EPT misconfiguration", "ept_misconfig", {"exit": 1, "entry_fixed": 512}),  # a whole table of leaves is retyped
    ("EPT violation", "ept_violation", {"ept_violation": 1}),
    ("NPF, recalculation", "npf_recalc", {"exit": 1, "entry_fixed": 1}),
    ("NPF, write", "npf_write", {"ept_violation": 1}),
    ("PML full", "pml_full", {"exit": 1, "pml_entry": 512}),
    ("PV hypercall", "calls_to_mmu_update", {"hypercall": 1}),
    ("PV update_va_mapping", "calls_to_update_va", {"hypercall": 1}),
    ("PV mmuext_op", "calls_to_mmuext_op", {"hypercall": 1}),
    ("PV emulated store", "ptwr_emulations", {"exit": 1, "hypercall": 1}),
)
# What is no exit, but takes time as well.
OTHER = (("walk", "walk_refs", {"reference": 1}),)
PAUSES = (  # what a paused domain waits for while Xen works on its tables
    ("shadow freed", "shadow_free", {"shadow_freed": 1}),
)
BITMAP_PAGE = 1 << 15  # bits in 4 KiB of the bitmap
DEFAULT = {cost.key: cost.cycles for cost in COSTS}


def bitmap_read(bits: int) -> dict[str, int]:
    """What PEEK or CLEAN pays for a bitmap of so many bits, by key of COSTS: all of it is copied, whatever is set.

    Source: Xen mm/paging.c (paging_log_dirty_op).
    """
    return {"bitmap_page": -(-bits // BITMAP_PAGE)}


def bitmap_tested(bits: int) -> dict[str, int]:
    """What the sender pays in a round to find what is set among so many bits (Xen xg_sr_save.c: send_dirty_pages)."""
    return {"bit_tested": bits}


def cycles(counts: Mapping[str, int], table: Mapping[str, int] = DEFAULT) -> int:
    """Cycles of so many times each; `counts` by key of COSTS, `table` the viewer's own numbers."""
    return sum(int(n) * table[key] for key, n in counts.items())
