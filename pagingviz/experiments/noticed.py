"""Who notices first that a rule is broken, and on which page: the reader of the bitmap, the guest, or the destination."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pagingviz.arch import xen
from pagingviz.arch.words import U
from pagingviz.machine.machine import Machine
from pagingviz.story.counting import counted
from pagingviz.story.entry_bits import flags
from pagingviz.timeline.simulation import Simulation

BITMAP, GUEST, DESTINATION = "in the dirty bitmap", "by the guest", "at the destination"


@dataclass(frozen=True)
class Wrong:
    """What is wrong first.

    tick: when; who: where or by whom it is seen (BITMAP, GUEST or DESTINATION); gfns: the frames that are wrong at that tick,
    the one that the text is about first; text: one or two sentences.
    """

    tick: int
    who: str
    gfns: list[int]
    text: str

    @property
    def gfn(self) -> int:
        """The frame that the text is about."""
        return self.gfns[0]


def noticed(true: Simulation, wrong: Simulation) -> Wrong | None:
    """What somebody sees at the present tick of a machine with a broken rule, beside the true machine at the same tick."""
    if wrong.migration:
        return _destination(wrong)
    return _bitmap(wrong) or _guest(true, wrong)


def _destination(sim: Simulation) -> Wrong | None:
    """The guest goes on at the destination, with pages that are not those of the source."""
    mig = sim.migration
    if mig is None or mig.state.equal is not False:
        return None
    old = mig.machine.modelled.frames()[mig.state.old]
    gfn = int(old[0])
    there, here = int(mig.destination.versions[gfn]), int(sim.machine.view("ver")[gfn])
    text = (
        f"The guest goes on at the destination with {counted(old.size, 'old page')}. The first is gfn {gfn:#x}: what arrived "
        f"is the page after {counted(there, 'store')}, and the source's has had {here:,}."
    )
    return Wrong(sim.tick, DESTINATION, old.tolist(), text)


def _bitmap(sim: Simulation) -> Wrong | None:
    """A frame was written since the last CLEAN, and its bit is clear: a lost write."""
    if not sim.machine.log_dirty()["missing"]:
        return None
    gfns = np.flatnonzero(lost(sim.machine)).tolist()
    since = "the last CLEAN" if sim.machine.sys[0].cleans else "ENABLE"
    text = (
        f"gfn {gfns[0]:#x} has been stored to since {since}, and its dirty bit is clear. Whoever reads the bitmap now does not "
        "learn of it: a migration would leave the old page over there."
    )
    return Wrong(sim.tick, BITMAP, gfns, text)


def lost(machine: Machine) -> np.ndarray:
    """Which frames of a small guest have a lost write: bool[frames]. As Machine.log_dirty counts them."""
    seen = (machine.view("ver") == machine.view("cver")) | (machine.view("info") & xen.GRANTED != U(0))
    seen[machine.dirty_frames()] = True
    seen[machine.logged_frames()] = True
    return ~seen


def _guest(true: Simulation, wrong: Simulation) -> Wrong | None:
    """The guest hangs, or its memory is not what it is on the true machine."""
    if wrong.crashed and not true.crashed:
        gfn = int(wrong.machine.cpu[0].w_leaf)
        text = f"The guest's store to gfn {gfn:#x} never ends: it faults, is tried again, and faults again. The guest hangs."
        return Wrong(wrong.tick, GUEST, [gfn], text)
    ours, theirs = wrong.machine.view("ver"), true.machine.view("ver")
    more = np.flatnonzero(ours > theirs)
    if more.size:
        gfn = int(more[0])
        text = (
            f"A store has reached gfn {gfn:#x} that must not: it has had {counted(int(ours[gfn]), 'store')} by now, and "
            f"{int(theirs[gfn]):,} on the true machine."
        )
        return Wrong(wrong.tick, GUEST, more.tolist(), text)
    return _tables(true, wrong)


def _tables(true: Simulation, wrong: Simulation) -> Wrong | None:
    """An entry of the guest's page tables is not what it is on the true machine."""
    ours, theirs = wrong.machine.view("tables"), true.machine.view("tables")
    other = np.flatnonzero(ours != theirs)
    if not other.size:
        return None
    gfn, entry = divmod(int(other[0]), 512)
    text = (
        f"Entry {entry} of the guest's page table in gfn {gfn:#x} is {flags(ours[other[0]])}; on the true machine it is "
        f"{flags(theirs[other[0]])}."
    )
    return Wrong(wrong.tick, GUEST, [gfn], text)
