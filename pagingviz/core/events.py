"""The event record: the only way anything visible is told. Counters count, sentences and highlights read events."""

from pagingviz.arch import events as ev
from pagingviz.arch.words import ONE, U
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit

_SEVEN = U(7)


class MicroStop(Exception):  # noqa: N818 (it is a stop, not an error)
    """Raised inside a tick when its `ev_stop`-th event has been written: the state is then the true state of that moment."""


@jit
def emit(s, a, kind, vcpu, gva, gfn, mfn, level, detail):
    """Append one event to the ring (8 words), remember its tick, and stop the run or the tick if somebody waits for it.

    `gva` bytes; `gfn`, `mfn` frame numbers or NONE; `level` 0 (none) to 4; `detail` by kind (see story/sentences.py).
    Raises MicroStop when this is the event at which the tick is opened.
    """
    if kind > ev.LOOK_EVENTS or s.look != 0:
        write_event(s, a, kind, vcpu, gva, gfn, mfn, level, detail)


@by_address
def write_event(s, a, kind, vcpu, gva, gfn, mfn, level, detail):
    """The part of `emit` that is done only when there is an event to keep."""
    if kind > ev.LOOK_EVENTS:
        s.last_tick[kind] = s.ev_now
        if (s.stop_mask >> kind) & ONE:
            s.stop_hit = ONE
    o = s.o_ring + (s.ev_n % ev.RING) * ev.RING_WORDS
    a[o] = s.ev_now
    a[o + ONE] = kind
    a[o + U(2)] = vcpu
    a[o + U(3)] = gva
    a[o + U(4)] = gfn
    a[o + U(5)] = mfn
    a[o + U(6)] = level
    a[o + _SEVEN] = detail
    s.ev_n += ONE
    if s.ev_n == s.ev_stop:
        raise MicroStop
