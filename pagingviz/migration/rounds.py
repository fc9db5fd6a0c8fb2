"""What all kinds of rounds have in common: a set of frames that is sent in ascending order, and what the next reading shows."""

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.migration import wire
from pagingviz.migration.effects import BeginRound, Event, Judged, Step
from pagingviz.migration.policy import PACKAGE, throttle_of, throttled
from pagingviz.migration.situation import Situation


def begin_round(now: Situation, kind: str) -> Step:
    """Begin to send the set in hand, from its first frame on."""
    st = now.state
    planned = now.p2m_size if st.todo is None else int(st.todo.size)
    yield BeginRound(kind, planned)
    yield Event(ev.ROUND, planned, st.rounds[-1].number)


def entries(now: Situation, first: int, upto: int) -> np.ndarray:
    """The frames of the set from entry `first` to before entry `upto`: int64[n]."""
    todo = now.state.todo
    return np.arange(first, upto) if todo is None else todo[first:upto]


def left_over(now: Situation) -> int:
    """How many frames are still to be sent: of the round, deferred, or dirty since they were sent."""
    st, m = now.state, now.machine
    if not st.rounds:
        return now.p2m_size
    rest = st.rounds[-1].planned - st.at
    dirty = np.union1d(m.dirty_frames(), m.logged_frames()) if m.sys[0].log_dirty else np.zeros(0, np.int64)
    more = np.union1d(dirty, st.deferred)
    if st.todo is None:
        return rest + int((more < st.at).sum())
    return int(np.union1d(more, st.todo[st.at :]).size)


def package_left(now: Situation) -> int:
    """Pages that QEMU sends yet before it looks at what is left (migration/ram.c: ram_save_iterate)."""
    return -((now.state.link - now.state.package - PACKAGE * wire.FREQUENCY) // now.link.page)


def package_over(now: Situation) -> bool:
    """Whether it has sent for as long as it does."""
    return package_left(now) <= 0


def judged(now: Situation, dirty: np.ndarray, left: np.ndarray) -> Judged:
    """What the dirty frames, int64[n], that were read after a round say about it; and QEMU's auto-converge, if wanted.

    left: frames, int64[m], that are still to be sent anyhow.
    """
    st, last = now.state, now.state.rounds[-1]
    index = now.index_of(dirty)
    needless = int((now.destination.versions[index] == now.machine.view("ver")[index]).sum())
    period = st.period
    if now.scenario.throttle and last.kind == "live":
        fresh = int(np.setdiff1d(dirty, left).size)
        period = throttled(period, fresh, now.time, st.bytes, throttle_of(now.scenario))
    return Judged(int(dirty.size), needless, period)
