"""The grammar of values: the rule of one field, and the small languages inside the text fields. The fields stand in table.py.

Every parser takes what a URL, a TOML file, JSON or a Python caller may hold, returns the canonical value, and raises
`ScenarioError` with one sentence (what, where, what is allowed) for anything else. Nothing here knows the machine.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pagingviz.arch import xen
from pagingviz.arch.linux import DIRECT_MAPS

MAX_TICK = 10**9
MAX_FRAMES = 262144  # 1 GiB: of a guest on any road
MOST_FRAMES = 268435456  # 1 TiB: of one that the hardware alone translates for
MAX_ENTRIES = 16  # programs and generators of one scenario: with two slots a fork, at most state.MAX_PROCESSES slots
MAX_COMMANDS = 256
MOST_NAMES = 32  # in one sentence
FAILURES = ("link", "host", "p2m", "flux")  # of a migration
POOL_LOW, POOL_HIGH = 16, 4096
_INTEGER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_HEX = re.compile(r"(0x)?[0-9a-f]{1,16}", re.ASCII | re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class ScenarioError(ValueError):
    """A value that cannot be used; its text is one sentence fit for a reader who never saw the code."""


def quote(value: object, limit: int = 40) -> str:
    """Short printable form of a foreign value, for error sentences."""
    text = value if isinstance(value, str) else repr(value)
    text = "".join(c if c.isprintable() else "?" for c in text)
    return f"'{text[:limit]}{'...' if len(text) > limit else ''}'"


def one_of(what: str, value: object, allowed: tuple[str, ...]) -> ScenarioError:
    """Error for a name that is not in a list, with the nearest name when there is one."""
    near = difflib.get_close_matches(str(value)[:40], allowed, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    names = f"use one of {', '.join(allowed)}" if len(allowed) <= MOST_NAMES else "python -m pagingviz list prints them all"
    return ScenarioError(f"{what} {quote(value)} is not known{hint}: {names}.")


def integer(what: str, value: object, low: int, high: int) -> int:
    """Whole number in low..high from an int or decimal text; bool, float, blanks and underscores are refused."""
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ScenarioError(f"{what} must be a whole number from {low} to {high}, not {quote(value)}.")
    if not low <= value <= high:
        raise ScenarioError(f"{what} must be from {low} to {high}, not {quote(value)}.")
    return value


def items(what: str, value: object, limit: int) -> list[str]:
    """Comma-separated text to at most `limit` non-empty items; empty text is the empty list."""
    if not isinstance(value, str):
        raise ScenarioError(f"{what} must be text with commas, not {quote(value)}.")
    parts = value.split(",") if value else []
    if len(parts) > limit:
        raise ScenarioError(f"{what} may hold at most {limit} items, not {len(parts)}.")
    if any(not part for part in parts):
        raise ScenarioError(f"{what} has an empty item in {quote(value)}: put exactly one comma between items.")
    return parts


# --- commands -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """A hypervisor or test command at a tick.

    `arg`: the pool size for `pool`; for `dm` the first frame, and above bit 32 how many; 0 for all others.
    """

    name: str
    arg: int
    tick: int

    @property
    def text(self) -> str:
        """The command without its tick, e.g. `clean` or `pool:64`."""
        if self.name == "dm":
            first, n = self.arg & 0xFFFF_FFFF, self.arg >> 32
            return f"dm:{first}" if n == 1 else f"dm:{first}:{n}"
        return f"{self.name}:{self.arg}" if self.name == "pool" else self.name


def pool_cap(pool: int) -> int:
    """Largest size, in pages, to which `pool:N` may set a pool that was built with `pool` pages."""
    return max(256, min(4 * pool, pool + 1024))


def parse_command(text: object, tick: int = 0, cap: int = pool_cap(POOL_HIGH), frames: int = MAX_FRAMES) -> Command:
    """`clean` or `pool:64` to a Command at `tick`; `cap` is the largest pool size allowed, `frames` the guest's memory."""
    if not isinstance(text, str):
        raise ScenarioError(f"A command must be text, not {quote(text)}.")
    name, colon, arg = text.partition(":")
    if name not in xen.COMMANDS:
        raise one_of("The command", name, xen.COMMANDS)
    if name == "pool":
        return Command(name, integer("The size in the command pool:N", arg, POOL_LOW, cap), tick)
    if name == "dm":
        first, more, count = arg.partition(":")
        gfn = integer("The frame in the command dm:GFN", first, 0, frames - 1)
        n = integer(f"The number of frames in the command dm:{gfn}:N", count, 1, frames - gfn) if more else 1
        return Command(name, gfn | n << 32, tick)
    if colon:
        raise ScenarioError(f"The command {name} takes no value, so {quote(text)} cannot be used.")
    return Command(name, 0, tick)


