"""The address of a view: URL keys <-> scenario, tick, play, theme, present ... A link gives the same picture on every machine.

Keys are the scenario's own (`scenario` and every field of scenario.FIELDS, `do` among them) and those of View. Every bad
value raises ScenarioError with one sentence.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from pagingviz.boards.dirty_bitmap import BITS
from pagingviz.evidence.xen.library import NAMES
from pagingviz.manual.chapters import CHAPTERS
from pagingviz.scenario.fields import MAX_TICK, ScenarioError, integer, one_of, quote
from pagingviz.scenario.scenario import Scenario, from_mapping

MOST_ROWS = 99_999
MOST_REFERENCES = 99
ACCESSES = ("read", "write", "fetch")
_HEX = re.compile(r"(0x)?[0-9a-f]{1,16}", re.ASCII | re.IGNORECASE)
THEMES = ("light", "dark")
SWITCH = {"0": False, "1": True}


@dataclass(frozen=True)
class View:
    """How a machine is looked at. tick: None is the scenario's own `start`; theme: "" is whatever the browser prefers.

    bits: what the dirty bitmap shows (boards.dirty_bitmap.BITS).
    recording, row: what the page Real Xen shows; "" and None are its first recording and the first row.
    gva, access, ref: of the page Translation; None and "" are the address and the kind of the tick's last access, and all
    references made.
    part: the chapter that the page Manual shows.
    """

    tick: int | None = None
    play: bool = False
    theme: str = ""
    present: bool = False
    bits: str = "round"
    recording: str = ""
    row: int | None = None
    gva: int | None = None
    access: str = ""
    ref: int | None = None
    part: str = next(iter(CHAPTERS))


def _tick(value: str) -> int:
    return integer("tick", value, 0, MAX_TICK)


def _theme(value: str) -> str:
    if value not in THEMES:
        raise one_of("The theme", value, THEMES)
    return value


def _switch(name: str):
    def read_switch(value: str) -> bool:
        if value not in SWITCH:
            raise one_of(f"The value of {name}", value, tuple(SWITCH))
        return SWITCH[value]

    return read_switch


def _bits(value: str) -> str:
    if value not in BITS:
        raise one_of("The view of bits", value, BITS)
    return value


def _recording(value: str) -> str:
    if value not in NAMES:
        raise one_of("The recording", value, NAMES)
    return value


def _row(value: str) -> int:
    return integer("row", value, 0, MOST_ROWS)


def parse_gva(value: str, guest: str) -> int:
    """An address as a viewer writes it, hexadecimal with or without 0x, that a guest of this kind can have."""
    if not _HEX.fullmatch(value):
        raise ScenarioError(f"gva must be a hexadecimal address such as 0x7f0000, not {quote(value)}.")
    gva = int(value, 16)
    if guest != "hvm64" and gva >> 32:
        raise ScenarioError(f"gva {gva:#x} is beyond the 32-bit addresses of this guest: use at most 0xffffffff.")
    if guest == "hvm64" and gva >> 47 not in (0, 0x1FFFF):
        raise ScenarioError(f"gva {gva:#x} is not canonical: bits 63 to 47 of a 64-bit address must be equal.")
    return gva


def fitting(scenario: Scenario, view: View) -> View:
    """The view without its address when the scenario's guest cannot have it."""
    wide = view.gva is not None and scenario.guest != "hvm64" and view.gva >> 32
    return dataclasses.replace(view, gva=None, ref=None) if wide else view


def _access(value: str) -> str:
    if value not in ACCESSES:
        raise one_of("The access", value, ACCESSES)
    return value


def _ref(value: str) -> int:
    return integer("ref", value, 0, MOST_REFERENCES)


def _part(value: str) -> str:
    if value not in CHAPTERS:
        raise one_of("The chapter", value, tuple(CHAPTERS))
    return value


_READ = {
    "tick": _tick,
    "play": _switch("play"),
    "theme": _theme,
    "present": _switch("present"),
    "bits": _bits,
    "recording": _recording,
    "row": _row,
    "access": _access,
    "ref": _ref,
    "part": _part,
}


def read(params: Mapping[str, str]) -> tuple[Scenario, View]:
    """The scenario and the view that the keys of a URL name."""
    view = View(**{key: parse(params[key]) for key, parse in _READ.items() if key in params})
    scenario = from_mapping({key: value for key, value in params.items() if key not in _READ and key != "gva"})
    if "gva" in params:
        view = dataclasses.replace(view, gva=parse_gva(params["gva"], scenario.guest))
    return scenario, view


def write(scenario: Scenario, view: View) -> dict[str, str]:
    """Inverse of `read`: what differs from the named scenario, and from a view of its start that stands still."""
    params = scenario.to_query()
    if view.tick is not None:
        params["tick"] = str(view.tick)
    params |= {key: "1" for key in ("play", "present") if getattr(view, key)}
    params |= {"bits": view.bits} if view.bits != View.bits else {}
    params |= {"recording": view.recording} if view.recording else {}
    params |= {"row": str(view.row)} if view.row is not None else {}
    params |= {"gva": f"{view.gva:#x}"} if view.gva is not None else {}
    params |= {"access": view.access} if view.access else {}
    params |= {"ref": str(view.ref)} if view.ref is not None else {}
    params |= {"part": view.part} if view.part != View.part else {}
    return params | ({"theme": view.theme} if view.theme else {})


def text(params: Mapping[str, str]) -> str:
    """The keys as a readable query string without its question mark."""
    return urlencode(params, safe=",:@")
