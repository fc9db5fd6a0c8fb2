"""Sentences about EPT and NPT: exits because of them, splits of superpages, and what log-dirty's commands do to them."""

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.sizes import LEAF_SIZES
from pagingviz.story.counting import counted
from pagingviz.story.events import Sentence, count_of, first_of
from pagingviz.timeline.simulation import Simulation

KINDS = ("PML_FULL", "EPT_VIOLATION", "EPT_MISCONFIG", "HVM_NPF", "NPF_RECALC")  # exits, the one that matters most first
_FAULT = "hvm.c: hvm_hap_nested_page_fault"
ENDS = {  # by the value of Simulation.crashed: how the want of a page for a split ends a guest
    int(xen.HUNG): (
        "The guest hangs: its store needs a leaf split, and the pool lacks the pages; it is repeated for ever.",
        "p2m-ept.c: ept_split_super_page",
    ),
    int(xen.NOT_SHATTERED): (
        "Xen crashes the domain: its fetch needs a superpage split, and the pool lacks the pages.",
        "vmx.c: ept_handle_violation",
    ),
}


def shatter(sim: Simulation, events: np.ndarray) -> Sentence | None:
    """A superpage leaf that was split because the guest fetched in it, or None. events: EVENT_DTYPE[n] of the tick."""
    e = first_of(events, "P2M_SHATTER")
    if e is None:
        return None
    level, pages = int(e["level"]), int(e["detail"])
    became = "512 executable leaves of 4 KiB"
    if level > 2:
        became = f"262,144 executable leaves of 4 KiB, {counted(pages, 'page')} of the pool at once"
    where = next(int(x["gfn"]) for x in events if x["kind"] == ev.CODES["EPT_VIOLATION"] and _is_fetch(x))
    text = (
        f"Instruction fetch at gfn {where:#x}, in a {LEAF_SIZES[level]} leaf that is not executable: exit, it becomes {became}"
    )
    return f"{text}; nothing is marked dirty.", _FAULT


def _is_fetch(e: np.void) -> bool:
    """Whether an EPT violation was by a fetch; else it was by a store."""
    return bool(int(e["level"]) & int(x86.EPT_X))


def turn(sim: Simulation, events: np.ndarray, what: str) -> Sentence | None:
    """An exit because of EPT or NPT, of those of one tick the one that matters most; or None.

    events: EVENT_DTYPE[n] of the tick; what: the access in words.
    """
    e = first_of(events, *KINDS)
    if e is None:
        return None
    kind, detail = ev.NAMES[int(e["kind"])], int(e["detail"])
    n, again = count_of(events, kind), count_of(events, "NPF_RECALC")
    bit = f"bit number {int(e['gfn'])} is set" if sim.machine.sys[0].log_dirty else "log-dirty is off, so no bit is set"
    if kind == "PML_FULL":
        pages = counted(detail, "page is", "pages are")
        text = f"{what} would set another D bit, and the log of its vCPU is full: exit, its {pages} marked"
        text = f"{text}; the store itself has not happened yet, and is tried again."
        return text, "p2m-ept.c: ept_vcpu_flush_pml_buffer (master)"
    if kind == "EPT_VIOLATION":
        more = f" (and {counted(n - 1, 'page-table frame')} for the A/D bits)" if n > 1 else ""
        text = f"{what} hits a read-only EPT leaf: exit, {bit}, the leaf is writable again"
        return f"{text}{_split(events)}{more}.", _FAULT
    if kind == "EPT_MISCONFIG":
        text = f"{what} meets a poisoned EPT entry: the mark is pushed down, {counted(detail, 'entry', 'entries')} recomputed."
        return text, "p2m-ept.c: resolve_misconfig"
    if kind == "HVM_NPF":
        more = f"; {counted(n, 'frame')} so far, as reading a guest table counts as a store to it" if n > 1 else ""
        before = f", after {counted(again, 'exit')} for pending changes" if again else ""
        text = f"{what} hits a read-only NPT leaf: NPF, {bit}, the leaf is writable again"
        return f"{text}{_split(events)}{before}{more}.", "svm.c: svm_do_nested_pgfault"
    entries = counted(detail, "entry changes", "entries change")
    text = f"{what} meets an NPT entry without its US bit: NPF, {entries}, of the leaves only this one."
    return text, "p2m-pt.c: do_recalc"


def _split(events: np.ndarray) -> str:
    """What became of the superpage leaf in the way of a store, "" when there was none."""
    split = events[events["kind"] == ev.CODES["P2M_SPLIT"]]
    if not split.size:
        return ""
    if split["level"].max() < 3:
        return "; the 2 MiB leaf is split"
    how = "into 4 KiB leaves, all of it" if split["level"].min() == 3 else "on the way to this frame"
    return f"; the 1 GiB leaf is split {how}: {counted(int(split['detail'].sum()), 'page')} of the pool"


def log_at_enable(sim: Simulation, without: bool) -> str:
    """What ENABLE did about the page-modification log, "" where Xen uses none. without: the pool had no pages for it."""
    if not sim.machine.sys[0].pml:
        return ""
    if without:
        return ", and the pool lacks a page for each vCPU's log, so stores are caught by write protection"
    return ", and each vCPU's log takes a page of the pool"


def clean_while_off(n: int, hap: str, how: str) -> str:
    """A CLEAN with log-dirty off. n: the dirty_count that was left over; hap: EPT, NPT or ""; how: what is thrown away."""
    text = f"CLEAN with log-dirty off: dirty_count, {n}, is read and zeroed, and {how}"
    if hap:
        text += "; all types become ram_logdirty although nothing is marked, until log-dirty is switched on and off"
    return f"{text}."
