"""`pagingviz audit`: a run that checks the machine's own rules on the way."""

from __future__ import annotations

from typing import Any

from pagingviz.cli import run

DEFAULT_EVERY = 10_000


def add(commands: Any) -> None:
    """Add the command to argparse's list of commands."""
    parser = commands.add_parser("audit", help="run a scenario and check the machine's own rules on the way")
    parser.set_defaults(command=run.command)
    parser.add_argument("--every", metavar="K", default=DEFAULT_EVERY, help=f"ticks between checks ({DEFAULT_EVERY})")
    run.add_run_options(parser)
