"""What commands share: the parser, and the options that describe a scenario."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, NoReturn

from pagingviz.scenario.fields import ScenarioError, format_do, parse_do, quote
from pagingviz.scenario.scenario import Scenario, from_mapping, shipped_traces
from pagingviz.work.npz import MAX_FILE
from pagingviz.work.tracefile import fingerprint, open_trace

SCHEMA = 1


class Parser(argparse.ArgumentParser):
    """Options in full only, and errors as one sentence."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise ScenarioError instead of printing the usage and leaving."""
        raise ScenarioError(f"{self.prog}: {message} (see {self.prog} --help).")


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option --json."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_scenario(parser: argparse.ArgumentParser) -> None:
    """The arguments that `scenario` reads."""
    parser.add_argument("scenario", metavar="SCENARIO")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one field")
    parser.add_argument("--do", action="append", default=[], metavar="COMMAND@TICK", help="add a command")


def scenario(options: argparse.Namespace) -> tuple[Scenario, dict[str, bytes]]:
    """The scenario that the options describe, and the trace files they name by path, by sha256. ScenarioError if wrong."""
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
    described = from_mapping({**changes, "scenario": options.scenario})
    if options.do:
        added = [command for text in options.do for command in parse_do(text, described.pool_cap)]
        in_order = sorted([*described.commands, *added], key=lambda command: command.tick)
        described = described.replace(do=format_do(tuple(in_order)))
    return described, files


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
