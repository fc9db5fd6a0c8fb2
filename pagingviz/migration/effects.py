"""What a step of a migration can have done. An effect is one plain value; the loop carries it out (run.py: Migration.apply).

A step is a generator. It reads the situation, decides, and yields one effect after the other; it changes nothing itself. After
each `yield` the effect has been carried out, and the step may read what has become of it. Two effects answer: Command and
ReadBitmap. Frames are guest frames, int64[n], ascending but in NextSet; an index is the position of a frame's words in the
regions by frame.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pagingviz.migration.policy import Period
from pagingviz.migration.stall import Progress
from pagingviz.migration.state import Image


class Effect:
    """One thing that a step wants done. The classes of the sections below are groups: one function of run.py for each."""


Step = Generator[Effect, Any, None]


# ---- the hypervisor, the record of events, the link


@dataclass(frozen=True)
class Command(Effect):
    """Give the hypervisor a command without a value, such as "enable". Answer: False when it failed for want of memory."""

    name: str


@dataclass(frozen=True)
class ReadBitmap(Effect):
    """CLEAN. Answer: the frames whose bit was set, int64[n], with those in the processors' logs; None when it failed."""


@dataclass(frozen=True)
class Event(Effect):
    """Write an event of the migration's own (events.ROUND, SUSPEND or RESUME) into the machine's record."""

    kind: np.uint64
    detail: int = 0
    level: int = 0


@dataclass(frozen=True)
class SendBytes(Effect):
    """So many bytes without pages go onto the link."""

    size: int


@dataclass(frozen=True)
class Busy(Effect):
    """Nothing more can be sent for so many cycles after what is on the link. part: of a pause, one of state.PARTS."""

    cycles: int
    part: str = ""


# ---- the live part


class LoopEffect(Effect):
    """Changes what the loop of pre-copy knows: the policy's answers, readings, the set that is sent next."""


@dataclass(frozen=True)
class Begin(LoopEffect):
    """The migration begins now: its times count from here, and the first dirty_count of the policy is every entry."""


@dataclass(frozen=True)
class Asked(LoopEffect):
    """The policy was asked. `reason`: the rule behind a STOP; `rate`: MB/s of the next round, 0 where it does not choose."""

    answer: str
    reason: str
    rate: int = 0


@dataclass(frozen=True)
class NextIteration(LoopEffect):
    """The set is sent: it counts as written, and how many frames are dirty is unknown until the bitmap is read."""


@dataclass(frozen=True)
class Judged(LoopEffect):
    """What a reading says of the round before it: frames dirtied, and of them those whose last store was sent already.

    period: what auto-converge knows from now on, and what it takes from the guest.
    """

    dirtied: int
    needless: int
    period: Period


@dataclass(frozen=True)
class ProgressJudged(LoopEffect):
    """What is known of the progress from now on, and whether a migration that makes none is at a local minimum."""

    progress: Progress
    minimum: bool


@dataclass(frozen=True)
class Overdue(LoopEffect):
    """The guest is suspended whatever is left, for the reason `why`, and not by the policy; postcopy: the rest follows it."""

    why: str
    postcopy: bool


@dataclass(frozen=True)
class NextSet(LoopEffect):
    """These frames, int64[n], are sent next in this order; None: all. with_deferred: what was left for the last round is among
    them. count: how many the policy is given; None: as many as the hypervisor counted."""

    frames: np.ndarray | None
    with_deferred: bool = False
    count: int | None = None


@dataclass(frozen=True)
class Defer(LoopEffect):
    """These frames, int64[n], wait for the last round."""

    frames: np.ndarray


# ---- rounds and pages


class RoundEffect(Effect):
    """Changes how much of a round is sent; sends pages."""


@dataclass(frozen=True)
class BeginRound(RoundEffect):
    """A round over the next set begins. `kind` as in state.Round; `planned`: frames in the set."""

    kind: str
    planned: int


@dataclass(frozen=True)
class EndRound(RoundEffect):
    """The round is over, and the link has carried what was sent of it: all, but where a policy looks within a round."""


@dataclass(frozen=True)
class BeginPackage(RoundEffect):
    """QEMU sends pages for a while from now on before it looks again at what is left."""


