"""The state of a migration: one value that is copied with every checkpoint of the machine. There are no rules here.

Times are cycles of the guest's processor since tick 0. Frames are guest frames: what Xen's toolstack calls pfn.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pagingviz.migration.policy import Period
from pagingviz.migration.stall import Progress

# Phases. The guest runs in LIVE (on the source), ROLLING and DONE (on the destination), and ABORTED (on the source).
WAITING, LIVE, FINAL, STATE, ROLLING, BROKEN, EPOCH, DONE, ABORTED, LOST = (
    "waiting",
    "live",
    "final",
    "state",
    "rolling",
    "broken",
    "epoch",
    "done",
    "aborted",
    "lost",
)
PARTS = ("suspend", "bitmap", "shadows", "scan", "pages", "state", "latency", "resume")  # of a pause, in their order
POSTCOPY = ("postcopy", "hybrid")  # kinds of migration in which the guest goes before its pages do
PAUSED = (FINAL, STATE, BROKEN, LOST)  # the guest is suspended
MOST_ROUNDS = 1000  # of one migration
EVENTS = ("ROUND", "SUSPEND", "RESUME")  # kinds of events (arch/events.py) that only a migration writes
Image = tuple[np.ndarray, np.ndarray]  # (versions uint64[modelled], tables uint64[zone, 512]) of a host's memory


@dataclass
class Round:
    """One pass over a set of frames. `kind`: live, final, pushed (post-copy) or checkpoint (Remus); times in cycles, `exits`
    how often by cause (costs.CAUSES)."""

    number: int
    kind: str
    planned: int  # frames in the set
    began: int
    tick: int
    suspended: int = 0  # when the guest was, for this round
    sent: int = 0  # entries on the link
    data: int = 0  # of them with a page behind, whole or as a difference
    skipped: int = 0  # of the set, not sent: dirty again already, or in flux
    bytes: int = 0
    ended: int = 0
    dirtied: int = 0  # frames that the reading after it found dirty
    left: int = -1  # frames of the set that followed from that reading, with what was unsent; -1: not read yet
    needless: int = 0  # of them, frames that were sent after their last store: the destination had them already
    ticks: int = 0  # guest operations meanwhile
    rate: int = 0  # MB/s that the link was given
    throttle: int = 0  # percent of the processor that auto-converge took away
    faults: int = 0  # demand faults of post-copy
    stall: int = 0  # cycles that the guest waited for them, or for a checkpoint
    exits: dict[str, int] = field(default_factory=dict)


@dataclass
class State:
    """All of a migration that changes.

    Frames, int64[n]: todo, those of the round in the order in which they go (None: all, ascending); skip; deferred. Counters
    that have a price, uint64[causes] (Clock.counts): counts, since. By the index of a frame's words: sent_in and times,
    uint16[modelled]; arrived and fetched, bool[modelled]; frozen, uint64[modelled].
    """

    phase: str = WAITING
    why: str = ""  # one sentence: why it stopped, or was given up
    answer: str = ""  # the policy's last
    state_sent: bool = False  # vCPU and platform state are on their way
    stop: str = ""  # the rule of the policy that ended the live part
    next: int = 0  # tick at which there is something to do
    paused: int = 0  # ticks that passed over a suspended guest
    guest: int = 0  # cycles up to which the guest has run
    link: int = 0  # cycles up to which the link is busy
    settled: int = 0  # tick up to which `guest` counts
    pace: int = 1  # cycles a tick took last
    iteration: int = 0
    asked: int = 0  # times that the policy was asked
    total_written: int = 0
    dirty_count: int = 0
    readings: int = 0  # of the bitmap, while the guest ran
    total_sent: int = 0  # entries on the link, of all rounds
    todo: np.ndarray | None = None
    at: int = 0  # next of `todo`
    flight: tuple[int, int] = (0, 0)  # those of `todo` that were handed to the link last: first, and one beyond
    gaps: list[tuple[int, int]] = field(default_factory=list)  # post-copy: stretches of `todo` to which its search has not come
    search: int = 0  # post-copy: where in `todo` the background goes on
    repaired: bool = False  # the link was lost, and is back
    left: int = 0  # frames that a migration that was given up had still to send
    package: int = 0  # time at which the package of pages began, for a policy that looks within a round
    batch: int = 0  # entries left in the record that is being written
    opened: bool = False  # the record has begun: its first page that is not skipped begins it
    skip: np.ndarray | None = None  # frames that were dirty again when the batch began
    deferred: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    began: int = 0
    suspended: int = 0  # time at which the guest last stopped
    resumed: int = 0  # time at which it went on
    downtime: int = 0
    pause: dict[str, int] = field(default_factory=dict)  # what the downtime is made of: cycles by PARTS, of all pauses together
    ended: int = 0
    bytes: int = 0
    rate: int = 0
    throttle: int = 0
    period: Period = field(default_factory=Period)  # of auto-converge
    ramp: int = 0  # time of the reading with which a downtime that grows begins
    progress: Progress = field(default_factory=Progress)
    minimum: bool = False  # it makes none, and the last reading was a local minimum
    fell_back: bool = False  # to post-copy, when its time or its rounds were over
    checkpoints: int = 0
    rounds: list[Round] = field(default_factory=list)
    calls: list[tuple[int, int, int, str]] = field(default_factory=list)  # (iteration, total_written, dirty_count, answer)
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))  # counters when last settled
    since: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))  # counters when the round began
    sent_in: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint16))  # number of the round it was last sent in
    times: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint16))  # how often it was sent
    arrived: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))  # is at the destination (post-copy)
    fetched: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))  # came by a demand fault, or along with one
    frozen: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))  # versions when touches were last counted
    equal: bool | None = None  # destination equals source, as found at the resume
    old: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # index of each frame that did not, int64[k]

    def copy(self) -> State:
        """A copy that shares nothing that changes in place."""
        changed: dict[str, Any] = {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if isinstance(value, np.ndarray):
                changed[f.name] = value.copy()
            elif f.name == "rounds":
                changed[f.name] = [*value[:-1], *(dataclasses.replace(r, exits=dict(r.exits)) for r in value[-1:])]
            elif isinstance(value, list | dict):
                changed[f.name] = value.copy()
        return dataclasses.replace(self, **changed)

    @property
    def nbytes(self) -> int:
        """Memory that its arrays take."""
        return sum(v.nbytes for f in dataclasses.fields(self) if isinstance(v := getattr(self, f.name), np.ndarray))


@dataclass
class Saved:
    """A migration as a value, for a checkpoint."""

    state: State
    versions: np.ndarray  # of the destination: uint64[modelled]
    tables: np.ndarray  # of the destination: uint64[zone, 512]
    images: tuple[Image | None, Image | None, Image | None]
    cache: tuple[np.ndarray, np.ndarray]  # int64[pages]: their numbers and their rounds

    @property
    def nbytes(self) -> int:
        """Memory that its arrays take."""
        parts = self.versions, self.tables, *self.cache, *(part for image in self.images if image for part in image)
        return self.state.nbytes + sum(part.nbytes for part in parts)
