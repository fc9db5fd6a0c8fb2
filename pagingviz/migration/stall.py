"""policy=stall: a migration that makes no progress is switched over where little is left, and not where it happens to be.

It is KubeVirt's proposal VEP 248, Live Migration Stability and Convergence Improvements (kubevirt/enhancements), with its
numbers. It is asked after each reading of the bitmap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pagingviz.migration.wire import FREQUENCY
from pagingviz.scenario.scenario import Scenario

DECAY = 0.5  # of the patience, each time that the best has not come back (patienceWindowDecayFactor)
HOPELESS = 1.5  # times the pause that is allowed at most: beyond, it is given up (precopyPossibleFactor)


@dataclass(frozen=True)
class Margins:
    """window: cycles; margin: percent around the best (stallProgressTimeout, stallMargin)."""

    window: int = 40_000_000 * FREQUENCY
    margin: int = 4


@dataclass(frozen=True)
class Progress:
    """What is known of a migration's progress. seen: (time, pages left) of each reading; stalled: whether it makes none any
    more. Since then: best, the pages left at which it is switched over; later, pages left at the readings since; patience and
    deadline, cycles and time after which the best is taken to be out of reach.
    """

    seen: tuple[tuple[int, int], ...] = ()
    stalled: bool = False
    best: int = 0
    later: tuple[int, ...] = ()
    patience: int = 0
    deadline: int = 0


def margins_of(scenario: Scenario) -> Margins:
    """The numbers that a scenario asks for."""
    return Margins(scenario.stall_time * FREQUENCY, scenario.stall_margin)


def after_reading(p: Progress, now: int, left: int, m: Margins) -> tuple[Progress, bool]:
    """(what is known after one more reading at the time `now`, whether `left` pages are a local minimum of a stalled one).

    Stalled: as much is left as at the best reading that is older than the window, but for the margin. Then it waits until what
    is left is as little as it was at the best of all readings since that one, within the margin. When that does not come back
    in time the next best is enough, and the time is halved.
    """
    outside = [(k, n) for k, (at, n) in enumerate(p.seen) if at <= now - m.window]
    seen = (*p.seen, (now, left))
    if not p.stalled:
        if not outside or left * 100 < min(n for _, n in outside) * (100 - m.margin):
            return replace(p, seen=seen), False
        start = min(outside, key=lambda item: item[1])[0]
        best = min(n for _, n in seen[start:])
        p = Progress(seen, True, best, (), m.window, now + m.window)
    else:
        p = replace(p, seen=seen, later=tuple(sorted((*p.later, left))))
        if now >= p.deadline and not _near(left, p.best, m):
            best, *rest = p.later
            patience = int(p.patience * DECAY)
            p = replace(p, best=best, later=tuple(rest), patience=patience, deadline=now + patience)
    return p, _near(left, p.best, m)


def _near(left: int, best: int, m: Margins) -> bool:
    return left * 100 <= best * (100 + m.margin)
