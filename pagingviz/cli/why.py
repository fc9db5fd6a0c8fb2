"""`pagingviz why`: what one cell of a map is at a tick, why, and since when it has been so."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pagingviz.cli.options import SCHEMA, add_json, add_scenario, scenario
from pagingviz.scenario.fields import MAX_TICK, ScenarioError, integer, one_of
from pagingviz.story.because import heading
from pagingviz.story.text_table import text_table


def add(commands: Any) -> None:
    """Add the command to argparse's list of commands."""
    parser = commands.add_parser("why", help="what a cell of a map is at a tick, why, and since when it has been so")
    parser.set_defaults(command=command)
    add_scenario(parser)
    parser.add_argument("--board", metavar="B", required=True, help="the map: guest-tables, shadow-pool, ept-npt, ...")
    parser.add_argument("--cell", metavar="C", required=True, help="number of the cell, row by row from 0 on")
    parser.add_argument("--tick", metavar="T", help="the tick (the one at which the scenario starts)")
    add_json(parser)


def command(options: argparse.Namespace) -> int:
    """Print what there is to say about the cell; returns 0."""
    described, files = scenario(options)
    tick = integer("--tick", described.start if options.tick is None else options.tick, 0, MAX_TICK)
    from pagingviz.boards.since import BOARDS  # loads numba: not before the options are known to be good

    if options.board not in BOARDS:
        raise one_of("--board", options.board, BOARDS)
    from pagingviz.timeline.simulation import Simulation

    report = _report(Simulation(described, files), options.board, options.cell, tick)
    print(json.dumps(report, indent=1, ensure_ascii=False) if options.json else _text(report))
    return 0


def _report(sim: Any, board: str, number: str, tick: int) -> dict[str, Any]:
    """The answer as plain data: the JSON of `why`."""
    from pagingviz.boards.board import Options
    from pagingviz.boards.registry import card, make_plan
    from pagingviz.boards.scene import Scene
    from pagingviz.boards.shadow_pool import largest_pool
    from pagingviz.boards.why import answered, why

    sim.seek(tick)
    plan = make_plan(board, sim.scenario, sim.work, Options(pages=largest_pool(sim)))
    cell = integer("--cell", number, 0, plan.key.size - 1)
    found = card(Scene(sim), [plan], plan, cell)
    if found is None:
        raise ScenarioError(f"--cell {cell} of {board} stands for nothing in this machine.")
    answer = answered(why(sim, plan, cell))
    return {
        "schema": SCHEMA,
        "scenario": sim.scenario.name,
        "tick": tick,
        "board": board,
        "cell": cell,
        "title": found.title,
        "chain": found.chain,
        "rows": dict(found.rows),
        "why": found.why,
        "since": answer.since.tick,
        "because": [link.wire() for link in answer.chain],
    }


def _text(report: dict[str, Any]) -> str:
    """The answer for people."""
    lines = [f"{report['scenario']} at tick {report['tick']:,}, {report['board']}, cell {report['cell']}: {report['title']}"]
    lines += [f"  {' -> '.join(report['chain'])}"] if report["chain"] else []
    lines += [f"  {line}" for line in text_table(list(report["rows"].items()))]
    lines += [report["why"]] if report["why"] else []
    lines.append(f"{heading(report['tick'], report['since'], report['tick'])}:")
    for link in report["because"]:
        source = f" ({link['source']})" if link["source"] else ""
        lines.append(f"  tick {link['tick']:,}, event {link['k']} of {link['n']}: {link['text']}{source}")
    return "\n".join(lines)
