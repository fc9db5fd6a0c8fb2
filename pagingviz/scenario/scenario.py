"""Scenario: everything that decides a run, as one frozen value; reads and writes TOML, JSON and URL queries.

A machine at tick t is a pure function of its Scenario and t. Its fields are the rows of table.Settings,
and a name, a sentence, notes and the tick at which a viewer starts. Those of the library are a way of questions: each has one,
a group of them, and a place in the group.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pagingviz.arch import x86, xen
from pagingviz.arch.costs import COSTS
from pagingviz.arch.linux import DIRECT_MAPS, LOWMEM_BASE
from pagingviz.scenario.as_core import FOLLOWING, completed, given
from pagingviz.scenario.checks import check
from pagingviz.scenario.cost_fields import name_of
from pagingviz.scenario.fields import (
    GENERATORS,
    MAX_TICK,
    Command,
    Generator,
    ScenarioError,
    format_do,
    integer,
    one_of,
    parse_command,
    parse_do,
    parse_generator,
    pool_cap,
    quote,
)
from pagingviz.scenario.table import FIELDS, Settings

__all__ = [
    "FIELDS",
    "GENERATORS",
    "GROUPS",
    "HOME",
    "MAX_TICK",
    "Command",
    "Generator",
    "Scenario",
    "ScenarioError",
    "format_do",
    "from_json",
    "from_mapping",
    "from_toml",
    "load",
    "names",
    "parse_command",
    "parse_do",
    "pool_cap",
    "shipped_traces",
]

HOME = "blackboard"  # the scenario of the bare address
GROUPS = {  # headings of the library's questions, in the order of the way
    "start": "Start",
    "shadow": "Shadow paging",
    "nested": "Nested tables",
    "log-dirty": "Log-dirty",
    "migration": "Live migration",
    "size": "Size",
}
_FOLDER = Path(__file__).parent / "library"
_TRACES = Path(__file__).parents[1] / "work/traces"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character: JSON can hold it, UTF-8 cannot
_TEXT_LIMITS = {"question": 64, "sentence": 240, "notes": 4000}
_MOST_PLACES = 99


@functools.cache
def shipped_traces() -> tuple[str, ...]:
    """Names of the recorded programs in the package, sorted."""
    return tuple(sorted(path.stem for path in _TRACES.glob("*.npz")))


@functools.cache
def _library() -> dict[str, dict[str, Any]]:
    """What the files of the library hold, by name, in the order of the way: group by group, in each by place."""
    rows = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in _FOLDER.glob("*.toml")}
    return dict(sorted(rows.items(), key=lambda item: (list(GROUPS).index(item[1]["group"]), item[1]["place"])))


def names() -> tuple[str, ...]:
    """Names of the scenarios in the library, in the order of the way. The first is HOME."""
    return tuple(_library())


@dataclass(frozen=True)
class Scenario(Settings):
    """One run, checked when built: a bad value raises ScenarioError. Text is accepted wherever a number is."""

    name: str = HOME
    question: str = ""
    group: str = ""
    place: int = 0
    sentence: str = ""
    notes: str = ""
    start: int = 0

    def __post_init__(self) -> None:
        put = functools.partial(object.__setattr__, self)
        for field in FIELDS:
            if not field.follows or getattr(self, field.name) is not None:
                put(field.name, field.parse(getattr(self, field.name), shipped_traces()))
        for key, value in completed(vars(self)).items():
            put(key, value)
        name: object = self.name
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ScenarioError(f"name must be 1 to 32 small letters, digits and hyphens, first a letter, not {quote(name)}.")
        for key, limit in _TEXT_LIMITS.items():
            text: object = getattr(self, key)
            if not isinstance(text, str) or len(text) > limit or _SURROGATE.search(text):
                raise ScenarioError(f"{key} must be text of at most {limit} characters.")
        if self.group not in ("", *GROUPS):
            raise one_of("The group", self.group, tuple(GROUPS))
        put("place", integer("place", self.place, 0, _MOST_PLACES))
        put("start", integer("start", self.start, 0, MAX_TICK))
        check(self)

    @property
    def number(self) -> str:
        """Where the scenario stands on the way of questions, as "2.3"; "" for one that does not stand there."""
        return f"{list(GROUPS).index(self.group) + 1}.{self.place}" if self.group else ""

    @property
    def unsyncs(self) -> bool:
        """Whether Xen's switches let guest tables go out of sync with their shadows (SHOPT_OUT_OF_SYNC)."""
        return bool(self.oos and self.shopt & int(xen.SHOPT_OUT_OF_SYNC))

    @property
    def least_pool(self) -> int:
        """Pages without which a shadow guest cannot run one instruction with log-dirty on.

        For each vCPU its root, monitor table and snapshots; for a fault the tables it makes; twice a path of the bitmap's tree:
        in use, and asked for beforehand.
        """
        root, monitor, tables = {"hvm64": (1, 1, 3), "pae": (4, 3, 1), "hvm32": (4, 3, 2)}[self.guest]
        snapshots = 3 if self.xen == "4.17" or self.unsyncs else 0
        return self.vcpus * (root + monitor + snapshots) + tables + 8

    @property
    def traces(self) -> tuple[str, ...]:
        """Recorded programs by name or sha256, in process order."""
        return tuple(self.trace.split(",")) if self.trace else ()

    @property
    def generators(self) -> tuple[Generator, ...]:
        """Parsed generators; they follow the traces in process order."""
        return tuple(parse_generator(item) for item in self.work.split(",")) if self.work else ()

    @property
    def turns(self) -> tuple[int, ...]:
        """Entry number of each time slice of one round."""
        if self.order:
            return tuple(int(item) for item in self.order.split(","))
        return tuple(range(len(self.traces) + len(self.generators)))

    @property
    def costs(self) -> dict[str, int]:
        """Cycles by key of costs.COSTS."""
        return {cost.key: getattr(self, name_of(cost.key)) for cost in COSTS}

    @property
    def commands(self) -> tuple[Command, ...]:
        """Parsed `do`, sorted by tick."""
        return parse_do(self.do)

    @property
    def guest_levels(self) -> int:
        """Levels of the guest's page tables: 4, 3 or 2."""
        return x86.GUEST_LEVELS[x86.GUESTS.index(self.guest)]

    @property
    def direct_map_base(self) -> int:
        """First address of the guest kernel's direct map; in a 32-bit guest the last quarter."""
        if self.guest != "hvm64":
            return LOWMEM_BASE
        return DIRECT_MAPS[self.direct_map] if self.direct_map in DIRECT_MAPS else int(self.direct_map, 16)

    @property
    def pool_cap(self) -> int:
        """Largest N, in pages, of the command pool:N on this machine."""
        return pool_cap(self.pool)

    def replace(self, **changes: Any) -> Scenario:
        """A copy with some fields changed (typed or text), checked again; an unknown field is a ScenarioError.

        Fields that follow the core do so (as_core.py).
        """
        for key in changes:
            if key not in _ALL:
                raise one_of("The field", key, _ALL)
        return dataclasses.replace(self, **given(vars(self), changes))

    def to_query(self) -> dict[str, str]:
        """The `scenario` key and every field that differs from that library scenario, as a URL holds them.

        A scenario that is not in the library is written against the home scenario. Inverse: `from_mapping`.
        """
        base = load(self.name if self.name in names() else HOME)
        changed = {f.name: getattr(self, f.name) for f in FIELDS if getattr(self, f.name) != getattr(base, f.name)}
        others = given(vars(base), {name: value for name, value in changed.items() if name not in FOLLOWING})
        anyway = completed(vars(base) | others)  # what an address without the fields that follow the core would have
        asked = [f for f in FIELDS if f.name in changed and f.name not in FOLLOWING]
        asked += [f for f in FIELDS if f.name in FOLLOWING and getattr(self, f.name) != anyway[f.name]]
        return {"scenario": base.name, **{f.name: f.text(getattr(self, f.name)) for f in asked}}

    def to_url(self) -> str:
        """`to_query` as the text behind the question mark, readable: commas, colons and @ stay as they are."""
        return urlencode(self.to_query(), safe=",:@")

    def to_json(self) -> str:
        """JSON text with every field. Inverse: `from_json`."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False)

    def to_toml(self) -> str:
        """TOML text with every field. Inverse: `from_toml`."""
        # A JSON string of printable text is also a TOML basic string, once DEL, which JSON leaves bare, is escaped.
        values = {key: json.dumps(value, ensure_ascii=False) for key, value in dataclasses.asdict(self).items()}
        return "".join(f"{key} = {value}\n" for key, value in values.items()).replace("\x7f", "\\u007f")


_OF_SCENARIO = tuple(field.name for field in FIELDS)
_ALL = tuple(f.name for f in dataclasses.fields(Scenario))


@functools.cache
def load(name: str) -> Scenario:
    """The library scenario of that name; ScenarioError when there is none."""
    if name not in _library():
        raise one_of("The scenario", name, names())
    return _from_file(_library()[name])


def from_mapping(mapping: Mapping[str, object]) -> Scenario:
    """Scenario from the keys of a URL: `scenario` names the base (the home scenario if absent), the rest are FIELDS."""
    changes = dict(mapping)
    base = load(str(changes.pop("scenario", HOME)))
    for key in changes:
        if key not in _OF_SCENARIO:
            raise one_of("The field", key, _OF_SCENARIO)
    return base.replace(**changes)


def from_toml(text: str) -> Scenario:
    """Scenario from TOML text with any of the fields and name, question, group, place, sentence, notes, start."""
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScenarioError(f"The scenario is not valid TOML: {quote(str(error), 80)}.") from None
    return _from_file(values)


def from_json(text: str) -> Scenario:
    """Scenario from a JSON object with any of the fields and name, question, group, place, sentence, notes, start."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScenarioError(f"The scenario is not valid JSON: {quote(str(error), 80)}.") from None
    if not isinstance(values, dict):
        raise ScenarioError("The scenario must be a JSON object with one key a field.")
    return _from_file(values)


def _from_file(values: dict[str, Any]) -> Scenario:
    for key in values:
        if key not in _ALL:
            raise one_of("The field", key, _ALL)
    return Scenario(**values)
