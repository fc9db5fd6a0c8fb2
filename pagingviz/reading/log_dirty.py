"""Log-dirty mode as the record tells it: when it went on and off."""

import numpy as np

from pagingviz.arch import events as ev

_ON, _OFF = int(ev.CODES["ENABLE"]), int(ev.CODES["OFF"])


def switches(events: np.ndarray) -> list[bool]:
    """Each time that log-dirty went on (True) or off (False), in order. events: EVENT_DTYPE[n].

    An OFF while it was off already is none; the record writes it with level 1.
    """
    on = events["kind"] == _ON
    return on[on | (events["kind"] == _OFF) & (events["level"] == 0)].tolist()
