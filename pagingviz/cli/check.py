"""`pagingviz check`: hold the engine against recorded results of other machines."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pagingviz.cli import check_xen
from pagingviz.cli.options import add_json


def add(commands: Any) -> None:
    """Add the command to argparse's list of commands."""
    parser = commands.add_parser("check", help="hold the engine against recorded results of other machines")
    recorded = parser.add_subparsers(metavar="RECORDED", required=True)
    check = recorded.add_parser("mmu", help="page walks: entries, an access, and what came of it, row by row")
    check.set_defaults(command=check_mmu)
    check.add_argument("file", metavar="FILE.npz")
    add_json(check)
    xen = recorded.add_parser("xen", help="a script run by a real Xen: its events, bitmaps and counters")
    xen.set_defaults(command=check_xen.run)
    check_xen.add_options(xen)
    add_json(xen)


def check_mmu(options: argparse.Namespace) -> int:
    """Compare every recorded page walk of the file with the engine's; returns 1 at a mismatch, else 0."""
    from pagingviz.evidence.mmu import check
    from pagingviz.evidence.mmu.cases import read_cases

    report = check.report(check.score(read_cases(options.file)))
    print(json.dumps(report, indent=1) if options.json else "\n".join(check.lines(report)))
    return 1 if report["mismatches"] else 0
