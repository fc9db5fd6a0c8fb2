"""Machines beside a scenario's own: the same scenario, and for each of them some fields that differ.

They are written as a text, `road:hap,pml:0;pool:32`: a semicolon between two machines, a comma between two fields of one. A
value that is a list goes on behind its own commas: `trace:gzip,sort;do:enable@300,clean@900`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pagingviz.scenario.fields import ScenarioError, one_of, quote
from pagingviz.scenario.roads import road_of
from pagingviz.scenario.scenario import Scenario
from pagingviz.scenario.table import FIELD, FIELDS

MOST = 3  # machines beside the first
LONGEST = 1000  # characters of the text
_NAMES = tuple(field.name for field in FIELDS)
_LISTS = ("traces", "work", "order", "do")  # kinds of fields whose values have commas of their own
_OF_ROAD = ("road", "hap", "pml")  # what the title of a road's form says already
_OTHER_ROADS = ("hap", "shadow", "bare")  # in the order in which one is chosen for a machine that has another road

Differing = dict[str, str]


def parse(text: str) -> tuple[Differing, ...]:
    """The differing fields of each machine, {name: value as it is written}. "" is no machine at all.

    Raises ScenarioError with one sentence. Values are checked by `scenarios`, which knows what they belong to.
    """
    if len(text) > LONGEST:
        raise ScenarioError(f"beside must be text of at most {LONGEST} characters.")
    machines = text.split(";") if text else []
    if len(machines) > MOST:
        raise ScenarioError(f"beside may name at most {MOST} machines, not {len(machines)}: the first is the scenario's own.")
    return tuple(map(_one, machines))


def _one(text: str) -> Differing:
    """The differing fields of one machine."""
    found: Differing = {}
    last = ""
    for item in text.split(","):
        name, colon, value = item.partition(":")
        if _goes_on(last, name, item):
            found[last] += f",{item}"
            continue
        if not colon:
            shape = "FIELD:VALUE, with commas between fields and semicolons between machines, such as road:hap,pml:0;pool:32"
            raise ScenarioError(f"beside needs {shape}, not {quote(item)}.")
        if name not in _NAMES:
            raise one_of("The field", name, _NAMES)
        if name in found:
            raise ScenarioError(f"beside gives the field {name} twice to one machine: give it once.")
        found[name] = value
        last = name
    return found


def _goes_on(last: str, name: str, item: str) -> bool:
    """Whether an item belongs to the value of the field before it, whose name is `last` ("": there is none)."""
    if not last or FIELD[last].kind not in _LISTS:
        return False
    return name not in _NAMES or ":" not in item or (FIELD[last].kind == "do" and "@" in item)


def written(machines: Iterable[Mapping[str, object]]) -> str:
    """Inverse of `parse`."""
    return ";".join(",".join(f"{name}:{value}" for name, value in machine.items()) for machine in machines)


def scenarios(own: Scenario, text: str) -> tuple[Scenario, ...]:
    """The scenario of each machine beside one of `own`. Raises ScenarioError with one sentence that names the machine."""
    out = []
    for number, differing in enumerate(parse(text), start=2):
        try:
            out.append(own.replace(**differing))
        except ScenarioError as error:
            raise ScenarioError(f"Machine {number} (beside={written([differing])}): {error}") from None
    return tuple(out)


def fitting(own: Scenario, text: str) -> str:
    """The text without the machines that a scenario cannot have beside it."""
    kept = []
    for differing in parse(text):
        try:
            own.replace(**differing)
        except ScenarioError:
            continue
        kept.append(differing)
    return written(kept)


def other_road(own: Scenario) -> str:
    """The text of one machine on another road; "" when the scenario can go down its own road only."""
    texts = (written([{"road": road}]) for road in _OTHER_ROADS if road != own.road)
    return next((text for text in texts if fitting(own, text)), "")


def form(scenario: Scenario) -> str:
    """What the scenario's road is called in the form that it has: "shadow", "EPT + PML"."""
    forms = road_of(scenario).forms
    return next(title for title, fields in forms if all(getattr(scenario, name) == value for name, value in fields.items()))


def names(own: Scenario, text: str) -> tuple[str, ...]:
    """What each machine is called, the first included: its road, where any of them has another, and what else differs.

    Names are made of the fields that the text names, so that they say what the viewer has asked for. Two machines that are
    called the same have their numbers behind it.
    """
    all_of_them = (own, *scenarios(own, text))
    asked = {name for differing in parse(text) for name in differing}
    fields = [name for name in _NAMES if name in asked and name not in _OF_ROAD]
    on_roads = bool(asked & set(_OF_ROAD)) or len({form(one) for one in all_of_them}) > 1 or not fields
    called = [", ".join(_parts(one, fields, on_roads)) for one in all_of_them]
    return tuple(name if called.count(name) == 1 else f"{name} ({k})" for k, name in enumerate(called, start=1))


def _parts(scenario: Scenario, fields: Sequence[str], on_roads: bool) -> list[str]:
    """Of what the name of a machine is put together."""
    values = ((name, getattr(scenario, name)) for name in fields)
    return [
        *([form(scenario)] if on_roads else []),
        *(f"{name}={value}" if value != "" else f"no {name}" for name, value in values),
    ]
