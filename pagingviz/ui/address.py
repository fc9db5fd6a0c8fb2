"""The address of a view: URL keys <-> scenario, tick, play, theme, present ... A link gives the same picture on every machine.

Keys are `scenario` and the fields of scenario/table.py: those of a scenario, `do` among them, and those of a view. Every bad
value raises ScenarioError with one sentence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from urllib.parse import urlencode

from pagingviz.evidence.xen.library import NAMES as RECORDINGS
from pagingviz.experiments.broken_rules import NAMES as RULES
from pagingviz.scenario import beside
from pagingviz.scenario.checks import check_gva
from pagingviz.scenario.scenario import Scenario, from_mapping
from pagingviz.scenario.table import FIELD, VIEW_FIELDS, View

__all__ = ["ACCESSES", "View", "fitting", "parse_gva", "read", "text", "write"]

ACCESSES = FIELD["access"].choices
_KNOWN = {"recording": RECORDINGS, "rule": RULES}  # names that only other rooms know
_OF_VIEW = tuple(field.name for field in VIEW_FIELDS)


def parse_gva(value: str, guest: str) -> int:
    """An address as a viewer writes it, hexadecimal with or without 0x, that a guest of this kind can have."""
    gva: int = FIELD["gva"].parse(value)
    check_gva(gva, guest)
    return gva


def fitting(scenario: Scenario, view: View) -> View:
    """The view without its address when the scenario's guest cannot have it, and without machines that cannot be beside it."""
    view = dataclasses.replace(view, beside=beside.fitting(scenario, view.beside))
    wide = view.gva is not None and scenario.guest != "hvm64" and view.gva >> 32
    return dataclasses.replace(view, gva=None, ref=None) if wide else view


def read(params: Mapping[str, str]) -> tuple[Scenario, View]:
    """The scenario and the view that the keys of a URL name."""
    view = View(**{key: FIELD[key].parse(params[key], _KNOWN.get(key, ())) for key in _OF_VIEW if key in params})
    scenario = from_mapping({key: value for key, value in params.items() if key not in _OF_VIEW})
    if view.gva is not None:
        check_gva(view.gva, scenario.guest)
    beside.scenarios(scenario, view.beside)
    return scenario, view


def write(scenario: Scenario, view: View) -> dict[str, str]:
    """Inverse of `read`: what differs from the named scenario, and from a view of its start that stands still."""
    changed = ((field, getattr(view, field.name)) for field in VIEW_FIELDS)
    return scenario.to_query() | {field.name: field.text(value) for field, value in changed if value != field.default}


def text(params: Mapping[str, str]) -> str:
    """The keys as a readable query string without its question mark."""
    return urlencode(params, safe=",:;@")
