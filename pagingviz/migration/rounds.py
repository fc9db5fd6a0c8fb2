"""What all kinds of rounds have in common: a set of frames that is sent in ascending order, and what the next reading shows."""

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.migration import wire
from pagingviz.migration.effects import BeginRound, Event, Judged, Step
from pagingviz.migration.policy import throttled
from pagingviz.migration.situation import Situation


def begin_round(now: Situation, kind: str) -> Step:
    """Begin to send the set in hand."""
    st = now.state
    planned = now.p2m_size if st.todo is None else int(st.todo.size)
    yield BeginRound(kind, planned)
    yield Event(ev.ROUND, planned, st.rounds[-1].number)


def entries(now: Situation, upto: int) -> np.ndarray:
    """The frames of the set from the next one to entry `upto`: int64[n]."""
    st = now.state
    return np.arange(st.at, upto) if st.todo is None else st.todo[st.at : upto]


def judged(now: Situation, dirty: np.ndarray) -> Judged:
    """What the dirty frames, int64[n], that were read after a round say about it; and QEMU's auto-converge, if wanted."""
    st, last = now.state, now.state.rounds[-1]
    index = now.index_of(dirty)
    needless = int((now.destination.versions[index] == now.machine.view("ver")[index]).sum())
    throttle, hot = st.throttle, st.hot
    if now.scenario.throttle and last.kind == "live":
        throttle, hot = throttled(throttle, hot, int(dirty.size) * wire.PAGE, last.bytes)
    return Judged(int(dirty.size), needless, throttle, hot)
