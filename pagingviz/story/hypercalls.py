"""Sentences about a PV guest's hypercalls, and about a store to its tables that is carried out for it."""

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.story.events import Sentence, first_of, frame_text
from pagingviz.timeline.simulation import Simulation

KINDS = ("REFUSED", "MMU_UPDATE", "PTWR", "PIN", "GRANT_UNMAP")  # what is told, in the order of what outranks what
_PIN = (
    "table gfn {} is no longer pinned: without another use it is no table any more",
    "table gfn {} and all below it are validated and pinned",
)


def tell(sim: Simulation, events: np.ndarray) -> Sentence | None:
    """What a PV guest asks for, and a store to its table that is carried out for it; None when the tick has neither.

    events: of the tick, EVENT_DTYPE[n].
    """
    e = first_of(events, *KINDS)
    if e is None:
        return None
    kind, gfn = ev.NAMES[int(e["kind"])], frame_text(e["gfn"])
    if kind == "GRANT_UNMAP":
        then = "now its dirty bit is set" if sim.machine.sys[0].log_dirty else "log-dirty is off, so no bit is set"
        return (
            f"Another domain gives up its writable mapping of gfn {gfn}: {then}.",
            "grant_table.c: unmap_common, gnttab_mark_dirty",
        )
    if kind == "REFUSED":
        text = "The hypercall is refused: the entry would give the guest a table to write, or a frame that is not its own."
        return text, "x86/mm.c: get_page_type"
    if kind == "PIN":
        return f"Hypercall: {_PIN[int(e['detail'])].format(gfn)}.", "x86/mm.c: do_mmuext_op"
    follow = "; its shadow follows" if first_of(events, "VALIDATE") is not None else ""
    if kind == "PTWR":
        text = f"Store to L1 table gfn {gfn}, which is mapped read-only: validated and carried out by the hypervisor{follow}."
        return text, "pv/ro-page-fault.c: ptwr_emulated_update"
    return f"Hypercall: an entry of table gfn {gfn} is validated and stored{follow}.", "x86/mm.c: do_mmu_update"


def switch(sim: Simulation, cr3: np.void, who: str) -> Sentence:
    """A PV guest loads another root; a process has two, one for its kernel and one for user mode: each takes an operation.

    cr3: the CR3_LOAD event; who: the process that it switches to.
    """
    kernel, user = frame_text(cr3["gfn"]), frame_text(sim.machine.sys[0].uroot[int(cr3["vcpu"])])
    if not sim.work.processes:
        return f"Hypercall: the guest loads gfn {kernel} as its root (NEW_BASEPTR).", "x86/mm.c: do_mmuext_op"
    text = f"The guest switches to {who} by two operations of a hypercall: NEW_BASEPTR loads gfn {kernel} as its kernel's root"
    return f"{text}, NEW_USER_BASEPTR names gfn {user} as the root of its user mode.", "x86/mm.c: do_mmuext_op"
