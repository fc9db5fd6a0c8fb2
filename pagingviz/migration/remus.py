"""Remus: the guest is copied again and again while it runs, and a backup goes on from the last complete copy.

Sources: Xen xg_sr_save.c (save: the loop around suspend_and_send_dirty); Cully et al. 2008.
"""

from pagingviz.arch import events as ev
from pagingviz.migration.effects import Busy, Checkpoint, Compared, Enter, Event, Resumed, RollBack, Seal, Step
from pagingviz.migration.ending import finish
from pagingviz.migration.situation import Situation
from pagingviz.migration.state import DONE, EPOCH


def seal(now: Situation) -> Seal:
    """The source as it is at the suspend: what the backup must equal when this checkpoint is complete."""
    return Seal(now.destination.image())


def checkpoint(now: Situation) -> Step:
    """All of the checkpoint is written to the link, and on the backup it is in force at once when its record is there.

    The primary goes on without an answer (libxl_remus.c: libxl__remus_domain_resume_callback), for an epoch; after the last one
    it fails. What makes that safe is that its output is held back until the backup has confirmed.
    """
    yield Resumed()
    yield Checkpoint()
    if now.state.checkpoints >= now.scenario.epochs:
        yield from fail_over(now, "The primary was stopped")
        return
    yield Enter(EPOCH)
    yield Event(ev.RESUME, 1, 3)
    yield Busy(now.scenario.epoch * now.op)


def fail_over(now: Situation, why: str) -> Step:
    """The backup goes on from the last complete checkpoint; what came after it is thrown away. `why` has no full stop."""
    yield RollBack(f"{why}: the backup goes on from checkpoint {now.state.checkpoints}.")
    assert now.checked  # there was a checkpoint
    yield Compared(now.destination.differs(*now.checked))
    yield from finish(now, DONE)
