"""`pagingviz list`: the questions with their scenarios, one scenario's notes, and every field with default, bounds and help."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pagingviz.cli.options import SCHEMA, add_json
from pagingviz.scenario.fields import GENERATORS
from pagingviz.scenario.scenario import FIELDS, GROUPS, load, names, shipped_traces
from pagingviz.story.steps import plain
from pagingviz.story.text_table import text_table


def add(commands: Any) -> None:
    """Add the command to argparse's list of commands."""
    parser = commands.add_parser(
        "list", help="the questions with their scenarios, and every field with default, bounds and help"
    )
    parser.add_argument("scenario", nargs="?", help="a scenario: print its question and its notes instead")
    parser.set_defaults(command=command)
    add_json(parser)


def command(options: argparse.Namespace) -> int:
    """Print the list, or one scenario's notes; returns 0."""
    listed = [options.scenario] if options.scenario else list(names())
    if options.json:
        fields = [field.describe() for field in FIELDS]
        listing = {"schema": SCHEMA, "scenarios": [_row(n) for n in listed], "fields": fields, "traces": list(shipped_traces())}
        print(json.dumps(listing, indent=1, ensure_ascii=False))
    elif options.scenario:
        scenario = load(options.scenario)
        print(f"{scenario.number} {scenario.question}\n{scenario.sentence}\n\n{plain(scenario.notes)}", end="")
    else:
        _for_people()
    return 0


def _row(name: str) -> dict[str, Any]:
    scenario = load(name)
    row: dict[str, Any] = {key: getattr(scenario, key) for key in ("name", "number", "question", "group", "sentence", "start")}
    return row | {"notes": plain(scenario.notes), "fields": {field.name: getattr(scenario, field.name) for field in FIELDS}}


def _for_people() -> None:
    print("Questions, each with the scenario that answers it")
    rows = [(scenario.group, (scenario.number, scenario.question, scenario.name)) for scenario in map(load, names())]
    lines = text_table([row for _, row in rows])
    for group, heading in GROUPS.items():
        print(f"\n  {heading}")
        for (of, _), line in zip(rows, lines, strict=True):
            if of == group:
                print(f"  {line}")
    print("\nFields (--set name=value)")
    described = []
    for field in FIELDS:
        row = field.describe()
        allowed = "..".join(map(str, row.get("bounds", ()))) or "|".join(map(str, row.get("choices", ())))
        notes = [allowed] if allowed else []
        follows = f", else by {field.follows}" if field.follows else ""
        notes.append(f"default {field.default}{follows}" if field.default != "" else "default empty")
        described.append((field.name, f"{field.help} [{', '.join(notes)}]"))
    for line in text_table(described):
        print(f"  {line}")
    print(f"\nRecorded programs: {', '.join(shipped_traces())}\nGenerators: {', '.join(GENERATORS)}")
