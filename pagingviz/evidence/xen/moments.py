"""The film of a recording: the way the comparison chose, as one program for a Simulation, and every row with its moment.

A row is a step of the script, or an event that Xen traced, the model showed, or both. Its tick is that of the model's machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from pagingviz.evidence.xen.compare import Report, Row, items_of, player_of
from pagingviz.evidence.xen.guest import Row as GuestRow
from pagingviz.evidence.xen.hw import KINDS
from pagingviz.evidence.xen.library import comparison, recording, text, texts
from pagingviz.evidence.xen.match import Pair, Reading
from pagingviz.evidence.xen.model import Model, RecordedWork
from pagingviz.evidence.xen.play import Item, Played, Rehearsal
from pagingviz.evidence.xen.pvguest import guest_of
from pagingviz.evidence.xen.read import Event, flag_names
from pagingviz.evidence.xen.script import COMMANDS, Step, parse
from pagingviz.scenario.fields import POOL_LOW
from pagingviz.scenario.scenario import Scenario
from pagingviz.work.work import Work

_ACTS = {"enable": "enable", "clean": "clean", "peek": "peek", "off": "off", "setpages": "pool"}


@dataclass(frozen=True)
class Moment:
    """One row of the page: number, line of the script, the two sides in words, equal (None: nothing to compare), tick."""

    number: int
    line: int
    recorded: str
    model: str
    equal: bool | None
    tick: int
    step: bool


@dataclass(frozen=True)
class Film:
    """What a Simulation needs to go the way of the comparison, and the rows beside it."""

    name: str
    report: Report
    scenario: Scenario
    program: tuple
    moments: tuple[Moment, ...]

    def work(self) -> Work:
        """The recorded guest with its whole program."""
        guest, scenario = guest_of(recording(self.name).guest, self.report.played.loop), recording(self.name).scenario
        pools = [item.step.number for item in _items(self.name)[1] if item.step.name == "setpages"]
        largest = max(scenario.pool, *pools) if pools else scenario.pool
        return RecordedWork(
            guest, self.program, _aliases(self.name), scenario, largest, texts(recording(self.name)).memory.huge_leaves
        )


class _Tape(Model):
    """A model that remembers what it was given, and when its events happened. The tape is part of its state."""

    tape: tuple | None = None  # (the tape before, rows or an operation with its number)

    def run(self, rows: list[GuestRow]) -> None:
        """As Model.run."""
        self.tape = (self.tape, tuple(rows))
        super().run(rows)

    def operation(self, name: str, number: int = 0) -> bool:
        """As Model.operation."""
        self.tape = (self.tape, (name, number))
        return super().operation(name, number)

    def snapshot(self) -> tuple:
        """All state and the tape."""
        return super().snapshot(), self.tape

    def recycle(self, state: tuple) -> None:
        """As Model.recycle."""
        super().recycle(state[0])

    def restore(self, state: tuple) -> None:
        """Back to a snapshot."""
        model, self.tape = state
        super().restore(model)

    @property
    def tick(self) -> int:
        """Rows carried out."""
        return int(self.machine.sys[0].tick)


def _again(player: Rehearsal, played: Played) -> tuple[_Tape, list[int], list[tuple[Event, ...]]]:
    """The way of `played` gone once more: (the model at the end, the tick at which each item begins, its events with ticks)."""
    player.model_type = _Tape
    model, _ = player.ready(played.start, played.loop)
    assert isinstance(model, _Tape)
    ticks, events = [model.tick], []
    for way in player.ways(model, played, len(played.outcomes) - 1):
        model.restore(way.state)
        ticks.append(model.tick)
        events.append(way.outcomes[-1].events)
    return model, ticks[:-1], events


def _aliases(name: str) -> int:
    steps = [item.step for item in _items(name)[1]]
    return min(max((s.args[0] for s in steps if s.name == "cmd" and s.number == 13), default=0), 1024)


@cache
def _items(name: str) -> tuple[list[Event], list[Item]]:
    r = recording(name)
    return items_of(parse(text(r.script)), texts(r), r.scenario)


def film(name: str, progress: Callable[[int, int], None] | None = None) -> Film:
    """The film of a recording: seconds of work. `progress` hears how far the comparison is."""
    r, report = recording(name), comparison(name, progress)
    before, items = _items(name)
    player = player_of(r.guest, r.scenario, before, items, texts(r))
    model, ticks, events = _again(player, report.played)
    program, commands = _cut(model.tape)
    scenario = model.machine.scenario.replace(do=",".join(commands), sentence=f"{r.title}: {r.about}")
    return Film(name, report, scenario, program, tuple(_moments(report, items, ticks, events, commands)))


def _cut(tape: tuple | None) -> tuple[tuple[GuestRow, ...], list[str]]:
    """(all program rows, commands "name@tick") of a tape."""
    parts = []
    while tape is not None:
        tape, part = tape
        parts.append(part)
    program: list[GuestRow] = []
    commands: list[str] = []
    for part in reversed(parts):
        if part and isinstance(part[0], str):
            name = _ACTS[part[0]]
            what = f"{name}:{max(part[1], POOL_LOW)}" if name == "pool" else name  # a used pool never gets as small as that
            commands.append(f"{what}@{len(program)}")
        else:
            program += part
    return tuple(program), commands


def _moments(
    report: Report, items: list[Item], ticks: list[int], events: list[tuple[Event, ...]], commands: list[str]
) -> list[Moment]:
    """Rows in order: each step at the moment it begins (an operation: when it has been done), then its events."""
    out: list[Moment] = []
    rows = [row for row in report.rows if row.line]
    for row in report.rows:
        if not row.line:
            out.append(Moment(len(out), 0, row.words, row.words, None, 0, True))
            _add_events(out, 0, row.pairs, (), 0)
    at = [int(command.rpartition("@")[2]) for command in commands[len(commands) - sum(i.step.name in _ACTS for i in items) :]]
    for item, row, tick, seen in zip(items, rows, ticks, events, strict=True):
        acted = at.pop(0) if item.step.name in _ACTS else tick
        recorded, model, equal = _step_words(item.step, row, differing(report, row.line))
        early = sum(_while_it_ran(event, acted) for event in seen) if item.step.name in _ACTS else 0
        before, after = _split(row.pairs, early)
        _add_events(out, row.line, before, seen[:early], tick)
        out.append(Moment(len(out), row.line, recorded, model, equal, acted, True))
        _add_events(out, row.line, after, seen[early:], acted)
    return out


def _while_it_ran(event: Event, acted: int) -> bool:
    """Whether the guest still ran when it met this event, before the operation at tick `acted`."""
    return event.tick < acted or (event.tick == acted and event.kind in KINDS and event.kind != "INVEPT")


def _split(pairs: tuple[Pair, ...], early: int) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """The pairs up to the model's event number `early`, and those after it."""
    at = 0
    while early:
        early -= pairs[at].model is not None
        at += 1
    return pairs[:at], pairs[at:]