@dataclass(frozen=True)
class BeginBatch(RoundEffect):
    """A new record of pages; it goes up to entry `upto` of the set."""

    upto: int


@dataclass(frozen=True)
class Skip(RoundEffect):
    """These frames, int64[n], are dirty again already and are passed over in this batch."""

    frames: np.ndarray


@dataclass(frozen=True)
class Advance(RoundEffect):
    """The entries of the set before `upto` are dealt with; `skipped` of those since the last time were passed over."""

    upto: int
    skipped: int = 0


@dataclass(frozen=True)
class Pass(RoundEffect):
    """Post-copy's search has passed the entries of the set from `first` to before `upto`, and goes on there."""

    first: int
    upto: int


@dataclass(frozen=True)
class SearchFrom(RoundEffect):
    """Post-copy's search goes on at this entry of the set, and comes round."""

    entry: int


@dataclass(frozen=True)
class OpenRecord(RoundEffect):
    """The header of a record of pages goes onto the link."""


@dataclass(frozen=True)
class SendPages(RoundEffect):
    """Frames go onto the link and arrive.

    frames: int64[n], an entry each; index: int64[k], of those whose page arrives; deferred: int64[m], frames that wait for the
    last round; data: entries with a page, whole or as a difference; size: bytes; cached: page numbers, int64[c], that the cache
    of XBZRLE holds from now on; image: where pages are taken from, None for the source as it is now.
    """

    frames: np.ndarray
    index: np.ndarray
    deferred: np.ndarray
    data: int
    size: int
    cached: np.ndarray
    image: Image | None


@dataclass(frozen=True)
class SendState(RoundEffect):
    """The vCPUs' and the platform's state, `size` bytes, goes onto the link after the last round."""

    size: int


# ---- the pause and the end


class TurnEffect(Effect):
    """Changes the phase: the guest stops or goes on, or the migration is over."""


@dataclass(frozen=True)
class Suspend(TurnEffect):
    """The guest stops on the source."""


@dataclass(frozen=True)
class Resumed(TurnEffect):
    """The guest goes on, here or there, when the link is free."""


@dataclass(frozen=True)
class Enter(TurnEffect):
    """The migration is in this phase from now on (state.py)."""

    phase: str


@dataclass(frozen=True)
class Compared(TurnEffect):
    """What the destination has was compared with what the source had. old: index of each frame that differs, int64[n]."""

    old: np.ndarray


@dataclass(frozen=True)
class GiveUp(TurnEffect):
    """The migration fails for this reason, one sentence: the round under way ends, and a guest that was stopped goes on.

    left: frames that were still to be sent.
    """

    why: str
    left: int


@dataclass(frozen=True)
class LinkLost(TurnEffect):
    """Post-copy's link is gone: both sides wait, for the reason `why`, one sentence."""

    why: str


@dataclass(frozen=True)
class LinkBack(TurnEffect):
    """It is back after so many cycles, and the guest goes on where it was."""

    cycles: int


@dataclass(frozen=True)
class Finish(TurnEffect):
    """The migration is over, in this phase; nothing more is to be done."""

    phase: str


# ---- post-copy and Remus


class ImageEffect(Effect):
    """Changes what post-copy and Remus have saved of the memory of a host, or wait for."""


@dataclass(frozen=True)
class HandOver(ImageEffect):
    """The source as it was when the guest left it; `arrived`, bool[modelled]: which of its pages have arrived."""

    image: Image
    arrived: np.ndarray


@dataclass(frozen=True)
class CountTouches(ImageEffect):
    """A store from now on is one that changes these versions, uint64[modelled]."""

    versions: np.ndarray


@dataclass(frozen=True)
class Fault(ImageEffect):
    """The guest touched a page that was not there and waits `stall` cycles; the pages at `index`, int64[n], are fetched."""

    stall: int
    index: np.ndarray


@dataclass(frozen=True)
class Seal(ImageEffect):
    """The source as it is at this checkpoint's suspend."""

    image: Image


@dataclass(frozen=True)
class Checkpoint(ImageEffect):
    """All of the checkpoint has arrived and is in force on the backup at once."""


@dataclass(frozen=True)
class RollBack(ImageEffect):
    """The backup throws away what came after its last complete checkpoint; `why`: one sentence."""

    why: str
