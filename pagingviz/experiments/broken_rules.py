"""The rules that the page What if breaks: the one table of them. Each is a small change of one rule, and who notices it first.

A rule is broken by replacing kernels, or methods of a migration, in a process whose kernels are plain Python (breaking.py). The
scenario is as small as it can be and still show the harm. what_if.py runs it with and without the change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pagingviz.arch import x86, xen
from pagingviz.arch.words import ZERO
from pagingviz.core import control, logdirty
from pagingviz.core.nested import exits, p2m, pml
from pagingviz.core.shadow import faults, oos, recycle, toplevel, validation, vtlb
from pagingviz.core.walk import tlb
from pagingviz.experiments.breaking import Kernel, Mutate, afterwards, given, refuse, skip, with_register, without
from pagingviz.experiments.retry import Retry
from pagingviz.machine.machine import Machine
from pagingviz.migration import precopy
from pagingviz.migration.effects import EndRound, NextSet
from pagingviz.migration.run import Migration
from pagingviz.scenario.scenario import Scenario

Way = tuple[Any, str, Mutate]  # module or class, name of what it has, what becomes of that


# ---- what stands in the place of a rule


def never_done(kernel: Kernel) -> Kernel:
    """_emulate_or_unshadow that leaves the shadows of a frame to which a user stores.

    Its vCPU tries the store again, and finds what it found before: it hangs.
    """

    def mutant(s: Any, c: Any, a: Any, gva: Any, gfn: Any, user: Any, size: Any, value: Any) -> Any:
        if user != ZERO:
            s.crashed = xen.HUNG
            return ZERO
        return kernel(s, c, a, gva, gfn, user, size, value)

    return mutant


def peek(_kernel: Kernel) -> Kernel:
    """Migration._read_bitmap that only reads, by a PEEK."""

    def mutant(self: Migration) -> np.ndarray | None:
        dirty = self.machine.dirty_frames()
        if not self._command("peek"):
            return None
        self.state.dirty_count = dirty.size
        self.state.readings += not self.paused
        return dirty

    return mutant


def clean_after_a_round(self: Migration, effect: object) -> None:
    """The bits are cleared when the pages of a round have been sent."""
    if isinstance(effect, EndRound):
        self._command("clean")


def nothing_left(kernel: Kernel) -> Kernel:
    """precopy.last_part with an empty set."""

    def mutant(now: object) -> Iterator[object]:
        yield NextSet(np.zeros(0, np.int64))
        yield from kernel(now)

    return mutant


def no_frames(_kernel: Kernel) -> Kernel:
    """Machine.logged_frames of logs that nobody looks into."""
    return lambda _machine: np.zeros(0, np.int64)


def only_what_is_dirty(kernel: Kernel) -> Kernel:
    """Retry.begin_again that keeps what had arrived, and then sends what is dirty at this moment."""

    def mutant(self: Retry) -> None:
        kept, times = self.destination, self.state.times
        kernel(self)
        self.destination = kept
        self.state.times, self.state.todo = times, self.machine.dirty_frames()

    return mutant


# ---- the table

_SMALL = Scenario(road="shadow", frames=128, pool=40, trace="", work="hotcold:24:6:90", quantum=40, write=40)
_LOGGED = _SMALL.replace(do="enable@60,clean@100")
_EPT = _LOGGED.replace(road="hap", pml=0)
_FORKS = _SMALL.replace(work="fork:12", quantum=30, write=50)
_MOVED = _SMALL.replace(
    frames=64, pool=32, work="hotcold:20:4:90", quantum=50, write=30, migrate="precopy", migrate_at=40, pace=5
)


@dataclass(frozen=True)
class BrokenRule:
    """One rule, and what is done instead of it.

    title: a few words; rule: the rule in a sentence; source: where it stands in Xen or in a processor's manual; instead: what
    is done on the broken machine, in a sentence; saves: what the rule would have done at the moment at which somebody notices.
    ways: how it is broken; scenario: the machine; board: id of the board on which it is seen; migration: another one than the
    scenario's own.
    """

    title: str
    rule: str
    source: str
    instead: str
    saves: str
    ways: tuple[Way, ...] = field(repr=False)
    scenario: Scenario = field(repr=False)
    board: str = "dirty-bitmap"
    migration: Callable[[Machine, Any], Migration] | None = None


BROKEN_RULES: Mapping[str, BrokenRule] = {  # by the name in an address
    "flush-at-clean": BrokenRule(
        "No flush after CLEAN",
        "When a CLEAN has thrown the shadows away, every TLB is flushed.",
        "shadow/common.c: shadow_blow_tables",
        "The TLBs keep what they know.",
        "The store would have missed the TLB, found no shadow entry and faulted; the fault marks the frame.",
        ((control, "clean", without(recycle, "flush_all")),),
        _LOGGED,
    ),
    "blow-at-clean": BrokenRule(
        "CLEAN leaves the shadows",
        "A CLEAN throws all shadows away, so that the next store to each frame faults.",
        "shadow/common.c: sh_clean_dirty_bitmap",
        "The bits are cleared, and the shadows stay as they are, with their writable entries.",
        "No shadow entry would have been left through which the store could go without a fault.",
        ((control, "clean", without(recycle, "blow")),),
        _LOGGED,
    ),
    "poison-at-clean": BrokenRule(
        "CLEAN leaves EPT writable",
        "A CLEAN poisons the root of EPT, so that each leaf becomes read-only before it is used again.",
        "mm/p2m.c: p2m_change_entry_type_global; mm/p2m-ept.c: ept_invalidate_emt_subtree",
        "The bits are cleared, and no entry of EPT is touched.",
        "The walk would have met the poison, the leaf would have become read-only, and the store an EPT violation.",
        ((control, "clean", without(p2m, "_poison")),),
        _EPT,
    ),
    "mark-at-violation": BrokenRule(
        "An EPT violation marks nothing",
        "A store to a logged frame is an EPT violation: the frame is marked, and only then its leaf becomes writable.",
        "mm/p2m.c: p2m_change_type_one; mm/paging.c: paging_mark_pfn_dirty",
        "The leaf becomes writable, and nobody marks the frame.",
        "The frame's bit would have been set in the very exit that made the leaf writable.",
        ((exits, "handle_exit", without(logdirty, "mark")),),
        _EPT.replace(do="enable@60"),
    ),
    "mark-a-and-d": BrokenRule(
        "A and D are set and not marked",
        "Xen's own walk sets A and D in the guest's tables, and marks each table that it has written.",
        "shadow/multi.c: sh_walk_guest_tables; mm/paging.c: paging_mark_dirty",
        "A and D are set, and the table's bit stays clear.",
        "The page table's own bit would have been set: it is memory of the guest like any other.",
        ((vtlb, "walk_and_mark", without(logdirty, "mark")),),
        _FORKS.replace(do="enable@5,clean@20"),
    ),
    "prefetch-read-only": BrokenRule(
        "Prefetch gives write access",
        "While log-dirty is on, prefetch fills in shadow entries without write access.",
        "shadow/multi.c: sh_prefetch, _sh_propagate",
        "Prefetch fills them in as if log-dirty were off: writable, though no store was seen.",
        "The prefetched entry would have been read-only, and the store would have faulted.",
        ((faults, "_prefetch", with_register("log_dirty", ZERO)),),
        _LOGGED,
    ),
    "mark-device": BrokenRule(
        "A device's writes are not marked",
        "The device model reports each frame that a device has written, and Xen marks it.",
        "hvm/dm.c: modified_memory",
        "The device writes by DMA, past every table, and nobody marks the frame.",
        "No page table sees DMA: the report of the device model is the only way to learn of it, and it sets the bit.",
        ((control, "_modified_memory", without(logdirty, "mark")),),
        _LOGGED.replace(do="enable@60,clean@100,dm:100@120"),
    ),
    "protect-tables": BrokenRule(
        "A shadowed table stays writable",
        "Before a table gets a shadow, every writable mapping of its frame is taken away.",
        "shadow/common.c: sh_remove_write_access",
        "The mappings stay writable, so the kernel's stores to its tables are not seen.",
        "The kernel's stores to its table would have faulted, and the shadow would have followed them.",
        ((faults, "remove_write_access", refuse),),
        _FORKS.replace(oos=0, work="fork:10", quantum=25),
        "guest-tables",
    ),
    "follow-stores": BrokenRule(
        "The shadow does not follow a store",
        "When a store to a page table has been emulated, the shadow entries made from it are computed anew.",
        "shadow/common.c: sh_validate_guest_entry",
        "The store is carried out in the guest's table, and the shadow stays as it was.",
        "The shadow entry would have lost its write access together with the guest's, and the store would have faulted.",
        ((validation, "validate", skip),),
        _FORKS.replace(oos=0, work="fork:8", write=60),
        "guest-tables",
    ),
    "resync-at-cr3": BrokenRule(
        "No resync at CR3",
        "When the guest loads CR3, its tables that are out of sync are brought back, and their shadows up to date.",
        "shadow/multi.c: sh_update_cr3; shadow/oos.c: sh_resync_all (master)",
        "The tables stay out of sync, and their shadows as old as they are.",
        "The resync would have taken the write access away that the guest's own table no longer gives.",
        ((toplevel, "update_cr3", without(oos, "resync_all")),),
        _FORKS,
        "guest-tables",
    ),
    "unshadow-data": BrokenRule(
        "A table that is data keeps its shadow",
        "A store from user mode to a shadowed frame shows that it is a page table no longer: its shadows are removed.",
        "shadow/multi.c: sh_page_fault; shadow/common.c: sh_remove_shadows",
        "The shadows stay. (Early unshadow is off here: it would have seen the end of the table before.)",
        "The frame would have lost its shadows and got its write access back, and the store would have been done.",
        ((faults, "_emulate_or_unshadow", never_done),),
        _SMALL.replace(work="fork:12,fork:12", quantum=20, write=50, shopt=511 - int(xen.SHOPT_EARLY_UNSHADOW)),
        "shadow-pool",
    ),
    "dirty-before-caching": BrokenRule(
        "A store through a TLB entry sets no D",
        "A processor uses a cached translation for a store only if D was set when it was cached; else it walks and sets D.",
        "SDM vol. 3, 4.8",
        "A load caches the translation as if D were set, and a later store goes through it.",
        "The store would have walked the tables once more, and set D before it wrote.",
        ((tlb, "rights", given(lambda have, leaf, size, cr: (have, leaf | x86.D, size, cr))),),
        _SMALL.replace(road="bare"),
        "guest-tables",
    ),
    "clear-before-copy": BrokenRule(
        "Bits cleared after the copy",
        "The bitmap is read and cleared in one CLEAN before the pages of a round are sent.",
        "mm/paging.c: paging_log_dirty_op; xg_sr_save.c: send_memory_live",
        "The toolstack reads with PEEK, sends the pages, and gives the CLEAN afterwards.",
        "A bit that is set after its page was sent would have lived until the next reading, and the page would go again.",
        ((Migration, "_read_bitmap", peek), (Migration, "_round", afterwards(clean_after_a_round))),
        _MOVED,
        "destination",
    ),
    "drain-the-log": BrokenRule(
        "Page-modification logs not drained",
        "Before the bitmap is read, the page-modification log of every vCPU is flushed into it.",
        "mm/p2m-ept.c: ept_vcpu_flush_pml_buffer (master); SDM vol. 3, 29.3.6",
        "The bitmap is read as it is, while the frames written last are still in the log.",
        "The frames in the log would have been in the bitmap, and would have been sent.",
        (
            (control, "_bits_are_lost", without(pml, "flush_all_logs")),
            (Migration, "_read_bitmap", without(Machine, "logged_frames", no_frames)),
        ),
        _MOVED.replace(road="hap", pml=1),
        "destination",
    ),
    "last-round": BrokenRule(
        "The last round left out",
        "When the guest is suspended, what it has dirtied since the last reading is sent before it goes on over there.",
        "xg_sr_save.c: suspend_and_send_dirty",
        "The guest is suspended, and goes on over there at once.",
        "The pages written since the last reading would have crossed while nothing could write them.",
        ((precopy, "last_part", nothing_left),),
        _MOVED,
        "destination",
    ),
    "retry-sends-all": BrokenRule(
        "A retry that sends only what is dirty",
        "A migration that was given up is begun anew: log-dirty went off with it, so all memory is sent again.",
        "xg_sr_save.c: send_memory_live",
        "The retry keeps what had arrived before the link was lost, and sends what is dirty now.",
        "Every page would have been sent again. Which of them were written after the link was lost nobody knows any more.",
        ((Retry, "begin_again", only_what_is_dirty),),
        _MOVED.replace(fail="link:40"),
        "destination",
        Retry,
    ),
}
NAMES = tuple(BROKEN_RULES)