def _add_events(out: list[Moment], line: int, pairs: tuple[Pair, ...], seen: tuple[Event, ...], tick: int) -> None:
    """The events of a step; one that only the recording has stands at the moment of the one before it."""
    rest = list(seen)
    for pair in pairs:
        if pair.model is not None and rest:
            tick = rest.pop(0).tick
        recorded, model = _event_words(pair.recorded), _event_words(pair.model)
        out.append(Moment(len(out), line, recorded, model, pair.equal, tick, False))


def _event_words(event: Event | None) -> str:
    if event is None:
        return "—"
    place = f" {event.place.removeprefix('va ')}" if event.place else ""
    flags = event.detail or flag_names(event.flags)
    if event.kind == "EMULATE" and event.flags is None:
        flags = "fast path: its flags are stale in Xen, not compared"
    return f"{event.kind}{place}{' · ' + flags if flags not in ('', '0') else ''}"


def _step_words(step: Step, row: Row, differing: list[str]) -> tuple[str, str, bool | None]:
    """(recorded, model, equal) of the row of a step: its command in words, or what a PEEK or CLEAN read."""
    if row.reading:
        recorded, model = (_reading_words(step.name, reading) for reading in row.reading)
        return recorded, model, not differing
    if row.besides:
        recorded, model = (f"{row.words}: {what}" for what in row.besides)
        return recorded, model, not differing
    words = f"{row.words}: {command_words(step)}" if step.name == "cmd" else row.words
    return words, words if step.name != "note" else "", None


def command_words(step: Step) -> str:
    """What a command of the guest does, with its numbers put in."""
    if step.number not in COMMANDS:
        return "a number that the guest does not know: it does nothing"
    a, b, c, d, _ = step.args
    text = COMMANDS[step.number].replace("each with INVLPG if d", "each with INVLPG" if d else "without INVLPG")
    for pattern, number in (
        (r"(?<=from )a\b|(?<=build )a\b", a),
        (r"\bb(?= pages| frames| L1| stores| alias)", b),
        (r"(?<=stride )c\b", c),
        (r"\bd(?= passes)", d),
    ):
        text = re.sub(pattern, str(number), text)
    return text


def _reading_words(name: str, reading: Reading) -> str:
    return f"{name.upper()}: {len(reading.pages)} pages, dirty_count {reading.dirty_count}, fault_count {reading.fault_count}"


def differing(report: Report, line: int) -> list[str]:
    """The differences of one line of the script."""
    return [text for text in report.differences if text.startswith(f"line {line},")]
