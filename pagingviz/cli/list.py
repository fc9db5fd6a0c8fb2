"""`pagingviz list`: the scenarios, and every field with default, bounds and help."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pagingviz.cli.options import SCHEMA, add_json
from pagingviz.scenario.fields import GENERATORS
from pagingviz.scenario.scenario import FIELDS, load, names, shipped_traces
from pagingviz.story.text_table import text_table


def add(commands: Any) -> None:
    """Add the command to argparse's list of commands."""
    parser = commands.add_parser("list", help="the scenarios, and every field with default, bounds and help")
    parser.set_defaults(command=command)
    add_json(parser)


def command(options: argparse.Namespace) -> int:
    """Print the list; returns 0."""
    scenarios = [load(name) for name in names()]
    if options.json:
        rows: list[dict[str, Any]] = [
            {"name": s.name, "sentence": s.sentence, "notes": s.notes, "start": s.start} for s in scenarios
        ]
        for row, scenario in zip(rows, scenarios, strict=True):
            row["fields"] = {field.name: getattr(scenario, field.name) for field in FIELDS}
        fields = [field.describe() for field in FIELDS]
        listing = {"schema": SCHEMA, "scenarios": rows, "fields": fields, "traces": list(shipped_traces())}
        print(json.dumps(listing, indent=1, ensure_ascii=False))
        return 0
    print("Scenarios")
    _print_table([(scenario.name, scenario.sentence) for scenario in scenarios])
    print("\nFields (--set name=value)")
    described = []
    for field in FIELDS:
        row = field.describe()
        allowed = "..".join(map(str, row.get("bounds", ()))) or "|".join(map(str, row.get("choices", ())))
        notes = [allowed] if allowed else []
        follows = f", else by {field.follows}" if field.follows else ""
        notes.append(f"default {field.default}{follows}" if field.default != "" else "default empty")
        described.append((field.name, f"{field.help} [{', '.join(notes)}]"))
    _print_table(described)
    print(f"\nRecorded programs: {', '.join(shipped_traces())}\nGenerators: {', '.join(GENERATORS)}")
    return 0


def _print_table(rows: list[tuple[str, str]]) -> None:
    """Names and what stands behind them, each pair a line that is set in a little."""
    for line in text_table(rows):
        print(f"  {line}")
