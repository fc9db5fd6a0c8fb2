"""The one table of fields: what decides a run (`Settings`), and how it is looked at (`View`). A row is a field.

A row holds the field's rule and its words (fields.Field). The address, TOML and JSON, the command line, the sidebar, the
headings of pages and the manual have them from here: a new field is one more row.
"""

from __future__ import annotations

from dataclasses import dataclass

from pagingviz.arch import x86, xen
from pagingviz.arch.cores import CORES, HAPS
from pagingviz.manual.chapters import CHAPTERS
from pagingviz.scenario.as_core import FOLLOWING, completed
from pagingviz.scenario.cost_fields import Priced
from pagingviz.scenario.declare import declared, rows_of
from pagingviz.scenario.fields import MAX_FRAMES, MAX_TICK, MOST_FRAMES, POOL_HIGH, POOL_LOW, Field
from pagingviz.scenario.migration_fields import MIGRATION, Moving
from pagingviz.scenario.roads import ROADS
from pagingviz.scenario.shopt import SHOPT_HELP

__all__ = ["FIELD", "FIELDS", "MIGRATION", "PAGING", "SHOPT_HELP", "VIEW_FIELDS", "WORK", "Settings", "View", "of_section"]

WORK, PAGING = "Machine and work", "Paging and Xen"  # sections of the sidebar, and MIGRATION


_OWN = completed(dict.fromkeys(("core", *FOLLOWING)))  # of a scenario that gives none of them