def parse_do(text: object, cap: int = pool_cap(POOL_HIGH), frames: int = MAX_FRAMES) -> tuple[Command, ...]:
    """`enable@300,pool:64@1200` to Commands sorted by tick; those of one tick keep their written order."""
    commands = []
    for item in items("do", text, MAX_COMMANDS):
        what, at, tick = item.partition("@")
        if not at:
            raise ScenarioError(f"do needs COMMAND@TICK, such as clean@900, not {quote(item)}.")
        commands.append(parse_command(what, integer(f"The tick in do={quote(item)}", tick, 0, MAX_TICK), cap, frames))
    return tuple(sorted(commands, key=lambda command: command.tick))


def format_do(commands: tuple[Command, ...]) -> str:
    """Inverse of `parse_do`."""
    return ",".join(f"{command.text}@{command.tick}" for command in commands)


# --- work -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parameter:
    """One number of a generator; `default` None means it must be given. Exponents are kept in hundredths."""

    name: str
    low: int
    high: int
    default: int | None = None
    hundredths: bool = False


_PAGES = Parameter("pages", 1, MAX_FRAMES)
GENERATORS: dict[str, tuple[Parameter, ...]] = {
    "uniform": (_PAGES,),
    "zipf": (_PAGES, Parameter("exponent", 10, 200, 99, hundredths=True)),
    "sequential": (_PAGES, Parameter("repeat", 1, 4096, 8)),
    "hotcold": (_PAGES, Parameter("hot pages", 1, MAX_FRAMES, 0), Parameter("percent to hot pages", 0, 100, 90)),
    "fork": (Parameter("pages", 1, 65536),),
    "idle": (),
}


@dataclass(frozen=True)
class Generator:
    """A parsed generator: `kind` of GENERATORS and its numbers with the defaults filled in."""

    kind: str
    args: tuple[int, ...]
    text: str

    @property
    def pages(self) -> int:
        """Pages one process of it touches."""
        return self.args[0] if self.args else 0


