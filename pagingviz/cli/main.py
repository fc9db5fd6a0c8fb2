"""The command line: puts the commands together and runs one. Errors: one sentence on stderr, exit code 2.

The JSON that commands print is part of the contract with other programs: keys are added, never renamed; `schema` counts
breaking changes.
"""

from __future__ import annotations

import os
import sys

from pagingviz import __version__
from pagingviz.cli import app, audit, check, migrate, run, why
from pagingviz.cli import list as listing
from pagingviz.cli.options import Parser
from pagingviz.scenario.fields import ScenarioError

COMMANDS = (listing, run, audit, migrate, why, check, app)  # each has add(commands), in the order of the help


def main(argv: list[str] | None = None, prog: str = "pagingviz") -> int:
    """Run one command and return the exit code: 0 fine, 1 a broken rule or a mismatch, 2 an error.

    `argv` are the arguments without the program's name (None: those of the process), `prog` is that name, for help and errors.
    """
    parser = Parser(prog=prog, description="Virtual memory machines: in the browser with `app`, else without a screen.")
    parser.add_argument("--version", action="version", version=f"pagingviz {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    try:
        options = parser.parse_args(argv)
        return options.command(options)
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; nothing is left to flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
