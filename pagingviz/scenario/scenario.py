"""Scenario: everything that decides a run, as one frozen value; reads and writes TOML, JSON and URL queries.

A machine at tick t is a pure function of its Scenario and t. The dataclass below is the only list of the fields: their
defaults, bounds and help live in it, and `FIELDS` is derived from it for the URL, the sidebar and the command line.
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
from pagingviz.scenario.checks import check
from pagingviz.scenario.fields import (
    DIRECT_MAPS,
    GENERATORS,
    LOWMEM_BASE,
    MAX_FRAMES,
    MAX_TICK,
    MOST_FRAMES,
    POOL_HIGH,
    POOL_LOW,
    Command,
    Field,
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

__all__ = [
    "FIELDS",
    "GENERATORS",
    "HOME",
    "MAX_TICK",
    "Command",
    "Field",
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
_FOLDER = Path(__file__).parent / "library"
_TRACES = Path(__file__).parents[1] / "work/traces"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character: JSON can hold it, UTF-8 cannot
_TEXT_LIMITS = {"sentence": 240, "notes": 4000}


@functools.cache
def shipped_traces() -> tuple[str, ...]:
    """Names of the recorded programs in the package, sorted."""
    return tuple(sorted(path.stem for path in _TRACES.glob("*.npz")))


@functools.cache
def names() -> tuple[str, ...]:
    """Names of the scenarios in the library: the home scenario first, then by name."""
    found = (path.stem for path in _FOLDER.glob("*.toml"))
    return tuple(sorted(found, key=lambda name: (name != HOME, name)))


def _field(kind: str, default: Any, help: str, **bounds: Any) -> Any:
    return dataclasses.field(default=default, metadata={"kind": kind, "help": help, **bounds})


@dataclass(frozen=True)
class Scenario:
    """One run, checked when built: a bad value raises ScenarioError. Text is accepted wherever a number is."""

    road: str = _field("choice", "shadow", "How guest memory is translated.", choices=("bare", "pv", "shadow", "hap"))
    hap: str = _field("choice", "ept", "Nested tables of the hap road.", choices=x86.HAPS)
    pml: int = _field("choice", 0, "1: EPT's page-modification logging on the hap road.", choices=(0, 1))
    guest: str = _field(
        "choice", "hvm64", "Paging mode of the guest: 64-bit, 32-bit PAE, or 32-bit with two levels.", choices=x86.GUESTS
    )
    direct_map_pages: str = _field(
        "choice",
        "4k",
        "Pages of the kernel's direct map; large: 2 MiB, or 4 MiB with guest=hvm32; huge: 1 GiB.",
        choices=("4k", "large", "huge"),
    )
    wp: int = _field("choice", 1, "CR0.WP: 0 lets the kernel write to read-only pages.", choices=(0, 1))
    smep: int = _field("choice", 0, "CR4.SMEP: 1 keeps the kernel from running user pages.", choices=(0, 1))
    smap: int = _field("choice", 0, "CR4.SMAP: 1 keeps the kernel from touching user pages.", choices=(0, 1))
    nx: int = _field("choice", 1, "EFER.NXE: 1 lets pages forbid execution (not with guest=hvm32).", choices=(0, 1))
    pse: int = _field("choice", 1, "CR4.PSE: with guest=hvm32 1 allows 4 MiB pages.", choices=(0, 1))
    core: str = _field("choice", "skylake", "Processor whose TLB sizes the vCPUs have.", choices=tuple(x86.CORES))
    vcpus: int = _field("int", 1, "Virtual CPUs, a tick each in turn; programs are dealt out to them.", low=1, high=4)
    frames: int = _field(
        "int",
        256,
        f"Guest memory in frames of 4 KiB; more than {MAX_FRAMES} on the bare and hap roads only.",
        low=64,
        high=MOST_FRAMES,
    )
    pool: int = _field(
        "int", 64, "Pages of the shadow pool; real Xen never goes below 128 a vCPU.", low=POOL_LOW, high=POOL_HIGH
    )
    oos: int = _field(
        "choice", 1, "1: the shadow road lets L1 tables go out of sync; 0: every store to one is emulated.", choices=(0, 1)
    )
    shopt: int = _field(
        "int",
        511,
        "Optimisations of the shadow road, Xen's SHOPT bits: 1 guesses, 2 early unshadow, 8 prefetch, "
        "16 pinned L3s, 32 skip verify, 64 virtual TLB, 128 fast emulation, 256 out of sync; 511: all.",
        low=0,
        high=511,
    )
    xen: str = _field("choice", "master", "Version of Xen, where they differ visibly.", choices=xen.XENS)
    floor: int = _field(
        "choice", 0, "1: the shadow pool has Xen's own minimum size; 0: a toy pool may be smaller.", choices=(0, 1)
    )
    superpages: int = _field(
        "choice", 0, "1: the hap road maps whole 2 MiB chunks with one leaf; 2: also whole GiBs.", choices=(0, 1, 2)
    )
    trace: str = _field(
        "traces", "gzip", "Recorded programs, separated by commas: shipped names, or the sha256 of an uploaded file."
    )
    work: str = _field(
        "work",
        "",
        "Generators, separated by commas: uniform:PAGES, zipf:PAGES[:EXPONENT], sequential:PAGES[:REPEAT], "
        "hotcold:PAGES[:HOT[:PERCENT]], fork:PAGES, idle.",
    )
    quantum: int = _field("int", 1000, "Ticks a process runs before the next one.", low=1, high=10**6)
    order: str = _field(
        "order", "", "Time slices in turn: programs, then generators, numbered from 0, e.g. 0,1,0,2; empty: each."
    )
    seed: int = _field("int", 1, "Seed of the generators.", low=0, high=2**63 - 1)
    write: int = _field("int", 30, "Percent of the accesses of generators that are writes.", low=0, high=100)
    direct_map: str = _field(
        "address",
        "linux",
        "Where the guest kernel maps all its memory: linux, linux420 or an address.",
        low=0xFFFF800000000000,
        high=0xFFFFFFFFC0000000,
    )
    clean: str = _field(
        "choice",
        "blow",
        "What CLEAN does to shadows: blow, as Xen does, throws all away; revoke searches all of them for "
        "every writable frame and takes write access away.",
        choices=("blow", "revoke"),
    )
    clean_every: int = _field(
        "int", 0, "While log-dirty is on, a CLEAN by itself every so many ticks; 0: none.", low=0, high=MAX_TICK
    )
    do: str = _field(
        "do",
        "",
        "Commands at ticks: enable, clean, peek, off, blow, pool:N, flush, and dm:GFN[:N], a device that writes N "
        "frames from GFN on; e.g. enable@300,pool:64@1200.",
    )
    migrate: str = _field(
        "choice",
        "no",
        "How the guest is moved to another host: precopy, as Xen does; stop: suspended, then copied; postcopy: "
        "moved first, copied then; hybrid: one round live, the rest as postcopy; remus: checkpoint after checkpoint.",
        choices=("no", "precopy", "stop", "postcopy", "hybrid", "remus"),
    )
    migrate_at: int = _field("int", 1000, "Tick at which the migration begins.", low=0, high=MAX_TICK)
    policy: str = _field(
        "choice",
        "xen",
        "When pre-copy stops: xen (fewer than 50 pages, or 5 rounds), legacy (29 rounds, 3 times the guest, "
        "pages dirty again are skipped), clark (rate-adaptive), qemu (downtime), numbers (target, rounds, factor, skip).",
        choices=("xen", "legacy", "clark", "qemu", "numbers"),
    )
    target: int = _field("int", 50, "policy=numbers: stop below so many dirty pages.", low=1, high=MOST_FRAMES)
    rounds: int = _field("int", 5, "policy=numbers: stop after so many rounds.", low=1, high=100)
    factor: int = _field("int", 0, "policy=numbers: stop when so many times the guest are sent; 0: never.", low=0, high=100)
    skip: int = _field("choice", 0, "policy=numbers: 1 skips pages dirty again when their batch begins.", choices=(0, 1))
    downtime: int = _field("int", 300, "policy=qemu: microseconds that what is left may take.", low=1, high=10**9)
    bandwidth: int = _field("int", 1250, "Of the link between the hosts, MB a second (1250: 10 Gb/s).", low=1, high=10**6)
    latency: int = _field("int", 50, "Of the link, one way, microseconds.", low=0, high=10**6)
    page_overhead: int = _field("int", 0, "Nanoseconds that each page costs beside its bytes.", low=0, high=10**6)
    pace: int = _field(
        "int", 20, "Guest speed against link speed: ticks while one page goes over the wire, exits aside.", low=1, high=10**6
    )
    tracking: str = _field(
        "choice",
        "costs",
        "costs: exits take time by the table of costs; free: only the guest's own work does.",
        choices=("costs", "free"),
    )
    zeros: int = _field("choice", 0, "1: pages never written go as one byte.", choices=(0, 1))
    xbzrle: int = _field("int", 0, "Pages of a cache of what was sent: those go as what differs; 0: none.", low=0, high=10**6)
    throttle: int = _field("choice", 0, "1: auto-converge, a guest that dirties too fast is slowed down.", choices=(0, 1))
    prefetch: int = _field("int", 0, "postcopy, hybrid: pages after a wanted one that come along with it.", low=0, high=1023)
    epoch: int = _field("int", 2000, "remus: ticks between two checkpoints.", low=1, high=10**6)
    epochs: int = _field("int", 10, "remus: checkpoints until the primary stops.", low=1, high=500)
    fail: str = _field(
        "fail",
        "",
        "What goes wrong: link:N, the link is lost after N pages; p2m:N, a PV guest changes its list of frames "
        "after N pages; flux:GFN, that PV table cannot be sent while the guest runs.",
    )
    name: str = HOME
    sentence: str = ""
    notes: str = ""
    start: int = 0

    def __post_init__(self) -> None:
        put = functools.partial(object.__setattr__, self)
        for field in FIELDS:
            put(field.name, field.parse(getattr(self, field.name), shipped_traces()))
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ScenarioError(
                f"name must be 1 to 32 small letters, digits and hyphens, first a letter, not {quote(self.name)}."
            )
        for key, limit in _TEXT_LIMITS.items():
            text = getattr(self, key)
            if not isinstance(text, str) or len(text) > limit or _SURROGATE.search(text):
                raise ScenarioError(f"{key} must be text of at most {limit} characters.")
        put("start", integer("start", self.start, 0, MAX_TICK))
        check(self)

    @property
    def least_pool(self) -> int:
        """Pages without which a shadow guest cannot run one instruction with log-dirty on.

        For each vCPU its root, monitor table and snapshots; for a fault the tables it makes; twice a path of the bitmap's tree:
        in use, and asked for beforehand.
        """
        root, monitor, tables = {"hvm64": (1, 1, 3), "pae": (4, 3, 1), "hvm32": (4, 3, 2)}[self.guest]
        snapshots = 3 if self.xen == "4.17" or (self.oos and self.shopt & 256) else 0
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
        return DIRECT_MAPS.get(self.direct_map) or int(self.direct_map, 16)

    @property
    def pool_cap(self) -> int:
        """Largest N, in pages, of the command pool:N on this machine."""
        return pool_cap(self.pool)

    def replace(self, **changes: Any) -> Scenario:
        """A copy with some fields changed (typed or text), checked again; an unknown field is a ScenarioError."""
        for key in changes:
            if key not in _ALL:
                raise one_of("The field", key, _ALL)
        return dataclasses.replace(self, **changes)

    def to_query(self) -> dict[str, str]:
        """The `scenario` key and every field that differs from that library scenario, as a URL holds them.

        A scenario that is not in the library is written against the home scenario. Inverse: `from_mapping`.
        """
        base = load(self.name if self.name in names() else HOME)
        changed = (f for f in FIELDS if getattr(self, f.name) != getattr(base, f.name))
        return {"scenario": base.name, **{f.name: str(getattr(self, f.name)) for f in changed}}

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


FIELDS: tuple[Field, ...] = tuple(
    Field(name=f.name, default=f.default, **f.metadata) for f in dataclasses.fields(Scenario) if f.metadata
)
_FIELD = {field.name: field for field in FIELDS}
_ALL = tuple(f.name for f in dataclasses.fields(Scenario))


@functools.cache
def load(name: str) -> Scenario:
    """The library scenario of that name; ScenarioError when there is none."""
    if name not in names():
        raise one_of("The scenario", name, names())
    return from_toml((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def from_mapping(mapping: Mapping[str, object]) -> Scenario:
    """Scenario from the keys of a URL: `scenario` names the base (the home scenario if absent), the rest are FIELDS."""
    changes = dict(mapping)
    base = load(str(changes.pop("scenario", HOME)))
    for key in changes:
        if key not in _FIELD:
            raise one_of("The field", key, tuple(_FIELD))
    return base.replace(**changes)


def from_toml(text: str) -> Scenario:
    """Scenario from TOML text with any of the fields and name, sentence, notes, start."""
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScenarioError(f"The scenario is not valid TOML: {quote(str(error), 80)}.") from None
    return _from_file(values)


def from_json(text: str) -> Scenario:
    """Scenario from a JSON object with any of the fields and name, sentence, notes, start."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScenarioError(f"The scenario is not valid JSON: {quote(str(error), 80)}.") from None
    if not isinstance(values, dict):
        raise ScenarioError("The scenario must be a JSON object with one key a field.")
    return _from_file(values)


def _from_file(values: dict[str, object]) -> Scenario:
    for key in values:
        if key not in _ALL:
            raise one_of("The field", key, _ALL)
    return Scenario(**values)
