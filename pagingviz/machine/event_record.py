"""The machine's event record as numpy sees it: rows with named fields. core/events.py writes them."""

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.machine.machine import Machine

EVENT_DTYPE = np.dtype([(name, "u8") for name in ("tick", "kind", "vcpu", "gva", "gfn", "mfn", "level", "detail")])


def events_between(machine: Machine, first: int, end: int) -> np.ndarray:
    """Events number `first` to `end` - 1 since the machine was made, EVENT_DTYPE[n]; of more than events.RING the last ones.

    The caller may ask for events only that the ring still holds: the last events.RING before sys.ev_n.
    """
    rows = machine.view("ring").view(EVENT_DTYPE)
    return rows[np.arange(max(first, end - int(ev.RING)), end) % int(ev.RING)]


def last_event(machine: Machine) -> np.void:
    """The event that was written last: a row with the fields of EVENT_DTYPE."""
    return events_between(machine, int(machine.sys[0].ev_n) - 1, int(machine.sys[0].ev_n))[0]
