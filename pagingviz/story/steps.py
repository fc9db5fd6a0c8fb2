"""The notes of a scenario as data: numbered texts, and in them steps that a viewer can take with one press.

In a note a step is written [[KEY=VALUE]]; the words that stand in its place are those of the sidebar, the menus and the page
list, so that a note cannot call them otherwise:

    [[pool=40]], [[clean_every=5000&do=enable@100]]    fields of the scenario: "shadow pool pages to 40"
    [[tick=700]]                                       a moment: "tick 700"
    [[next=FORK]]                                      the next event of a kind that the menu offers: "next fork"
    [[page=translation]]                               a page, by its path in the address: "Translation"
    [[scenario=thrash]]                                another scenario of the library: its number and its question
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

from pagingviz.manual.pages import PAGES
from pagingviz.scenario.fields import MAX_TICK, ScenarioError, integer, one_of
from pagingviz.scenario.scenario import FIELDS, load, shipped_traces
from pagingviz.scenario.table import FIELD
from pagingviz.story.kinds import EVENT_KINDS

_STEP = re.compile(r"\[\[(\w+)=(.*?)\]\]")
_NUMBERED = re.compile(r"(?m)^(\d+)\. ")
_FIELDS = tuple(field.name for field in FIELDS)
_KINDS = dict(EVENT_KINDS)


@dataclass(frozen=True)
class Step:
    """What one press does. kind: set, tick, next, page or scenario; value: what follows the key, as it is written.

    words: what stands in the text; label: what stands on the button; keys: of a set, what an address would hold.
    """

    kind: str
    value: str
    words: str
    label: str
    keys: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Note:
    """One note: its number (0: what stands before the first), its text cut at its steps."""

    number: int
    parts: tuple[str | Step, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps in the order of the text."""
        return tuple(part for part in self.parts if isinstance(part, Step))

    def text(self, show: Callable[[Step], str]) -> str:
        """The note as one text; `show` writes a step."""
        return "".join(part if isinstance(part, str) else show(part) for part in self.parts)


@functools.cache
def notes(text: str) -> tuple[Note, ...]:
    """The notes of a scenario's text, in their order. ScenarioError for a step that says nothing that can be done."""
    first, *rest = _NUMBERED.split(text)
    found = [(0, first), *((int(number), body) for number, body in zip(rest[::2], rest[1::2], strict=True))]
    return tuple(_note(number, " ".join(body.split())) for number, body in found if body.strip())


def _note(number: int, text: str) -> Note:
    before, *rest = _STEP.split(text)
    parts: list[str | Step] = [before]
    for key, value, after in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        parts += [_step(key, value), after]
    if any("[[" in part or "]]" in part for part in parts if isinstance(part, str)):
        raise ScenarioError(f"Note {number} has a step that is not written [[KEY=VALUE]].")
    return Note(number, tuple(part for part in parts if part))


def plain(text: str) -> str:
    """The notes without buttons, one a line: for the command line. Behind the words of a field stands what an address holds."""

    def show(step: Step) -> str:
        named = all(FIELD[name].label == name for name, _ in step.keys)
        return step.words if named else f"{step.words} ({'&'.join(map('='.join, step.keys))})"

    return "".join(f"{f'{note.number}. ' if note.number else ''}{note.text(show)}\n" for note in notes(text))


def _step(key: str, value: str) -> Step:
    """The step that [[key=value]] means."""
    if key in _OTHERS:
        return _OTHERS[key](value)
    return _set(f"{key}={value}")


def _set(value: str) -> Step:
    keys = tuple((name, text) for name, _, text in (pair.partition("=") for pair in value.split("&")))
    words = []
    for name, text in keys:
        if name not in _FIELDS:
            raise one_of("The field", name, _FIELDS)
        known = FIELD[name].parse(text, shipped_traces())
        words.append(f"{FIELD[name].label.partition(' (')[0]} to {FIELD[name].word(known) or 'nothing'}")
    said = " and ".join(words)
    return Step("set", value, said, f"Set {said}", keys)


def _tick(value: str) -> Step:
    said = f"tick {integer('The tick of a step', value, 0, MAX_TICK):,}"
    return Step("tick", value, said, f"Go to {said}")


def _next(value: str) -> Step:
    if value not in _KINDS:
        raise one_of("The kind of event", value, tuple(_KINDS))
    return Step("next", value, f"next {_KINDS[value]}", f"Next {_KINDS[value]}")


def _page(value: str) -> Step:
    paths = tuple(filter(None, PAGES))
    if value not in paths:
        raise one_of("The page", value, paths)
    return Step("page", value, PAGES[value], f"Open {PAGES[value]}")


def _scenario(value: str) -> Step:
    other = load(value)
    said = f"{other.number} {other.question}"
    return Step("scenario", value, f"\u201c{said}\u201d", said)


_OTHERS: dict[str, Callable[[str], Step]] = {
    "tick": _tick,
    "next": _next,
    "page": _page,
    "scenario": _scenario,
}
