"""Why a cell is as it is: the event that made it so, what had to be so before that event could happen, and so on back.

The chain ends where nothing earlier is needed: at what the guest did in a tick, or at a command.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.boards.board import Plan
from pagingviz.boards.can_change import CHANGES
from pagingviz.boards.since import last_change
from pagingviz.reading.causes import Moment, Search, T, cause
from pagingviz.story import because
from pagingviz.timeline.simulation import Simulation

MOST = 8  # links of a chain
# Events that are written before what they tell of is done; all others after it.
_AHEAD = (
    "ACCESS", "TLB_MISS", "GUEST_WALK", "GUEST_PF", "SHADOW_FAULT", "CR3_LOAD", "FORK", "EXIT", "COW_BREAK", "UNSHADOW",
    "EARLY_UNSHADOW", "RESYNC_ONLY", "PREALLOC_UNPIN", "PREALLOC_UNHOOK", "EMULATE_UNSHADOW_USER", "EMULATE_UNSHADOW_EVTINJ",
    "EMULATE_UNSHADOW_UNHANDLED", "WRMAP_BF", "INVLPG",
)  # fmt: skip
_AHEAD_CODES = frozenset(int(ev.CODES[name]) for name in _AHEAD)


@dataclass(frozen=True)
class Why:
    """The answer for one cell: since when it is so, and the chain of causes, the newest first."""

    since: Moment
    chain: tuple[because.Link, ...]


def why(sim: Simulation, plan: Plan, cell: int) -> Search[Why]:
    """A search for why a cell of a board of since.BOARDS is what it is at the present moment.

    It yields the ticks that it comes back to. The machine is moved: see `answered` and `at_home`.
    """
    since = yield from last_change(sim, plan, cell)
    at, e = named(sim, since, plan, cell)
    chain = [because.first(sim, since, e)]
    while e is not None and len(chain) < MOST:
        found = yield from cause(sim, at)
        if found is None:
            break
        rule, at = found
        chain.append(because.earlier(sim, rule, e, at))
        sim.seek(at.tick)
        e = sim.events()[at.k - 1].copy()
    return Why(since, tuple(chain))


def named(sim: Simulation, at: Moment, plan: Plan, cell: int) -> tuple[Moment, np.void | None]:
    """The event to name for a change of a cell that is seen at a moment, a row of EVENT_DTYPE, and the moment just after it.

    The cell has changed between two events. It is the later one, unless that tells of what is still to come, or only the
    earlier one names something of the cell. None at tick 0, and where the tick has no event.
    """
    sim.seek(at.tick)
    events = sim.events()
    if not at.k:
        return at, None
    about = CHANGES[plan.id].names(events, plan, cell)
    ahead = int(events[at.k - 1]["kind"]) in _AHEAD_CODES
    before = at.k > 1 and (ahead or about[at.k - 2] and not about[at.k - 1])
    k = at.k - 1 if before else at.k
    return Moment(at.tick, k, at.n), events[k - 1].copy()


def answered(search: Search[T]) -> T:
    """What a search finds, without a break."""
    while True:
        try:
            next(search)
        except StopIteration as end:
            return end.value


def at_home(sim: Simulation, search: Search[T]) -> Search[T]:
    """The same search, after which the machine is where it was, and has been no further; also when the search is given up."""
    here, opened, reached = sim.tick, sim.opened, sim.reached
    try:
        return (yield from search)
    finally:
        sim.seek(here)
        sim.reach_back(reached)
        if opened:
            sim.micro(opened[0])
