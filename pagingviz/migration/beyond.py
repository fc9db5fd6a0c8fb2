"""What follows the live part: Xen's last round, and what others do in its place: post-copy, hybrid, Remus.

Sources: Xen xg_sr_save.c (suspend_and_send_dirty, Remus' loop); QEMU docs/devel/migration/postcopy.rst; Hines, Deshpande and
Gopalan 2009 (prepaging); Cully et al. 2008 (Remus).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.migration import wire
from pagingviz.migration.send import put, put_bytes
from pagingviz.migration.state import DONE, EPOCH, FINAL, LOST, ROLLING, STATE
from pagingviz.migration.touch import touched

if TYPE_CHECKING:
    from pagingviz.migration.run import Migration


def last_part(mig: Migration) -> None:
    """The guest is suspended, `todo` is known: send it now, or let the guest go on elsewhere and send it then."""
    st, kind = mig.state, mig.scenario.migrate
    if kind in ("postcopy", "hybrid"):
        _hand_over(mig)
        return
    if kind == "remus":
        mig.sealed = mig.destination.image()
    planned = mig.p2m_size if st.todo is None else int(st.todo.size)
    mig.start(st.todo, "checkpoint" if st.checkpoints else "final", planned)


def after_final(mig: Migration) -> None:
    """The last round is sent: then the state, after which one host or the other goes on."""
    st = mig.state
    if st.phase == FINAL and not st.state_sent:
        st.state_sent = True
        put_bytes(mig, wire.STATE[mig.scenario.road] + (wire.CHECKPOINT if mig.scenario.migrate == "remus" else 0))
        st.link += mig.link.latency + mig.table["resume"]
        return
    st.state_sent = False
    if mig.scenario.migrate == "remus":
        _checkpoint(mig)
    else:
        mig.resume()


# ---- post-copy


def _hand_over(mig: Migration) -> None:
    """Post-copy: only state crosses in the pause (and, after a live round, which pages are stale); pages follow."""
    st = mig.state
    mig.image = mig.destination.image()
    st.arrived[:] = st.todo is not None
    if st.todo is not None:
        st.arrived[mig.places(st.todo)] = False
        put_bytes(mig, -(-mig.frames // 8))  # the bitmap of what to discard
    put_bytes(mig, wire.STATE[mig.scenario.road])
    st.link += mig.link.latency + mig.table["resume"]
    st.phase = STATE


def go_on(mig: Migration) -> None:
    """The guest goes on on the destination, with cold caches; now its pages are pushed."""
    st = mig.state
    st.phase = ROLLING
    st.resumed = st.guest = st.link
    st.downtime = st.resumed - st.suspended
    mig.command("off" if mig.machine.sys[0].log_dirty else "flush")
    st.frozen = mig.machine.view("ver").copy()
    mig.tell(ev.RESUME, 1, 4)
    mig.start(st.todo, "pushed", mig.p2m_size if st.todo is None else int(st.todo.size))


def roll(mig: Migration) -> None:
    """Push the next pages in the background; those that a fault has brought are passed over."""
    st, r = mig.state, mig.state.rounds[-1]
    n = r.planned
    while st.at < n:
        upto = min(n, st.at + wire.chunk(n))
        frames = np.arange(st.at, upto) if st.todo is None else st.todo[st.at : upto]
        st.at = upto
        frames = frames[~_there(mig, frames)]
        if frames.size:
            put(mig, frames)
            return
    r.ended, r.exits = max(st.guest, st.link), mig.clock.exits(st.since)
    assert mig.image
    st.equal = mig.destination.differs(*mig.image).size == 0
    mig.finish(DONE)


def _there(mig: Migration, frames: np.ndarray) -> np.ndarray:
    """bool[n]: frames that have arrived. One without state cannot be asked for: it comes when it is pushed."""
    places = mig.machine.modelled.index(frames)
    known = places < mig.machine.modelled.count
    return known & mig.state.arrived[np.where(known, places, 0)]


def demand(mig: Migration, ticks: int) -> None:
    """The guest has run for `ticks` on the destination: each page it touched that was not there was a fault, and a wait.

    A fault asks over the wire (a round trip) and the page overtakes the background; the frames after it come along.
    """
    st, r, m = mig.state, mig.state.rounds[-1], mig.machine
    op, credit = np.empty(ticks, np.uint64), np.empty(ticks, np.uint32)
    mig.work.fill(op, credit, st.settled - st.paused)
    places = touched(m, op, st.frozen)
    st.frozen = m.view("ver").copy()
    for place in places.tolist():
        if st.arrived[place]:
            continue
        stall = 2 * mig.link.latency + mig.link.page
        r.faults, r.stall, st.guest = r.faults + 1, r.stall + stall, st.guest + stall
        near = np.arange(place, min(place + mig.scenario.prefetch + 1, st.arrived.size))
        near = near[~st.arrived[near]]
        st.fetched[near] = True
        put(mig, m.modelled.frames()[near])


# ---- Remus


def _checkpoint(mig: Migration) -> None:
    """CHECKPOINT: all of this round is in force at once on the backup. The primary goes on for an epoch."""
    st, d = mig.state, mig.destination
    r = st.rounds[-1]
    st.checkpoints += 1
    st.resumed = st.guest = st.link
    st.downtime += st.resumed - st.suspended
    r.stall = st.resumed - st.suspended
    mig.image = (d.versions.copy(), d.tables.copy())
    mig.checked = mig.sealed
    if st.checkpoints >= mig.scenario.epochs:
        fail_over(mig, "The primary was stopped")
        return
    st.phase = EPOCH
    mig.tell(ev.RESUME, 1, 3)
    st.link = st.resumed + mig.scenario.epoch * mig.op


def fail_over(mig: Migration, why: str) -> None:
    """The backup goes on from the last complete checkpoint; records after it are thrown away."""
    st, d = mig.state, mig.destination
    assert mig.image and mig.checked  # there was a checkpoint
    d.versions[:], d.tables[:] = mig.image
    st.equal = d.differs(*mig.checked).size == 0
    st.why = f"{why}: the backup goes on from checkpoint {st.checkpoints}."
    mig.finish(DONE)


# ---- the link


def link_lost(mig: Migration) -> None:
    """What a lost link means in each phase."""
    st = mig.state
    n = f"The link was lost after {st.total_sent:,} pages"
    if st.phase == ROLLING:
        mig.give_up(f"{n}, and the guest with it: neither host has all of its memory.", LOST)
    elif st.checkpoints:
        fail_over(mig, n)
    else:
        mig.give_up(f"{n}: the source goes on, and has lost nothing.")
