"""Post-copy, and the second half of a hybrid: the guest goes on on the destination at once, and its pages follow.

Sources: QEMU docs/devel/migration/postcopy.rst; Hines, Deshpande and Gopalan 2009 (prepaging).
"""

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.migration import wire
from pagingviz.migration.effects import (
    Busy,
    Command,
    Compared,
    CountTouches,
    EndRound,
    Enter,
    Event,
    Fault,
    HandOver,
    LinkBack,
    LinkLost,
    Pass,
    Resumed,
    SearchFrom,
    SendBytes,
    Step,
)
from pagingviz.migration.ending import finish
from pagingviz.migration.rounds import begin_round, entries
from pagingviz.migration.send import pages
from pagingviz.migration.situation import Situation
from pagingviz.migration.state import BROKEN, DONE, ROLLING, STATE
from pagingviz.migration.touch import touched


def hand_over(now: Situation) -> Step:
    """Only state crosses in the pause, and after a live round a bitmap of the pages that are stale; pages follow."""
    stale = now.state.todo
    arrived = np.full(now.machine.modelled.count, stale is not None)
    if stale is not None:
        arrived[now.index_of(stale)] = False
    yield HandOver(now.destination.image(), arrived)
    if stale is not None:
        yield SendBytes(-(-now.frames // 8))
    yield SendBytes(now.state_size)
    yield Busy(now.link.latency, "latency")
    yield Busy(now.table["resume"], "resume")
    yield Enter(STATE)


def go_on(now: Situation) -> Step:
    """The guest goes on on the destination, with cold caches; from now on its pages are pushed."""
    yield Enter(ROLLING)
    yield Resumed()
    yield Command("off" if now.machine.sys[0].log_dirty else "flush")
    yield CountTouches(now.machine.view("ver").copy())
    yield Event(ev.RESUME, 1, 4)
    yield from begin_round(now, "pushed")


def push(now: Situation) -> Step:
    """Push the next pages in the background; those that a fault has brought are passed over."""
    st = now.state
    while st.gaps:
        first, end = next(((max(a, st.search), b) for a, b in st.gaps if b > st.search), st.gaps[0])
        upto = min(end, first + wire.chunk(st.rounds[-1].planned))
        frames = entries(now, first, upto)
        yield Pass(first, upto)
        frames = frames[~_there(now, frames)]
        if frames.size:
            yield pages(now, frames)
            return
    yield EndRound()
    assert now.image
    yield Compared(now.destination.differs(*now.image))
    yield from finish(now, DONE)


def interrupted(now: Situation, lost: str) -> Step:
    """The link is gone. Each host has a part of the memory, so both wait; it can be recovered, by the scenario or not at all.

    lost: the beginning of a sentence.
    """
    recover = now.scenario.recover
    what = f"they go on when it is recovered after {recover:,} µs" if recover else "nobody recovers it"
    yield LinkLost(f"{lost}: both sides wait with what they have, and {what}.")
    if recover:
        yield Busy(recover * wire.FREQUENCY)
    else:
        yield from finish(now, BROKEN)


def recovered(now: Situation) -> Step:
    """A new link: both sides agree on what has arrived, and go on where they were."""
    yield LinkBack(now.scenario.recover * wire.FREQUENCY)
    yield Event(ev.RESUME, 1, 6)


def _there(now: Situation, frames: np.ndarray) -> np.ndarray:
    """bool[n]: frames that have arrived. One without state cannot be asked for: it comes when it is pushed."""
    index = now.machine.modelled.index(frames)
    known = index < now.machine.modelled.count
    return known & now.state.arrived[np.where(known, index, 0)]


def demand(now: Situation, ticks: int) -> Step:
    """The guest has run for `ticks` on the destination: each page it touched that was not there was a fault, and a wait.

    A fault asks over the link (a round trip), the frames after it come along, and the background goes on from there. The page
    overtakes what is on the link with preempt=1 only; else it goes behind that.
    """
    st, m = now.state, now.machine
    op, credit = np.empty(ticks, np.uint64), np.empty(ticks, np.uint32)
    now.work.fill(op, credit, st.settled - st.paused)
    wanted, when = touched(m, op, st.frozen)
    yield CountTouches(m.view("ver").copy())
    for index, at in zip(wanted.tolist(), when.tolist(), strict=True):
        if st.arrived[index]:
            continue
        near = np.arange(index, min(index + now.scenario.prefetch + 1, st.arrived.size))
        near = near[~st.arrived[near]]
        asked = st.guest - (ticks - at) * st.pace + now.link.latency
        behind = 0 if now.scenario.preempt else max(0, st.link - asked)
        yield Fault(2 * now.link.latency + now.link.main.page + behind, near)
        frames = m.modelled.frames()[near]
        yield pages(now, frames)
        yield SearchFrom(int(frames[0] if st.todo is None else np.searchsorted(st.todo, frames[0])))
