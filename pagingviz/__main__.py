"""The command line: `python -m pagingviz list | run | audit | migrate | check`. Errors: one sentence on stderr, exit code 2.

Its JSON is part of the contract with other programs: keys are added, never renamed; `schema` counts breaking changes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from pagingviz.evidence.xen import command as recording
from pagingviz.scenario.fields import GENERATORS, MAX_TICK, ScenarioError, format_do, integer, parse_do, quote
from pagingviz.scenario.scenario import FIELDS, Scenario, from_mapping, load, names, shipped_traces
from pagingviz.work.npz import MAX_FILE
from pagingviz.work.tracefile import fingerprint, open_trace

SCHEMA = 1
DEFAULT_TICKS = 100_000
DEFAULT_EVERY = 10_000


class _Parser(argparse.ArgumentParser):
    """Options in full only, and errors as one sentence."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise ScenarioError(f"{self.prog}: {message} (see {self.prog} --help).")


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit code: 0 fine, 1 a broken rule or a mismatch, 2 an error."""
    try:
        options = _parser().parse_args(argv)
        return options.command(options)
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; nothing is left to flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m pagingviz", description="Virtual memory machines, without a screen.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    listing = commands.add_parser("list", help="the scenarios, and every field with default, bounds and help")
    listing.set_defaults(command=_list)
    run = commands.add_parser("run", help="run a scenario and print its counters and digests")
    run.set_defaults(command=_run, every=None)
    audit = commands.add_parser("audit", help="run a scenario and check the machine's own rules on the way")
    audit.set_defaults(command=_run)
    audit.add_argument("--every", metavar="K", default=DEFAULT_EVERY, help=f"ticks between checks ({DEFAULT_EVERY})")
    moving = commands.add_parser("migrate", help="move a scenario's guest to another host, and compare what arrives")
    moving.set_defaults(command=_migrate)
    moving.add_argument("--compare", action="store_true", help="the same work on PV, shadow, EPT, EPT with PML and NPT")
    for command in (run, audit, moving):
        command.add_argument("scenario", metavar="SCENARIO")
        command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one field")
        command.add_argument("--do", action="append", default=[], metavar="COMMAND@TICK", help="add a command")
    for command in (run, audit):
        command.add_argument("--ticks", metavar="N", default=DEFAULT_TICKS, help=f"how far to run ({DEFAULT_TICKS})")
    check = commands.add_parser("check", help="hold the engine against recorded results of other machines")
    recorded = check.add_subparsers(metavar="RECORDED", required=True)
    check = recorded.add_parser("mmu", help="page walks: entries, an access, and what came of it, row by row")
    check.set_defaults(command=_check_mmu)
    check.add_argument("file", metavar="FILE.npz")
    xen = recorded.add_parser("xen", help="a script run by a real Xen: its events, bitmaps and counters")
    xen.set_defaults(command=recording.run)
    recording.add_options(xen)
    for command in (listing, run, audit, moving, check, xen):
        command.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _list(options: argparse.Namespace) -> int:
    scenarios = [load(name) for name in names()]
    if options.json:
        rows = [{"name": s.name, "sentence": s.sentence, "notes": s.notes, "start": s.start} for s in scenarios]
        for row, scenario in zip(rows, scenarios, strict=True):
            row["fields"] = {field.name: getattr(scenario, field.name) for field in FIELDS}
        fields = [field.describe() for field in FIELDS]
        listing = {"schema": SCHEMA, "scenarios": rows, "fields": fields, "traces": list(shipped_traces())}
        print(json.dumps(listing, indent=1, ensure_ascii=False))
        return 0
    print("Scenarios")
    for scenario in scenarios:
        print(f"  {scenario.name:<12}{scenario.sentence}")
    print("\nFields (--set name=value)")
    for field in FIELDS:
        row = field.describe()
        allowed = "..".join(map(str, row.get("bounds", ()))) or "|".join(map(str, row.get("choices", ())))
        notes = [allowed] if allowed else []
        notes.append(f"default {field.default}" if field.default != "" else "default empty")
        print(f"  {field.name:<12}{field.help} [{', '.join(notes)}]")
    print(f"\nRecorded programs: {', '.join(shipped_traces())}\nGenerators: {', '.join(GENERATORS)}")
    return 0


def _run(options: argparse.Namespace) -> int:
    ticks = integer("--ticks", options.ticks, 0, MAX_TICK)
    every = ticks + 1 if options.every is None else integer("--every", options.every, 1, MAX_TICK)
    scenario, files = _scenario(options)
    from pagingviz.timeline.simulation import Simulation  # loads numba: not before the options are known to be good

    simulation = Simulation(scenario, files)
    checks, broken = 0, ""
    while not broken and simulation.tick < ticks:
        simulation.run(min(every, ticks - simulation.tick))
        if options.every is not None:
            checks, broken = checks + 1, simulation.audit()
    report = _report(simulation)
    if options.every is not None:
        report["audit"] = {"every": every, "checks": checks, "broken": broken}
    print(json.dumps(report, indent=1) if options.json else _text(report))
    return 1 if broken else 0


def _migrate(options: argparse.Namespace) -> int:
    scenario, files = _scenario(options)
    from pagingviz.experiments import migrations

    if options.compare:
        rows = migrations.side_by_side(scenario, files)
        print(json.dumps({"schema": SCHEMA, "roads": rows}, indent=1) if options.json else "\n".join(migrations.compared(rows)))
        return 0 if all(row.get("destination_equals_source", True) for row in rows) else 1
    report = {"schema": SCHEMA, **migrations.report(migrations.move(scenario, files))}
    print(json.dumps(report, indent=1) if options.json else "\n".join(migrations.lines(report)))
    return 0 if report["destination_equals_source"] else 1


def _check_mmu(options: argparse.Namespace) -> int:
    from pagingviz.evidence.mmu import check
    from pagingviz.evidence.mmu.cases import read_cases

    report = check.report(check.score(read_cases(options.file)))
    print(json.dumps(report, indent=1) if options.json else "\n".join(check.lines(report)))
    return 1 if report["mismatches"] else 0


def _scenario(options: argparse.Namespace) -> tuple[Scenario, dict[str, bytes]]:
    """The scenario that the options describe, and the trace files they name by path, by sha256."""
    changes: dict[str, str] = {}
    for item in options.set:
        key, equals, value = item.partition("=")
        if not equals:
            raise ScenarioError(f"--set needs KEY=VALUE, not {quote(item)}.")
        changes[key] = value
    files: dict[str, bytes] = {}
    if "trace" in changes:
        items = changes["trace"].split(",")
        changes["trace"] = ",".join(_trace_item(item, files) for item in items)
    scenario = from_mapping({**changes, "scenario": options.scenario})
    if options.do:
        added = [command for text in options.do for command in parse_do(text, scenario.pool_cap)]
        in_order = sorted([*scenario.commands, *added], key=lambda command: command.tick)
        scenario = scenario.replace(do=format_do(tuple(in_order)))
    return scenario, files


def _trace_item(item: str, files: dict[str, bytes]) -> str:
    """A shipped name stays; a path is read into `files` and becomes the sha256 of its content."""
    if item in shipped_traces() or not (os.sep in item or "." in item or os.path.exists(item)):
        return item
    try:
        with Path(item).open("rb") as file:
            data = file.read(MAX_FILE + 1)  # one byte too many is enough to be refused
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise ScenarioError(f"The trace file {quote(item, 80)} cannot be read: {reason}.") from None
    open_trace(data, Path(item).name)  # a bad file is refused here, under the name the user knows
    key = fingerprint(data)
    files[key] = data
    return key


ENDS = {1: "crashed, no page for a shadow", 2: "guest kernel bug", 3: "it hangs, too few pages to split a superpage"}


def _report(simulation: Any) -> dict[str, Any]:
    scenario, machine = simulation.scenario, simulation.machine
    return {
        "schema": SCHEMA,
        "scenario": scenario.name,
        "road": scenario.road,
        "seed": scenario.seed,
        "ticks": simulation.tick,
        "crashed": simulation.crashed,
        "counters": simulation.counters(),
        "digest": machine.digest(),
        "guest": machine.guest_digests(),
        "log_dirty": machine.log_dirty(),
    }


def _text(report: dict[str, Any]) -> str:
    lines = [f"{report['scenario']}: road {report['road']}, seed {report['seed']}, {report['ticks']} ticks"]
    if report["crashed"]:
        lines += [f"  the domain is at its end: {ENDS[report['crashed']]}"]
    lines += [f"  {name:<32}{value:>16}" for name, value in report["counters"].items() if value]
    lines += [f"  guest {name:<26}{value}" for name, value in report["guest"].items()]
    lines += [f"  log-dirty {', '.join(f'{key} {value}' for key, value in report['log_dirty'].items())}"]
    lines += [f"  digest {report['digest']}"]
    if "audit" in report:
        audit = report["audit"]
        lines += [f"  audit: {audit['broken'] or 'no rule broken'} ({audit['checks']} checks)"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
