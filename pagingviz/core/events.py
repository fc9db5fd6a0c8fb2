"""The event record: whatever a kernel does visibly it writes here. Counters count; sentences and highlights read events.

The last ev.RING events stand in the region `ring`, eight words each, and s.ev_n is how many have been written so far.
"""

from pagingviz.arch import events as ev
from pagingviz.arch.words import ONE, U
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit

_SEVEN = U(7)


class MicroStop(Exception):  # noqa: N818 (it is a stop, not an error)
    """Raised inside a tick when its `ev_stop`-th event has been written: the state is then that of this moment."""


@jit
def emit(s, a, kind, vcpu, gva, gfn, mfn, level, detail):
    """Write an event. `detail` depends on the kind (story/events.py); `level` is 0 to 4, `gfn` and `mfn` may be NONE.

    The event ends the run after this tick if s.stop_mask has its kind. MicroStop is raised when it is the one at which the tick
    is opened. Kinds up to ev.VERBOSE_EVENTS are written only while s.verbose is set.
    """
    if kind > ev.VERBOSE_EVENTS or s.verbose != 0:
        write_event(s, a, kind, vcpu, gva, gfn, mfn, level, detail)


@jit
def refer(s, a, vcpu, address, gfn, mfn, index, level, dimension, column, leads, entry):
    """Write an event REFERENCE: a walk reads `entry`, number `index` of the table of `level` in frame `mfn` (arch/events.py).

    The caller asks first whether s.verbose is EVERY_REFERENCE, because the arguments are not worth computing otherwise.
    """
    packed = level | column << ev.REF_COLUMN | index << ev.REF_INDEX | dimension << ev.REF_DIMENSION | leads << ev.REF_LEADS
    write_event(s, a, ev.REFERENCE, vcpu, address, gfn, mfn, packed, entry)


@by_address
def write_event(s, a, kind, vcpu, gva, gfn, mfn, level, detail):
    """The part of `emit` that is done only when there is an event to write."""
    if kind > ev.VERBOSE_EVENTS:
        s.last_tick[kind] = s.ev_now
        if (s.stop_mask[kind // ev.WORD] >> (kind % ev.WORD)) & ONE:
            s.stop_hit = ONE
    first = s.o_ring + (s.ev_n % ev.RING) * ev.RING_WORDS
    a[first] = s.ev_now
    a[first + ONE] = kind
    a[first + U(2)] = vcpu
    a[first + U(3)] = gva
    a[first + U(4)] = gfn
    a[first + U(5)] = mfn
    a[first + U(6)] = level
    a[first + _SEVEN] = detail
    s.ev_n += ONE
    if s.ev_n == s.ev_stop:
        raise MicroStop
