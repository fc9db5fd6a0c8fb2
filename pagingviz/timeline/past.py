"""The past of a machine gone through again, with all its events: what nobody has written down while it happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.machine.event_record import EVENT_DTYPE, events_between
from pagingviz.timeline.simulation import Simulation

_STRIDE = 512  # ticks whose events are read at once, where they are few


def ticks_with(
    sim: Simulation, first: int, last: int, kinds: frozenset[int], which: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """The ticks of first + 1 .. last with an event of one of the kinds for which `which` is true, int64[n], ascending.

    `which` gets n of them, EVENT_DTYPE[n], and returns bool[n]. Events that are recorded only for somebody who looks
    (events.VERBOSE_EVENTS) count, too. Of a stretch that has more events than the record can hold all ticks are given.
    Afterwards the machine stands at `last`.
    """
    sim.seek(first)
    parts = [
        np.unique(events["tick"][which(events)]).astype(np.int64) if whole else np.arange(start + 1, end + 1)
        for start, end, events, whole in _stretches(sim, last, kinds)
    ]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def events_of(sim: Simulation, first: int, last: int, kinds: frozenset[int]) -> np.ndarray:
    """The events of the kinds in the ticks first + 1 .. last, EVENT_DTYPE[n], in their order.

    Of one tick that has more events than the record can hold (events.RING) the last ones. The machine is moved.
    """
    sim.seek(first)
    parts = []
    for start, end, events, whole in _stretches(sim, last, kinds):
        if not whole and end - start > 1:
            here, middle = sim.tick, (start + end) // 2
            parts += [events_of(sim, start, middle, kinds), events_of(sim, middle, end, kinds)]
            sim.seek(here)
        else:
            parts.append(events)
    return np.concatenate([np.zeros(0, EVENT_DTYPE), *parts])


def _stretches(sim: Simulation, last: int, kinds: frozenset[int]) -> Iterator[tuple[int, int, np.ndarray, bool]]:
    """(the tick it begins after, its last tick, its events of the kinds, whether the record held all) of stretch after stretch.

    They lead from the present tick to `last`.
    """
    s, stride = sim.machine.sys[0], _STRIDE
    wanted = list(kinds)
    quiet = min(wanted, default=0) > int(ev.VERBOSE_EVENTS)
    while sim.tick < last:
        here, n = sim.tick, int(s.ev_n)
        s.verbose = 0 if quiet else ev.VERBOSE
        try:
            sim.run(min(stride, last - here))
        finally:
            s.verbose = 0
        whole = int(s.ev_n) - n <= int(ev.RING)
        stride = min(_STRIDE, 2 * stride) if whole else max(1, stride // 4)
        events = events_between(sim.machine, n, int(s.ev_n))
        yield here, sim.tick, events[np.isin(events["kind"], wanted)], whole