@dataclass(frozen=True)
class Machine:
    """The machine, its guest and its work."""

    road: str = declared("choice", "shadow", "How guest memory is translated.", section=WORK, choices=tuple(ROADS))
    core: str = declared(
        "choice",
        _OWN["core"],
        "Processor: it fixes TLB sizes, nested tables (hap) and what they can do. hap=npt without a core: zen.",
        "processor core",
        WORK,
        choices=tuple(CORES),
        follows="hap",
    )
    hap: str = declared(
        "choice", _OWN["hap"], "Nested tables of the hap road.", "nested tables", WORK, choices=HAPS, follows="core"
    )
    pml: int = declared(
        "choice",
        _OWN["pml"],
        "1: EPT's page-modification logging on the hap road; on where the core has it.",
        "page-modification log (EPT)",
        WORK,
        choices=(0, 1),
        follows="core",
    )
    exec_sp: int = declared(
        "choice",
        _OWN["exec_sp"],
        "1: EPT's superpages are executable (ept=exec-sp); 0: a fetch splits them, as Xen has it on cores with the erratum.",
        "executable superpages (EPT)",
        WORK,
        choices=(0, 1),
        follows="core",
    )
    ept_ad: int = declared(
        "choice",
        _OWN["ept_ad"],
        "Whether Xen uses the A and D bits of EPT (ept=ad); the page-modification log needs them.",
        "A and D bits of EPT",
        PAGING,
        choices=(0, 1),
        follows="core",
    )
    guest: str = declared(
        "choice",
        "hvm64",
        "Paging mode of the guest: 64-bit, 32-bit PAE, or 32-bit with two levels.",
        "guest paging",
        PAGING,
        choices=x86.GUESTS,
    )
    direct_map_pages: str = declared(
        "choice",
        "4k",
        "Pages of the kernel's direct map; large: 2 MiB, or 4 MiB with guest=hvm32; huge: 1 GiB.",
        "kernel's direct map",
        PAGING,
        choices=("4k", "large", "huge"),
    )
    wp: int = declared("choice", 1, "CR0.WP: 0 lets the kernel write to read-only pages.", "CR0.WP", PAGING, choices=(0, 1))
    smep: int = declared(
        "choice", 0, "CR4.SMEP: 1 keeps the kernel from running user pages.", "CR4.SMEP", PAGING, choices=(0, 1)
    )
    smap: int = declared(
        "choice", 0, "CR4.SMAP: 1 keeps the kernel from touching user pages.", "CR4.SMAP", PAGING, choices=(0, 1)
    )
    nx: int = declared(
        "choice", 1, "EFER.NXE: 1 lets pages forbid execution (not with guest=hvm32).", "EFER.NXE", PAGING, choices=(0, 1)
    )
    pse: int = declared("choice", 1, "CR4.PSE: with guest=hvm32 1 allows 4 MiB pages.", "CR4.PSE", PAGING, choices=(0, 1))
    vcpus: int = declared(
        "int",
        1,
        "Virtual CPUs, a tick each in turn; programs are dealt out to them.",
        "vCPUs",
        PAGING,
        bounds=(1, 4),
        after="direct_map_pages",
    )
    frames: int = declared(
        "int",
        256,
        f"Guest memory in frames of 4 KiB; more than {MAX_FRAMES} on the bare and hap roads only.",
        "guest frames",
        WORK,
        bounds=(64, MOST_FRAMES),
    )
    pool: int = declared(
        "int",
        64,
        "Pages of the shadow pool; real Xen never goes below 128 a vCPU.",
        "shadow pool pages",
        WORK,
        bounds=(POOL_LOW, POOL_HIGH),
    )
    oos: int = declared(
        "choice",
        1,
        "1: the shadow road lets L1 tables go out of sync; 0: every store to one is emulated.",
        "out-of-sync tables",
        PAGING,
        choices=(0, 1),
        after="xen",
    )
    shopt: int = declared(
        "int",
        511,
        "Optimisations of the shadow road, Xen's SHOPT bits: 1 guesses, 2 early unshadow, 8 prefetch, "
        "16 pinned L3s, 32 skip verify, 64 virtual TLB, 128 fast emulation, 256 out of sync; 511: all.",
        "shadow optimisations (shopt)",
        PAGING,
        bounds=(0, 511),
        bits=SHOPT_HELP,
        what="Optimisations of Xen's shadow code, SHOPT_* in shadow/private.h",
        after="floor",
    )
    xen: str = declared(
        "choice", "master", "Version of Xen, where they differ visibly.", "version of Xen", PAGING, choices=xen.XENS
    )
    floor: int = declared(
        "choice",
        0,
        "1: ENABLE and commands that set the shadow pool give it at least Xen's own minimum; 0: a toy pool may be smaller.",
        "Xen's own minimum pool",
        PAGING,
        choices=(0, 1),
    )
    superpages: int = declared(
        "choice",
        0,
        "1: the hap road maps whole 2 MiB chunks with one leaf; 2: also whole GiBs.",
        "superpages (1: 2 MiB, 2: also 1 GiB)",
        WORK,
        choices=(0, 1, 2),
    )
    trace: str = declared(
        "traces",
        "gzip",
        "Recorded programs, separated by commas: shipped names, or the sha256 of an uploaded file.",
        "recorded programs",
        WORK,
        what="The trace",
    )
    work: str = declared(
        "work",
        "",
        "Generators, separated by commas: uniform:PAGES, zipf:PAGES[:EXPONENT], sequential:PAGES[:REPEAT], "
        "hotcold:PAGES[:HOT[:PERCENT]], fork:PAGES, idle.",
        "generators",
        WORK,
    )
    quantum: int = declared("int", 1000, "Ticks a process runs before the next one.", section=WORK, bounds=(1, 10**6))
    order: str = declared(
        "order", "", "Time slices in turn: programs, then generators, numbered from 0, e.g. 0,1,0,2; empty: each."
    )
    seed: int = declared("int", 1, "Seed of the generators.", section=WORK, bounds=(0, 2**63 - 1))
    write: int = declared(
        "int", 30, "Percent of the accesses of generators that are writes.", "writes of generators (%)", WORK, bounds=(0, 100)
    )
    direct_map: str = declared(
        "address",
        "linux",
        "Where the guest kernel maps all its memory: linux, linux420 or an address.",
        bounds=(0xFFFF800000000000, 0xFFFFFFFFC0000000),
    )
    clean: str = declared(
        "choice",
        "blow",
        "What CLEAN does to shadows: blow, as Xen does, throws all away; revoke searches all of them for "
        "every writable frame and takes write access away.",
        "shadows at a CLEAN",
        PAGING,
        choices=("blow", "revoke"),
    )
    clean_every: int = declared(
        "int",
        0,
        "While log-dirty is on, a CLEAN by itself every so many ticks; 0: none.",
        "ticks between CLEANs",
        PAGING,
        bounds=(0, MAX_TICK),
    )
    do: str = declared(
        "do",
        "",
        "Commands at ticks: enable, clean, peek, off, blow, pool:N, flush, and dm:GFN[:N], a device that writes N "
        "frames from GFN on; e.g. enable@300,pool:64@1200.",
        "commands",
    )


