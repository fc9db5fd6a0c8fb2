"""What has to have happened before an event could happen: found in the past of the machine, by rules that are certain.

A rule names an earlier kind of event without which the later one cannot be: a store to a table traps only because the table got
a shadow, an entry is recomputed only because a command has poisoned the root. Where nothing earlier is needed the chain of
causes ends: at what the guest did in that tick, or at a command.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.timeline.past import events_of
from pagingviz.timeline.simulation import Simulation

T = TypeVar("T")
Search = Generator[int, None, T]  # goes through the past piece by piece, and yields the tick it has come back to; then it has T


@dataclass(frozen=True)
class Moment:
    """The state just after the k-th event of a tick of n; k and n are 0 at tick 0."""

    tick: int
    k: int
    n: int


@dataclass(frozen=True)
class Rule:
    """Why an event of a kind can happen: because of the last earlier one of `kinds`.

    name: of its sentence (story.because); same: the fields in which both events agree; when: whether the rule holds for the
    later event, a row of EVENT_DTYPE; unless: kinds that end what the earlier event began, for the same fields: after one of
    them the rule says nothing; sure: a search that decides whether it holds for both, given the moment just after the later
    event, that event, and the tick of the earlier one.
    """

    name: str
    kinds: tuple[str, ...]
    same: tuple[str, ...] = ()
    when: Callable[[np.void], bool] = lambda e: True
    unless: tuple[str, ...] = ()
    sure: Callable[[Simulation, Moment, np.void, int], Search[bool]] | None = None


def _by_log(e: np.void) -> bool:
    return int(e["level"]) == int(xen.MK_LOG)


def _store(e: np.void) -> bool:
    return not int(e["level"]) & int(x86.EPT_X)


_LOST = ("PREALLOC_UNPIN", "PREALLOC_UNHOOK", "DEMOTE", "UNSHADOW", "EARLY_UNSHADOW", "RESYNC_FULL", "ENABLE", "OFF", "INVLPG")


def _was_lost(sim: Simulation, at: Moment, e: np.void, blown: int) -> Search[bool]:
    """Whether the shadow entry that the FIXUP `e` writes was there before all shadows were blown away in tick `blown`.

    It was when the same page had been mapped by a FIXUP before, and when nothing since may have taken an entry away by itself.
    """
    codes = frozenset(int(ev.CODES[kind]) for kind in (*_LOST, "FIXUP", "PTE_STORE"))
    if at.tick - blown > 1:
        since = events_of(sim, blown, at.tick - 1, codes)
        yield blown
        mine = (since["kind"] == ev.FIXUP) & (since["gva"] >> x86.PAGE_BITS == e["gva"] >> x86.PAGE_BITS)
        if np.any(since["kind"] != ev.FIXUP) or mine.any():
            return False
    page = e["gva"] >> x86.PAGE_BITS

    def same_page(events: np.ndarray) -> np.ndarray:
        return (events["gva"] >> x86.PAGE_BITS == page) & (events["gfn"] == e["gfn"])

    before = yield from _latest(sim, Moment(blown, 1, 1), ("FIXUP",), same_page)
    return before is not None


_SHADOWED = Rule("shadowed", ("PROMOTE",), ("gfn",), unless=("DEMOTE",))
_MADE = Rule("made", ("PROMOTE",), ("gfn", "mfn"))
_STALE = Rule("stale", ("UNSYNC",), ("gfn",), unless=("RESYNC_FULL",))
_POISONED = Rule("poisoned", ("ENABLE", "CLEAN", "OFF"))
_PROTECTED = Rule("protected", ("ENABLE", "CLEAN"))

RULES: dict[str, tuple[Rule, ...]] = {  # by the kind of the later event; the first one that holds and finds something counts
    "EMULATE": (_SHADOWED,),
    "VALIDATE": (_SHADOWED,),
    "UNSYNC": (_SHADOWED,),
    "UNSHADOW": (_SHADOWED,),
    "EARLY_UNSHADOW": (_SHADOWED,),
    "EMULATE_UNSHADOW_USER": (_SHADOWED,),
    "EMULATE_UNSHADOW_EVTINJ": (_SHADOWED,),
    "EMULATE_UNSHADOW_UNHANDLED": (_SHADOWED,),
    "RESYNC_FULL": (_STALE,),
    "RESYNC_ONLY": (_STALE,),
    "DEMOTE": (_MADE,),
    "PREALLOC_UNPIN": (_MADE,),
    "PREALLOC_UNHOOK": (_SHADOWED,),
    "MARK_DIRTY": (Rule("logged", ("PML_LOG",), ("gfn",), when=_by_log), Rule("clear", ("ENABLE", "CLEAN"))),
    "EPT_MISCONFIG": (_POISONED,),
    "NPF_RECALC": (_POISONED,),
    "EPT_VIOLATION": (Rule("protected", ("ENABLE", "CLEAN"), when=_store),),
    "HVM_NPF": (_PROTECTED,),
    "P2M_SPLIT": (_PROTECTED,),
    "FIXUP": (Rule("lost", ("BLOW",), sure=_was_lost),),
}


def cause(sim: Simulation, at: Moment) -> Search[tuple[Rule, Moment] | None]:
    """The rule by which the event before `at` could happen, and the moment just after the earlier event; None: none is needed.

    The machine is moved.
    """
    sim.seek(at.tick)
    e = sim.events()[at.k - 1] if at.k else None
    if e is None:
        return None
    for rule in RULES.get(ev.NAMES[int(e["kind"])], ()):
        if not rule.when(e):
            continue
        found = yield from _latest(sim, at, rule.kinds + rule.unless, _like(e, rule.same))
        if found is None or ev.NAMES[int(found["kind"])] in rule.unless:
            continue
        if rule.sure is None or (yield from rule.sure(sim, at, e, int(found["tick"]))):
            return rule, moment_of(sim, found)
    return None


def moment_of(sim: Simulation, e: np.void) -> Moment:
    """The moment just after an event, a row of EVENT_DTYPE that need not be of the record of a tick at which somebody looks."""
    tick = int(e["tick"])
    sim.seek(tick)
    events = sim.events()
    same = np.flatnonzero([row == e for row in events])
    return Moment(tick, int(same[-1]) + 1, events.size)


def _like(e: np.void, fields: tuple[str, ...]) -> Callable[[np.ndarray], np.ndarray]:
    """Which of n events agree with `e` in some fields: a function of EVENT_DTYPE[n] that returns bool[n]."""
    return lambda events: np.all([events[name] == e[name] for name in fields], axis=0) & np.ones(events.size, bool)


def _latest(
    sim: Simulation, at: Moment, kinds: tuple[str, ...], like: Callable[[np.ndarray], np.ndarray]
) -> Search[np.void | None]:
    """The last event before the one of `at` that is of one of the kinds and for which `like` is true; None: there is none."""
    codes = [int(ev.CODES[kind]) for kind in kinds]
    sim.seek(at.tick)
    events, end = sim.events()[: at.k - 1], at.tick - 1
    while True:
        some = events[np.isin(events["kind"], codes)]
        some = some[like(some)]
        if some.size:
            return some[-1].copy()
        if end <= 0:
            return None
        sim.seek(end)
        end = max(int(sim.machine.sys[0].last_tick[code]) for code in codes)
        if not end:
            return None
        yield end
        start = sim.replayed_from(end)
        events, end = events_of(sim, start, end, frozenset(codes)), start
