"""Why, in words: what put something into its state, what had to be so before that could happen, and so on back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.reading.causes import Moment, Rule
from pagingviz.story import commands
from pagingviz.story.events import event_text, first_of, frame_text
from pagingviz.story.sentences import access_text, sentence, who_runs
from pagingviz.timeline.simulation import Simulation

BEGINNING = "The machine was built so."
RULES = {  # by causes.Rule.name; the braces are for the later event's frame, and for the earlier event's tick
    "shadowed": "gfn {gfn} had been a page table with a shadow since tick {tick}.",
    "made": "That shadow of gfn {gfn} had been made at tick {tick}.",
    "stale": "Table gfn {gfn} had gone out of sync at tick {tick}.",
    "logged": "The processor had written gfn {gfn} into its log at tick {tick}.",
    "clear": "The dirty bit of gfn {gfn} had been clear since tick {tick}.",
    "poisoned": "Since tick {tick} a change had been pending on the way to gfn {gfn}.",
    "protected": "Since tick {tick} gfn {gfn} may be written only after its dirty bit is set.",
    "lost": "This entry had been there before, and was lost at tick {tick} with all other shadows.",
}


@dataclass(frozen=True)
class Link:
    """One link of a chain of causes: a moment (causes.Moment), what happened then, and where the rule of it comes from."""

    tick: int
    k: int
    n: int
    text: str
    source: str

    def wire(self) -> dict[str, Any]:
        """The link as plain data."""
        return asdict(self)


def heading(asked: int, since: int, here: int) -> str:
    """What stands above a chain: for which tick it was asked, since when the cell was so. here: the tick on the screen."""
    when = f"since tick {since:,}" if since else "from the beginning"
    return f"So {when}" if asked == here else f"At tick {asked:,}: so {when}"


def first(sim: Simulation, at: Moment, e: np.void | None) -> Link:
    """The link about what put something into its state. at: the first moment of that state; e: the event that did it."""
    if e is None:
        return Link(0, 0, 0, BEGINNING, "")
    told, source = _tick(sim, at.tick)
    text = event_text(e)
    if ev.NAMES[int(e["kind"])] in commands.KINDS:  # the sentence of the tick tells of every command
        return Link(at.tick, at.k, at.n, told, source)
    return Link(at.tick, at.k, at.n, f"{text[:1].upper()}{text[1:]}. In this tick: {told}", source)


def earlier(sim: Simulation, rule: Rule, e: np.void, at: Moment) -> Link:
    """The link about what had to happen before the event `e`, a row of EVENT_DTYPE, could. at: just after the earlier event."""
    told, source = _tick(sim, at.tick)
    text = RULES[rule.name].format(gfn=frame_text(e["gfn"]), tick=f"{at.tick:,}")
    return Link(at.tick, at.k, at.n, f"{text} In that tick: {told}", source)


def _tick(sim: Simulation, tick: int) -> tuple[str, str]:
    """What happened in a tick, the access of the guest included, and the source of its rule. The machine is moved there."""
    sim.seek(tick)
    told, source = sentence(sim)
    access = first_of(sim.events(), "ACCESS")
    if access is None or f"{int(access['gva']):#x}" in told:
        return told, source
    return f"{who_runs(sim, access['vcpu'])}: {access_text(access)}. {told}", source
