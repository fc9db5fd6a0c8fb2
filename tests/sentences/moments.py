"""Moments of scenes: a machine just after a tick, what it was before, and all that is said about it."""

import re
from dataclasses import dataclass, field

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch.words import NONE
from pagingviz.migration.state import ABORTED
from pagingviz.reading import nested, shadows
from pagingviz.scenario.roads import road_of
from pagingviz.story import migration, nested_tables, rounds
from pagingviz.story.events import event_text
from pagingviz.story.kinds import EVENT_KINDS
from pagingviz.story.sentences import sentence


@dataclass
class Moment:
    """A machine after a tick. sim: it; prev: its record before the tick; pinned: guest frames of the pinned roots before."""

    sim: object
    prev: object
    pinned: list
    events: np.ndarray = field(init=False)
    text: str = ""
    groups: tuple = ()
    event: object = None

    def __post_init__(self):
        self.events = self.sim.events()

    @property
    def s(self):
        """The record now."""
        return self.sim.machine.sys[0]

    @property
    def m(self):
        """The machine."""
        return self.sim.machine

    def d(self, name):
        """How much a counter or gauge has moved."""
        return int(self.s[name]) - int(self.prev[name])

    def n(self, *kinds):
        """How many events of these kinds the tick has."""
        return sum(int(np.count_nonzero(self.events["kind"] == ev.CODES[kind])) for kind in kinds)

    def waiting(self, now=False):
        """Entries in the page-modification logs before the tick, or now: their indexes count down from 511."""
        record = self.s if now else self.prev
        return sum((511 - int(i)) % (1 << 64) for i in record.pml_index[: int(self.s.vcpus)])

    def of(self, kind):
        """Rows of the tick's events of one kind."""
        return self.events[self.events["kind"] == ev.CODES[kind]]

    def num(self, k):
        """The last number in group k of the text: 1,234 or 0x4d2."""
        return int(re.findall(r"0x[0-9a-f]+|\d[\d,]*", self.groups[k])[-1].replace(",", ""), 0)

    def before(self, words):
        """The last number that stands in the text before these words."""
        return int(re.findall(r"\d[\d,]*", self.text.partition(words)[0])[-1].replace(",", ""))

    def bit(self, gfn):
        """Whether the dirty bit of a frame is set."""
        return bool(self.m.dirty_bits()[int(gfn)])

    def road(self):
        """The road of the scenario."""
        return road_of(self.sim.scenario)

    def leaf(self, gfn):
        """The last step of the walk of the nested tables for a frame."""
        return nested.path(self.m, int(gfn))[-1]

    def info(self, gfn):
        """The word that the machine keeps of a frame."""
        return self.m.view("info")[int(gfn)]

    def live(self):
        """Pool pages at which a shadow begins."""
        kind = self.m.view("ptype")
        return [int(page) for page in np.flatnonzero((kind >= 1) & (kind <= 12))]


def pinned(machine):
    """Guest frames of the pinned roots, the most recently loaded first."""
    out, page = [], machine.sys[0].pin_head
    while page != NONE and len(out) < 64:
        out.append(shadows.shadowed_frame(machine, int(page)))
        page = machine.view("pnext")[int(page)]
    return out


def moment(sim, act):
    """The Moment after `act()`, which moves `sim` by a tick or gives it a command."""
    prev, roots = sim.machine.sys[0].copy(), pinned(sim.machine) if shadows.in_use(sim.machine) else []
    act()
    return Moment(sim, prev, roots)


def said(m):
    """(file, text, event or None) of all that the story says about a moment, but for what has a long way to it."""
    told = sentence(m.sim)[0]
    yield "story", told, None
    for kind, _ in EVENT_KINDS:
        if m.n(kind) and (begins := sentence(m.sim, kind)[0]) != told:
            yield "story", begins, kind
    for e in m.events:
        yield "events", event_text(e), e
    if m.sim.migration:
        yield "story", migration.at_work(m.sim)[0], None
        for row in rounds.rows(m.sim.migration):
            yield "rounds", " | ".join(row), row
        for row in rounds.pause(m.sim.migration):
            yield "rounds", " | ".join(map(str, row.values())), row
        if m.sim.migration.state.phase == ABORTED:
            yield "story", migration.given_up(m.sim), None
        for text in rounds.convergence(m.sim.migration):
            yield "rounds", text, None


def of_nested_tables(m, gfns):
    """(file, text, (level, gfn)) of what is said about the entries on the way of some frames, and about all tables."""
    for heading, rows, note in nested_tables.exits_and_pages(m.sim):
        yield "nested", note, None
        for row in rows:
            yield "nested", " | ".join([*row, *map(str, row.values())]), row
        yield "nested", heading, rows
    for gfn in gfns:
        steps = nested.path(m.m, gfn)
        for step in steps:
            yield "nested", nested_tables.why_entry(m.sim, step.level, gfn, steps)[0], (step, gfn, steps)
