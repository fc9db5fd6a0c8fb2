"""`pagingviz migrate`: move a scenario's guest to another host, and compare what arrives."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pagingviz.cli.options import SCHEMA, add_json, add_scenario, scenario


def add(commands: Any) -> None:
    """Add the command to argparse's list of commands."""
    parser = commands.add_parser("migrate", help="move a scenario's guest to another host, and compare what arrives")
    parser.set_defaults(command=command)
    parser.add_argument("--compare", action="store_true", help="the same work on PV, shadow, EPT, EPT with PML and NPT")
    add_scenario(parser)
    add_json(parser)


def command(options: argparse.Namespace) -> int:
    """Migrate once, or with --compare once on each road; returns 1 when what arrives differs, else 0."""
    described, files = scenario(options)
    # They load numba: not before the options are known to be good.
    from pagingviz.experiments import migrations
    from pagingviz.work.programs import Programs

    notices = list(Programs(described, files).notices)
    if options.compare:
        rows = migrations.side_by_side(described, files)
        report = {"schema": SCHEMA, "notices": notices, "roads": rows}
        print(json.dumps(report, indent=1) if options.json else "\n".join([*notices, *migrations.compared(rows)]))
        return 0 if all(row.get("destination_equals_source", True) for row in rows) else 1
    report = {"schema": SCHEMA, "notices": notices, **migrations.report(migrations.migrate(described, files))}
    print(json.dumps(report, indent=1) if options.json else "\n".join([*notices, *migrations.lines(report)]))
    return 0 if report["destination_equals_source"] else 1
