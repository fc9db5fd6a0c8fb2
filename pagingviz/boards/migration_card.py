"""The inspector's card of a frame of a guest that is being migrated: the frame here, on the wire, and there."""

from __future__ import annotations

import numpy as np

from pagingviz.boards.board import Card, Plan
from pagingviz.migration.run import Migration
from pagingviz.migration.state import ABORTED, BROKEN, DONE, EPOCH, LIVE, LOST, ROLLING, STATE
from pagingviz.reading import migration_frames as frames
from pagingviz.reading.guest_frames import machine_frame
from pagingviz.story.counting import counted
from pagingviz.timeline.simulation import Simulation


def card_of(sim: Simulation, plan: Plan, cell: int) -> Card:
    """The card of a cell that stands for a frame, while there is a migration."""
    mig = sim.migration
    assert mig
    gfn = int(plan.key[cell])
    at = int(mig.machine.modelled.index(np.array([gfn]))[0])
    rows = []
    if plan.per_cell > 1:
        last = min(gfn + plan.per_cell, mig.frames) - 1
        rows.append(("this cell", f"gfn {gfn:#x} to {last:#x}; below: the first of them"))
    chain = [f"gfn {gfn:#x}", f"source: mfn {machine_frame(sim.machine, gfn):#x}"]
    if mig.destination.pv:
        chain.append(f"destination: mfn {int(mig.destination.p2m[gfn]):#x}")
    title = f"{plan.title}: gfn {gfn:#x}"
    if at >= mig.machine.modelled.count:
        rows.append(("state", "nothing is kept of it: no program can touch it"))
        return Card(title, chain, rows, "It crosses once, in round 1.", frame=gfn)
    return Card(title, chain, rows + _rows(mig, at), _why(mig, at), frame=gfn)


def _rows(mig: Migration, at: int) -> list[tuple[str, str]]:
    """Rows about the frame whose words have the index `at`."""
    st = mig.state
    version, there = int(mig.machine.view("ver")[at]), int(mig.destination.versions[at])
    times, last = int(st.times[at]), int(st.sent_in[at])
    rows = [
        ("sent", counted(times, "time") + (f", last in round {last}" if times else "")),
        ("stores to it so far", f"{version:,}"),
        ("of them there", f"{there:,}" if frames.arrived(mig)[at] else "it is not there"),
        ("dirty bit", "set" if frames.dirty(mig)[at] else "clear"),
        ("this round's set", "waits" if frames.waiting(mig)[at] else "does not wait"),
    ]
    return [*rows, ("what it is", "a page table of the guest")] if frames.tables(mig)[at] else rows


def _why(mig: Migration, at: int) -> str:
    """Why the frame whose words have the index `at` is where it is."""
    st = mig.state
    if st.phase in (ABORTED, LOST):
        return st.why
    if st.phase == DONE and mig.scenario.migrate == "remus":
        return "The primary is gone: the backup has it as it was at the last checkpoint."
    if st.phase == DONE and not frames.outdated(mig)[at]:
        return "The migration is over: the destination has it, in its last version."
    dirty = frames.dirty(mig)[at]
    if frames.passed_over(mig)[at]:
        how = (
            "its table refers to a frame in flux (EAGAIN): it goes with the last round"
            if frames.deferred(mig)[at]
            else "it was dirty again before its batch was sent: to send it now would be in vain"
        )
        return f"Left for later: {how}."
    if frames.waiting(mig)[at]:
        if st.phase in (ROLLING, STATE, BROKEN):
            return "It has not been pushed yet: when the guest touches it over there, it must wait for it."
        again = " It has been written again already, so this sending will be in vain." if dirty else ""
        onwards = mig.policy.within_rounds and st.phase == LIVE and st.todo is not None
        order = "the search goes on where it was and comes round" if onwards else "lowest frame first"
        return f"It is in this round's set and its turn comes, {order}.{again if st.phase == LIVE else ''}"
    if dirty and st.phase in (LIVE, EPOCH):
        return "The guest has written it since the last CLEAN: the next one will report it, and it goes again."
    if st.fetched[at]:
        return "The guest touched it over there before its turn: a page fault fetched it, or one just before it."
    if frames.outdated(mig)[at]:
        return "The destination has an old version of it."
    return "The destination has it as it is, and nobody has written it since."
