"""How long the answer takes to "why is this cell as it is", for random cells of two scenarios.

    python -m tests.bench.why [--draws N]

Prints median and slowest of each, in milliseconds.
"""

import argparse
import random
import statistics
import time

from pagingviz.boards import since
from pagingviz.boards.why import answered, at_home, why
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.boards.on_screen import Shown

OF = {"blackboard": (3_000, 100), "lecture": (200_000, 300)}  # scenario: ticks to draw from, what the median may be (ms)


def cells(plan):
    """The cells of a board that stand for something."""
    entries = [int(cell) for e in plan.entries for cell in e.cell]
    return [int(cell) for cell in (plan.key >= 0).nonzero()[0]] or entries


def measure(name, ticks, draws):
    """Seconds that each of so many answers took, and how many cells had changed since the beginning."""
    rng, sim, times, changed = random.Random(2026), Simulation(load(name)), [], 0
    while len(times) < draws:
        sim.seek(rng.randrange(1, ticks))
        plan = Shown(sim, rng.choice(since.BOARDS)).plan
        some = cells(plan)
        if some:
            cell, began = rng.choice(some), time.perf_counter()
            found = answered(at_home(sim, why(sim, plan, cell)))
            times.append(time.perf_counter() - began)
            changed += found.since.tick > 0
    return times, changed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=100, help="cells of each scenario")
    options = parser.parse_args()
    for name, (ticks, most) in OF.items():
        times, changed = measure(name, ticks, options.draws)
        median, slowest = 1000 * statistics.median(times), 1000 * max(times)
        verdict = "" if median <= most else "MISSED"
        line = (
            f"why, {name}: median {median:.0f} ms (at most {most}), slowest {slowest:.0f} ms, {changed} of {len(times)} changed"
        )
        print(f"{line} {verdict}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
