"""Where each frame of a migrating guest is, as sets: bool[n], one item for each frame that has words in the regions by frame.

Their order is that of `machine.modelled.frames()`. A frame without words is never written, and crosses the link once. What is
dirty is read from the hypervisor's bitmap, what was sent from the state of the migration, what has arrived from the
destination.
"""

import numpy as np

from pagingviz.migration.destination import InFlux
from pagingviz.migration.run import Migration
from pagingviz.migration.state import ABORTED, BROKEN, DONE, FINAL, LIVE, LOST, ROLLING, STATE, WAITING

_GUEST_GONE = (STATE, ROLLING, BROKEN, LOST)  # phases of them in which pages are still at the source


def _set(mig: Migration, frames: np.ndarray) -> np.ndarray:
    """bool[n]: the set that holds these frames, int64[k]."""
    out = np.zeros(mig.machine.modelled.count, bool)
    out[mig.index_of(np.asarray(frames, np.int64))] = True
    return out


def dirty(mig: Migration) -> np.ndarray:
    """bool[n]: the bit is set, or will be when the processors' logs are flushed."""
    m = mig.machine
    if not m.sys[0].log_dirty:
        return np.zeros(m.modelled.count, bool)
    return _set(mig, np.concatenate([m.dirty_frames(), m.logged_frames()]))


def waiting(mig: Migration) -> np.ndarray:
    """bool[n]: in the set of the round under way, and not yet sent. Before the start: all."""
    st = mig.state
    if st.phase in _GUEST_GONE:
        return ~st.arrived
    if st.phase == WAITING:
        return np.ones(st.times.size, bool)
    if st.phase not in (LIVE, FINAL) or not st.rounds:
        return np.zeros(st.times.size, bool)
    return mig.machine.modelled.frames() >= st.at if st.todo is None else _set(mig, st.todo[st.at :])


def deferred(mig: Migration) -> np.ndarray:
    """bool[n]: deferred to the last round, because the page has no form on the link now (EAGAIN)."""
    return _set(mig, mig.state.deferred)


def passed_over(mig: Migration) -> np.ndarray:
    """bool[n]: passed over in this round, or deferred to the last one."""
    st = mig.state
    if st.phase != LIVE or not st.rounds:
        return np.zeros(st.times.size, bool)
    passed = mig.machine.modelled.frames() < st.at if st.todo is None else _set(mig, st.todo[: st.at])
    return passed & (st.sent_in != st.rounds[-1].number) | deferred(mig)


def in_flight(mig: Migration) -> np.ndarray:
    """bool[n]: what was handed to the link last, while a round lasts."""
    st = mig.state
    if st.phase not in (LIVE, FINAL, ROLLING) or not st.rounds or not st.at or st.state_sent:
        return np.zeros(st.times.size, bool)
    frames = mig.machine.modelled.frames()
    first, end = st.flight
    now = (frames >= first) & (frames < end) if st.todo is None else _set(mig, st.todo[first:end])
    return now & (st.sent_in == st.rounds[-1].number)


def arrived(mig: Migration) -> np.ndarray:
    """bool[n]: the destination has the page, in its present version or an older one."""
    st = mig.state
    old_ones_gone = mig.postcopy and st.phase in (*_GUEST_GONE, DONE)  # discarded at the hand-over
    return st.arrived if old_ones_gone else st.times > 0


def outdated(mig: Migration) -> np.ndarray:
    """bool[n]: the destination has another version than the source (once the guest runs there: than it had at the suspend)."""
    st, d = mig.state, mig.destination
    out = np.zeros(st.times.size, bool)
    if st.phase in (ROLLING, BROKEN, LOST):
        image = mig.image
    elif st.phase == DONE:
        image = mig.image if mig.postcopy else mig.checked
    else:
        try:
            image = d.image()
        except InFlux:  # a PV table in flux: it has no form on the link now
            image = mig.machine.view("ver"), d.tables
    # Without an image the source is gone; it was compared at the resume.
    out[st.old if image is None else d.differs(*image)] = True
    return out & arrived(mig)


def tables(mig: Migration) -> np.ndarray:
    """bool[n]: the page is a page table of the guest."""
    return _set(mig, mig.machine.live_tables())


def frames_passed(mig: Migration) -> int:
    """Frames below this one, if they have no words, have been sent or passed over at least once."""
    st = mig.state
    if not st.rounds or st.phase == ABORTED:
        return 0
    if st.todo is not None:
        return mig.frames
    return st.gaps[0][0] if st.gaps and st.phase in (ROLLING, BROKEN) else st.at
