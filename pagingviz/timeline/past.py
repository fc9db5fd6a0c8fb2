"""The past of a machine gone through again, with all its events: what nobody has written down while it happened."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.machine.event_record import events_between
from pagingviz.timeline.simulation import Simulation

_STRIDE = 512  # ticks whose events are read at once, where they are few


def ticks_with(sim: Simulation, first: int, last: int, kinds: frozenset[int]) -> np.ndarray:
    """The ticks of first + 1 .. last in which there is an event of one of the kinds, int64[n], ascending.

    Events that are recorded only for somebody who looks (events.VERBOSE_EVENTS) count, too. Of a stretch that has more events
    than the record can hold all ticks are given. Afterwards the machine stands at `last`.
    """
    sim.seek(first)
    return np.concatenate([np.zeros(0, np.int64), *_parts(sim, last, kinds)])


def _parts(sim: Simulation, last: int, kinds: frozenset[int]) -> Iterator[np.ndarray]:
    """What ticks_with finds, stretch by stretch, from the present tick on."""
    s, stride = sim.machine.sys[0], _STRIDE
    while sim.tick < last:
        here, n = sim.tick, int(s.ev_n)
        s.verbose = ev.VERBOSE
        try:
            sim.run(min(stride, last - here))
        finally:
            s.verbose = 0
        if int(s.ev_n) - n > ev.RING:
            stride = max(1, stride // 4)
            yield np.arange(here + 1, sim.tick + 1)
            continue
        stride = min(_STRIDE, 2 * stride)
        events = events_between(sim.machine, n, int(s.ev_n))
        yield np.unique(events["tick"][np.isin(events["kind"], list(kinds))].astype(np.int64))
