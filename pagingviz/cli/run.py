"""`pagingviz run`: run a scenario and print its counters and digests. `pagingviz audit` adds checks on the way."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pagingviz.cli.options import SCHEMA, add_json, add_scenario, scenario
from pagingviz.scenario.fields import MAX_TICK, integer

DEFAULT_TICKS = 100_000
ENDS = {
    1: "crashed, no page for a shadow",
    2: "guest kernel bug",
    3: "it hangs, too few pages to split a superpage",
    4: "crashed, too few pages to split a superpage for a fetch",
}


def add(commands: Any) -> None:
    """Add the command to argparse's list of commands."""
    parser = commands.add_parser("run", help="run a scenario and print its counters and digests")
    parser.set_defaults(command=command, every=None)
    add_run_options(parser)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """The options that `run` and `audit` share."""
    add_scenario(parser)
    parser.add_argument("--ticks", metavar="N", default=DEFAULT_TICKS, help=f"how far to run ({DEFAULT_TICKS})")
    add_json(parser)


def command(options: argparse.Namespace) -> int:
    """Run, and with options.every (ticks between checks, or None) audit; returns 1 at a broken rule, else 0."""
    ticks = integer("--ticks", options.ticks, 0, MAX_TICK)
    every = ticks + 1 if options.every is None else integer("--every", options.every, 1, MAX_TICK)
    described, files = scenario(options)
    from pagingviz.timeline.simulation import Simulation  # loads numba: not before the options are known to be good

    simulation = Simulation(described, files)
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


def _report(simulation: Any) -> dict[str, Any]:
    """What a run came to, as plain data: the JSON of `run`."""
    ran, machine = simulation.scenario, simulation.machine
    return {
        "schema": SCHEMA,
        "scenario": ran.name,
        "road": ran.road,
        "seed": ran.seed,
        "ticks": simulation.tick,
        "crashed": simulation.crashed,
        "counters": simulation.counters(),
        "digest": machine.digest(),
        "guest": machine.guest_digests(),
        "log_dirty": machine.log_dirty(),
    }


def _text(report: dict[str, Any]) -> str:
    """The report for people; counters that are zero are left out."""
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