@dataclass(frozen=True)
class Settings(Priced, Moving, Machine):
    """Everything that decides a run. A value is checked by scenario.Scenario, which is made of these."""


@dataclass(frozen=True)
class View:
    """How a machine is looked at: everything in an address that is not of the scenario, in the order in which it is written.

    tick: None is the scenario's own `start`. recording, row: "" and None are the first ones. gva, access: None and "" are
    those of the tick's last access; ref: None is all references. beside: as scenario/beside.py reads it. rule: "" is the
    first one. theme: "" is what the browser prefers.
    """

    tick: int | None = declared("int", None, "the moment; without it the scenario's own start", bounds=(0, MAX_TICK))
    play: bool = declared("switch", False, "whether it runs")
    present: bool = declared("switch", False, "presenter mode: picture, sentence and player alone, in large type")
    bits: str = declared(
        "name",
        "round",
        "what the dirty bitmap tells",
        "The cells tell",
        "dirty-bitmap",
        choices=("round", "often", "who"),
        words=("This round", "How often", "Who set it"),
        what="The view of bits",
    )
    recording: str = declared("name", "", "of the page Real Xen: what it shows", "Recording", "real-xen", what="The recording")
    row: int | None = declared("int", None, "of the page Real Xen: what it shows", section="real-xen", bounds=(0, 99_999))
    gva: int | None = declared(
        "gva", None, "of the page Translation: the address; without it the tick's last access", section="translation"
    )
    access: str = declared(
        "name",
        "",
        "of the page Translation: the kind of access",
        "Access",
        "translation",
        choices=("read", "write", "fetch"),
        what="The access",
    )
    ref: int | None = declared(
        "int", None, "of the page Translation: references made so far; without it all", section="translation", bounds=(0, 99)
    )
    beside: str = declared(
        "text",
        "",
        "of the page Side by side: up to three machines, and the fields in which each differs; without it one on another road",
        section="side-by-side",
    )
    board: str = declared(
        "name",
        "ept-npt",
        "of the page Side by side: which map is shown of each machine",
        "Map",
        "side-by-side",
        choices=("guest-tables", "shadow-pool", "ept-npt", "dirty-bitmap"),
        words=("Guest page tables", "Shadow pool", "EPT / NPT", "Dirty bitmap"),
        what="The map",
    )
    rule: str = declared(
        "name", "", "of the page What if: the rule that is broken", "Rule to break", "what-if", what="The rule to break"
    )
    broken: bool = declared("switch", False, "of the page What if: whether the rule is broken already", section="what-if")
    part: str = declared(
        "name",
        next(iter(CHAPTERS)),
        "of the page Manual: the chapter",
        "Chapter",
        "manual",
        choices=tuple(CHAPTERS),
        words=tuple(CHAPTERS.values()),
        what="The chapter",
    )
    theme: str = declared("name", "", "colours; without it those of your browser", choices=("light", "dark"), what="The theme")


FIELDS = rows_of(Settings)
VIEW_FIELDS = rows_of(View)
FIELD: dict[str, Field] = {field.name: field for field in (*FIELDS, *VIEW_FIELDS)}


def of_section(section: str) -> tuple[Field, ...]:
    """The scenario's fields of a section of the sidebar, in the order in which they are shown."""
    found = [field for field in FIELDS if field.section == section]
    shown = [field for field in found if not field.after]
    for field in found:
        if field.after:
            shown.insert(shown.index(FIELD[field.after]) + 1, field)
    return tuple(shown)
