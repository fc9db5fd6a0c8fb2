"""How a migration ends: the destination goes on, or it is given up.

Source: Xen tools/libs/guest/xg_sr_save.c (cleanup).
"""

from pagingviz.arch import events as ev
from pagingviz.migration.effects import Command, Compared, Event, Finish, GiveUp, Resumed, Step
from pagingviz.migration.rounds import left_over
from pagingviz.migration.situation import Situation
from pagingviz.migration.state import ABORTED, BROKEN, DONE, LOST

_LEVEL = {DONE: 0, ABORTED: 1, LOST: 2, BROKEN: 5}  # of the event RESUME


def finish(now: Situation, phase: str) -> Step:
    """Clean up: log-dirty is switched off, and nothing more is to be done."""
    yield Finish(phase)
    yield Event(ev.RESUME, int(now.state.equal or 0), _LEVEL[phase])
    if now.machine.sys[0].log_dirty:
        yield Command("off")


def give_up(now: Situation, why: str, phase: str = ABORTED) -> Step:
    """The source goes on as if nothing had been, or with LOST nobody does; what the destination has is thrown away."""
    yield GiveUp(why, left_over(now))
    yield from finish(now, phase)


def resume(now: Situation) -> Step:
    """All has arrived: the guest goes on on the destination, which is compared with the source at this very moment."""
    yield Resumed()
    yield Compared(now.destination.differs(*now.destination.image()))
    yield from finish(now, DONE)
