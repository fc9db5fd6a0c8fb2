"""`pagingviz check xen`: a script run by a real Xen, held beside the model. Files in, report out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pagingviz.cli.options import SCHEMA
from pagingviz.evidence.xen.read import MAX_FILE
from pagingviz.scenario.fields import ScenarioError, one_of, quote

GUESTS = ("hvm64", "pae", "pv64")
ROADS = ("shadow", "hap", "pv")
# Scenario fields that say how the recorded domain, its processor and its Xen were made.
SETTINGS = ("oos", "shopt", "xen", "pool", "floor", "hap", "core", "pml", "exec_sp", "ept_ad", "vcpus", "frames", "superpages")
LACKED = "The host had too few pieces of a GiB for the domain."


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `check xen`."""
    parser.add_argument("script", metavar="SCRIPT.ld")
    parser.add_argument("--guest", required=True, metavar="|".join(GUESTS), help="kind of the recorded guest")
    parser.add_argument("--road", required=True, metavar="|".join(ROADS), help="how its memory was translated")
    parser.add_argument("--against", metavar="RECORDING.jsonl", help="operations: PEEK, CLEAN and pool sizes are compared")
    parser.add_argument("--trace", metavar="RECORDING.csv", help="its trace: events of each command are compared")
    parser.add_argument(
        "--hw", metavar="EVENTS.csv", help="the processor's events on EPT: exits, the page-modification log, INVEPT"
    )
    parser.add_argument(
        "--dumps",
        metavar="DUMPS.txt",
        help="EPT leaves at each `sh .../dump.sh NAME` of the script; of several guests those "
        "whose name ends the recording's (NAME_VARIANT.jsonl)",
    )
    parser.add_argument("--perf", metavar="PERF.txt", help="its performance counters: the guest's CPU is compared")
    parser.add_argument(
        "--huge-leaves",
        metavar="N",
        help="how many of the domain's GiBs, from frame 0 on, one leaf each maps, where the host had too few pieces of a GiB; "
        "needs --set superpages=2",
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=f"of {', '.join(SETTINGS)}")


def run(options: argparse.Namespace) -> int:
    """Compare and print. Returns 1 when anything differs, else 0."""
    for what, value, allowed in (("--guest", options.guest, GUESTS), ("--road", options.road, ROADS)):
        if value not in allowed:
            raise one_of(what, value, allowed)
    if (options.guest == "pv64") != (options.road == "pv"):
        raise ScenarioError("--guest pv64 and --road pv belong together.")
    if options.against is None and options.trace is None and options.hw is None:
        raise ScenarioError(
            "check xen needs --against RECORDING.jsonl, --trace RECORDING.csv or --hw EVENTS.csv to compare with."
        )
    settings = dict(map(_setting, options.set))
    if options.hw is not None:
        settings.setdefault("hap", "ept")
    huge_leaves = _huge_leaves(options.huge_leaves, settings)
    script = _text(options.script)
    files = {what: getattr(options, what) for what in ("against", "trace", "perf", "hw", "dumps")}
    found = {what: name and _text(name) for what, name in files.items()}
    from pagingviz.evidence.xen import compare, memory, model  # loads numba: not before the options are known to be good

    names = {Path(name).name for name in files.values() if name is not None}
    known = compare.known_differences(names)
    variant = Path(options.against or options.hw or "").stem.rpartition("_")[2]
    host = memory.Memory() if huge_leaves is None else memory.Memory(huge_leaves, LACKED, "--huge-leaves")
    texts = compare.Texts(**found, variant=variant, memory=host)
    report = compare.compare(script, options.guest, model.scenario_of(settings, options.road), texts, known)
    title = f"{Path(options.script).name} on the model, {options.guest}, {options.road}, beside {', '.join(sorted(names))}"
    if options.json:
        head: dict[str, Any] = {"schema": SCHEMA, "script": options.script, "guest": options.guest, "road": options.road}
        print(json.dumps({**head, "settings": settings, **report.plain_data()}, indent=1))
    else:
        print(compare.text(report, title))
    return 1 if report.differences else 0


def _setting(item: str) -> tuple[str, str]:
    key, equals, value = item.partition("=")
    if not equals:
        raise ScenarioError(f"--set needs KEY=VALUE, not {quote(item)}.")
    if key not in SETTINGS:
        raise one_of("The setting", key, SETTINGS)
    return key, value


def _huge_leaves(given: str | None, settings: dict[str, str]) -> int | None:
    """The number of --huge-leaves; None when it was not given. ScenarioError when it is none, or when no leaf maps a GiB."""
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) < 7):
        raise ScenarioError(f"--huge-leaves must be a whole number from 0 to 999999, not {quote(given)}.")
    if settings.get("superpages") != "2":
        raise ScenarioError("--huge-leaves needs --set superpages=2: no leaf maps a GiB otherwise.")
    return int(given)


def _text(name: str) -> str:
    """The text of a file the user named."""
    try:
        with Path(name).open("rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise ScenarioError(f"The file {quote(name, 80)} is larger than {MAX_FILE >> 20} MiB.")
        return data.decode()
    except UnicodeDecodeError:
        raise ScenarioError(f"The file {quote(name, 80)} is not text.") from None
    except (OSError, ValueError) as error:
        if isinstance(error, ScenarioError):
            raise
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise ScenarioError(f"The file {quote(name, 80)} cannot be read: {reason}.") from None