def parse_generator(text: str) -> Generator:
    """`zipf:16384:0.99` to a Generator; `hotcold` without hot pages means one eighth of them, at least one."""
    kind, *given = text.split(":")
    if kind not in GENERATORS:
        raise one_of("The generator", kind, tuple(GENERATORS))
    wanted = GENERATORS[kind]
    shape = ":".join([kind, *(p.name.upper() for p in wanted)])
    if len(given) > len(wanted) or len(given) < sum(p.default is None for p in wanted):
        raise ScenarioError(f"The generator {quote(text)} does not have the form {shape}.")
    args: list[int] = []
    for parameter, text_given in itertools.zip_longest(wanted, given):
        if text_given is None:
            args.append(parameter.default or 0)
        elif parameter.hundredths:
            args.append(_hundredths(f"The {parameter.name} of {kind}", text_given, parameter))
        else:
            what = f"The number of {parameter.name} of {kind}"
            args.append(integer(what, text_given, parameter.low, parameter.high))
    if kind == "hotcold":
        args[1] = args[1] or max(1, args[0] // 8)
        if args[1] > args[0]:
            raise ScenarioError(f"The generator {quote(text)} has more hot pages than pages.")
    return Generator(kind, tuple(args), text)


def _hundredths(what: str, text: str, parameter: Parameter) -> int:
    if not re.fullmatch(r"[0-9](\.[0-9]{1,2})?", text, re.ASCII):
        raise ScenarioError(f"{what} must be a number such as 0.99 with at most two decimals, not {quote(text)}.")
    whole, _, part = text.partition(".")
    value = int(whole) * 100 + int(part.ljust(2, "0") or 0)
    if not parameter.low <= value <= parameter.high:
        raise ScenarioError(f"{what} must be from {parameter.low / 100} to {parameter.high / 100}, not {quote(text)}.")
    return value


# --- fields ---------------------------------------------------------------------------------------------------------

SWITCH = {"0": False, "1": True}


@dataclass(frozen=True)
class Field:
    """One field of a scenario or of a view: its name, which is also its key in an address, its rule and its words.

    kind: of a scenario choice, int, address, traces, work, order, fail or do; of a view int, name, switch, gva or text.
    default: None for a number that need not be given. bounds: least and greatest value of an int or an address. choices: the
    values of a choice or a name; where another room has the list, `parse` is given it.
    help: what the field does. label: what stands beside its widget. words: for each of the choices the text that is shown.
    what: how an error calls a name, or what the bits are. section: where a viewer sets it, a section of the sidebar or a page;
    "": nowhere but in an address or a file. after: the field of the same section behind which it is shown, where that is not
    the table's order. bits: {name: help} of the bits of a number that is a set of switches, from bit 0 on. follows: the field
    that decides the value where none is given (scenario/as_core.py); `default` is then that of a scenario given nothing.
    """

    name: str
    kind: str
    default: Any
    help: str
    bounds: tuple[int, int] = (0, 0)
    choices: tuple = ()
    label: str = ""
    words: tuple[str, ...] = ()
    what: str = ""
    section: str = ""
    after: str = ""
    bits: Mapping[str, str] = field(default_factory=dict)
    follows: str = ""

    def parse(self, value: object, known: tuple[str, ...] = ()) -> Any:
        """Canonical value of the field; `known` are the names that another room knows: of shipped programs, of recordings."""
        return getattr(self, "_" + self.kind)(value, known)

    def text(self, value: Any) -> str:
        """The value as an address holds it. Inverse of `parse`."""
        return {"switch": lambda: str(int(value)), "gva": lambda: f"{value:#x}"}.get(self.kind, lambda: str(value))()

    def word(self, value: Any) -> str:
        """What is shown for one of the choices."""
        if self.words:
            return self.words[self.choices.index(value)]
        return ("off", "on")[value] if self.choices == (0, 1) else str(value)

    @property
    def low(self) -> int:
        """The least value of a number."""
        return self.bounds[0]

    @property
    def high(self) -> int:
        """The greatest value of a number."""
        return self.bounds[1]

    def describe(self) -> dict[str, Any]:
        """Plain data for `list --json`."""
        row = {"name": self.name, "kind": self.kind, "default": self.default, "help": self.help}
        if self.kind == "address":
            row["bounds"] = [f"{self.low:#x}", f"{self.high:#x}"]
        elif self.kind == "int":
            row["bounds"] = [self.low, self.high]
        elif self.kind == "choice":
            row["choices"], row["not_built_yet"] = list(self.choices), []  # part of the contract; everything is built
        if self.follows:
            row["follows"] = self.follows
        return row

    def _choice(self, value: object, _known: tuple[str, ...]) -> Any:
        numbers = isinstance(self.default, int)
        if numbers and isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or isinstance(value, int) != numbers:
            value = str(value)
        if value not in self.choices:
            allowed = ", ".join(map(str, self.choices))
            raise ScenarioError(f"{self.name} must be one of {allowed}, not {quote(value)}.")
        return value

    def _int(self, value: object, _known: tuple[str, ...]) -> int:
        return integer(self.name, value, self.low, self.high)

    def _address(self, value: object, _known: tuple[str, ...]) -> str:
        if isinstance(value, str) and value in DIRECT_MAPS:
            return value
        if not isinstance(value, str) or not re.fullmatch(r"0x[0-9a-fA-F]{1,16}", value, re.ASCII):
            names = ", ".join(DIRECT_MAPS)
            raise ScenarioError(f"{self.name} must be {names} or a hexadecimal address, not {quote(value)}.")
        base = int(value, 16)
        if base % (1 << 30) or not self.low <= base <= self.high:
            allowed = f"a multiple of 1 GiB from {self.low:#x} to {self.high:#x}"
            raise ScenarioError(f"{self.name} must be {allowed}, not {base:#x}.")
        return next((name for name, known in DIRECT_MAPS.items() if known == base), f"{base:#x}")

    def _traces(self, value: object, known: tuple[str, ...]) -> str:
        parts = items(self.name, value, MAX_ENTRIES)
        for item in parts:
            if item not in known and not _SHA256.fullmatch(item):
                raise one_of(self.what, item, known)
        return ",".join(parts)

    def _work(self, value: object, _known: tuple[str, ...]) -> str:
        parts = items(self.name, value, MAX_ENTRIES)
        for item in parts:
            parse_generator(item)
        return ",".join(parts)

    def _order(self, value: object, _known: tuple[str, ...]) -> str:
        parts = items(self.name, value, 64)
        return ",".join(str(integer("Each number in order", part, 0, MAX_ENTRIES - 1)) for part in parts)

    def _fail(self, value: object, _known: tuple[str, ...]) -> str:
        if value == "":
            return ""
        kind, _, number = value.partition(":") if isinstance(value, str) else ("", "", "")
        if kind not in FAILURES:
            raise ScenarioError(f"fail must be empty or one of {', '.join(f'{k}:N' for k in FAILURES)}, not {quote(value)}.")
        return f"{kind}:{integer(f'The number in fail={kind}:N', number, 0, MAX_TICK)}"

    def _do(self, value: object, _known: tuple[str, ...]) -> str:
        return format_do(parse_do(value))

    def _name(self, value: object, known: tuple[str, ...]) -> str:
        names = self.choices or known
        if not isinstance(value, str) or value not in names:
            raise one_of(self.what, value, names)
        return value

    def _switch(self, value: object, _known: tuple[str, ...]) -> bool:
        if not isinstance(value, str) or value not in SWITCH:
            raise one_of(f"The value of {self.name}", value, tuple(SWITCH))
        return SWITCH[value]

    def _text(self, value: object, _known: tuple[str, ...]) -> str:
        if not isinstance(value, str) or not value.isprintable():
            raise ScenarioError(f"{self.name} must be printable text, not {quote(value)}.")
        return value

    def _gva(self, value: object, _known: tuple[str, ...]) -> int:
        if not isinstance(value, str) or not _HEX.fullmatch(value):
            raise ScenarioError(f"{self.name} must be a hexadecimal address such as 0x7f0000, not {quote(value)}.")
        return int(value, 16)
